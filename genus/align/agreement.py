"""How far labellers agree: of the pairs of answers that two of them ordered, the share that they ordered alike.

InstructGPT reports 72.6 +- 1.5% among its labellers (section 3.4). Pairs that either called a tie are left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from genus.core.interval import wilson

__all__ = ["Agreement", "agreement"]


class Agreement(NamedTuple):
    """`share` of `pairs` that were ordered alike, with its 95% interval; from `tasks` that several labellers ranked."""

    share: float
    low: float
    high: float
    pairs: int
    tasks: int
    labellers: int


def agreement(rankings: Iterable[tuple[int, str, Sequence[int]]]) -> Agreement | None:
    """Of (task, labeller, ranks); None where no two labellers ordered the same pair."""
    by_task: dict[int, dict[str, Sequence[int]]] = defaultdict(dict)
    for task, labeller, ranks in rankings:
        by_task[task][labeller] = ranks
    counts, seen = [], set[str]()
    for told in by_task.values():
        alike, pairs = _counted(list(told.values()))
        if pairs:
            counts.append((alike, pairs))
            seen |= told.keys()
    if not counts:
        return None
    share, low, high = _interval(counts)
    return Agreement(share, low, high, sum(pairs for _, pairs in counts), len(counts), len(seen))


def _counted(rankings: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Pairs of a task's answers, over pairs of its labellers: those ordered alike, and all that both ordered."""
    alike = pairs = 0
    for one, other in combinations(rankings, 2):
        for first, second in combinations(range(len(one)), 2):
            mine, theirs = one[first] - one[second], other[first] - other[second]
            if mine and theirs:
                pairs += 1
                alike += (mine > 0) == (theirs > 0)
    return alike, pairs


def _interval(counts: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """Wilson's interval for as many independent pairs as the tasks are worth: pairs of one task go together.

    How much they do is measured by the variance between tasks (the ratio estimator of cluster sampling). Where that says
    nothing, with one task or without a single difference, each task counts as one pair.
    """
    tasks, pairs = len(counts), sum(pairs for _, pairs in counts)
    share = sum(alike for alike, _ in counts) / pairs
    spread = sum((alike - share * each) ** 2 for alike, each in counts)
    worth = float(tasks)
    if tasks > 1 and spread > 0:
        variance = tasks / (tasks - 1) * spread / pairs**2
        worth = min(pairs, share * (1 - share) / variance)
    return share, *wilson(share, worth)
