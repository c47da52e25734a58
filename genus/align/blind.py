"""What a labeller sees of a task: answers in an order of their own, without their authors; tasks too in an order of theirs.

Orders are drawn from names alone, so they are the same after a restart and need not be kept.
"""

import hashlib
from collections.abc import Iterable, Sequence

from genus.core.errors import GenusError

__all__ = ["ranking_of", "ranks_of", "task_order", "unshuffled", "with_order"]


def task_order(labeller: str, tasks: Iterable[int]) -> list[int]:
    """Tasks as this labeller meets them."""
    return sorted(tasks, key=lambda task: _drawn(labeller, task))


def with_order(labeller: str, task: int, count: int) -> list[int]:
    """For each place on the labeller's page, which of the task's answers stands there."""
    return sorted(range(count), key=lambda answer: _drawn(labeller, task, answer))


def unshuffled(order: Sequence[int], shown: Sequence[object]) -> tuple:
    """What was said by places on the page, by answers of the task."""
    by_answer = dict(zip(order, shown, strict=True))
    return tuple(by_answer[answer] for answer in range(len(order)))


def ranks_of(ranking: Sequence[Sequence[int]], count: int) -> list[int | None]:
    """A ranking as groups of places, the best first, ties in one group -> the rank of each place, None where it has none.

    An empty group is a rank that no answer has yet.

    Raises GenusError for a place that is not there or stands there twice.
    """
    ranks: list[int | None] = [None] * count
    for rank, group in enumerate(ranking, 1):
        for place in group:
            if not 0 <= place < count:
                raise GenusError(f"ranking names answer {place}, and they go from 0 to {count - 1}; correct it")
            if ranks[place] is not None:
                raise GenusError(f"ranking names answer {place} twice; rank it once")
            ranks[place] = rank
    return ranks


def ranking_of(ranks: Sequence[int | None]) -> list[list[int]]:
    """The way back from `ranks_of`."""
    worst = max((rank for rank in ranks if rank is not None), default=0)
    return [[place for place, rank in enumerate(ranks) if rank == each] for each in range(1, worst + 1)]


def _drawn(labeller: str, *numbers: int) -> bytes:
    return hashlib.sha256(f"{labeller}\0{numbers}".encode()).digest()
