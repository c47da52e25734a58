"""The one exception that a user is meant to read. Anything else that escapes is a defect of Genus."""

__all__ = ["GenusError"]


class GenusError(Exception):
    """What was wrong and where, in one sentence, then the next step. The command line prints it without a traceback."""
