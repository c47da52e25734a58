"""Rankings made one by reciprocal ranks, in an order that no store can change; and ties that a store cuts, made whole."""

import pytest

from genus.retrieve.fuse import fused
from genus.retrieve.passage import Hit
from genus.retrieve.ranking import hits, untied
from tests.retrieve.memory_corpus import passage

A, B, C, D = (passage(name, name) for name in "abcd")


def test_sums_of_reciprocal_ranks():
    found = fused([[Hit(A, 9.0), Hit(B, 3.0)], [Hit(B, 0.9), Hit(C, 0.8), Hit(A, 0.1)]])
    assert [hit.passage for hit in found] == [B, A, C]
    assert [hit.score for hit in found] == pytest.approx([1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62])


def test_equal_sums_are_ordered_by_id():
    assert [hit.passage for hit in fused([[Hit(D, 1.0), Hit(A, 0.5)], [Hit(A, 1.0), Hit(D, 0.5)]])] == [A, D]
    assert [hit.passage for hit in fused([[Hit(C, 1.0)], [Hit(B, 1.0)]])] == [B, C]
    assert fused([[], []]) == []


def test_scores_that_differ_by_rounding_are_equal():
    assert [hit.passage for hit in hits([(B, 1.000001), (A, 1.0), (C, 2.0)], 2)] == [C, A]


def test_a_tie_at_the_end_is_fetched_whole():
    rows = [(passage(f"p{n:03}", "x"), 2.0 if n == 99 else 1.0) for n in range(300)][::-1]
    rows.sort(key=lambda row: -row[1])
    asked = []

    def fetch(limit):
        asked.append(limit)
        return rows[:limit]

    assert [hit.passage.document for hit in hits(untied(fetch, 10), 10)] == ["p099", *(f"p{n:03}" for n in range(9))]
    assert asked == [18, 72, 288, 1152]
    asked.clear()
    assert len(untied(fetch, 1)) == 9 and asked == [9]  # the best stands alone: nothing more is fetched


def test_a_tie_without_end_is_cut():
    asked = []

    def fetch(limit):
        asked.append(limit)
        return [(A, 1.0)] * limit

    assert len(untied(fetch, 10)) == asked[-1] <= 64 * 10 * 4
