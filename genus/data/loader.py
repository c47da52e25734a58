"""From token streams to batches: shuffled rows without end for training, of one stream or of several sources in their
shares (mixture.py), and every token once in order for validation.

Nothing is remembered but one number, the count of rows consumed, so a run resumes exactly, and on another number of ranks.
Not for reading files (shards.py).
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.data.mixture import Mix, Shares, share_out, wanted
from genus.data.shards import ShardSet, TokenStream

__all__ = ["Batch", "Ids", "Loader", "Mixture", "Rows", "Source", "open_rows", "permute", "sequential", "shuffle_key"]

_WORD = 2**64 - 1
_ROUNDS = 4  # of the Feistel network; 4 make a strong permutation of a random function (Luby and Rackoff 1988)

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows of a stream, each field (batch, time). Token t predicts target t; all are targets, the end of text included.

    `documents` numbers the documents within a row, from the one that the row begins in; `positions` restart at 0 in each.
    """

    tokens: Ids
    targets: Ids
    positions: Ids
    documents: Ids


class Source(Protocol):
    """What a loader reads: `len()` rows an epoch, in an order of each epoch's own."""

    def __len__(self) -> int: ...

    def row(self, epoch: int, i: int) -> Any:
        """The i-th row of an epoch."""

    def batch(self, rows: list[Any]) -> Any:
        """Rows put together."""


class Rows:
    """Rows of `context` + 1 consecutive tokens with random access, `len()` of them an epoch, in a new order each epoch.

    Rows lie `context` apart from a start that moves with the epoch, so that they are cut elsewhere each time; the fewer than
    2 * `context` tokens beyond both ends are not targets in that epoch. Without `shuffle`, rows are in order from token 0.
    Without `mask_documents`, batches treat a row as one document. `len()` and `[i]` (epoch 0) are grain's
    RandomAccessDataSource. Raises GenusError when the split is too short for a row.
    """

    def __init__(
        self, stream: TokenStream, context: int, seed: int, shuffle: bool = True, mask_documents: bool = True
    ) -> None:
        if not 1 <= context < len(stream):
            raise GenusError(
                f"context {context} does not fit {stream.split}, which has {len(stream):,} tokens; "
                f"choose a context of 1 to {len(stream) - 1}, or give more text"
            )
        self.stream, self.context, self.seed = stream, context, seed
        self.shuffle, self.mask_documents = shuffle, mask_documents
        self._count = max(1, (len(stream) - context) // context) if shuffle else (len(stream) - 1) // context

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, i: int) -> Ids:
        if not 0 <= i < len(self):
            raise IndexError(f"row {i} of {len(self)}")
        return self.row(0, i)

    def row(self, epoch: int, i: int) -> Ids:
        """The i-th row of an epoch, (context + 1,)."""
        start = self.context * (permute(i, len(self), shuffle_key(self.seed, epoch)) if self.shuffle else i) + self.offset(
            epoch
        )
        return self.stream.read(start, start + self.context + 1)

    def offset(self, epoch: int) -> int:
        """Where the rows of an epoch start: below `context`, and such that the last still fits."""
        if not self.shuffle:
            return 0
        return _mix(_mix(self.seed, epoch), -1) % min(self.context, len(self.stream) - len(self) * self.context)

    def batch(self, rows: list[Ids]) -> Batch:
        """Rows stacked into a batch."""
        return _batch(np.stack(rows), self.stream.end_of_text if self.mask_documents else None)


class Mixture:
    """Rows of several sources at fixed shares: each source without replacement until all of it was read.

    A row is of one source only. `len()` rows are an epoch: as many as all sources have, or as the mixture's epochs come to.
    """

    def __init__(self, rows: Mapping[str, Rows], shares: Shares) -> None:
        self.shares = shares
        self._rows = [rows[name] for name in shares.names]
        self.context = self._rows[0].context

    def __len__(self) -> int:
        return self.shares.epoch

    def row(self, epoch: int, i: int) -> Ids:
        """The i-th row of an epoch, (context + 1,)."""
        source, number = self.shares.place(epoch * len(self) + i)
        rows = self._rows[source]
        return rows.row(*divmod(number, len(rows)))

    def batch(self, rows: list[Ids]) -> Batch:
        """Rows stacked into a batch."""
        return self._rows[0].batch(rows)

    def report(self, rows: int) -> dict[str, Any]:
        """`Shares.report` of the first so many rows."""
        return self.shares.report(rows, context=self.context)


