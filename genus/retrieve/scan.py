"""A small index in memory: every passage is compared with each query, exactly.

Vectors are first compared in int8, at a quarter of the bytes, and then in full those that may be among the best by what
rounding to int8 can have cost them at most: what is found is what comparing all in full finds.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genus.retrieve.passage import Hit
from genus.retrieve.postings import Postings
from genus.retrieve.ranking import DIGITS
from genus.retrieve.rows import passages_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Scan"]

_ROUNDED = 10.0**-DIGITS  # scores that are this near may come out equal
_FEW = 1000  # vectors that are compared in full at once


class Scan:
    """The passages of a table as it was, with "words", "vector" and "_rowid"."""

    def __init__(self, table: "pa.Table") -> None:
        vectors = table["vector"].combine_chunks()
        flat = vectors.flatten().to_numpy(zero_copy_only=False)
        self._vectors = np.ascontiguousarray(flat.reshape(-1, vectors.type.list_size))
        self._scale = np.maximum(abs(self._vectors).max(1, initial=0.0), 1e-30) / 127
        self._small = np.round(self._vectors / self._scale[:, None]).astype(np.int8)
        told = self._small * self._scale[:, None]
        self._off = float(np.linalg.norm(told - self._vectors, axis=1).max(initial=0.0))
        self._long = float(np.linalg.norm(told, axis=1).max(initial=0.0))
        self._passages = passages_of(table)
        self._postings = Postings(table["words"].combine_chunks())
        self._rows = table["_rowid"].to_numpy()

    def words(self, query: Sequence[str], count: int, among: np.ndarray | None = None) -> list[Hit]:
        """The `count` best by BM25, equal ones by id; of the rows `among` alone, if given."""
        scores = self._postings.scores(query)
        return self._best(scores, np.flatnonzero(scores if among is None else scores * np.isin(self._rows, among)), count)

    def near(self, vector: np.ndarray, count: int, among: np.ndarray | None = None) -> list[Hit]:
        """The same by inner product."""
        vector = vector.astype(np.float32)
        if among is not None:
            places = np.flatnonzero(np.isin(self._rows, among))
        elif len(self._rows) > max(count, _FEW):
            places = self._likely(vector, count)
        else:
            places = np.arange(len(self._rows))
        scores = np.zeros(len(self._rows), np.float32)
        scores[places] = self._vectors[places] @ vector
        return self._best(scores, places, count)

    def _likely(self, vector: np.ndarray, count: int) -> np.ndarray:
        """Places of all that may be among the `count` best: not further below the last of them than both can be off."""
        import torch

        scale = max(float(abs(vector).max()), 1e-30) / 127
        small = np.round(vector / scale).astype(np.int8)
        # whole numbers times whole numbers: no rounding but that of both vectors
        product = torch._int_mm(torch.from_numpy(self._small), torch.from_numpy(small)[:, None])[:, 0].numpy()
        scores = product * (self._scale * scale)
        off = float(np.linalg.norm(vector)) * self._off + float(np.linalg.norm(small * scale - vector)) * self._long
        return np.flatnonzero(scores >= np.partition(scores, -count)[-count] - 2 * off - _ROUNDED)

    def _best(self, scores: np.ndarray, places: np.ndarray, count: int) -> list[Hit]:
        """The best of some places, with the whole of a tie at the end looked at."""
        values = scores[places]
        if count < len(values):
            chosen = values >= np.partition(values, -count)[-count] - 2 * _ROUNDED
            places, values = places[chosen], values[chosen]
        pairs = zip((-np.round(values, DIGITS)).tolist(), places.tolist(), strict=True)
        order = sorted((score, self._passages[place].id, place) for score, place in pairs)[:count]
        return [Hit(self._passages[place], -score) for score, _, place in order]
