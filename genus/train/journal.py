"""Append-only JSON lines about a run, one object with a "step" a line, readable while the run goes on."""

import json
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import write_text

__all__ = ["Journal", "read_journal"]


class Journal:
    """Opened at a step: lines of later steps, which a killed run wrote after its last checkpoint, are taken back.

    One that is not `kept` only remembers what another process writes.
    """

    def __init__(self, path: Path, step: int, kept: bool = True) -> None:
        self.path, self.kept = path, kept
        records = [record for record in read_journal(path) if record["step"] <= step]
        self._last = {key: record["step"] for record in records for key in record}
        if kept and path.exists():
            write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))

    def last(self, key: str) -> int:
        """The step of the last record that has `key`; -1 when none has."""
        return self._last.get(key, -1)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record, at once visible to readers."""
        self._last |= dict.fromkeys(record, record["step"])
        if not self.kept:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise GenusError(f"{self.path} could not be written ({error.strerror}); free space and start again") from error


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole records; a last line that a kill cut short is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
