"""Run folders for the pages: curves, samples and logbook, also while a run goes on. Only read, never written."""

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from genus.serve.errors import ApiError

__all__ = ["Runs"]

_MOST = 4 * 2**20  # bytes of metrics that one answer holds; the rest with the next
_SAMPLES = 50


class Runs:
    """The runs in some folders: a run itself, or a folder of runs."""

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self.folders = folders

    def listed(self) -> list[dict[str, Any]]:
        """All runs, the latest first."""
        return sorted((_described(name, path) for name, path in self._found().items()), key=lambda run: -run["updated"])

    def told(self, run: str, after: int = 0) -> dict[str, Any]:
        """What a run has said since the byte `after` of its metrics, with its logbook and latest samples."""
        if (path := self._found().get(run)) is None:
            raise ApiError(404, "there is no such run here", "run_not_found", "run")
        lines, offset = _lines(path / "metrics.jsonl", max(0, after))
        samples = _kept(_lines(path / "samples.jsonl", 0)[0])[-_SAMPLES:]
        logbook = path / "logbook.md"
        text = logbook.read_text("utf-8", errors="replace") if logbook.is_file() else ""
        return {**_described(run, path), "metrics": lines, "next": offset, "logbook": text, "samples": samples}

    def _found(self) -> dict[str, Path]:
        """Names of runs that stand here now; what a request names is compared with them."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            inside = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
            for path in (folder, *inside):
                if (path / "metrics.jsonl").is_file():
                    name = path.resolve().name
                    while name in found:
                        name += "'"
                    found[name] = path
        return found


def _described(name: str, path: Path) -> dict[str, Any]:
    metrics = path / "metrics.jsonl"
    kept = _kept(_lines(metrics, 0, tail=True)[0]) or _kept(_lines(metrics, 0)[0])
    begun = _begun(path)
    steps, stage = begun.get("steps"), begun.get("stage", "pretrain")
    step = kept[-1].get("step", 0) if kept else 0
    state = _state(path, isinstance(steps, int) and step >= steps)
    updated = int(metrics.stat().st_mtime)
    return {"id": name, "name": name, "stage": stage, "state": state, "step": step, "steps": steps, "updated": updated}


def _state(path: Path, complete: bool) -> Literal["running", "finished", "stopped"]:
    """A run holds the lock of its folder as long as it lives."""
    try:
        with (path / ".lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "running"
    except OSError:
        pass  # it was never locked
    return "finished" if complete else "stopped"


def _begun(path: Path) -> dict[str, Any]:
    """What a run wrote of itself when it began."""
    try:
        said = json.loads((path / "run.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _kept(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those of steps that the run left by going back to an earlier one (train/journal.py)."""
    return [each for each in lines if "abandoned" not in each]


def _lines(path: Path, after: int, tail: bool = False) -> tuple[list[dict[str, Any]], int]:
    """The whole lines of a file from a byte on, and the byte to go on from; with `tail`, of its last few only."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(after, size - 4096) if tail else min(after, size))
            if tail and file.tell():
                file.readline()
            start = file.tell()
            content = file.read(_MOST)
    except OSError:
        return [], after
    whole = content[: content.rfind(b"\n") + 1]
    found = []
    for line in whole.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # written just now, or damaged: a page shows what can be read
        if isinstance(said, dict):
            found.append(said)
    return found, start + len(whole)
