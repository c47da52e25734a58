"""What steps over all documents share: Arrow columns as arrays, what documents are known by, and rows of equal numbers.

These are gathered a range of numbers at a time, so that memory is bounded. What a number means is known to its maker.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["frozen", "gather", "in_range", "key", "keys", "luck", "runs", "utf8"]

Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]


def key(text: str) -> int:
    """A number of a text alone, such as a document's id: BLAKE2b in 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def luck(seed: int, text: str) -> int:
    """A number that a seed gives to an id or a text, for choices left to chance: BLAKE2b in 64 bits."""
    data = f"{seed}\n{text}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def keys(ids: Any) -> Numbers:
    """`key` of each id of an Arrow column."""
    return np.fromiter((key(id) for id in ids.to_pylist()), np.uint64, len(ids))


def in_range(numbers: Numbers, piece: int, pieces: int) -> NDArray[np.bool_]:
    """Which lie in this of `pieces` equal ranges of 64-bit numbers, counted from 0."""
    # by their top 32 bits, so that the product does not overflow
    return ((numbers >> np.uint64(32)) * np.uint64(pieces)) >> np.uint64(32) == piece


def runs(same: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Where groups of equal rows begin, and their sizes. `same`: whether each row after the first equals the one before."""
    begins = np.flatnonzero(np.append(True, ~same))
    return begins, np.diff(np.append(begins, len(same) + 1))


def utf8(column: Any) -> tuple[NDArray[np.uint8], Places]:
    """The bytes of an Arrow column of texts, and where each text begins (rows + 1). A missing text is empty.

    No copy is made of a large_string column of one chunk.
    """
    import pyarrow as pa

    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    array = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in chunks] or [pa.array([], pa.large_string())])
    array = array.fill_null("") if array.null_count else array
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64, len(array) + 1, 8 * array.offset) if len(array) else np.zeros(1, np.int64)
    return frozen(np.frombuffer(data or b"", np.uint8)), frozen(bounds)


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written: for compiled loops another type, so all of one kind save a compilation."""
    view = array.view(np.ndarray)
    view.flags.writeable = False
    return view


def gather(tables: Iterable[Any], numbers: Any, pieces: int) -> Iterator[Any]:
    """The rows of all Arrow tables in ranges of `numbers(table)`, one table for each range that has rows.

    `tables` is gone through once for each of the pieces: a list, or what reads its tables from files.
    """
    import pyarrow as pa

    for piece in range(pieces):
        found = [table.filter(pa.array(in_range(numbers(table), piece, pieces))) for table in tables]
        if sum(len(table) for table in found):
            yield pa.concat_tables(found)
