"""Programs behind the lock: what they must not do, they cannot; what they may, they can; without a lock none is run."""

import contextlib
import ctypes
import os
import platform
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.evaluate.programs import running
from genus.evaluate.programs.running import Limits, check_lock, run_all

LIMITS = Limits(seconds=30, memory=2**28)  # time enough on a busy machine: none of these needs a second
FORBIDDEN = {
    "fork": "import os; os.fork()",
    "fork bomb": "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
    "thread": "import threading; threading.Thread(target=print).start()",
    "shell": "import os; os.system('true')",
    "subprocess": "import subprocess; subprocess.run(['true'])",
    "exec": "import os; os.execv('/bin/sh', ['sh'])",
    "socket": "import socket; socket.socket()",
    "connection": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    "unix socket": "import socket; socket.socketpair()",
    "quiet socket": "import socket\ntry: socket.socket()\nexcept BaseException: pass",
    "kill": f"import os; os.kill({os.getpid()}, 9)",
    "read": "open({path!r}).read()",
    "read low": "import os; os.open({path!r}, os.O_RDONLY)",
    "list": "import os; os.listdir({folder!r})",
    "passwords": "open('/etc/passwd').read()",
    "processes": "open('/proc/self/environ').read()",
    "write": "open({path!r}, 'w')",
    "quiet write": "try: open({path!r}, 'w')\nexcept BaseException: pass",
    "append": "open({path!r}, 'a').write('more')",
    "make": "open({path!r} + '.new', 'x')",
    "folder": "import os; os.mkdir({path!r} + '.new')",
    "remove": "import os; os.unlink({path!r})",
    "rename": "import os; os.rename({path!r}, {path!r} + '.new')",
    "link": "import os; os.symlink({path!r}, {path!r} + '.new')",
    "mode": "import os; os.chmod({path!r}, 0o777)",
    "truncate": "import os; os.truncate({path!r}, 0)",
    "temporary file": "import tempfile; tempfile.TemporaryFile()",
    "shared memory": "import multiprocessing.shared_memory as m; m.SharedMemory(create=True, size=2**30)",
    "machine code": "import ctypes\nif ctypes.CDLL(None).syscall(319, b'', 0) < 0: raise PermissionError",  # memfd_create
    "privilege": "import os; os.setuid(0)",
}
"""All end as refused; {path} is a file, and {folder} where it is."""
ENDLESS = (
    "while True: pass",
    "import time; time.sleep(1e6)",
    "import os\nos.close(1)\nos.close(2)\nimport time; time.sleep(1e6)",
)
FAILING = (
    "import sys; sys.exit(0)",
    "import sys; sys.exit(3)",
    "import os; os._exit(0)",
    "import os; os.abort()",
    "1 / 0",
    "assert False",
    "x = '",
    "x = 1 \\",
    "x = 1\0",
    "\ud800",
)
HONEST = """
import bisect, collections, copy, datetime, decimal, fractions, functools, hashlib, heapq, itertools, json, math, operator
import random, re, string, sys, typing
assert hashlib.md5(b"").hexdigest().startswith("d41d")
random.random(), datetime.datetime.now()
print("déjà vu", file=sys.stderr)
"""
DEEDS = (
    "open a connection, start a process, start a program, send signals, read files, list folders, change files, make files, "
    "remove files, take memory without end"
)


