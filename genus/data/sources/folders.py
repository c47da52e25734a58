"""What a folder holds: a piece for every file, in a fixed order, also for those that are not read and why."""

import os
from collections.abc import Iterator
from pathlib import Path

from genus.data.sources.kinds import CODE, KINDS, kind_of
from genus.data.sources.piece import Piece, locate

__all__ = ["FORMATS", "file_piece", "folder_pieces"]

FORMATS = f"{', '.join(KINDS)} (also .gz and .zst, but of .parquet) and code of {len(CODE)} languages"
"""What is read, in words."""


def file_piece(path: Path, name: str, source: str) -> Piece:
    """The piece of a file of a kind that is read."""
    kind = kind_of(path.name)
    return Piece(kind=kind, name=name, source=source, path=locate(path.absolute()), size=path.stat().st_size)


def folder_pieces(root: Path, title: str) -> list[Piece]:
    """All files below `root`, in the order of their paths; documents say they are from `title`/path.

    Hidden ones are left alone; links are followed to files inside `root` only.
    """
    inside = root.resolve()
    unreadable: list[OSError] = []
    found = [_piece(path, _name(path, root), inside, title) for path in _entries(root, unreadable)]
    found += [_dropped(_name(Path(error.filename), root), "unreadable", str(error.strerror)) for error in unreadable]
    return sorted(found, key=lambda piece: piece.name.split("/"))


def _entries(root: Path, unreadable: list[OSError]) -> Iterator[Path]:
    for folder, below, files in os.walk(root, onerror=unreadable.append):
        below[:] = [name for name in below if not name.startswith(".")]
        links = [name for name in below if Path(folder, name).is_symlink()]  # os.walk does not follow them
        yield from (Path(folder, name) for name in (*links, *files) if not name.startswith("."))


def _name(path: Path, root: Path) -> str:
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _piece(path: Path, name: str, inside: Path, title: str) -> Piece:
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(inside):
            return _dropped(name, "link out of the folder", "links are followed only inside the folder")
        if path.is_dir():
            return _dropped(name, "link to a folder", "its files are read where they are")
        if not path.is_file():
            return _dropped(name, "other format", "not a file but a pipe, socket or device")
        if not kind_of(path.name):
            return _dropped(name, "other format", f"not {FORMATS}")
        return file_piece(path, name, f"{title}/{name}")
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other, before Python 3.13
        return _dropped(name, "unreadable", getattr(error, "strerror", None) or "a link that leads to itself")


def _dropped(name: str, reason: str, detail: str) -> Piece:
    return Piece(kind="dropped", name=name, reason=reason, detail=detail)
