"""The figures of probes, with the items that they rest on and a 95% interval: Wilson's for shares, the bootstrap's else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genus.core.interval import wilson

__all__ = ["Estimate", "bootstrap", "mean", "resampled", "share"]

_RESAMPLES = 1000
_NUMBERS = 2**22  # that are there at once


@dataclass(frozen=True)
class Estimate:
    """A figure, its 95% interval, and the number of items. None where they do not settle it."""

    value: float | None
    low: float | None
    high: float | None
    count: int


def share(right: int, count: int) -> Estimate:
    """`right` of `count`, with Wilson's interval."""
    return Estimate(right / count, *wilson(right / count, count), count) if count else Estimate(None, None, None, 0)


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of numbers, with a bootstrap interval."""
    return bootstrap([[value] for value in values], lambda means: means[..., 0], seed)


def bootstrap(items: Sequence[Sequence[float]], figure: Callable[[NDArray[np.float64]], Any], seed: int = 0) -> Estimate:
    """A figure of the means of each column of `items` (items, columns), with the interval of 1,000 resamples of the items.

    `figure` takes means (..., columns) and gives (...). Resamples in which it is not a number are left out;
    one item alone has no interval.
    """
    table = np.asarray(items, np.float64)
    return resampled(len(table), lambda weights: figure(weights @ table / len(table)), seed)


def resampled(count: int, figure: Callable[[NDArray[np.float64]], Any], seed: int = 0) -> Estimate:
    """As `bootstrap`, of a figure that is none of means: it takes how often each item counts, (..., count)."""
    if not count:
        return Estimate(None, None, None, 0)
    draw, found = np.random.default_rng(seed), []
    size = max(1, _NUMBERS // count)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(figure(np.ones(count)))
        for first in range(0, _RESAMPLES, size):
            weights = draw.multinomial(count, np.full(count, 1 / count), min(size, _RESAMPLES - first))
            found.append(np.asarray(figure(weights.astype(np.float64)), np.float64))
    drawn = np.concatenate(found)
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return Estimate(None, None, None, count)
    if count == 1:
        return Estimate(value, None, None, 1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high), count)