@pytest.fixture(autouse=True)
def _machine() -> None:
    """What the lock needs of a kernel. Where it is there, the lock must hold, and no test is skipped."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the lock is for Linux on x86_64 and aarch64")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(444), None, ctypes.c_long(0), ctypes.c_long(1)) < 1:
        pytest.skip(f"this kernel has no Landlock ({os.strerror(ctypes.get_errno())})")
    if "\nSeccomp:" not in Path("/proc/self/status").read_text():
        pytest.skip("this kernel has no seccomp")


def verdict(program: str, limits: Limits = LIMITS) -> str:
    return run_all([program], limits)[0].verdict


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_is_forbidden_is_refused(name, tmp_path):
    file = tmp_path / "private"
    file.write_text("a secret")
    program = FORBIDDEN[name].replace("{path!r}", repr(str(file))).replace("{folder!r}", repr(str(tmp_path)))
    (outcome,) = run_all([program], LIMITS)
    assert outcome.verdict == "refused", outcome.output
    assert "a secret" not in outcome.output
    assert file.read_text() == "a secret"
    assert list(tmp_path.iterdir()) == [file]


def test_memory_is_bounded():
    programs = ["x = bytearray(2**30)", "x = []\nwhile True: x.append(bytearray(2**20))", "'x' * 2**30"]
    assert [outcome.verdict for outcome in run_all(programs, LIMITS)] == ["out of memory"] * 3


@pytest.mark.parametrize("program", ENDLESS)
def test_time_is_bounded(program):
    (outcome,) = run_all([program], Limits(seconds=1))
    assert outcome.verdict == "timed out"


def test_a_gigabyte_of_print_is_cut_and_never_held():
    check_lock()
    tracemalloc.start()
    (outcome,) = run_all(["for _ in range(1000): print('x' * 10**6)"], LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcome.verdict == "output cut"
    assert len(outcome.output) == 2000
    assert peak < 2**24


@pytest.mark.parametrize("program", FAILING)
def test_only_a_program_that_comes_to_its_end_passes(program):
    assert verdict(program) == "failed"


def test_honest_programs_pass():
    assert verdict(HONEST) == "passed"


def test_nothing_of_the_environment_is_told(monkeypatch):
    monkeypatch.setenv("API_KEY", "a secret")
    (outcome,) = run_all(["import os, sys; print(dict(os.environ), sys.argv, os.getcwd())"], LIMITS)
    assert outcome.output == "{'PYTHONHASHSEED': '0'} ['-'] /\n"


def test_outcomes_are_in_order_and_the_same_each_time():
    programs = [f"print({number}, set('abcdefgh'))" if number % 3 else "assert 0" for number in range(12)]
    first, second = run_all(programs, LIMITS, jobs=4), run_all(programs, LIMITS, jobs=1)
    assert [each.output for each in first] == [each.output for each in second]
    assert [each.verdict for each in first] == ["passed" if number % 3 else "failed" for number in range(12)]
    assert [int(each.output.split()[0]) for each in first if each.verdict == "passed"] == [1, 2, 4, 5, 7, 8, 10, 11]


BLOCKING = """
import ctypes, struct
libc = ctypes.CDLL(None)
code = ((0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000))
kept = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code), 32)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("HP", 4, ctypes.addressof(kept)), 0, 0) == 0
from genus.core.errors import GenusError
from genus.evaluate.programs.running import Limits, check_lock, run_all
try:
    check_lock()
    programs = ["import socket; socket.socket()", "open('/etc/passwd')", "1"]
    print(*[each.verdict for each in run_all(programs, Limits(seconds=30))])
except GenusError as error:
    print(error)
"""
UNSHARING = "import ctypes; print(ctypes.CDLL(None).unshare(0x78000000))"
X86 = platform.machine() == "x86_64"


def without(call: int) -> str:
    """What comes of three programs on a kernel that refuses a system call."""
    asked = [sys.executable, "-c", BLOCKING.format(number=call)]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def test_the_lock_holds_without_namespaces():
    assert without(272 if X86 else 97) == "refused refused passed\n"


def test_namespaces_are_left_where_the_kernel_gives_new_ones():
    given = subprocess.run([sys.executable, "-c", UNSHARING], check=True, capture_output=True, text=True).stdout
    if given != "0\n":
        pytest.skip("this kernel gives no namespaces without root; the other walls hold (test above)")
    (outcome,) = run_all(["import os; print(os.getpid(), os.getppid(), os.getuid() == os.geteuid() == 65534)"], LIMITS)
    assert outcome.output == "1 0 True\n"


@pytest.mark.parametrize(
    ("call", "missing"), [(444, "Landlock"), (317 if X86 else 277, "seccomp"), (126 if X86 else 91, "privileges")]
)
def test_without_a_wall_nothing_is_run(call, missing):
    said = without(call)
    assert missing in said
    assert "cannot be locked in" in said
    assert said.count("\n") == 1


def test_a_lock_that_does_not_hold_is_found_out(monkeypatch, tmp_path):
    """The deeds are tried, whatever the lock says of itself."""
    open_lock = tmp_path / "lock.py"
    open_lock.write_text("import os, sys; os.execv(sys.executable, [sys.executable, '-sPSB', '-'])")
    monkeypatch.setattr(running, "_LOCK", open_lock)
    check_lock.cache_clear()
    with pytest.raises(GenusError) as raised:
        run_all(["open('/etc/passwd')"])
    assert f"they could {DEEDS};" in str(raised.value)


def test_an_interpreter_that_cannot_run_is_told(monkeypatch, tmp_path):
    broken = tmp_path / "lock.py"
    broken.write_text("import nothing_of_that_name")
    monkeypatch.setattr(running, "_LOCK", broken)
    check_lock.cache_clear()
    with pytest.raises(GenusError, match="no program runs behind the lock"):
        check_lock()


@pytest.mark.parametrize("fields", [{"seconds": 0}, {"seconds": float("nan")}, {"memory": 1000}])
def test_limits_that_no_program_can_keep_are_refused(fields):
    with pytest.raises(GenusError, match="give"):
        Limits(**fields)


def test_programs_die_with_genus():
    memory = 2**28 + 4096 * (os.getpid() % 1000)  # by which they are known
    code = (
        f"from genus.evaluate.programs.running import *; run_all(['while True: pass'], Limits(seconds=200, memory={memory}))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as genus:
        wait_until(lambda: limited_to(memory))
        genus.send_signal(signal.SIGKILL)
    wait_until(lambda: not limited_to(memory))


def limited_to(memory: int) -> list[Path]:
    """The running processes with that limit."""
    found = []
    for path in Path("/proc").glob("[0-9]*/limits"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [path] if f" {memory} " in path.read_text() else []
    return found


def wait_until(true) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come about in half a minute")
