"""Python programs of others, each run behind a lock (lock.py), several at once; and the proof that the lock holds.

Nothing is run where a program could do any of what it must not: open a connection, start a process, send a signal, read or
write a file, take more memory than it may. The lock is tried with programs that do just that, first of all.
"""

import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError

__all__ = ["Limits", "Outcome", "Verdict", "check_lock", "run_all"]

Verdict = Literal["passed", "failed", "timed out", "out of memory", "refused", "output cut"]
"""passed: it came to its end. refused: it tried what the lock does not let it. All but the first count as failed."""

_LOCK = Path(__file__).with_name("lock.py")
_LEAST = 2**27  # bytes that a bare interpreter and what tests import fit in
_TOLD = 2000  # characters of a program's output that are kept: its end, where the error is


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use."""

    seconds: float = 3.0
    """Of the clock, from start to end; 3 as in the reference harness of HumanEval."""
    memory: int = 2**30
    """Bytes of address space."""
    output: int = 2**20
    """Bytes that it may print."""

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise GenusError(f"seconds = {self.seconds} is out of range; give a program more than 0 and at most 3600")
        if self.memory < _LEAST:
            raise GenusError(f"memory = {self.memory:,} bytes is less than Python itself takes; give {_LEAST:,} or more")


@dataclass(frozen=True)
class Outcome:
    """How a program ended, the end of what it printed, and the seconds it took."""

    verdict: Verdict
    output: str
    seconds: float


def run_all(programs: Sequence[str], limits: Limits = Limits(), jobs: int | None = None) -> list[Outcome]:
    """The outcome of each, in order; `jobs` at once, by default one for each core. Raises GenusError without a lock."""
    check_lock()
    pool = ThreadPoolExecutor(jobs or len(os.sched_getaffinity(0)))
    try:
        return list(pool.map(lambda program: _run(program, limits), programs))
    finally:
        pool.shutdown(cancel_futures=True)


@cache
def check_lock() -> None:
    """Raise GenusError where programs cannot be locked in, naming what one could do."""
    if not sys.platform.startswith("linux"):
        raise GenusError("programs cannot be locked in on this system; run this evaluation on Linux")
    limits = Limits(seconds=30, memory=2**28)
    fine = _run("import math, re, typing", limits)
    if fine.verdict != "passed":
        raise GenusError(f"no program runs behind the lock ({fine.output.strip()}); use a Python that was built whole")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file"
        file.write_text("private")
        possible = [deed for deed, program in _deeds(file, limits.memory) if _run(program, limits).verdict == "passed"]
    if possible:
        raise GenusError(
            f"programs cannot be locked in here, for they could {', '.join(possible)}; run this evaluation on a machine "
            "with seccomp and Landlock"
        )


def _deeds(file: Path, memory: int) -> Iterator[tuple[str, str]]:
    """What must not be done, and a program that comes to its end when it can be."""
    path = str(file)
    yield "open a connection", "import socket; socket.socket()"
    yield "start a process", "import os\nif not os.fork(): os._exit(0)"
    yield "start a program", "import subprocess, sys; subprocess.run([sys.executable, '-c', ''])"
    yield "send signals", f"import os; os.kill({os.getpid()}, 0)"
    yield "read files", f"open({path!r}).read()"
    yield "list folders", f"import os; os.listdir({str(file.parent)!r})"
    yield "change files", f"open({path!r}, 'r+')"
    yield "make files", f"open({path + '.new'!r}, 'x')"
    yield "remove files", f"import os; os.unlink({path!r})"
    yield "take memory without end", f"bytearray({memory})"


def _run(program: str, limits: Limits) -> Outcome:
    """One program. That it came to its end is told by a number that is printed there, and that is another for each.

    So an early exit does not pass. A program that means to cheat could still find the number in itself.
    """
    if "\0" in program:  # where some interpreters end the line, and go on
        return Outcome("failed", "a program cannot contain null bytes", 0.0)
    proof, lock = secrets.token_hex(16), secrets.token_hex(16)
    began = time.monotonic()
    with _start(f"{program}\n__import__('os').write(1, b'{proof}')\n", lock, limits) as process:
        printed, ended = _listen(process, began + limits.seconds, limits.output)
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
    seconds, said = time.monotonic() - began, printed.decode(errors="replace")
    if said.startswith(lock):
        raise GenusError(f"programs cannot be locked in here: {said.removeprefix(lock)}; run this evaluation elsewhere")
    passed = ended and process.returncode == 0 and proof in said
    output = said.replace(proof, "")
    return Outcome("passed" if passed else _verdict(process.returncode, ended, output, limits), output[-_TOLD:], seconds)


def _start(source: str, lock: str, limits: Limits) -> "subprocess.Popen[bytes]":
    """What the lock has to say for itself it says after `lock`. CPU seconds only matter once nobody looks at the clock."""
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))  # not a virtual environment's link
    asked = [lock, *map(str, (os.getpid(), int(limits.seconds) + 1, limits.memory))]
    with tempfile.TemporaryFile() as file:
        file.write(source.encode(errors="surrogatepass"))
        file.seek(0)
        return subprocess.Popen(
            [python, "-sPSB", str(_LOCK), *asked],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={},
            start_new_session=True,
            bufsize=0,
        )


def _listen(process: "subprocess.Popen[bytes]", until: float, most: int) -> tuple[bytes, bool]:
    """What a process prints, and whether it ended by itself before `until` and before it printed more than `most`."""
    assert process.stdout is not None
    printed, poll = bytearray(), select.poll()
    poll.register(process.stdout)
    while len(printed) <= most and (left := until - time.monotonic()) > 0:
        if poll.poll(left * 1000):
            piece = process.stdout.read(2**16)
            if not piece:
                process.wait()  # nobody else holds the other end
                return bytes(printed), True
            printed += piece
    return bytes(printed), False


def _verdict(code: int, ended: bool, output: str, limits: Limits) -> Verdict:
    """Of a program that did not pass."""
    if not ended:
        return "output cut" if len(output.encode()) > limits.output else "timed out"
    error = output.rstrip().rpartition("\n")[2]
    if code == 128 + signal.SIGKILL or error.startswith("MemoryError"):  # the system was out of it, or the program
        return "out of memory"
    if code == 128 + signal.SIGSYS or error.startswith("PermissionError") or "[Errno 38]" in error:
        return "refused"
    return "failed"