class Loader:
    """Batches without end. Rank r of `world` takes every world-th row from the r-th on; all ranks together, each row once.

    Each step consumes `batch` * `world` rows, `batch` of them on this rank; `position` counts all of them, over epochs.
    `batch` may be a function of the rows that were trained on: of `position` without those `passed` over, so that text
    left out does not make steps grow. A loader with the saved numbers goes on bit for bit as the one that saved them.
    """

    passed: int = 0
    more: dict[str, Any] = {}  # noqa: RUF012 - what else a phase remembers between steps; replaced, never changed

    def __init__(
        self, rows: Source, batch: int | Callable[[int], int], position: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        if (isinstance(batch, int) and batch < 1) or position < 0 or not 0 <= rank < world:
            raise GenusError(
                f"batch {batch}, position {position}, rank {rank} of {world} is not a place in the data; "
                "batch is at least 1, position at least 0, and rank below world"
            )
        self.rows, self.batch, self.position, self.rank, self.world = rows, batch, position, rank, world

    def __iter__(self) -> Iterator[Any]:
        return self

    @property
    def size(self) -> int:
        """Rows of the next batch."""
        return self.batch if isinstance(self.batch, int) else self.batch(self.position - self.passed)

    def __next__(self) -> Any:
        size = self.size
        mine = range(self.position + self.rank, self.position + size * self.world, self.world)
        batch = self.rows.batch([self.rows.row(*divmod(number, len(self.rows))) for number in mine])
        self.position += size * self.world
        return batch

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps: `position` is all that is needed, `epoch` is for people."""
        return {"position": self.position, "epoch": self.position // len(self.rows)}


def open_rows(
    shards: ShardSet, context: int, seed: int, mask_documents: bool = True, mix: Mix | None = None
) -> Rows | Mixture:
    """What a run reads of the training split: rows of all of it, or of its sources as `mix` says.

    Raises GenusError as `share_out`, when the shards do not tell sources apart, or when one has too little for a row.
    """
    if mix is None:
        return Rows(shards.stream("train"), context, seed, mask_documents=mask_documents)
    names = shards.sources("validation") | shards.sources("train")
    if not names:
        raise GenusError(
            f"{shards.path} does not tell sources apart, which a mixture needs; make it again with genus shards --by KEY, "
            "KEY being collection where the corpus has several sources"
        )
    kind, values = wanted(mix, names)
    rows = {}
    for name in (name for name, value in values.items() if value):
        tokens = shards.sources("train").get(name, {"tokens": 0})["tokens"]
        if tokens <= context:
            raise GenusError(
                f"the source {name} has {tokens:,} tokens to train on, too few for a row of {context:,}; "
                f"leave it out with mixture.{kind}.{name} = 0, or give it more text"
            )
        rows[name] = Rows(shards.stream("train", name), context, _seed(seed, name), mask_documents=mask_documents)
    return Mixture(rows, share_out(mix, {name: len(rows.get(name, ())) for name in names}))


def sequential(stream: TokenStream, context: int, batch: int) -> Iterator[Batch]:
    """Every token of a stream but the first as a target exactly once, in order, so that losses over a split are exact.

    The last full batch may have fewer rows, and what remains after it is one shorter row of its own.
    """
    whole = (len(stream) - 1) // context
    for first in range(0, whole, batch):
        starts = range(first * context, min(first + batch, whole) * context, context)
        rows = np.stack([stream.read(start, start + context + 1) for start in starts])
        yield _batch(rows, stream.end_of_text)
    if whole * context < len(stream) - 1:
        yield _batch(stream.read(whole * context, len(stream))[None], stream.end_of_text)


def permute(i: int, size: int, key: int) -> int:
    """Where a seeded permutation of range(size) takes i, without holding the permutation.

    A Feistel network permutes the next power of 4; walking along its cycle until a number below `size` comes makes it one
    of range(size) (Black and Rogaway 2002). Fewer than 4 steps on average.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask, turns = (1 << half) - 1, _turns(key)
    while True:
        left, right = i >> half, i & mask
        for turn in turns:
            left, right = right, left ^ (_stir(turn ^ right) & mask)
        i = left << half | right
        if i < size:
            return i


def shuffle_key(seed: int, epoch: int) -> int:
    """The key of an epoch's order, for `permute`."""
    return _mix(seed, epoch)


def _seed(seed: int, name: str) -> int:
    """A seed of each source's own, that does not change when another source is added."""
    return shuffle_key(seed, int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()))


@lru_cache
def _turns(key: int) -> list[int]:
    """What each round mixes in: kept, because it is the same for every row of an epoch."""
    return [_stir(key + turn) for turn in range(_ROUNDS)]


def _mix(key: int, value: int) -> int:
    """64 well-mixed bits of two integers."""
    return _stir(_stir(key) ^ value)


def _stir(word: int) -> int:
    """The finaliser of splitmix64 (Steele et al. 2014)."""
    word = word + 0x9E3779B97F4A7C15 & _WORD
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & _WORD
    return word ^ word >> 31


def _batch(rows: Ids, end_of_text: int | None) -> Batch:
    tokens, targets = rows[:, :-1].copy(), rows[:, 1:].copy()  # (batch, time), each contiguous
    starts = tokens == (-1 if end_of_text is None else end_of_text)
    place = np.broadcast_to(np.arange(tokens.shape[1], dtype=np.int64), tokens.shape)
    positions = np.where(starts, place, 0)
    np.maximum.accumulate(positions, axis=1, out=positions)  # in place: fresh memory costs more than the sums
    np.subtract(place, positions, out=positions)
    return Batch(tokens, targets, positions, np.cumsum(starts, axis=1, dtype=np.int64))
