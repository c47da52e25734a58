"""A real `genus rank` for tests, in a process of its own on a free port."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.serve.running import KEY, ROOT, Running, _await_ready, _url

__all__ = ["KEY", "ranking"]


@contextlib.contextmanager
def ranking(log: Path, *arguments: str) -> Iterator[Running]:
    """`genus rank ARGUMENTS` until the block ends, however it ended in between."""
    command = [sys.executable, "-m", "genus.cli.main", "rank", *arguments, "--port", "0"]
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "GENUS_API_KEY": KEY}, stderr=written)
    try:
        found = Running(_url(process, log), KEY, (), "", str(log), process.pid)
        _await_ready(process, found)
        yield found
    finally:
        process.kill()
        process.wait()
