"""Unpack a .zip or .tar of a model folder that a stranger packed: plain files under plain names, of a bounded size.

Everything else is refused and nothing is left out silently: a link, a device, a path upwards, a bomb.
"""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from genus.core.errors import GenusError

__all__ = ["ENDINGS", "unpack"]

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MEMBERS = 1000  # files and folders; a model of 1,000 shards would be 5 TB
_RATIO = 50  # unpacked to packed: trained weights hardly shrink, zeros shrink 1,000 times
_FLOOR = 10**7  # bytes that any archive may unpack to, because small text shrinks well


def unpack(archive: Path, folder: Path) -> None:
    """Unpack into `folder`, an empty one. Raises GenusError naming the member that is refused, before it is written."""
    room = min(shutil.disk_usage(folder).free, max(_FLOOR, _RATIO * archive.stat().st_size))
    seen: set[str] = set()
    try:
        members = _zip_members(archive) if archive.name.endswith(".zip") else _tar_members(archive)
        for name, size, content in members:
            room -= size
            _check(archive, name, seen, room)
            target = folder / name
            if content is None:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, 2**20)
    except (OSError, EOFError, ValueError, NotImplementedError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise GenusError(f"{archive} cannot be unpacked ({error}); download it again") from error


def _check(archive: Path, name: str, seen: set[str], room: int) -> None:
    path = PurePosixPath(name)
    plain = name.isprintable() and not set(name) & set('\\:*?"<>|') and len(name) <= 255
    if not plain or path.is_absolute() or ".." in path.parts:
        raise GenusError(f"{archive} holds {name[:80]!a}, which leads out of its folder or is no plain name; do not use it")
    if str(path).lower() in seen:
        raise GenusError(f"{archive} holds {name[:80]!a} twice; do not use it")
    seen.add(str(path).lower())
    if len(seen) > _MEMBERS or room < 0:
        what = f"more than {_MEMBERS} members" if len(seen) > _MEMBERS else "far more than its size, or than fits the disk"
        raise GenusError(f"{archive} unpacks to {what}; unpack it yourself if you trust it, and import the folder")


def _tar_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """(name, size, content) of each; content None is a folder. The sizes come before any byte is written."""
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            tarfile.data_filter(member, "/nonexistent")  # the library's own opinion, besides ours
            if not (member.isreg() or member.isdir()):
                raise _special(archive, member.name)
            yield member.name, member.size, tar.extractfile(member) if member.isreg() else None


def _zip_members(archive: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """As `_tar_members`. The library stops reading at the size that it announced, and compares the checksum."""
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or member.flag_bits & 1:
                raise _special(archive, member.filename)
            if member.is_dir():
                yield member.filename, 0, None
                continue
            with zipped.open(member) as content:
                yield member.filename, member.file_size, content


def _special(archive: Path, name: str) -> GenusError:
    return GenusError(f"{archive} holds {name[:80]!a}, a link, a device or an encrypted file; do not use it")
