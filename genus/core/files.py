"""Files that are either whole or absent: atomic writes, folders that appear at once, locks, hashes.

Every write goes to a temporary name beside its target, is flushed to the disk, and is then renamed, so that a reader or
the next start never sees half of one, wherever the process was killed.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError

__all__ = [
    "locked",
    "new_folder",
    "read_json",
    "sha256",
    "sync_file",
    "sync_folder",
    "unique_keys",
    "write_bytes",
    "write_json",
    "write_text",
]


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` with `content` in one step; the old file stays whole if anything fails."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        _sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise _unwritable(path, error) from error


def write_text(path: Path, content: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """`write_bytes` of indented JSON. NaN is refused: it is not JSON, and a reader elsewhere would stumble."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises GenusError when it is missing, cut short, or says a thing twice."""
    try:
        return json.loads(path.read_text("utf-8"), object_pairs_hook=unique_keys)
    except FileNotFoundError:
        raise GenusError(f"{path} is missing; run the stage that makes it") from None
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name a file that can") from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a key twice, nested without end
        raise GenusError(f"{path} is not whole JSON ({error}); run the stage that makes it again") from None


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The `object_pairs_hook` of careful readers: of a key given twice, two programs may read different values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:80]!a} is given twice")
    return found


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; when the block ends well it is flushed and takes the place of `path` whole.

    If the block raises, `path` is untouched. An older `path` steps aside to `.NAME.old` first; when a kill falls between the
    two renames, the next call puts it back. A second process that makes the same folder gets a GenusError.
    """
    partial, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    lock = path.with_name(f".{path.name}.lock")
    with _held(lock, path):
        if old.exists() and not path.exists():
            old.rename(path)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            yield partial
            sync_folder(partial)
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)
                path.rename(old)
            partial.rename(path)
            _sync_directory(path.parent)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if old.exists() and not path.exists():
                old.rename(path)
            if not isinstance(error, OSError):
                raise
            raise _unwritable(path, error) from error
        finally:
            lock.unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; a second holder gets a GenusError. The lock ends with the process, even at kill -9."""
    with _held(folder / ".lock", folder):
        yield


@contextlib.contextmanager
def _held(lock: Path, target: Path) -> Iterator[None]:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("a+")
    except OSError as error:
        raise _unwritable(target, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise GenusError(
                f"{target} is in use by another run (process {holder}); wait for it, or choose another folder"
            ) from None
        with contextlib.suppress(OSError):  # the number is for people; a full disk is found where it matters
            file.truncate(0)
            os.write(file.fileno(), str(os.getpid()).encode())  # unbuffered: nothing is left to fail when it is closed
        yield


def _unwritable(path: Path, error: OSError) -> GenusError:
    return GenusError(f"{path} could not be written ({error.strerror or error}); free space or choose another folder")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Flush a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush every file of a folder, and the folder itself, to the disk."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sync_file(path)
        else:
            _sync_directory(path)
    _sync_directory(folder)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
