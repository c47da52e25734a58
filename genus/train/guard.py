"""Keeps one bad batch from ruining a run: an update is skipped when its loss or gradient is not finite or is a spike.

A spike is a loss above its recent mean by more than SIGMAS standard deviations. OPT's and PaLM's teams did this by hand.
"""

import math
from collections import deque
from typing import Any

from genus.core.errors import GenusError

__all__ = ["Guard"]

_WINDOW = 128  # losses remembered
_ENOUGH = 32  # before that many, the mean says little and only non-finite steps are skipped
_SIGMAS = 6.0
_FLOOR = 0.02  # of the mean: a curve that has gone flat must not call noise a spike
_PATIENCE = 10  # skipped in a row before the run stops


class Guard:
    """Judges steps in order. Its state travels with the checkpoint, so that a resumed run judges alike."""

    def __init__(self) -> None:
        self.losses: deque[float] = deque(maxlen=_WINDOW)
        self.skipped = 0
        self.in_a_row = 0

    def accepts(self, loss: float, gradient_norm: float) -> bool:
        """Whether to apply this step's update. Raises GenusError when too many in a row were refused."""
        if math.isfinite(loss) and math.isfinite(gradient_norm) and not self._spikes(loss):
            self.losses.append(loss)
            self.in_a_row = 0
            return True
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= _PATIENCE:
            raise GenusError(
                f"training stopped: {_PATIENCE} steps in a row had a loss or gradient that was not finite or a spike "
                f"(the last loss was {loss:.4g}); lower optim.lr, then start again with --restart"
            )
        return False

    def _spikes(self, loss: float) -> bool:
        if len(self.losses) < _ENOUGH:
            return False
        mean = sum(self.losses) / len(self.losses)
        deviation = math.sqrt(sum((past - mean) ** 2 for past in self.losses) / len(self.losses))
        return loss > mean + _SIGMAS * max(deviation, _FLOOR * abs(mean))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"losses": list(self.losses), "skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.losses = deque(state["losses"], maxlen=_WINDOW)
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]
