"""Vectors in memory, all of them compared with each query: exact, and for a small index faster than approximating."""

from collections.abc import Sequence

import numpy as np

__all__ = ["Scan"]

_DIGITS = 5  # of scores that are compared, as in ranking


class Scan:
    """The vectors (n, width) of a table as it was, with their rows in it and their ids."""

    def __init__(self, vectors: np.ndarray, rows: np.ndarray, ids: Sequence[str]) -> None:
        self.vectors, self.rows, self.ids = vectors, rows, ids

    def best(self, vector: np.ndarray, count: int, among: np.ndarray | None = None) -> dict[int, float]:
        """Rows and scores of the `count` best by inner product, equal ones by id; of the rows `among` alone, if given."""
        places = None if among is None else np.flatnonzero(np.isin(self.rows, among))
        vectors = self.vectors if places is None else self.vectors[places]
        scores = np.round(vectors @ vector.astype(np.float32), _DIGITS)
        if count < len(scores):
            least = np.partition(scores, -count)[-count]
            chosen = np.flatnonzero(scores >= least)  # with the whole of a tie at the end
        else:
            chosen = np.arange(len(scores))
        order = [(-float(scores[at]), self.ids[at if places is None else places[at]], at) for at in chosen.tolist()]
        return {int(self.rows[at if places is None else places[at]]): -score for score, _, at in sorted(order)[:count]}
