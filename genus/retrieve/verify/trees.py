"""A claim and its passages as one row of tokens: the claim is read once, and each passage goes on from it.

A row is a tree: `_start_ claim`, then branches `_delimiter_ passage _classify_`, which see the claim and themselves alone.
A branch's scores are read at its `_classify_`, and are those of claim and passage in a row of their own.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.models.attend import TreeAttend
from genus.models.scorer import Scorer
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Tree", "grow", "tree_scores"]

_CLAIM = 1 / 3  # of a sequence at most


class Tree(NamedTuple):
    """Token ids of what is shared, and of each branch."""

    trunk: tuple[int, ...]
    branches: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Tokens of the row."""
        return len(self.trunk) + sum(map(len, self.branches))


def grow(tokenizer: Tokenizer, claim: str, passages: Sequence[str], time: int) -> Tree:
    """Of a claim and passages, each sequence at most `time` tokens long: of a text that does not fit the end is cut.

    Raises GenusError where the tokenizer lacks the marks.
    """
    delimiter, end = (_id(tokenizer, name) for name in ("_delimiter_", "_classify_"))
    asked, *said = tokenizer.encode_batch([claim, *passages])
    trunk = (*tokenizer.start, *asked[: max(1, int(_CLAIM * time) - len(tokenizer.start))])
    room = max(1, time - len(trunk) - 2)
    return Tree(trunk, tuple((delimiter, *ids[:room], end) for ids in said))


def tree_scores(scorer: Scorer, trees: Sequence[Tree]) -> list[Tensor]:
    """Of each tree (branches, outputs), fp32. Rows are filled up to the longest; what fills up sees itself."""
    device, time = scorer.score.weight.device, max(tree.size for tree in trees)
    tokens = torch.zeros(len(trees), time, dtype=torch.long)
    positions, ends = torch.zeros_like(tokens), torch.zeros(len(trees), time, dtype=torch.bool)
    seen = torch.eye(time, dtype=torch.bool).repeat(len(trees), 1, 1)
    for row, tree in enumerate(trees):
        shared = len(tree.trunk)
        _put(row, 0, tree.trunk, 0, (tokens, positions, seen))
        first = shared
        for branch in tree.branches:
            _put(row, first, branch, shared, (tokens, positions, seen))
            first += len(branch)
            ends[row, first - 1] = True
    attend = TreeAttend(scorer.spec, seen.to(device), positions.to(device))
    scores = scorer(tokens.to(device), positions.to(device), attend, ends.to(device)).float()
    return list(scores.split([len(tree.branches) for tree in trees]))


def _put(row: int, first: int, ids: Sequence[int], shared: int, into: tuple[Tensor, Tensor, Tensor]) -> None:
    """Put a stretch of a row in: it sees the first `shared` places, and its own past."""
    tokens, positions, seen = into
    mine = slice(first, first + len(ids))
    tokens[row, mine] = torch.tensor(ids)
    positions[row, mine] = torch.arange(shared, shared + len(ids))
    seen[row, mine, :shared] = True
    seen[row, mine, mine] = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()


def _id(tokenizer: Tokenizer, name: str) -> int:
    number = tokenizer.id_of(name)
    if number is None:
        raise GenusError(f"the tokenizer lacks {name}; name the folder of a judge that `genus tune` made")
    return number
