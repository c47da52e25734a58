"""A small index in memory: every vector is compared with each query, exactly, and faster than any that approximates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genus.retrieve.passage import Passage
from genus.retrieve.ranking import DIGITS, Scored
from genus.retrieve.rows import COLUMNS, passages_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Scan"]


class Scan:
    """The passages of a table as it was, with their vectors and the ids of its rows."""

    def __init__(self, table: "pa.Table") -> None:
        vectors = table["vector"].combine_chunks()
        flat = vectors.flatten().to_numpy(zero_copy_only=False)
        self._vectors = np.ascontiguousarray(flat.reshape(-1, vectors.type.list_size))
        self._passages = table.select(list(COLUMNS)).combine_chunks()
        self._ids = self._passages["id"].to_pylist()
        self._rows = table["_rowid"].to_numpy()
        self._places = {row: place for place, row in enumerate(self._rows.tolist())}

    def passages(self, rows: Sequence[int]) -> list[Passage] | None:
        """Of these rows in order; None where one came after this was read."""
        places = [self._places.get(row, -1) for row in rows]
        return None if -1 in places else self._of(places)

    def best(self, vector: np.ndarray, count: int, among: np.ndarray | None = None) -> Sequence[Scored]:
        """The `count` best by inner product, equal ones by id; of the rows `among` alone, if given."""
        places = None if among is None else np.flatnonzero(np.isin(self._rows, among))
        vectors = self._vectors if places is None else self._vectors[places]
        scores = np.round(vectors @ vector.astype(np.float32), DIGITS)
        chosen = np.arange(len(scores))
        if count < len(scores):
            least = np.partition(scores, -count)[-count]
            chosen = np.flatnonzero(scores >= least)  # with the whole of a tie at the end
        here = chosen if places is None else places[chosen]
        order = sorted(zip((-scores[chosen]).tolist(), (self._ids[at] for at in here), here.tolist(), strict=True))[:count]
        found = self._of([at for _, _, at in order])
        return [(passage, -score) for passage, (score, _, _) in zip(found, order, strict=True)]

    def _of(self, places: Sequence[int]) -> list[Passage]:
        return passages_of(self._passages.take(np.asarray(places, dtype=np.int64)))
