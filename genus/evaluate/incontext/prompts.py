"""What a model is shown for an item: an instruction, K examples drawn for it, its own context (arXiv 2005.14165, 2.4)."""

import random
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from genus.core.errors import GenusError
from genus.evaluate.incontext.example import Example, fill
from genus.evaluate.incontext.task import Task

__all__ = ["Prompt", "Prompts"]


class Prompt(NamedTuple):
    """`contexts` are one, or in partial scoring one for each choice; so are `completions` else. `shown` are places."""

    place: str
    contexts: tuple[str, ...]
    completions: tuple[str, ...]
    gold: int
    answers: tuple[str, ...]
    shown: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each context with each completion; one of the two is one."""
        return [(context, completion) for context in self.contexts for completion in self.completions]


class Prompts:
    """The prompts of a task by item. `pool` is what examples are drawn from: the items themselves, or other records."""

    def __init__(self, task: Task, items: Sequence[Example], pool: Sequence[Example], shots: int, seed: int) -> None:
        self.task, self.items, self.pool, self.seed = task, items, pool, seed
        self.shots = 0 if task.kind == "text" else shots
        self._check_pool()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Prompt:
        item, drawn = self.items[number], self._drawn(number)
        before = "".join(_whole(self.task, each) + self.task.separator for each in drawn)
        if self.task.instruction:
            before = self.task.instruction + self.task.separator + before
        parts = self._parts(item)
        partial = self.task.kind == "partial"
        return Prompt(
            place=item.place,
            contexts=tuple(before + context for context, _ in (parts if partial else parts[:1])),
            completions=self.completions(item),
            gold=item.gold,
            answers=item.answers,
            shown=tuple(each.place for each in drawn),
        )

    def completions(self, item: Example) -> tuple[str, ...]:
        """What may be said after an item's context."""
        said = tuple(completion for _, completion in self._parts(item))
        return said[:1] if self.task.kind == "partial" else said

    def _parts(self, item: Example) -> list[tuple[str, str]]:
        """Context and completion of each choice, or of the first answer."""
        return [_parts(self.task, item, said) for said in item.choices or item.answers[:1]]

    def _check_pool(self) -> None:
        alike = Counter(tuple(self._parts(each)) for each in self.pool if self.shots)
        for item in self.items if self.shots else ():
            if (count := len(self.pool) - alike[tuple(self._parts(item))]) < self.shots:
                raise GenusError(
                    f"{item.place}: {self.shots} examples cannot be drawn of {count:,} other records; lower --shots"
                )

    def _drawn(self, number: int) -> list[Example]:
        """Never the item itself, nor its like; what is drawn depends on the seed, the task and the item alone."""
        if not self.shots:
            return []
        draw, own = random.Random(f"{self.seed} {self.task.name} {number}"), self._parts(self.items[number])
        order = draw.sample(range(len(self.pool)), len(self.pool))
        others = (self.pool[other] for other in order if self._parts(self.pool[other]) != own)
        return list(islice(others, self.shots))


def _whole(task: Task, example: Example) -> str:
    """An example as it is shown: with what is right."""
    said = example.choices[example.gold] if example.choices else example.answers[0]
    return "".join(_parts(task, example, said))


def _parts(task: Task, example: Example, said: str) -> tuple[str, str]:
    """Context and completion, with one space between them at most."""
    context, completion = fill(task.context, example, said), fill(task.completion, example, said)
    if completion.startswith(" ") and (not context or context[-1].isspace()):
        completion = completion[1:]
    return context, completion
