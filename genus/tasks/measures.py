"""How well a task is done, in the measures of GLUE: accuracy with an interval, F1, Matthews's and Spearman's correlation.

Plain arithmetic over what was said and what is right; nothing is known here of models.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from genus.core.interval import wilson

__all__ = ["class_measures", "f1", "matthews", "number_measures", "ranks"]


def class_measures(said: Sequence[int], right: Sequence[int], classes: int) -> dict[str, float]:
    """accuracy and its interval, f1 and matthews, of class numbers."""
    hits = sum(a == b for a, b in zip(said, right, strict=True))
    accuracy = hits / max(1, len(right))
    low, high = wilson(accuracy, len(right))
    found = {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
    table = np.zeros((classes, classes), np.int64)  # (right, said)
    np.add.at(table, (np.asarray(right, np.int64), np.asarray(said, np.int64)), 1)
    return {**found, "f1": f1(table), "matthews": matthews(table)}


def f1(table: NDArray[np.int64]) -> float:
    """Of two classes that of the second; of more the mean over all. `table` counts (right, said)."""
    both = table.sum(0) + table.sum(1)
    each = [2 * float(hits) / count if count else 0.0 for hits, count in zip(table.diagonal(), both.tolist(), strict=True)]
    return each[1] if len(each) == 2 else sum(each) / len(each)


def matthews(table: NDArray[np.int64]) -> float:
    """Matthews's correlation, of two classes or more (Gorodkin 2004); 0 where one side never varies."""
    total, hits = float(table.sum()), float(table.trace())
    right, said = table.sum(1).astype(float), table.sum(0).astype(float)
    spread = math.sqrt(max(0.0, total**2 - said @ said) * max(0.0, total**2 - right @ right))
    return (hits * total - float(right @ said)) / spread if spread else 0.0


def number_measures(said: Sequence[float], right: Sequence[float]) -> Mapping[str, float]:
    """pearson and spearman of numbers."""
    return {"pearson": _correlation(said, right), "spearman": _correlation(ranks(said), ranks(right))}


def ranks(values: Sequence[float]) -> list[float]:
    """The rank of each, from 1; equal ones share the mean of theirs."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    first = 0
    while first < len(order):
        after = first
        while after < len(order) and values[order[after]] == values[order[first]]:
            after += 1
        for place in order[first:after]:
            found[place] = (first + 1 + after) / 2
        first = after
    return found


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    left, right = (np.asarray(values, np.float64) - np.mean(values) for values in (one, other))
    spread = math.sqrt(float(left @ left) * float(right @ right))
    return float(left @ right) / spread if spread else 0.0
