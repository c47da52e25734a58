"""logbook.md of a run: what happened and when, in dated lines for a person to read. Lines are added, never changed.

Programs read metrics.jsonl (journal.py). Training needs nothing from here: where it cannot be written, training goes on.
"""

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError, Stopped
from genus.core.progress import duration, say

__all__ = ["Logbook", "circumstances", "entry", "environment", "last_end", "note", "quoted"]

_NAME = "logbook.md"
_ENTRY = re.compile(r"^(?:##|-) (\d{4}-\d\d-\d\dT\d\d:\d\dZ) (\w+)", re.MULTILINE)  # its time and its first word
_ENDS = ("end", "stopped", "failed")
_ASIDE = ("note", "evaluation")  # entries that are not the run's own


class Logbook:
    """The logbook of the run in `folder`, as earlier starts left it. `last` is the kind of their last entry, "" for none.

    One that is not `kept` is read and never written.
    """

    def __init__(self, folder: Path, kept: bool = True) -> None:
        self.path, self.kept = folder / _NAME, kept
        entries = _ENTRY.findall(_read(self.path))
        kinds = [kind for _, kind in entries if kind not in _ASIDE]
        self.last = kinds[-1] if kinds else ""
        self._when = entries[-1][0] if entries else ""
        self._told = False

    @contextlib.contextmanager
    def start(self, title: str, lines: list[str], totals: Callable[[], str]) -> Iterator[None]:
        """A section for one start, opened by `lines`; how the block ended is its last entry, `totals()` if it ended well."""
        lines = [*lines, *self._before()]
        heading = "" if self.last else "# Logbook\n"
        self._write(f"{heading}\n## {_now()} {title}\n\n" + "".join(f"- {_one_line(line)}\n" for line in lines) + "\n")
        try:
            yield
        except Stopped as stop:
            self.write("stopped", f"a signal asked for it; {stop}")
            raise
        except BaseException as error:
            self.write("failed", f"{type(error).__name__}: {error}")
            raise
        self.write("end", totals())

    def write(self, kind: str, text: str) -> None:
        """Add a dated line. Where that fails it is said once, and nothing is raised."""
        self._write(_line(kind, text))

    def _write(self, text: str) -> None:
        if not self.kept:
            return
        try:
            _append(self.path, text)
        except OSError as error:
            if not self._told:
                say(f"{self.path} could not be written ({error.strerror}); training goes on without those lines")
            self._told = True

    def _before(self) -> list[str]:
        """How the start before this one ended, where it left no word of it, and how long ago it last wrote."""
        lines = (
            []
            if self.last in ("", *_ENDS)
            else ["before: the last start did not end properly (killed, or the machine went down)"]
        )
        with contextlib.suppress(ValueError):  # none yet, or a date that somebody wrote by hand
            passed = datetime.now(UTC) - datetime.fromisoformat(self._when)
            lines.append(f"last entry: {self._when}, {duration(max(0.0, passed.total_seconds()))} ago")
        return lines


def note(folder: Path, text: str) -> None:
    """Add a person's line to the logbook of the run in `folder`. Raises GenusError where there is no logbook, or no text."""
    path = folder / _NAME
    if not path.is_file():
        raise GenusError(f"{folder} has no {_NAME}; name the folder of a run that `genus pretrain` has started")
    if not text.strip():
        raise GenusError('the note is empty; write a sentence, as in `genus report note runs/demo "lowered the rate"`')
    try:
        _append(path, _line("note", text))
    except OSError as error:
        raise GenusError(f"{path} could not be written ({error.strerror}); free space, or make it writable") from error


def entry(folder: Path, kind: str, text: str) -> None:
    """Add a line about the run in `folder` from outside; nothing where there is no logbook, or it cannot be written."""
    with contextlib.suppress(OSError):
        if (folder / _NAME).is_file():
            _append(folder / _NAME, _line(kind, text))


def last_end(folder: Path) -> str:
    """When the last start of the run in `folder` ended well, as its entry says; "" where it did not, or there is none."""
    found = [(when, kind) for when, kind in _ENTRY.findall(_read(folder / _NAME)) if kind not in _ASIDE]
    return found[-1][0] if found and found[-1][1] == "end" else ""


def circumstances(machine: dict[str, Any]) -> list[str]:
    """What a start ran as, from, on and with. `machine` is what `describe` of machine.py gives."""
    return [
        f"command: {quoted(shlex.join(sys.argv))}",
        f"commit: {_commit()}",
        f"machine: {machine['name']} ({machine['device']}, {machine['system']}), {machine['threads']} threads, "
        f"{machine['matmul_flops'] / 1e9:,.0f} GFLOP/s in a matrix product in {machine['precision']}",
        f"versions: genus {_version()}, torch {machine['torch']}, python {machine['python']}",
    ]


def environment(machine: dict[str, Any]) -> dict[str, Any]:
    """What a start ran with, to be compared with that of the start before (core.recipe's differences)."""
    return {
        "commit": _commit(),
        "genus": _version(),
        **{name: value for name, value in machine.items() if name != "matmul_flops"},  # measured anew, never twice the same
    }


def quoted(text: str) -> str:
    """Text of unknown content as Markdown code, in which nothing is markup."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"


def _commit() -> str:
    """The commit that the current directory is at, marked -dirty where tracked files differ from it.

    Git is to write nothing there, and to start no program that the repository's settings name.
    """
    command = "git --no-optional-locks -c core.fsmonitor=false describe --always --dirty --abbrev=40 --exclude=*"
    try:
        done = subprocess.run(
            command.split(), capture_output=True, stdin=subprocess.DEVNULL, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return "none (the current directory is in no git repository, or git is absent)"
    return done.stdout.strip()


def _version() -> str:
    try:
        return version("genus")
    except PackageNotFoundError:  # run from its source, not installed
        return "(not installed)"


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text("utf-8", errors="replace") if path.is_file() else ""
    return ""


def _append(path: Path, text: str) -> None:
    """Add whole lines, after a line break where a kill cut the last line short."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, 2)
            text = text if file.read(1) == b"\n" else f"\n{text}"
        file.write(text.encode("utf-8", errors="backslashreplace"))  # a command line may hold bytes that are no text


def _line(kind: str, text: str) -> str:
    return f"- {_now()} {kind}: {_one_line(text)}\n"


def _one_line(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()  # control characters would move a terminal's cursor


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
