"""The numbers of metrics.jsonl for TensorBoard too, in tensorboard/ of a run. Training needs nothing from here."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.progress import say
from genus.train.recipe import Switch

__all__ = ["Curves"]

_TAGS = {"loss": "loss/training", "validation_loss": "loss/held out"}  # on one chart; others have their own


class Curves:
    """Event files of a run that goes on after `step`: later points, of a start that was killed, are taken back.

    Raises GenusError where the recipe insists on TensorBoard and it is not installed. Where writing fails it is said once,
    and nothing is raised.
    """

    def __init__(self, out: Path, switch: Switch, step: int) -> None:
        self.folder = out / "tensorboard"
        self._writer: Any = None
        there = find_spec("tensorboard") is not None
        if switch == "on" and not there:
            raise GenusError("tensorboard = on needs TensorBoard: pip install 'genus[curves]', or leave tensorboard out")
        self._on = there and switch != "off"
        self.go_back(step)

    def write(self, record: dict[str, Any]) -> None:
        """Add the numbers of one line of metrics.jsonl."""
        self._open()
        for key, value in record.items():
            if isinstance(value, int | float) and key not in ("step", "tokens"):
                self._try("add_scalar", _TAGS.get(key, f"run/{key}"), value, record["step"])

    def save(self) -> None:
        """What was written up to now survives a kill from here on."""
        self._try("flush")

    def go_back(self, step: int) -> None:
        """Take back the points after `step`."""
        self.close()
        self._first = step + 1

    def close(self) -> None:
        """End the event file."""
        self._try("close")
        self._writer = None

    def _open(self) -> None:
        if self._on and not self._writer:  # not before there is something to write
            try:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self.folder), purge_step=self._first)
            except Exception as error:
                self._give_up(error)

    def _try(self, name: str, *arguments: Any) -> None:
        if self._writer:
            try:
                getattr(self._writer, name)(*arguments)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._writer, self._on = None, False
        say(f"{self.folder} could not be written ({error}); training goes on without it")
