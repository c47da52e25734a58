"""Examples to tune on: token ids, and which of them are to be learned. Shuffled, packed into rows, stacked into batches.

Where examples come from is not known here: chats.py, comparisons.py and the tasks make them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.data.loader import Ids, permute, shuffle_key

__all__ = ["Example", "Packed", "Shuffled", "pack", "stack"]


class Example(NamedTuple):
    """`tokens` (time,), and for each whether it is to be predicted from those before it (never so of the first)."""

    tokens: Ids
    learned: NDArray[np.bool_]


@dataclass(frozen=True)
class Packed:
    """Rows of examples, each field (batch, time). As loader.Batch, and which targets count; what fills a row up is token 0
    in a document of its own, and never a target."""

    tokens: Ids
    targets: Ids
    positions: Ids
    documents: Ids
    scored: NDArray[np.bool_]


class Shuffled:
    """Any items in a new order each epoch, for a loader; batches are lists of them."""

    def __init__(self, items: Sequence[Any], seed: int) -> None:
        self.items, self.seed = items, seed

    def __len__(self) -> int:
        return len(self.items)

    def row(self, epoch: int, i: int) -> Any:
        """The i-th item of an epoch."""
        return self.items[permute(i, len(self.items), shuffle_key(self.seed, epoch))]

    def batch(self, rows: list[Any]) -> list[Any]:
        """The items as they are."""
        return rows


def pack(lengths: Sequence[int], context: int) -> list[list[int]]:
    """Which examples share a row: the longest first, each into the fullest row that has room (best fit decreasing).

    None may be longer than `context`. Rows are in the order of their first example.
    """
    by_room: list[list[list[int]]] = [[] for _ in range(context + 1)]  # room left -> rows
    for number in sorted(range(len(lengths)), key=lambda number: (-lengths[number], number)):
        room = next((room for room in range(lengths[number], context + 1) if by_room[room]), context)
        row = by_room[room].pop() if by_room[room] else []
        row.append(number)
        by_room[room - lengths[number]].append(row)
    return sorted((sorted(row) for rows in by_room for row in rows), key=lambda row: row[0])


def stack(rows: Sequence[Sequence[Example]], time: int = 0) -> Packed:
    """Rows of examples as arrays, each as long as the longest, or as `time`. Examples of a row cannot see each other."""
    time = max(time, *(sum(len(example.tokens) for example in row) for row in rows))
    tokens, targets, positions = (np.zeros((len(rows), time), np.int64) for _ in range(3))
    documents, scored = np.zeros((len(rows), time), np.int64), np.zeros((len(rows), time), np.bool_)
    for number, row in enumerate(rows):
        end = 0
        for document, (start, example) in enumerate(_placed(row)):
            end = start + len(example.tokens)
            tokens[number, start:end] = example.tokens
            targets[number, start : end - 1] = example.tokens[1:]
            scored[number, start : end - 1] = example.learned[1:]
            positions[number, start:end] = np.arange(end - start)
            documents[number, start:end] = document
        positions[number, end:] = np.arange(time - end)
        documents[number, end:] = len(row)
    return Packed(tokens, targets, positions, documents, scored)


def _placed(row: Sequence[Example]) -> Iterator[tuple[int, Example]]:
    start = 0
    for example in row:
        yield start, example
        start += len(example.tokens)
