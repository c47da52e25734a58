"""How a run goes over its text: the rows of each step, and its learning rate. Pure arithmetic, without PyTorch.

Both count tokens, so that they mean the same at any batch size; a run resumes from the number of rows consumed.
"""

import math
from bisect import bisect_right
from itertools import pairwise
from typing import NamedTuple

from genus.train.recipe import Ramp, Schedule
from genus.train.tune_recipe import Course

__all__ = ["Pace", "learning_rate"]


class _Stage(NamedTuple):
    """From `step` finished steps and `position` consumed rows on, each step takes `rows`."""

    step: int
    position: int
    rows: int


class Pace:
    """The steps of a run of `tokens` tokens in rows of `context`: `batch` rows each, after the ramp."""

    def __init__(self, batch: int, ramp: Ramp, context: int, tokens: int) -> None:
        self.context = context
        self._stages = _walk(_growth(batch, ramp, context))
        self.steps = max(1, self.nearest(tokens))

    def rows(self, position: int) -> int:
        """Rows of the step that begins when `position` rows are consumed."""
        return self._stages[bisect_right(self._stages, position, key=lambda stage: stage.position) - 1].rows

    def tokens(self, step: int) -> int:
        """Tokens read when `step` steps are finished."""
        stage = self._stages[bisect_right(self._stages, step, key=lambda stage: stage.step) - 1]
        return (stage.position + (step - stage.step) * stage.rows) * self.context

    def nearest(self, tokens: int) -> int:
        """The number of steps after which most nearly so many tokens are read."""
        stage = self._stages[bisect_right(self._stages, tokens, key=lambda stage: stage.position * self.context) - 1]
        return stage.step + round((tokens - stage.position * self.context) / (stage.rows * self.context))


def learning_rate(schedule: Schedule | Course, peak: float, step: int, pace: Pace) -> float:
    """The learning rate of step number `step` (from 1), by the tokens read at its end."""
    if isinstance(schedule, Course):
        schedule = schedule.over(pace.tokens(pace.steps))
    seen, warm = pace.tokens(step), schedule.warmup_tokens
    if schedule.decay == "inverse_sqrt":  # of the step, as PaLM's section 5: a larger batch does not fall faster
        return peak * min(1.0, math.sqrt(max(1, pace.nearest(warm)) / step))
    if seen < warm:
        return peak * seen / warm
    end = schedule.decay_tokens or pace.tokens(pace.steps)
    begin = max(warm, schedule.hold * end)
    share = min(1.0, max(0.0, (seen - begin) / max(1, end - begin)))
    shape = {"cosine": 0.5 * (1 + math.cos(math.pi * share)), "linear": 1 - share, "constant": 1.0}[schedule.decay]
    return peak * (schedule.final + (1 - schedule.final) * shape)


def _growth(batch: int, ramp: Ramp, context: int) -> list[tuple[int, int]]:
    """(consumed rows, rows of a step from there on), in order. Growth is as Megatron's rampup-batch-size."""
    found, begin = [], 0
    for rows, after, until in zip(ramp.rows, (*ramp.rows, batch)[1:], ramp.until, strict=True):
        count = (after - rows) // ramp.by if ramp.by else 1
        for number in range(count):
            tokens = begin * count + number * (until - begin)  # times count, to stay whole
            found.append((-(-tokens // (count * context)), rows + number * ramp.by))
        begin = until
    return [*found, (-(-begin // context), batch)]


def _walk(growth: list[tuple[int, int]]) -> list[_Stage]:
    """The step at which each size is first taken. A size whose time passes within one step is never taken."""
    stages, step, position = [], 0, 0
    for (_, rows), (end, _) in pairwise(growth):
        if steps := max(0, -(-(end - position) // rows)):
            stages.append(_Stage(step, position, rows))
            step, position = step + steps, position + steps * rows
    return [*stages, _Stage(step, position, growth[-1][1])]
