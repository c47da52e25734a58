"""A part of a source that is read alone: what parallel readers share out, and what is done or not after a kill."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

__all__ = ["Piece", "locate"]

_BYTES = "file://"  # no path begins so: Path takes the second slash away


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A file, a packaged collection, or something found that is not used. All of it is text and numbers, as JSON has."""

    kind: str
    """One of the kinds of genus/data/sources/kinds.py, or "packaged", or "dropped"."""
    name: str
    """The path below the source, which no other piece of the source has; documents without an id are named after it."""
    source: str = ""
    """What a document is said to be from, where it does not say so itself."""
    path: str = ""
    """Where the file is, as an absolute path."""
    size: int = 0
    """Bytes as stored, compressed or not."""
    reason: str = ""
    """Of what is dropped: why."""
    detail: str = ""
    """Of what is dropped: where."""

    @property
    def file(self) -> Path:
        """`path` to open."""
        raw = self.path.removeprefix(_BYTES)
        return Path(raw if raw == self.path else os.fsdecode(unquote_to_bytes(raw)))


def locate(path: Path) -> str:
    """The `path` of a piece. A name that is not UTF-8 becomes a file:// address, since JSON and Parquet hold no bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return _BYTES + quote(os.fsencode(path))
    return str(path)
