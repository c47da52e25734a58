"""The exceptions that a user is meant to read. Anything else that escapes is a defect of Genus."""

__all__ = ["GenusError", "Stopped"]


class GenusError(Exception):
    """What was wrong and where, in one sentence, then the next step. The command line prints it without a traceback."""


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The user or the system asked a long command to stop, and it has saved its work. Exit code 130."""
