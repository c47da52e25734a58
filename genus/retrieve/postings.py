"""BM25 over passages in memory: for each word the passages that hold it, with what it adds to their scores there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Postings"]

_K1, _B = 1.2, 0.75


class Postings:
    """Of `texts`, words with spaces between them, as the column "words" of an index has them."""

    def __init__(self, texts: "pa.Array") -> None:
        import pyarrow.compute as pc

        split = pc.split_pattern(texts, " ")
        ends = split.offsets.to_numpy()
        parts = np.diff(ends)
        lengths = parts - pc.equal(texts, "").to_numpy(zero_copy_only=False)  # nothing is split into one word of no letters
        said = split.values.slice(ends[0], ends[-1] - ends[0]).dictionary_encode()
        count, known = len(texts), said.dictionary.to_pylist()
        pairs = said.indices.to_numpy().astype(np.int64) * count + np.repeat(np.arange(count), parts)
        pairs, times = np.unique(pairs, return_counts=True)  # by word, then by passage
        word, self._places = pairs // count, pairs % count
        self._ends = np.searchsorted(word, np.arange(len(known) + 1))
        holders = np.diff(self._ends)
        rare = np.log(1 + (count - holders + 0.5) / (holders + 0.5))
        long = _K1 * (1 - _B + _B * lengths * (count / max(lengths.sum(), 1)))
        self._adds = (np.repeat(rare, holders) * times * (_K1 + 1) / (times + long[self._places])).astype(np.float32)
        self._known = {word: number for number, word in enumerate(known)}
        self._count = count

    def scores(self, query: Sequence[str]) -> np.ndarray:
        """Of each passage (passages,) for the different words of a query; 0 where it has none of them."""
        found = np.zeros(self._count, np.float32)
        for word in query:
            if (number := self._known.get(word)) is not None:
                part = slice(self._ends[number], self._ends[number + 1])
                found[self._places[part]] += self._adds[part]
        return found
