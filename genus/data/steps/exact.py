"""Exact repeats: documents of one text, and documents of one id. Not for near copies: see fuzzy.py.

By part, `hash_texts`; over all parts, tables of (place, id, digest, priority) in any order and any number, and for ids of
`about` too, a number of whatever else is known of a document. The first of a group by (priority, id) stays. `place` is the
caller's own number for a row: it decides only between rows that are the same in all else.
"""

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genus.data.steps.columns import gather, keys, runs, utf8

__all__ = ["drop_same_ids", "drop_same_texts", "hash_texts"]


def hash_texts(texts: Any) -> Any:
    """BLAKE2b in 128 bits of each text of an Arrow column, as UTF-8 and exactly as it is, in an Arrow column."""
    import pyarrow as pa

    data, bounds = utf8(texts)
    view = data.data
    digests = (hashlib.blake2b(view[begin:end], digest_size=16).digest() for begin, end in pairwise(bounds.tolist()))
    return pa.array(digests, pa.binary(16))


def drop_same_texts(tables: Iterable[Any], pieces: int = 1) -> Any:
    """An Arrow table of the dropped (place, id, kept), `kept` the id of the document of the same text that stays.

    `tables` is gone through once for each of `pieces` ranges of digests, and a range of it is in memory at a time.
    """
    return _drop(gather(tables, lambda table: _numbers(table)[:, 0], pieces), ("digest", "priority", "id", "place"))


def drop_same_ids(tables: Iterable[Any], pieces: int = 1) -> Any:
    """As `drop_same_texts`, for documents of one id: the one of the smallest digest stays, whatever its priority."""
    return _drop(gather(tables, lambda table: keys(table["id"]), pieces), ("id", "digest", "priority", "about", "place"))


def _drop(groups: Iterable[Any], order: tuple[str, ...]) -> Any:
    """All but the first in `order` of the rows that share `order[0]`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dropped = [
        pa.table({"place": pa.array([], pa.int64())} | {name: pa.array([], pa.large_string()) for name in ("id", "kept")})
    ]
    for group in groups:
        rows = group.take(pc.sort_indices(group, [(name, "ascending") for name in order]))
        ids = rows["id"].cast(pa.large_string())
        begins, sizes = runs(_same(rows, order[0]))
        first = np.repeat(begins, sizes)
        later = np.flatnonzero(first != np.arange(len(rows)))
        dropped.append(pa.table({"place": rows["place"].take(later), "id": ids.take(later), "kept": ids.take(first[later])}))
    return pa.concat_tables(dropped).sort_by([("id", "ascending"), ("place", "ascending")])


def _same(rows: Any, name: str) -> NDArray[np.bool_]:
    if name == "digest":
        numbers = _numbers(rows)
        return (numbers[1:] == numbers[:-1]).all(axis=1)
    import pyarrow.compute as pc

    column = rows[name]
    return pc.equal(column[1:], column[:-1]).to_numpy()


def _numbers(rows: Any) -> NDArray[np.uint64]:
    """The digests of a table as (rows, 2), which order as their bytes do."""
    chunks = [
        np.frombuffer(chunk.buffers()[1], ">u8", 2 * len(chunk), 16 * chunk.offset)
        for chunk in rows["digest"].chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, np.uint64), *chunks]).astype(np.uint64).reshape(-1, 2)
