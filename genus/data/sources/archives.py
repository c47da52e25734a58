"""Web archives: WARC files of responses, and WET files of their text. Each HTML or plain text page is a document.

Records are cut apart here, so that one with a wrong length, or a damaged gzip member, costs that record and not those after
it; fastwarc reads what is in a record. Requests, metadata and revisits are no documents and are passed over.
"""

import io
import re
from collections.abc import Iterator
from typing import Any

from genus.data.sources.document import Document, Dropped, Found, is_date, sound
from genus.data.sources.limits import Limits
from genus.data.sources.pages import decode_page
from genus.data.sources.piece import Piece
from genus.data.sources.text import cut_at_character
from genus.data.sources.unpack import Gunzip, Unpacked, unpacked

__all__ = ["read_archive"]

_HEADER = 2**16  # bytes; a record's own lines are a few hundred
_LENGTH = re.compile(rb"\r\nContent-Length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_NEXT = b"\nWARC/1."
_HTML = ("text/html", "application/xhtml+xml")


def read_archive(piece: Piece) -> Found:
    """A response, resource or conversion is one document, with its address in meta["url"]."""
    damage: list[str] = []
    with _opened(piece, damage) as file:
        for name, record in _records(file, piece.name, damage):
            found = record if isinstance(record, Dropped) else _document(record, name, piece.source)
            if found is not None:
                yield found
    yield from (Dropped(f"{piece.name}#lost{i}", "broken record", detail) for i, detail in enumerate(damage, 1))


def _opened(piece: Piece, damage: list[str]) -> io.BufferedReader:
    if piece.file.suffix.lower() != ".gz":
        return unpacked(piece.file)
    packed = Gunzip(piece.file.open("rb"), damage)
    return io.BufferedReader(Unpacked(packed, piece.size), 2**16)


def _records(file: io.BufferedReader, name: str, damage: list[str]) -> Iterator[tuple[str, bytes | Dropped]]:
    """The name and bytes of each record, or why it has none. A name is the offset in the unpacked archive."""
    window = _Window(file)
    while window.begin():
        record = f"{name}#{window.offset}"
        end = window.find(b"\r\n\r\n", _HEADER)
        length = _LENGTH.search(window.held, 0, end + 4) if end > 0 else None
        total = end + 4 + int(length[1]) if length else 0
        if total <= Limits.RECORD and total and window.ends_at(total):
            yield record, bytes(window.held[:total])
            window.skip(total)
            continue
        window.skip_to(_NEXT)
        if damage:
            yield record, Dropped(record, "broken record", damage.pop(0))
        elif total > Limits.RECORD:
            yield record, Dropped(record, "too long", f"{total} bytes by its own account, at most {Limits.RECORD}")
        else:
            yield record, Dropped(record, "broken record", "its length is wrong or missing" if end > 0 else "no header")


class _Window:
    """What is held of the unpacked archive: at most a record and a little more."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file, self.held, self.offset = file, bytearray(), 0

    def fill(self, size: int) -> bool:
        """Hold at least `size` bytes, where there are so many."""
        while len(self.held) < size and (more := self.file.read1(2**16)):
            self.held += more
        return len(self.held) >= size

    def skip(self, size: int) -> None:
        """Let go of the first `size` bytes."""
        del self.held[:size]
        self.offset += size

    def begin(self) -> bool:
        """Go past empty lines; whether anything follows."""
        while self.fill(1):
            blank = len(self.held) - len(self.held.lstrip(b"\r\n"))
            self.skip(blank)
            if self.held:
                return True
        return False

    def find(self, mark: bytes, within: int) -> int:
        """Where the mark is in a record's first `within` bytes, or -1; a record begins with WARC/1."""
        self.fill(within)
        return self.held.find(mark, 0, within) if self.held.startswith(_NEXT[1:]) else -1

    def ends_at(self, size: int) -> bool:
        """Whether a record of `size` bytes is whole and followed by another, or by the end."""
        self.fill(size + 16)
        after = bytes(self.held[size : size + 16])
        return len(self.held) >= size and (after.startswith(b"\r\n\r\n") or not after.strip(b"\r\n"))

    def skip_to(self, mark: bytes) -> None:
        """Go to just behind the first byte of the next mark, or to the end."""
        while (at := self.held.find(mark, 1)) < 0:
            self.skip(max(0, len(self.held) - len(mark)))
            if not self.fill(len(mark) + 2**16) and self.held.find(mark, 1) < 0:
                self.skip(len(self.held))
                return
        self.skip(at + 1)


def _document(raw: bytes, name: str, source: str) -> Document | Dropped | None:
    from fastwarc.warc import WarcRecord, conversion, resource, response

    try:
        record = WarcRecord.from_bytes(raw)
        if record.record_type not in (response, resource, conversion):
            return None
        if record.is_http:
            record.parse_http(auto_decode="transfer")  # with "all" it would unpack a bomb whole
        body = _body(record)
    except (OSError, ValueError) as error:
        return Dropped(name, "broken record", str(error)[:200])
    if len(body) > Limits.RECORD:
        return Dropped(name, "too long", f"its body expands to more than {Limits.RECORD} bytes")
    return _page(record, body, name, source)


def _body(record: Any) -> bytes:
    """The content, unpacked, up to a little more than a record may be. Raises OSError where it is not what it says."""
    from fastwarc.stream_io import BrotliReader, GzipReader, ZstdReader

    unpack = {
        "": lambda reader: reader,
        "br": BrotliReader,
        "deflate": lambda reader: GzipReader(reader, zlib=True),
        "gzip": GzipReader,
        "identity": lambda reader: reader,
        "x-gzip": GzipReader,
        "zstd": ZstdReader,
    }
    coding = (record.http_headers.get("Content-Encoding", "") if record.is_http else "").strip().lower()
    if coding not in unpack:
        raise ValueError(f"content coding {coding!a}")
    reader, body = unpack[coding](record.reader), bytearray()
    while len(body) <= Limits.RECORD and (more := reader.read(2**16)):
        body += more
    return bytes(body)


def _page(record: Any, body: bytes, name: str, source: str) -> Document | Dropped:
    url, kind = record.headers.get("WARC-Target-URI", ""), record.headers.get("Content-Type", "")
    if record.is_http:
        status = record.http_headers.status_code
        if status != 200:
            return Dropped(name, "not a page", f"HTTP status {status}: {sound(url)[:200]}")
        kind, declared = record.http_content_type or "", record.http_charset or ""
    else:
        charset = re.search(r"charset\s*=\s*[\"']?([\w:.+-]+)", kind, re.IGNORECASE)
        declared = charset[1] if charset else ""
    kind = kind.partition(";")[0].strip().lower()
    if kind not in (*_HTML, "text/plain"):
        return Dropped(name, "other format", f"{sound(kind)[:80] or 'no Content-Type'}: {sound(url)[:200]}")
    cut = record.headers.get("WARC-Truncated", "")
    text = decode_page(body[: cut_at_character(body)] if cut else body, declared, name)
    if isinstance(text, Dropped):
        return text
    date, languages = record.headers.get("WARC-Date", ""), record.headers.get("WARC-Identified-Content-Language", "")
    meta = {"url": url, "format": "html" if kind in _HTML else "", "truncated": cut, "identified languages": languages}
    meta = {key: sound(value) for key, value in meta.items() if value}
    identity = (record.record_id or "").strip("<>").removeprefix("urn:uuid:") or name
    return Document(sound(identity), text, source, date=date if is_date(date) else "", meta=meta)
