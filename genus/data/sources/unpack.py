"""Files opened as plain bytes, whatever they are compressed with, in bounded memory. Not for what the bytes mean.

A file that is damaged, or that expands without end, is read up to there and then raises `Broken`.
"""

import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, cast

from genus.data.sources.kinds import PACKED
from genus.data.sources.limits import Limits

__all__ = ["Broken", "Gunzip", "Unpacked", "unpacked"]

_MAGIC = b"\x1f\x8b\x08"
_CHUNK = 2**16


class Broken(Exception):  # noqa: N818 - a fact about a file, caught by its reader
    """A file cannot be read further: the `reason` and `detail` of what is dropped."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def unpacked(path: Path) -> io.BufferedReader:
    """The bytes of a file, unpacked by its suffix. Raises OSError where it cannot be opened; reading may raise Broken."""
    packing = PACKED.get(path.suffix.lower())
    if packing is None:
        return path.open("rb")
    file = path.open("rb")
    inner = Gunzip(file) if packing == "gzip" else _Zstandard(file)
    return io.BufferedReader(Unpacked(inner, path.stat().st_size), _CHUNK)


class Unpacked(io.RawIOBase):
    """What `inner` gives, up to what a file of `size` bytes may honestly expand to."""

    def __init__(self, inner: Any, size: int) -> None:
        self.inner, self.size = inner, size
        self.left = Limits.SLACK + Limits.EXPANSION * size

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As RawIOBase has it."""
        if self.left <= 0:
            raise Broken("expands too much", f"{self.size} bytes become more than {Limits.EXPANSION} times as many")
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.left -= len(data)
        return len(data)

    def close(self) -> None:
        """Close the file too."""
        if not self.closed:
            self.inner.close()
        super().close()


class Gunzip:
    """The members of a gzip file, one after another.

    Where there is a list `damage`, damage is noted there and reading goes on at the next member; else it raises Broken.
    """

    def __init__(self, file: BinaryIO, damage: list[str] | None = None) -> None:
        self.file, self.damage = file, damage
        self.packed, self.end = b"", 0  # read and not yet used; the offset in the file where it ends
        self.member: Any = None
        self.start = 0  # of the member

    def read(self, size: int) -> bytes:
        """At most `size` bytes, and b"" only at the end."""
        while self._fill():
            if self.member is None and not self._begin():
                continue
            try:
                data = self.member.decompress(self.packed, size)
            except zlib.error as error:
                self._damaged(str(error).removeprefix("Error -3 while decompressing data: "))
                self._seek_member()
                return b"\n"  # so that what follows begins a line, as records of an archive do
            self.packed = self.member.unused_data if self.member.eof else self.member.unconsumed_tail
            if self.member.eof:
                self.member = None
            if data:
                return bytes(data)
        if self.member is not None:
            self._damaged("cut short")
        return b""

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def _fill(self) -> bool:
        if not self.packed:
            self.packed = self.file.read(_CHUNK)
            self.end += len(self.packed)
        return bool(self.packed)

    def _begin(self) -> bool:
        self.packed = self.packed.lstrip(b"\0")  # tapes and some tools pad with zeros
        self.start = self.end - len(self.packed)
        self.member = zlib.decompressobj(31) if self.packed else None
        return bool(self.packed)

    def _damaged(self, why: str) -> None:
        self.member = None
        detail = f"gzip member at offset {self.start}: {why}"
        if self.damage is None:
            raise Broken("broken file", detail)
        self.damage.append(detail)

    def _seek_member(self) -> None:
        at = self.packed.find(_MAGIC, 1)  # from 1: at 0 may be the one that has just failed
        while at < 0:
            kept = self.packed[-2:]  # a mark may lie across two reads
            self.packed = b""
            if not self._fill():
                return
            self.packed = kept + self.packed
            at = self.packed.find(_MAGIC)
        self.packed = self.packed[at:]


class _Zstandard:
    def __init__(self, file: BinaryIO) -> None:
        from pyarrow import CompressedInputStream

        self.stream = CompressedInputStream(file, "zstd")

    def read(self, size: int) -> bytes:
        from pyarrow import ArrowException

        try:
            # What it has when it meets damage is lost, so it is asked for little.
            return cast(bytes, self.stream.read(min(size, 4096)))
        except (ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise Broken("broken file", str(error).splitlines()[0]) from error

    def close(self) -> None:
        self.stream.close()
