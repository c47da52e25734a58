"""Plain text and source code: files that are text as they stand, in UTF-8. Not for text inside another format."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import BinaryIO

from genus.data.sources.document import Document, Dropped, Found
from genus.data.sources.kinds import language_of
from genus.data.sources.limits import Limits
from genus.data.sources.piece import Piece
from genus.data.sources.unpack import unpacked

__all__ = ["cut_at_character", "decode", "read_code", "read_text", "tidy"]


def read_text(piece: Piece) -> Found:
    """A text file is one document, or several `NAME#1`, `NAME#2` when it is too large to hold at once."""
    return _documents(piece, {})


def read_code(piece: Piece) -> Found:
    """As `read_text`, with the programming language in meta["code"]."""
    return _documents(piece, {"code": language_of(piece.name)})


def _documents(piece: Piece, meta: dict[str, str]) -> Found:
    offset = 0
    with unpacked(piece.file) as file:
        parts = _parts(file)
        first = list(islice(parts, 2)) or [b""]
        for number, raw in enumerate(chain(first, parts), 1):
            name = piece.name if len(first) == 1 else f"{piece.name}#{number}"
            text = decode(raw, offset, name)
            yield text if isinstance(text, Dropped) else Document(name, text, piece.source, meta=dict(meta))
            offset += len(raw)


def _parts(file: BinaryIO) -> Iterator[bytes]:
    """The file in parts that end with a line; or with a character, where a line has no end in sight."""
    rest = b""
    while raw := rest + file.read(Limits.PIECE) + file.readline(Limits.PIECE):
        end = len(raw) if raw.endswith(b"\n") or len(raw) < 2 * Limits.PIECE else cut_at_character(raw)
        yield raw[:end]
        rest = raw[end:]


def cut_at_character(raw: bytes) -> int:
    """How many bytes to take of `raw` so that no UTF-8 character is cut."""
    for back in range(1, min(4, len(raw)) + 1):
        if raw[-back] & 0xC0 != 0x80:  # not a byte that goes on with a character
            needed = 1 if raw[-back] < 0xC0 else 2 if raw[-back] < 0xE0 else 3 if raw[-back] < 0xF0 else 4
            return len(raw) - back if needed > back else len(raw)
    return len(raw)


def decode(raw: bytes, offset: int, name: str) -> str | Dropped:
    """Text without byte order mark or carriage returns; `offset` is where `raw` begins in its file, for the message."""
    if (nul := raw.find(0)) >= 0:
        return Dropped(name, "binary file", f"NUL byte at offset {offset + nul}; if it is UTF-16 text, save it as UTF-8")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return Dropped(name, "invalid UTF-8", f"byte 0x{raw[error.start]:02x} at offset {offset + error.start}")
    return tidy(text) if text.strip("\ufeff \t\r\n") else Dropped(name, "empty", "no text in it")


def tidy(text: str) -> str:
    """Without byte order mark or carriage returns."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")
