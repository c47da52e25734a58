"""Measures against hand-worked and published numbers."""

import numpy as np
import pytest

from genus.core.interval import wilson
from genus.tasks.measures import class_measures, number_measures, ranks


def test_two_classes():
    right, said = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0, 0, 0]
    found = class_measures(said, right, 2)
    assert found["accuracy"] == 0.8
    assert (found["accuracy_low"], found["accuracy_high"]) == wilson(0.8, 10)
    assert found["f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert found["matthews"] == pytest.approx(np.corrcoef(said, right)[0, 1])


def test_three_classes():
    found = class_measures([0, 0, 1, 2, 2, 1], [0, 1, 1, 2, 2, 2], 3)
    assert found["f1"] == pytest.approx((2 / 3 + 2 / 4 + 4 / 5) / 3)
    # (c s - sum p t) / sqrt(...) with c = 4, s = 6, t = (1, 2, 3), p = (2, 2, 2)
    assert found["matthews"] == pytest.approx((4 * 6 - 12) / ((36 - 12) * (36 - 14)) ** 0.5)


def test_one_answer_for_all_has_no_correlation():
    assert class_measures([1, 1, 1], [0, 1, 1], 2)["matthews"] == 0.0
    assert number_measures([2.0, 2.0], [0.0, 1.0]) == {"pearson": 0.0, "spearman": 0.0}


def test_numbers():
    said, right = [0.1, 0.4, 0.2, 9.0], [1.0, 3.0, 2.0, 4.0]
    found = number_measures(said, right)
    assert found["spearman"] == pytest.approx(1.0)
    assert found["pearson"] == pytest.approx(np.corrcoef(said, right)[0, 1])
    assert ranks([5.0, 1.0, 5.0, 7.0]) == [2.5, 1.0, 2.5, 4.0]
