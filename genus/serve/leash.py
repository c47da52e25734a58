"""`python -m genus.serve.leash COMMAND...` runs a command that ends with its input, and takes all that it started along.

For servers of others, which do not know by themselves that nobody needs them any more: whoever holds the other end of
this process's input may be killed at any moment, and nothing stays behind. It must lead a session of its own.
"""

import os
import signal
import subprocess
import sys
import threading

__all__ = ["main"]

_GRACE = 5.0  # seconds between asking to end and ending


def main(command: list[str]) -> None:
    """Run it until either end comes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # they are for what it started, which does not inherit this
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as child:
        threading.Thread(target=_let_go, args=(child,), daemon=True).start()
        child.wait()
    os.killpg(0, signal.SIGKILL)  # its workers, and this process with them


def _let_go(child: "subprocess.Popen[bytes]") -> None:
    while sys.stdin.buffer.read(1024):
        pass
    child.terminate()
    try:
        child.wait(_GRACE)
    finally:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
