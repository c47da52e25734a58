"""Intervals hold what they should: against the formula, and against drawing again and again."""

import numpy as np
import pytest

from genus.core.interval import wilson
from genus.evaluate.estimates import Estimate, bootstrap, mean, share


def test_shares_have_wilsons_interval():
    assert share(3, 4) == Estimate(0.75, *wilson(0.75, 4), 4)
    assert share(0, 0) == Estimate(None, None, None, 0)


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_error():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = mean(values.tolist())
    error = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(error, rel=0.15)
    assert found.value - found.low == pytest.approx(error, rel=0.15)
    assert mean(values.tolist(), seed=1) != found == mean(values.tolist())


def test_a_figure_of_several_means():
    """The ratio of two columns; where the second is 0 in a resample, that one is left out."""
    found = bootstrap([(1.0, 1.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)], lambda means: means[..., 0] / means[..., 1])
    assert found.value == pytest.approx(2 / 3) and 0 <= found.low < 2 / 3 < found.high


def test_what_cannot_be_said_is_not():
    nothing = bootstrap([(1.0, 0.0)] * 3, lambda means: means[..., 0] / means[..., 1])
    assert nothing == Estimate(None, None, None, 3)
    assert mean([0.5]) == Estimate(0.5, None, None, 1) and mean([]) == Estimate(None, None, None, 0)


def test_many_items_are_resampled_in_parts(monkeypatch):
    import genus.evaluate.estimates as module

    values = list(range(50))
    whole = mean(values)
    monkeypatch.setattr(module, "_NUMBERS", 50 * 64)
    parts = mean(values)
    assert parts.value == whole.value and parts.low == pytest.approx(whole.low, rel=0.05)
