"""Says which steps are spikes: a loss or a gradient norm far above those before it, or one that is not finite.

Far is SIGMAS standard deviations above the mean of the last 128 steps. What is done about a spike is recovery.py's.
"""

import math
from collections import deque
from typing import Any

from genus.core.errors import GenusError

__all__ = ["Guard"]

_WINDOW = 128  # steps remembered
_ENOUGH = 32  # before that many, the mean says little and only what is not finite is refused
# The least deviation, of the mean: a curve that has gone flat must not call noise a spike. The gradient norms of small
# batches have a long tail, which clipping deals with: up to 5.4 times their mean in the demo, so a spike is 7 times it.
_LOSS_FLOOR, _NORM_FLOOR = 0.02, 1.0
_PATIENCE = 10  # refused in a row before the run stops


class Guard:
    """Remembers steps in order. Its state travels with the checkpoint, so that a resumed run judges alike.

    A spike enters the window as the limit that it broke: it cannot widen the window at once, but a level that stays is
    accepted after some steps.
    """

    def __init__(self, sigmas: float = 6.0) -> None:
        self.sigmas = sigmas
        self.losses: deque[float] = deque(maxlen=_WINDOW)
        self.norms: deque[float] = deque(maxlen=_WINDOW)
        self.skipped = 0
        self.in_a_row = 0

    def limits(self) -> tuple[float, float]:
        """The loss and the gradient norm above which the next step is a spike; infinite while little is known."""
        return self._limit(self.losses, _LOSS_FLOOR), self._limit(self.norms, _NORM_FLOOR)

    def _limit(self, window: deque[float], floor: float) -> float:
        if len(window) < _ENOUGH or math.isinf(self.sigmas):
            return math.inf
        mean = sum(window) / len(window)
        deviation = math.sqrt(sum((past - mean) ** 2 for past in window) / len(window))
        return mean + self.sigmas * max(deviation, floor * abs(mean))

    def note(self, loss: float, norm: float, applied: bool) -> None:
        """Remember a step that was `applied` or refused. Raises GenusError when too many in a row were refused."""
        if math.isfinite(loss) and math.isfinite(norm):
            most_loss, most_norm = self.limits()
            self.losses.append(min(loss, most_loss))
            self.norms.append(min(norm, most_norm))
        self.skipped += not applied
        self.in_a_row = 0 if applied else self.in_a_row + 1
        if self.in_a_row >= _PATIENCE:
            raise GenusError(
                f"training stopped: {_PATIENCE} steps in a row had a loss or gradient that was not finite or a spike (the "
                f"last loss was {loss:.4g}); go on with --recovery.spike lower, or lower optim.lr and add --restart"
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        windows = {"losses": list(self.losses), "norms": list(self.norms)}
        return {**windows, "skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.losses = deque(state["losses"], maxlen=_WINDOW)
        self.norms = deque(state.get("norms", ()), maxlen=_WINDOW)
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]
