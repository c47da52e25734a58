"""Tasks and rankings for tests, in few words."""

from pathlib import Path
from typing import Any

from genus.align.feedback import Feedback
from genus.align.rankings import Ranking, Task

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 3?"}]


def tasks(count: int, answers: int = 3) -> list[Task]:
    return [
        Task(f"prompt {number}", tuple(f"answer {number}.{place}" for place in range(answers))) for number in range(count)
    ]


def opened(folder: Path, count: int = 2, answers: int = 3) -> Feedback:
    """A new store with tasks 1 to `count`."""
    feedback = Feedback.open(folder / "feedback.db", new=True)
    feedback.add_tasks(tasks(count, answers))
    return feedback


def said(task: int, ranks: tuple[int | None, ...], labeller: str = "anna", **more: Any) -> Ranking:
    """A submitted ranking, unless `more` says otherwise."""
    nothing = {"overall": (None,) * len(ranks), "flags": ((),) * len(ranks), "submitted": True}
    return Ranking(task, labeller, ranks, **{**nothing, **more})
