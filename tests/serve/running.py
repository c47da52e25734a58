"""A real server for tests: `genus serve` in a process of its own on a free port, started and stopped as a person would."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["KEY", "ROOT", "Answer", "Running", "running"]

ROOT = Path(__file__).resolve().parents[2]
KEY = "gk-the-key-of-the-tests"


class Answer(NamedTuple):
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]  # names in lower case


@dataclass(frozen=True)
class Running:
    """A server that answers. `models` are the names it serves, the first its default; `folder` holds their folders."""

    url: str  # http://127.0.0.1:PORT, without a slash
    key: str
    models: tuple[str, ...]
    folder: str
    log: str  # the file of its standard error: what it says, and a line of JSON for each request
    pid: int

    def ask(self, method: str, path: str, body: Any = None, key: str | None = KEY) -> "Answer":
        """Any request, its answer whole. `body` is bytes, pieces of them, or what is sent as JSON."""
        host, port = self.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=120)
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        content = body if body is None or isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        with contextlib.closing(connection):
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()})

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET with the key."""
        answer = self.ask("GET", path, key=self.key)
        return answer.status, answer.text

    def figure(self, name: str, **labels: str) -> float:
        """One of /metrics, summed over the labels that are not given; 0 before it was counted."""
        found = re.findall(rf"^{re.escape(name)}(?:{{(.*)}})? (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for said, value in found if all(each in said for each in wanted))

    def wait_for(self, name: str, value: float, seconds: float = 10.0, **labels: str) -> None:
        """Until a figure of /metrics has a value."""
        end = time.monotonic() + seconds
        while (found := self.figure(name, **labels)) != value:
            assert time.monotonic() < end, f"{name} is {found}, not {value}"
            time.sleep(0.02)


@contextlib.contextmanager
def running(
    folders: tuple[Path, ...], log: Path, *flags: str, exit_code: int | None = 0, key: str = KEY
) -> Iterator[Running]:
    """`genus serve FOLDERS FLAGS` until the block ends, when SIGTERM must end it with `exit_code` (None: look at none)."""
    command = [sys.executable, "-m", "genus.cli.main", "serve", *map(str, folders), "--port", "0", *flags]
    with log.open("wb") as written:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "GENUS_API_KEY": KEY}, stderr=written)
    try:
        url = _url(process, log)
        root = str(folders[0].parent) if folders else ""
        found = Running(url, key, tuple(each.name for each in folders), root, str(log), process.pid)
        _await_ready(process, found)
        yield found
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        assert exit_code is None or code == exit_code, log.read_text()[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Where it says that it listens."""
    end = time.monotonic() + 120  # PyTorch is imported, on a machine that is busy
    while not (found := re.search(r"at (http://\S+:\d+)/", log.read_text())):
        assert process.poll() is None and time.monotonic() < end, log.read_text()
        time.sleep(0.05)
    return found[1]


def _await_ready(process: "subprocess.Popen[bytes]", found: Running) -> None:
    end = time.monotonic() + 120
    while json.loads(found.get("/ready")[1]).get("status") != "ready":
        assert process.poll() is None and time.monotonic() < end, Path(found.log).read_text()
        time.sleep(0.05)
