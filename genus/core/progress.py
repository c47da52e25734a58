"""Progress of long work: a live bar on a terminal, plain lines elsewhere (logs, pipes, `--quiet`)."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["Update", "duration", "progress", "rate", "say", "set_quiet"]

_quiet = False
_PLAIN_EVERY = 15.0  # seconds between plain lines, so that a log of an hour stays readable

Update = Callable[[float, str], None]


def set_quiet(quiet: bool) -> None:
    """Silence bars and `say` for this process (`--quiet`)."""
    global _quiet  # noqa: PLW0603 - one process, one terminal
    _quiet = quiet


def say(line: str) -> None:
    """One line for the person, on standard error, so that standard output stays for results."""
    if not _quiet:
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more: no reason to lose hours of work
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42s, 3m05s, 2h10m."""
    minutes, whole = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole:02d}s" if minutes else f"{whole}s"


def rate(count: float, unit: str) -> str:
    """How many in a second as people say them: 12,345 tokens/s, 0.7 examples/s."""
    return f"{count:,.{0 if count >= 10 else 1}f} {unit}/s"


@contextlib.contextmanager
def progress(title: str, total: float, done: float = 0) -> Iterator[Update]:
    """Give `update(done, note)`; `done` counts towards `total` in any unit, `note` is a few words such as "loss 3.21"."""
    if _quiet:
        yield lambda _done, _note: None
    elif sys.stderr.isatty():
        yield from _bar(title, total, done)
    else:
        yield _plain(title, total, done)


def _bar(title: str, total: float, done: float) -> Iterator[Update]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=int(done), note="")
        yield lambda now, note: bar.update(task, completed=now, note=note)


def _plain(title: str, total: float, start: float) -> Update:
    began = last = time.monotonic()

    def update(done: float, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PLAIN_EVERY and done < total:
            return
        last = now
        rate = max(done - start, 0) / max(now - began, 1e-9)  # 0 where training went back before its start
        left = f" left {duration((total - done) / rate)}" if rate else ""
        say(f"{title}: {100 * done / max(total, 1e-9):.0f}% {note}{left}")

    return update
