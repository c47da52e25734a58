"""The loader: a bijection, every token a target once, and a state that is one number."""

from dataclasses import astuple
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import Made

from genus.core.errors import GenusError
from genus.data.loader import Batch, Loader, Rows, permute, sequential, shuffle_key
from genus.data.shards import TokenStream, open_shards

END = 9


class Numbers:
    """A stream whose tokens are their own positions, so that a test sees where a row is from."""

    split, end_of_text = "train", -5

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start <= stop <= self.length
        return np.arange(start, stop, dtype=np.int64)


def numbers(length: int) -> Any:
    return Numbers(length)


def same(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(astuple(a), astuple(b), strict=True))


@settings(deadline=None)
@given(st.integers(1, 700), st.integers(0, 2**64))
def test_permute_is_a_bijection(size: int, key: int) -> None:
    assert sorted(permute(i, size, key) for i in range(size)) == list(range(size))


def test_permute_scatters_and_follows_its_key() -> None:
    size = 10_000
    orders = np.array([[permute(i, size, key) for i in range(size)] for key in (1, 2)])
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.05  # 5 standard deviations of a random order
        assert (np.diff(order) == 1).sum() < 20  # neighbours stay neighbours once in 10,000
    assert (orders[0] == orders[1]).sum() < 20
    big = 2**50 + 1
    assert len({permute(i, big, 3) for i in range(1000)}) == 1000


def test_the_order_of_a_seed_stays_what_it_was() -> None:
    # As the loader of the first runs gave it: a run that began then goes on with the same rows.
    assert [permute(i, 1000, shuffle_key(3, 1)) for i in range(8)] == [809, 90, 7, 714, 277, 543, 16, 333]
    assert [permute(i, 2**40 + 7, 5) for i in range(3)] == [200736729689, 38549361632, 398009563044]
    assert [shuffle_key(0, 0), shuffle_key(-1, 9)] == [12035550249420947055, 14608854053047527653]
    rows = Rows(numbers(10_000), 32, seed=7)
    assert [rows.offset(epoch) for epoch in range(4)] == [15, 1, 12, 16]


@settings(deadline=None)
@given(st.integers(2, 2000), st.integers(1, 300), st.integers(0, 5), st.integers(0, 5))
def test_an_epoch_has_every_token_once_but_for_the_documented_ends(length: int, context: int, seed: int, epoch: int) -> None:
    if context >= length:
        with pytest.raises(GenusError, match=f"choose a context of 1 to {length - 1}"):
            Rows(numbers(length), context, seed)
        return
    rows = Rows(numbers(length), context, seed)
    every = [rows.row(epoch, i) for i in range(len(rows))]
    assert all(np.array_equal(row, np.arange(row[0], row[0] + context + 1)) for row in every)
    targets = sorted(np.concatenate([row[1:] for row in every]).tolist())
    offset = rows.offset(epoch)
    assert targets == list(range(offset + 1, offset + 1 + len(rows) * context))
    assert 0 <= offset < context
    assert length - 1 - len(targets) < 2 * context


