"""Coverage of a claim by words that mean about the same: what counting words is blind to. Still no reading: a denial covers.

As BERTScore's recall with IDF (arXiv 1904.09675, section 3), on the word pieces of the packaged encoder.
"""

from collections.abc import Sequence

import numpy as np
import torch

from genus.retrieve.minilm import MiniLM
from genus.retrieve.verify.features import Floats
from genus.retrieve.verify.words import WordCounts
from genus.retrieve.words import words

__all__ = ["MEANING", "Meaning"]

MEANING = ("soft_coverage",)


class Meaning:
    """The mean over a claim's words, by their IDF, of the highest cosine that they have with a word piece of the passage.

    A word of several pieces counts as their mean. 0 where claim or passage has no words.
    """

    def __init__(self, counts: WordCounts, encoder: MiniLM | None = None) -> None:
        self.counts, self.encoder = counts, encoder or MiniLM()

    def coverage(self, claim: str, passages: Sequence[str]) -> Floats:
        """(passages, 1)."""
        (places, asked), *said = self.encoder.pieces([claim, *passages])
        owners, weights = self._words(claim, places)
        held = torch.tensor(weights, dtype=torch.float64)
        total = held.sum() if weights else 1.0
        found = np.zeros((len(passages), len(MEANING)))
        for row, (_, states) in zip(found, said, strict=True):
            if len(states) and weights:
                near = (asked @ states.T).amax(1).double()
                sums, sizes = torch.zeros(len(weights), dtype=torch.float64), torch.bincount(owners)
                row[0] = float((held * sums.index_add(0, owners, near) / sizes).sum() / total)
        return found

    def _words(self, claim: str, places: Sequence[tuple[int, int]]) -> tuple[torch.Tensor, list[float]]:
        """Which word each piece is of, and each word's weight: pieces that touch, of letters and digits, are one word."""
        owners: list[int] = []
        spans: list[tuple[int, int]] = []
        for first, after in places:
            joined = bool(spans) and spans[-1][1] == first and claim[first - 1 : first + 1].isalnum()
            if joined:
                spans[-1] = spans[-1][0], after
            else:
                spans.append((first, after))
            owners.append(len(spans) - 1)
        weights = [max(map(self.counts.idf, words(claim[first:after])), default=0.0) for first, after in spans]
        return torch.tensor(owners, dtype=torch.long), weights if sum(weights) else []
