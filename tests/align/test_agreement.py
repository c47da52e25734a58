"""How far labellers agree, against counts by hand and intervals from other arithmetic."""

import math
import random

import pytest

from genus.align.agreement import agreement


def test_pairs_that_both_ordered_are_counted():
    """Of 3 answers: a > b agreed, a > c against a < c; b and c a tie for one. By hand 1 of 2."""
    found = agreement([(1, "anna", (1, 2, 2)), (1, "ben", (2, 3, 1))])
    assert (found.share, found.pairs, found.tasks, found.labellers) == (0.5, 2, 1, 2)


def test_three_labellers_are_three_pairs():
    """anna and ben agree on 3, each of them with cleo, who has it backwards, on none."""
    found = agreement([(7, "anna", (1, 2, 3)), (7, "ben", (1, 2, 3)), (7, "cleo", (3, 2, 1))])
    assert (found.share, found.pairs, found.labellers) == (3 / 9, 9, 3)


def test_nothing_shared_is_no_figure():
    assert agreement([]) is None
    assert agreement([(1, "anna", (1, 2)), (2, "ben", (1, 2))]) is None
    assert agreement([(1, "anna", (1, 2)), (1, "ben", (1, 1))]) is None


def test_a_labeller_counts_once():
    assert agreement([(1, "anna", (1, 2)), (1, "anna", (2, 1))]) is None


@pytest.mark.parametrize(("tasks", "low"), [(1, 0.2065), (4, 0.5101), (20, 0.8389)])
def test_full_agreement_is_not_certainty(tasks, low):
    """Wilson's interval for n of n is n / (n + z^2) to 1."""
    found = agreement([(task, name, (1, 2)) for task in range(tasks) for name in "ab"])
    assert (found.share, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(tasks / (tasks + 1.959964**2))
    assert found.low == pytest.approx(low, abs=1e-4)


def test_independent_pairs_give_wilsons_interval():
    """30 of 40 tasks of one pair each: 0.5979 to 0.8581 (Wilson 1927, without correction)."""
    rankings = [(task, name, (1, 2) if name == "a" or task < 30 else (2, 1)) for task in range(40) for name in "ab"]
    found = agreement(rankings)
    assert (found.low, found.high) == pytest.approx((0.5979, 0.8581), abs=0.003)


def test_the_interval_is_as_wide_as_drawing_tasks_again_says():
    """Tasks agree wholly or not at all: then 10 pairs of a task are worth one, and a bootstrap over tasks knows it."""
    draw = random.Random(1)
    alike = [draw.random() < 0.7 for _ in range(80)]
    backwards = (5, 4, 3, 2, 1)
    found = agreement(
        [(task, name, (1, 2, 3, 4, 5) if name == "a" or alike[task] else backwards) for task in range(80) for name in "ab"]
    )
    shares = sorted(sum(draw.choices(alike, k=80)) / 80 for _ in range(4000))
    assert (found.low, found.high) == pytest.approx((shares[100], shares[-100]), abs=0.02)
    assert found.high - found.low > 2 * 1.96 * math.sqrt(0.7 * 0.3 / 800) * 2  # what 800 pairs alone would claim, doubled
