"""The pages' book-keeping: sharing, windows, promises, and what equal hashes do not do."""

import pytest

from genus.engine.pages import Cache

SAME = 2**61 - 1  # Python's hash of an integer is its rest by this: equal hashes for 0 and SAME


def read(cache, tokens, need=None, salt=""):
    """A table for tokens that are all read, and how many were known."""
    table, known = cache.admit(tokens, salt, need or cache.pages_for(len(tokens), len(tokens)))
    assert cache.grow(table, len(tokens))
    cache.read(table, tokens, len(tokens))
    return table, known


def test_an_equal_beginning_is_shared_page_by_page():
    cache = Cache(4, [None], [8])
    first, known = read(cache, [*range(9)])
    assert known == 0
    second, known = read(cache, [*range(8), 99])
    assert (known, second.pages[0][:2]) == (8, first.pages[0][:2])
    third, known = read(cache, [0, 1, 2, 3, 4, 5, 77, 7, 8])
    assert (known, third.pages[0][:1]) == (4, first.pages[0][:1])
    for table in (first, second, third):
        assert not cache.at_rest
        cache.release(table)
    assert cache.at_rest


def test_the_last_token_is_always_left_to_read():
    cache = Cache(4, [None], [8])
    first, _ = read(cache, [*range(8)])
    assert read(cache, [*range(8)])[1] == 4
    assert first.contents[1:] != []


@pytest.mark.parametrize(("tokens", "salt"), [([SAME, 1, 2, 3, 9], ""), ([0, 1, 2, 3, 9], "b"), ([1, 0, 2, 3, 9], "")])
def test_equal_hashes_other_salts_and_other_orders_share_nothing(tokens, salt):
    assert hash(SAME) == hash(0)
    cache = Cache(4, [None], [8])
    read(cache, [0, 1, 2, 3, 4])
    assert read(cache, [0, 1, 2, 3, 9])[1] == 4
    assert read(cache, tokens, salt=salt)[1] == 0


def test_a_page_counts_only_after_all_before_it():
    cache = Cache(2, [None], [8])
    read(cache, [1, 2, 3, 4, 5])
    assert read(cache, [9, 9, 3, 4, 5])[1] == 0


def test_idle_pages_are_given_away_the_longest_unused_and_the_last_first():
    cache = Cache(2, [None], [4])
    cache.release(read(cache, [1, 2, 3, 4])[0])
    cache.release(read(cache, [5, 6, 7, 8])[0])
    cache.release(read(cache, [9, 10])[0])  # takes the page of 3, 4
    assert read(cache, [1, 2, 3, 4, 0], need=[0])[1] == 2


def test_a_promise_is_kept():
    cache = Cache(2, [None], [4])
    table, _ = cache.admit([1], "", [3])
    assert cache.admit([2], "", [2]) is None
    other, _ = cache.admit([2], "", [1])
    assert cache.grow(other, 2)
    assert not cache.grow(other, 4)  # the others are promised
    assert cache.grow(table, 6)


def test_idle_pages_that_are_shared_are_no_longer_there_for_others():
    cache = Cache(2, [None], [3])
    cache.release(read(cache, [1, 2, 3, 4])[0])
    table, known = cache.admit([1, 2, 3, 4, 5], "", [3])
    assert known == 4
    assert cache.admit([9], "", [1]) is None
    assert cache.grow(table, 5)


def test_what_is_shared_must_leave_enough_for_what_was_promised():
    cache = Cache(2, [None], [4])
    cache.release(read(cache, [1, 2, 3, 4])[0])
    promised, _ = cache.admit([9], "", [2])
    assert cache.admit([1, 2, 3, 4, 5], "", [4]) is None  # two idle ones and two of the promised
    assert cache.grow(promised, 4)


def test_a_window_keeps_only_what_it_sees():
    cache = Cache(4, [None, 6], [32, 32])
    table, _ = cache.admit([*range(100)], "", cache.pages_for(100, 8))
    for count in range(1, 101):
        assert cache.grow(table, count)
        cache.read(table, [*range(100)], count)
        held = [place for place, page in enumerate(table.pages[1]) if page >= 0]
        first_seen = max(0, count - 6 + 1)  # by the next token
        assert held == list(range(first_seen // 4, -(-count // 4)))
        assert len(held) <= cache.pages_for(100, 8)[1] == 5
    assert sum(page >= 0 for page in table.pages[0]) == 25
    cache.release(table)
    assert cache.at_rest


def test_a_beginning_is_shared_while_its_window_is_there():
    cache = Cache(4, [None, 6], [32, 8])
    first, _ = read(cache, [*range(20)], need=[5, 5])
    second, known = cache.admit([*range(16), 99], "", [5, 0])
    assert known == 16
    assert second.pages[0] == first.pages[0][:4]
    assert second.pages[1][:2] == [-1, -1]
    assert second.pages[1][2:] == [2, 3]


def test_a_fork_shares_full_pages_and_copies_the_last():
    cache = Cache(4, [None], [8])
    table, _ = cache.admit([*range(6)], "", [3 + 2])
    assert cache.grow(table, 6)
    cache.read(table, [*range(6)], 6)
    other, copies = cache.fork(table, 6, [2])
    assert other.pages[0][0] == table.pages[0][0]
    assert copies == [(0, table.pages[0][1], other.pages[0][1])]
    assert table.pages[0][1] != other.pages[0][1]
    for each in (table, other):
        assert cache.grow(each, 12)
        cache.release(each)
    assert cache.at_rest


def test_after_a_fork_the_first_is_promised_no_more_than_it_needs():
    cache = Cache(4, [6], [12])
    table, _ = cache.admit([*range(6)], "", [3 + 3])
    assert cache.grow(table, 6)
    cache.read(table, [*range(30)], 6)
    other, _ = cache.fork(table, 6, [3])
    for count in range(7, 31):
        for each in (table, other):
            assert cache.grow(each, count)
            cache.read(each, [*range(30)], count)
        assert table.room[0] + sum(page >= 0 for page in table.pages[0]) <= 3
    cache.release(table)
    cache.release(other)
    assert cache.at_rest


def test_what_was_known_is_forgotten():
    cache = Cache(2, [None], [4])
    table, _ = read(cache, [1, 2, 3])
    cache.forget()
    assert read(cache, [1, 2, 5])[1] == 0
    cache.release(table)
    assert not cache.at_rest


def test_names_of_lost_pages_do_not_pile_up():
    cache = Cache(1, [None], [4])
    for number in range(1000):
        cache.release(read(cache, [number, number + 1, number])[0])
    assert len(cache._next) <= 4 * 4 + 1
    assert cache.at_rest