def test_epochs_differ_in_order_and_in_where_rows_are_cut() -> None:
    rows = Rows(numbers(10_000), 32, seed=7)
    assert len({rows.offset(epoch) for epoch in range(20)}) > 5
    first, second = ([int(rows.row(epoch, i)[0]) // 32 for i in range(len(rows))] for epoch in (0, 1))
    assert first != second
    assert first != sorted(first)
    other = Rows(numbers(10_000), 32, seed=8)
    assert first != [int(other.row(0, i)[0]) // 32 for i in range(len(other))]


def test_rows_are_a_random_access_source() -> None:
    rows = Rows(numbers(1000), 10, seed=1)
    assert np.array_equal(rows[3], rows.row(0, 3))
    assert len(list(rows)) == len(rows)
    plain = Rows(numbers(1000), 10, seed=1, shuffle=False)
    assert [int(row[0]) for row in plain] == list(range(0, 990, 10))


def test_positions_and_documents_restart_at_the_end_of_text() -> None:
    array = [3, 4, END, 5, 6, 7, END, END, 8]
    stream = numbers(len(array))
    stream.end_of_text = END
    stream.read = lambda a, b: np.array(array[a:b], np.int64)
    (batch,) = sequential(stream, 8, 1)
    assert batch.tokens.tolist() == [array[:-1]]
    assert batch.targets.tolist() == [array[1:]]
    assert batch.documents.tolist() == [[0, 0, 1, 1, 1, 1, 2, 3]]
    assert batch.positions.tolist() == [[0, 1, 0, 1, 2, 3, 0, 0]]
    rows = Rows(stream, 8, seed=0, mask_documents=False)
    batch = next(Loader(rows, 1))
    assert batch.documents.tolist() == [[0] * 8]
    assert batch.positions.tolist() == [list(range(8))]
    assert all(field.dtype == np.int64 and field.flags.c_contiguous for field in astuple(batch))


def _segments(batch: Batch, end_of_text: int) -> tuple[list[list[int]], list[list[int]]]:
    """Positions and documents by a plain loop."""
    positions, documents = [], []
    for row in batch.tokens.tolist():
        place, number = -1, 0
        positions.append([])
        documents.append([])
        for token in row:
            place, number = (0, number + 1) if token == end_of_text else (place + 1, number)
            positions[-1].append(place)
            documents[-1].append(number)
    return positions, documents


@pytest.fixture(scope="module")
def stream(made: Made) -> TokenStream:
    return open_shards(made.shards.out).stream("train")


def test_batches_of_real_shards_agree_with_a_plain_loop(stream: TokenStream) -> None:
    longest = int(np.diff(stream.document_starts).max())
    for context in (16, longest + 100):  # rows inside documents, and rows that span several
        for batch in islice(Loader(Rows(stream, context, seed=3), 4), 6):
            assert batch.tokens.shape == (4, context)
            assert np.array_equal(batch.tokens[:, 1:], batch.targets[:, :-1])
            assert (batch.positions.tolist(), batch.documents.tolist()) == _segments(batch, stream.end_of_text)


@pytest.mark.parametrize("stop", [1, 7, 40])
def test_a_resumed_loader_is_the_straight_one_across_epochs(stream: TokenStream, stop: int) -> None:
    straight = list(islice(Loader(Rows(stream, 64, seed=3), 5), 60))
    first = Loader(Rows(stream, 64, seed=3), 5)
    begun = list(islice(first, stop))
    state = first.state()
    assert state["position"] == 5 * stop
    resumed = list(islice(Loader(Rows(stream, 64, seed=3), 5, position=state["position"]), 60 - stop))
    assert all(same(a, b) for a, b in zip(straight, begun + resumed, strict=True))
    assert Loader(Rows(stream, 64, seed=3), 5, position=300).state()["epoch"] >= 1


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_out_the_rows_of_one_process(stream: TokenStream, world: int) -> None:
    one = next(Loader(Rows(stream, 64, seed=3), 4 * world, position=8))
    ranks = [Loader(Rows(stream, 64, seed=3), 4, position=8, rank=rank, world=world) for rank in range(world)]
    parts = [next(loader).tokens for loader in ranks]
    assert np.array_equal(np.stack(parts, axis=1).reshape(4 * world, 64), one.tokens)
    assert {loader.position for loader in ranks} == {8 + 4 * world}


@settings(deadline=None)
@given(st.integers(2, 500), st.integers(1, 60), st.integers(1, 9))
def test_sequential_has_every_target_once_in_order(length: int, context: int, batch: int) -> None:
    batches = list(sequential(numbers(length), context, batch))
    assert np.concatenate([each.targets.ravel() for each in batches]).tolist() == list(range(1, length))
    assert np.concatenate([each.tokens.ravel() for each in batches]).tolist() == list(range(length - 1))
    assert all(each.tokens.shape[0] <= batch and each.tokens.shape[1] <= context for each in batches)


def test_sequential_is_finite_and_whole_on_a_real_split(made: Made) -> None:
    stream = open_shards(made.shards.out).stream("validation")
    targets = np.concatenate([batch.targets.ravel() for batch in sequential(stream, 50, 4)])
    assert np.array_equal(targets, stream.read(1, len(stream)))


@pytest.mark.parametrize(("batch", "position", "rank", "world"), [(0, 0, 0, 1), (1, -1, 0, 1), (1, 0, 1, 1), (1, 0, -1, 2)])
def test_a_place_that_is_none_is_refused(batch: int, position: int, rank: int, world: int) -> None:
    with pytest.raises(GenusError, match="is not a place in the data"):
        Loader(Rows(numbers(100), 10, seed=0), batch, position, rank, world)


def test_context_zero_is_refused() -> None:
    with pytest.raises(GenusError, match="context 0 does not fit train"):
        Rows(numbers(100), 0, seed=0)
