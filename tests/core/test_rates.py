"""How durations and rates are said."""

import pytest

from genus.core.progress import duration, rate


@pytest.mark.parametrize(("count", "said"), [(12345.6, "12,346 a/s"), (10, "10 a/s"), (0.66, "0.7 a/s"), (0, "0.0 a/s")])
def test_a_slow_rate_keeps_a_digit(count, said):
    assert rate(count, "a") == said


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0s"), (59.6, "1m00s"), (185, "3m05s"), (7800, "2h10m")])
def test_durations(seconds, said):
    assert duration(seconds) == said
