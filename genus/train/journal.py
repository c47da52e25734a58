"""Append-only JSON lines about a run, one object with a "step" a line, readable while the run goes on."""

import json
import math
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import write_text

__all__ = ["Journal", "read_journal"]


class Journal:
    """Opened at a step: lines of later steps, which a killed run wrote after its last checkpoint, are taken back.

    Lines of steps that the run left by going back to an earlier one (recovery.py) stay, marked `abandoned` with the number
    of that detour. `detours` counts those that the checkpoint knows of; the marks of a later one, cut short, are taken off.
    One that is not `kept` only remembers what another process writes.
    """

    def __init__(self, path: Path, step: int, detours: int = 0, kept: bool = True) -> None:
        self.path, self.kept = path, kept
        records = read_journal(path, abandoned=True)
        for record in records:
            if record.get("abandoned", 0) > detours:
                del record["abandoned"]
        self._replace([record for record in records if "abandoned" in record or record["step"] <= step])

    def last(self, key: str) -> int:
        """The step of the last record that has `key`; -1 when none has."""
        return self._last.get(key, -1)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record, at once visible to readers. A number that is not finite becomes null, as JSON has none."""
        self._last |= dict.fromkeys(record, record["step"])
        if not self.kept:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except OSError as error:
            raise GenusError(f"{self.path} could not be written ({error.strerror}); free space and start again") from error

    def go_back(self, step: int, detour: int) -> None:
        """Mark the lines after `step` as abandoned by detour number `detour` (from 1)."""
        records = read_journal(self.path, abandoned=True)
        for record in records:
            if record["step"] > step:
                record.setdefault("abandoned", detour)
        self._replace(records)

    def _replace(self, records: list[dict[str, Any]]) -> None:
        self._last = {key: record["step"] for record in records if "abandoned" not in record for key in record}
        if self.kept and self.path.exists():
            write_text(self.path, "".join(map(_line, records)))


def read_journal(path: Path, abandoned: bool = False) -> list[dict[str, Any]]:
    """All whole records, without those that were abandoned unless asked; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return [record for record in records if abandoned or "abandoned" not in record]


def _line(record: dict[str, Any]) -> str:
    finite = {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}
    return json.dumps(finite, ensure_ascii=False) + "\n"
