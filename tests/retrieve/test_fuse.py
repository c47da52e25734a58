"""Rankings made one by scores or ranks, in an order that no store can change; and ties that a store cuts, made whole."""

import pytest

from genus.retrieve.fuse import blended, fused
from genus.retrieve.passage import Hit
from genus.retrieve.ranking import hits, untied
from tests.retrieve.memory_corpus import passage

A, B, C, D = (passage(name, name) for name in "abcd")


def test_sums_of_scores_between_the_best_and_the_last():
    found = blended([[Hit(A, 9.0), Hit(B, 5.0), Hit(C, 1.0)], [Hit(B, 0.9), Hit(C, 0.8), Hit(A, 0.1)]], 3, 3)
    assert [hit.passage for hit in found] == [B, A, C]
    assert [hit.score for hit in found] == pytest.approx([0.5 + 1, 1 + 0, 0 + 7 / 8])
    assert [hit.passage for hit in blended([[Hit(A, 9.0), Hit(B, 5.0), Hit(C, 1.0)], [Hit(B, 0.9)]], 3, 1)] == [B]


def test_how_a_store_scales_its_scores_changes_nothing():
    near = [Hit(B, 0.9), Hit(D, 0.85), Hit(A, 0.1)]
    once, twice = [Hit(A, 9.0), Hit(B, 5.0), Hit(C, 1.0)], [Hit(A, 93.0), Hit(B, 53.0), Hit(C, 13.0)]
    assert blended([once, near], 3, 4) == blended([twice, near], 3, 4)


def test_the_last_of_a_list_that_ends_early_counts():
    """Of two passages with the query's words, the second is not as good as none."""
    words = [Hit(A, 5.0), Hit(B, 4.0)]
    assert [hit.score for hit in blended([words, []], 10, 2)] == pytest.approx([1, 0.8])
    assert [hit.score for hit in blended([words, []], 2, 2)] == pytest.approx([1, 0])
    assert [hit.score for hit in blended([[Hit(A, 0.5), Hit(B, -0.5)]], 10, 2)] == pytest.approx([1, 0])


def test_scores_that_are_all_equal_all_count():
    tied = [Hit(D, 2.0), Hit(A, 2.0 - 1e-7)]
    assert blended([tied, []], 2, 5) == [Hit(A, 1.0), Hit(D, 1.0)]
    assert blended([[], []], 100, 5) == []


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
    assert asked == [11, 44, 176, 704]
    asked.clear()
    assert len(untied(fetch, 1)) == 2 and asked == [2]  # the best stands alone: nothing more is fetched


def test_a_tie_without_end_is_cut():
    asked = []

    def fetch(limit):
        asked.append(limit)
        return [(A, 1.0)] * limit

    assert len(untied(fetch, 10)) == asked[-1] <= 64 * 10 * 4
