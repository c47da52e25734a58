"""How much of its training text a model says word for word: 50 tokens read, the next 50 written greedily (arXiv 2202.07646).

The corpus is cut into pieces of 100 tokens, one after the other in each document, and every occurrence of each piece is
counted, at any offset. Pieces are then drawn by how often they are there, since rare ones would crowd out the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.data.corpus import documents
from genus.engine.model import Model
from genus.engine.sampling import Sampling
from genus.evaluate.estimates import Estimate, share
from genus.evaluate.probes import found
from genus.evaluate.rows import chosen
from genus.evaluate.texts import continuations

__all__ = ["Piece", "bucket", "count_pieces", "measures", "run"]

_READ, _WRITTEN, _EACH = 50, 50, 200
_BATCH = 256  # documents
_PROTOCOL = (
    "50 tokens of the training text are read, 50 are written greedily; extracted are those that the text goes on with, all "
    "50. By the number of times that the 100 tokens stand in the training split, as the model's tokenizer cuts them."
)

Ids = NDArray[np.int32]  # the whole corpus is held, 4 bytes a token


class Piece(NamedTuple):
    """A stretch of a document's tokens, and how often it stands in the corpus."""

    document: str
    start: int
    copies: int
    tokens: tuple[int, ...]


def count_pieces(texts: Sequence[tuple[str, Ids]], size: int, seed: int = 0) -> list[Piece]:
    """The different pieces of `size` tokens of documents (id, tokens), with their counts at any offset.

    Pieces are equal when their hashes of 64 bits are: among a billion pieces, two by chance with 3%.
    """
    hashes = _Hashes(max((int(ids.max()) for _, ids in texts if len(ids)), default=0) + 1, size, seed)
    homes: dict[int, tuple[str, int, tuple[int, ...]]] = {}
    for name, ids in texts:
        for start, value in zip(range(0, len(ids) - size + 1, size), hashes.of(ids)[::size].tolist(), strict=True):
            homes.setdefault(value, (name, start, tuple(ids[start : start + size].tolist())))
    known = np.array(sorted(homes), np.uint64)
    counts = np.zeros(len(known), np.int64)
    for _, ids in texts:
        there = hashes.of(ids)
        places = np.searchsorted(known, there)
        hit = places[(places < len(known)) & (known[np.minimum(places, len(known) - 1)] == there)] if len(known) else places
        counts += np.bincount(hit, minlength=len(known))
    found = [
        Piece(*homes[value][:2], copies, homes[value][2])
        for value, copies in zip(known.tolist(), counts.tolist(), strict=True)
    ]
    return sorted(found)


class _Hashes:
    """A number for every run of tokens: their own random numbers times powers of an odd one, all modulo 2^64."""

    def __init__(self, vocab: int, size: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.numbers = draw.integers(0, 2**64, vocab, np.uint64, endpoint=False)
        self.size, self.odd = size, int(draw.integers(0, 2**62)) * 2 + 1

    def of(self, ids: Ids) -> NDArray[np.uint64]:
        """Of the runs that begin at each token with enough after it."""
        if len(ids) < self.size:
            return np.zeros(0, np.uint64)
        sums = np.zeros(len(ids) + 1, np.uint64)
        np.cumsum(self.numbers[ids] * self._powers(self.odd, len(ids)), out=sums[1:])
        inverse = pow(self.odd, -1, 2**64)
        return (sums[self.size :] - sums[: -self.size]) * self._powers(inverse, len(ids) - self.size + 1)

    @staticmethod
    def _powers(base: int, count: int) -> NDArray[np.uint64]:
        powers = np.full(count, base % 2**64, np.uint64)
        powers[0] = 1
        return np.cumprod(powers, out=powers)


def bucket(copies: int) -> str:
    """Its power of two: 1, 2-3, 4-7, ..."""
    low = 1 << (copies.bit_length() - 1)
    return str(low) if low == 1 else f"{low}-{2 * low - 1}"


def measures(copies: Sequence[int], extracted: Sequence[bool]) -> dict[str, Estimate]:
    """The extracted share by the number of copies."""
    by: dict[int, list[bool]] = {}
    for count, right in zip(copies, extracted, strict=True):
        by.setdefault(count.bit_length(), []).append(right)
    return {f"extracted, {bucket(1 << (bits - 1))} copies": share(sum(by[bits]), len(by[bits])) for bits in sorted(by)}


def run(model: Model, data: Path, *, limit: int | None = None, seed: int = 0) -> dict[str, Any]:
    """`data`: the folder of the corpus that the model was trained on. `limit`: pieces for each bucket, 200 by default."""
    size = _READ + _WRITTEN
    if model.spec.context <= size:
        raise GenusError(
            f"the model's context of {model.spec.context} has no room for the probe's {size} tokens; choose another"
        )
    pieces = count_pieces(list(_tokens(model, data)), size, seed)
    if not pieces:
        raise GenusError(f"{data} has no document of {size} tokens, so nothing could be extracted; name a larger corpus")
    by: dict[int, list[Piece]] = {}
    for piece in pieces:
        by.setdefault(piece.copies.bit_length(), []).append(piece)
    taken = [piece for bits in sorted(by) for piece in chosen(by[bits], limit or _EACH, seed)]
    start = model.prompt_ids("")
    prompts = [[*(() if piece.start else start), *piece.tokens[:_READ]] for piece in taken]
    said = continuations(model, prompts, Sampling(temperature=0.0), _WRITTEN, title="memorised")
    extracted = [tuple(many[0]) == piece.tokens[_READ:] for many, piece in zip(said, taken, strict=True)]
    decode = model.tokenizer.decode
    items: list[Mapping[str, Any]] = [
        {"document": piece.document, "start": piece.start, "copies": piece.copies, "extracted": right}
        | {"read": decode(piece.tokens[:_READ]), "text": decode(piece.tokens[_READ:]), "said": decode(many[0])}
        for piece, many, right in zip(taken, said, extracted, strict=True)
    ]
    known = {bucket(1 << (bits - 1)): len(mine) for bits, mine in sorted(by.items())}
    return found(_PROTOCOL, measures([piece.copies for piece in taken], extracted), items, pieces_by_copies=known)


def _tokens(model: Model, corpus: Path) -> Iterator[tuple[str, Ids]]:
    group: list[tuple[str, str]] = []
    for document in documents(corpus, "train"):
        group.append((document.id, document.text))
        if len(group) == _BATCH:
            yield from _encoded(model, group)
            group = []
    yield from _encoded(model, group)


def _encoded(model: Model, group: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Ids]]:
    rows = model.tokenizer.encode_batch([text for _, text in group])
    for (name, _), ids in zip(group, rows, strict=True):
        yield name, np.asarray(ids, np.int32)
