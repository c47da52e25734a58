"""Near copies: documents whose sets of word 5-grams ("shingles") overlap by `threshold` or more, as a Jaccard index.

MinHash with banding (Broder 1997; as OPT, arXiv 2205.01068 section 2.3, and GPT-3, 2005.14165 appendix A, used it) finds
candidates; each is then compared exactly before it is dropped, so no document goes for an estimate. Two kinds of work: by
part, `signatures` and `shingles` of texts; over all parts, `candidates` and `settle`. The first document of near copies, by
(priority, id), stays. What is dropped depends on the set of documents alone, not on their order or parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.data.steps.columns import frozen, in_range, runs

__all__ = ["Candidates", "Fuzzy", "Shingles", "candidates", "chance", "settle", "shingles", "signatures"]

Places = NDArray[np.int64]
_NOTHING = np.zeros(0, np.int64), np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Fuzzy:
    """Drop near copies.

    Two documents of Jaccard index s are compared with chance 1 - (1 - s^rows)^bands. With 16 bands of 6 rows:

        s       0.5    0.6    0.7    0.75   0.8     0.85    0.9
        chance  0.223  0.534  0.865  0.957  0.9923  0.9995  0.999995
    """

    threshold: float = 0.8
    """The least Jaccard index, above 0 and at most 1, that makes a near copy."""
    words: int = 5
    """Words in a shingle; a shorter document is one shingle."""
    bands: int = 16
    """Bands of a signature: documents that agree in one are compared."""
    rows: int = 6
    """Hashes in a band."""
    most: int = 64
    """The most kept documents of one bucket that another is compared with, so that a million pages of one template end."""
    plain: bool = False
    """Words as white space delimits them, with capitals and punctuation."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise GenusError(f"fuzzy.threshold {self.threshold} is not above 0 and at most 1; try 0.8")
        for name in ("words", "bands", "rows", "most"):
            if getattr(self, name) < 1:
                raise GenusError(f"fuzzy.{name} {getattr(self, name)} is not a whole number from 1 on")


class Shingles(NamedTuple):
    """Sorted sets of 32-bit numbers, one after the other in `values`; document i has values[bounds[i] : bounds[i + 1]].

    Two documents of 10,000 shingles have 0.02 in common by chance.
    """

    values: NDArray[np.uint32]
    bounds: Places


class Candidates(NamedTuple):
    """Documents that share a bucket with another, as numbers in ascending order, and the buckets of each:
    document i is in buckets[bounds[i] : bounds[i + 1]]. Buckets are numbered from 0 on."""

    documents: Places
    buckets: Places
    bounds: Places


def chance(jaccard: float, config: Fuzzy) -> float:
    """Of two documents to become candidates."""
    return 1 - (1 - jaccard**config.rows) ** config.bands


def signatures(texts: Any, config: Fuzzy) -> NDArray[np.uint64]:
    """A number for each band and document of an Arrow column, (bands, documents); 0 where a text has no words."""
    from genus.data.steps.loops import band_numbers
    from genus.data.steps.words import read_texts

    read = read_texts(texts, config.plain)
    out = np.zeros((config.bands, len(read.bounds) - 1), np.uint64)
    band_numbers(read, config.words, *_hashes(config.bands * config.rows), out)
    return out


def shingles(texts: Any, config: Fuzzy) -> Shingles:
    """The sets of shingles of an Arrow column of texts: of candidates only, for they take about 60% of the texts' bytes."""
    from genus.data.steps.words import read_texts, word_runs

    numbers, bounds = word_runs(read_texts(texts, config.plain), config.words)
    values = (numbers >> np.uint64(32)).astype(np.uint32)
    for begin, end in pairwise(bounds.tolist()):
        values[begin:end].sort()
    new = np.append(True, values[1:] != values[:-1])[: len(values)]
    new[bounds[:-1][bounds[:-1] < len(values)]] = True
    return Shingles(values[new], np.append(0, np.cumsum(new))[bounds])


def candidates(signed: Sequence[NDArray[np.uint64]], ranges: int = 1) -> Candidates:
    """Who shares a bucket with whom. `signed`: what `signatures` gave for each part, in memory or mapped.

    A document's number is its place in the parts, one after the other. The numbers of a band are read in `ranges` equal
    parts of their values, so memory holds 24 bytes for each of documents / ranges, and 16 for each shared bucket's document.
    """
    buckets, documents = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    found = 0
    for band in range(signed[0].shape[0] if signed else 0):
        for piece in range(ranges):
            numbers, holders = _in_range([part[band] for part in signed], piece, ranges)
            order = np.argsort(numbers)
            numbers, holders = numbers[order], holders[order]
            _, sizes = runs(numbers[1:] == numbers[:-1]) if len(numbers) else _NOTHING
            documents.append(holders[np.repeat(sizes > 1, sizes)])
            sizes = sizes[sizes > 1]
            buckets.append(np.repeat(np.arange(found, found + len(sizes)), sizes))
            found += len(sizes)
    members, of = np.concatenate(documents), np.concatenate(buckets)
    unique, counts = np.unique(members, return_counts=True)
    return Candidates(unique, of[np.argsort(members, kind="stable")], np.append(0, np.cumsum(counts)))


def settle(found: Candidates, sets: Shingles, ids: Any, priorities: NDArray[np.int64], config: Fuzzy) -> Any:
    """An Arrow table of the dropped: document (its number), id, kept (the id of the copy that stays), jaccard.

    `sets`, `ids` (Arrow) and `priorities` are of `found.documents`, in their order. In the order of (priority, id), a
    document is compared with those of its buckets that were kept, the first of them first, and dropped at the first whose
    Jaccard index reaches the threshold. So every two kept documents that share a bucket are below it (see `most`), a copy of
    a copy that is no copy itself stays, and a cluster of n near copies takes n comparisons: it is who names the same `kept`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from genus.data.steps.loops import keep_first

    table = pa.table({"priority": priorities, "id": ids.cast(pa.large_string())})
    order = pc.sort_indices(table, [("priority", "ascending"), ("id", "ascending")]).to_numpy().astype(np.int64)
    by = Candidates(frozen(found.documents), frozen(found.buckets), frozen(found.bounds))
    of = Shingles(frozen(sets.values), frozen(sets.bounds))
    kept, jaccard = keep_first(order, by, of, config.threshold, config.most)
    dropped = order[kept[order] >= 0]
    columns = {"document": found.documents[dropped], "id": table["id"].take(dropped)}
    return pa.table(columns | {"kept": table["id"].take(kept[dropped]), "jaccard": jaccard[dropped]})


def _in_range(parts: list[NDArray[np.uint64]], piece: int, ranges: int) -> tuple[NDArray[np.uint64], Places]:
    """Numbers that are not 0 and in a range of values, and their documents."""
    numbers, documents, first = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)], 0
    for part in parts:
        inside = np.flatnonzero(in_range(part, piece, ranges) & (part != 0))
        numbers.append(part[inside])
        documents.append(inside + first)
        first += len(part)
    return np.concatenate(numbers), np.concatenate(documents)


def _hashes(count: int) -> NDArray[np.uint32]:
    """(2, count): x * a + b modulo 2^32, with odd a, permutes 32-bit numbers. SplitMix64's sequence, so always the same."""
    x = np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    pairs = (x >> np.uint64(32)).astype(np.uint32).reshape(2, count)
    pairs[0] |= np.uint32(1)
    return pairs
