"""What a policy learns from: episodes with what they earned, in minibatches."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from genus.data.examples import Example, stack
from genus.data.loader import Ids, permute, shuffle_key
from genus.train.losses import Tokens
from genus.train.tuning import to_torch

__all__ = ["Collector", "EpisodePace", "Lesson", "Lessons", "Part", "batches", "by_length", "to_lessons"]


class Part(NamedTuple):
    """What a policy learns from one episode; tensors (answer tokens,) on the CPU."""

    example: Example
    old: Tensor  # log p when it was said
    reference: Tensor  # log p by the start model
    advantages: Tensor
    values: Tensor  # as estimated when it was said
    returns: Tensor
    text: Ids | None = None  # rows of pretraining text to go on with
    share: float = 0.0  # weight of each of its tokens


class Lesson(NamedTuple):
    """A micro-batch; tensors (tokens,) in the order of rows and places."""

    tokens: Tokens
    old: Tensor
    reference: Tensor
    advantages: Tensor
    values: Tensor
    returns: Tensor
    text: Tokens | None
    share: float


class Collector(Protocol):
    """Writes answers and finds out what they are worth."""

    def collect(self, rollout: int, more: dict[str, Any]) -> tuple[list[Part], dict[str, Any]]:
        """The parts of a rollout, and `more` for the next one."""

    def minibatch(self, parts: list[Part], step: int) -> list[Part]:
        """Parts as one step takes them."""


class EpisodePace:
    """Steps of a run that counts episodes."""

    def __init__(self, rollouts: int, batch: int, whole: int) -> None:
        self.steps, self.batch, self.whole = rollouts * whole, batch, whole

    def tokens(self, step: int) -> int:
        """Episodes that were learned from when `step` steps are finished."""
        return step * self.batch // self.whole


class Lessons:
    """Minibatches without end, for a run's loop: a rollout, then so many steps on it. `position` counts steps."""

    passed = 0

    def __init__(self, collector: Collector, recipe: Any) -> None:
        self.collector, self.recipe = collector, recipe
        self.position, self.more = 0, dict[str, Any]()
        self.parts: list[Part] = []

    def __iter__(self) -> Iterator[list[Part]]:
        return self

    def __next__(self) -> list[Part]:
        rollout, step = divmod(self.position, self.recipe.whole)
        if step == 0:
            self.parts, self.more = self.collector.collect(rollout, self.more)
        size = self.recipe.minibatch
        epoch, place = divmod(step, len(self.parts) // size)
        chosen = batches(len(self.parts), size, self.recipe.seed, rollout, epoch)[place]
        self.position += 1
        mine = sorted([self.parts[number] for number in chosen], key=_length)
        return self.collector.minibatch(mine, self.position - 1)


def batches(count: int, size: int, seed: int, rollout: int, epoch: int) -> list[list[int]]:
    """The minibatches of an inner epoch over a rollout's episodes. The first epoch takes them in order."""
    key = shuffle_key(shuffle_key(seed, rollout), epoch)
    order = [permute(i, count, key) for i in range(count)] if epoch else list(range(count))
    return [order[first : first + size] for first in range(0, count, size)]


def by_length(episodes: Sequence[Any], size: int) -> list[int]:
    """The order in which those of each minibatch of `size` go from the shortest to the longest, so that little of a
    micro-batch is filled up. Lessons keep it, and so the first steps compute the very micro-batches that were read."""
    groups = (range(first, min(first + size, len(episodes))) for first in range(0, len(episodes), size))
    return [number for group in groups for number in sorted(group, key=lambda number: _length(episodes[number]))]


def _length(has: Any) -> int:
    return len(has.example.tokens)


def to_lessons(parts: Sequence[Part], device: torch.device) -> Lesson:
    """A micro-batch as tensors."""

    def joined(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts]).to(device)

    rows = [part.text for part in parts if part.text is not None]
    text = None
    if rows:
        ids = np.concatenate(rows)  # (rows, time + 1)
        places = np.broadcast_to(np.arange(ids.shape[1] - 1), ids[:, 1:].shape)
        text = Tokens(
            *(torch.from_numpy(np.ascontiguousarray(each)).to(device) for each in (ids[:, :-1], ids[:, 1:], places))
        )
    return Lesson(
        tokens=to_torch(stack([[part.example] for part in parts]), device),
        old=joined("old"),
        reference=joined("reference"),
        advantages=joined("advantages"),
        values=joined("values"),
        returns=joined("returns"),
        text=text,
        share=parts[0].share,
    )
