"""JSON records: one on each line (.jsonl), or a list of them (.json). One bad record is dropped, the next ones are read."""

import codecs
import json
from collections.abc import Iterator
from typing import BinaryIO

from genus.data.sources.document import Dropped, Found
from genus.data.sources.fields import document_of
from genus.data.sources.limits import Limits
from genus.data.sources.piece import Piece
from genus.data.sources.text import decode
from genus.data.sources.unpack import unpacked

__all__ = ["read_json_file", "read_jsonl"]

_DECODER = json.JSONDecoder()
_GOES_ON = ("", *"0123456789.eE+-")  # what may follow in the file on the first part of a number
_SHOWN = 100  # characters of a parser's message


def read_jsonl(piece: Piece) -> Found:
    """A line is one document."""
    with unpacked(piece.file) as file:
        yield from _lines(file, piece)


def read_json_file(piece: Piece) -> Found:
    """A list of records, or one record, or, as C4 names them, lines of records."""
    with unpacked(piece.file) as file:
        first = file.readline(Limits.RECORD)
        while first.strip() == b"" and first:
            first = file.readline(Limits.RECORD)
        lines = not first.lstrip(b"\xef\xbb\xbf \t").startswith(b"[") and isinstance(_value(first), dict)
    with unpacked(piece.file) as file:
        yield from (_lines if lines else _listed)(file, piece)


def _value(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _lines(file: BinaryIO, piece: Piece) -> Found:
    for number, (offset, raw, size) in enumerate(_raw_lines(file), 1):
        name, where = f"{piece.name}#{number}", f"line {number}"
        if size > len(raw):
            yield Dropped(name, "too long", f"{where}: {size} bytes, at most {Limits.RECORD}")
            continue
        line = decode(raw, offset, name)
        if isinstance(line, Dropped):
            if line.reason != "empty":  # blank lines separate records; they are not documents
                yield line
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Dropped(name, "bad JSON line", f"{where}: {str(error)[:_SHOWN]}")
            continue
        yield document_of(record, name, where, piece.source)


def _raw_lines(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Offset, bytes and size of each line; of one that is too long only the first bytes, so memory stays bounded."""
    offset = 0
    while raw := file.readline(Limits.RECORD):
        size, last = len(raw), raw
        while size >= Limits.RECORD and not last.endswith(b"\n") and (last := file.readline(Limits.PIECE)):
            size += len(last)
        yield offset, raw, size
        offset += size


def _listed(file: BinaryIO, piece: Piece) -> Found:
    """Values of a list, or one after another, in bounded memory. What follows a value that is not JSON is not read."""
    values = _Values(file)
    try:
        for number, value in enumerate(values, 1):
            yield document_of(value, f"{piece.name}#{number}", f"value {number}", piece.source)
    except UnicodeDecodeError as error:
        yield Dropped(piece.name, "invalid UTF-8", f"{error.reason} after offset {values.offset}")
    except (ValueError, RecursionError) as error:
        yield Dropped(piece.name, "bad JSON file", str(error)[:_SHOWN])


class _Values:
    """The values of a list in a file, parsed one at a time. Raises ValueError where it is not JSON or one is too long."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.decoder = file, codecs.getincrementaldecoder("utf-8-sig")()
        self.held, self.at = "", 0  # text, and where the next value begins in it
        self.offset, self.ended = 0, False

    def __iter__(self) -> Iterator[object]:
        listed = self._next() == "["
        self.at += listed
        while (character := self._next()) not in ("", "]"):
            yield self._parse()
            if listed and self._next() not in (",", "]"):
                raise ValueError(f"no comma or ] between values before offset {self.offset}")
            self.at += self._next() == ","
        if listed and character == "":
            raise ValueError(f"a list without end, {self.offset} bytes long")

    def _parse(self) -> object:
        while True:
            try:
                value, end = _DECODER.raw_decode(self.held, self.at)
                if self.ended or self.held[end : end + 1] not in _GOES_ON:
                    self.at = end
                    return value
            except ValueError:
                if self.ended:
                    raise
            if len(self.held) - self.at > Limits.RECORD:
                raise ValueError(f"a value longer than {Limits.RECORD} bytes before offset {self.offset}")
            self._more()

    def _next(self) -> str:
        """The next character that is not blank, or "" at the end."""
        while True:
            while self.at < len(self.held) and self.held[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.held) or self.ended:
                return self.held[self.at : self.at + 1]
            self._more()

    def _more(self) -> None:
        held = self.held[self.at :]
        raw = self.file.read(max(2**16, len(held)))  # twice as much each time, so that a value is tried few times
        self.held, self.at = held + self.decoder.decode(raw, final=not raw), 0
        self.offset, self.ended = self.offset + len(raw), not raw
