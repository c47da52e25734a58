"""Orders of a labeller's own, and the way between places on the page and answers of the task."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from genus.align.blind import ranking_of, ranks_of, task_order, unshuffled, with_order


def test_orders_differ_between_labellers_and_stay():
    assert sorted(task_order("anna", range(50))) == list(range(50))
    assert task_order("anna", range(50)) != task_order("ben", range(50))
    assert task_order("anna", range(50)) == task_order("anna", reversed(range(50)))
    # a task that came later does not move the others
    assert [task for task in task_order("anna", range(60)) if task < 50] == task_order("anna", range(50))


def test_every_answer_is_shown_at_every_place_equally_often():
    first = Counter(with_order("anna", task, 4)[0] for task in range(2000))
    assert all(400 < first[answer] < 600 for answer in range(4))  # 500, and 5 standard deviations are 97
    assert with_order("anna", 1, 9) != with_order("ben", 1, 9)


@given(st.permutations(range(6)), st.lists(st.none() | st.integers(1, 6), min_size=6, max_size=6))
def test_what_is_said_by_places_comes_back_by_places(order, shown):
    stored = unshuffled(order, shown)
    assert [stored[answer] for answer in order] == shown
    groups = ranking_of(shown)
    ranks = ranks_of(groups, 6)
    assert ranking_of(ranks) == groups
    assert [rank is None for rank in ranks] == [rank is None for rank in shown]
