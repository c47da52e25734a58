"""Standard input as a text."""

import sys

from genus.core.errors import GenusError

__all__ = ["read_input"]


def read_input() -> str:
    """All of it. Raises GenusError where it is not UTF-8."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise GenusError(f"standard input is not UTF-8 (byte {error.start}); convert it first") from error
