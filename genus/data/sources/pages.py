"""Pages of HTML: bytes of any encoding to text. The text keeps its tags; taking the words out is a step's work."""

import re
from collections.abc import Iterator
from itertools import chain

from genus.data.sources.document import Document, Dropped, Found
from genus.data.sources.limits import Limits
from genus.data.sources.piece import Piece
from genus.data.sources.text import tidy
from genus.data.sources.unpack import unpacked

__all__ = ["decode_page", "read_html"]

_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_META = re.compile(rb"""<meta[^>]{1,200}charset\s*=\s*["']?\s*([\w:.+-]{2,40})""", re.IGNORECASE)
_XML = re.compile(rb"""<\?xml[^>]{1,200}encoding\s*=\s*["']([\w:.+-]{2,40})""", re.IGNORECASE)
# Encodings in which most sequences of bytes mean nothing, so that text that can be read in one is in it.
_OF_PAIRS = ("big5", "euc", "gb", "iso2022", "shift", "utf")
_PRESCAN = 4096  # bytes that are searched for what the page says of its encoding; the HTML standard asks for 1024


def read_html(piece: Piece) -> Found:
    """A file is one document, with meta["format"] = "html"."""
    with unpacked(piece.file) as file:
        raw = file.read(Limits.RECORD + 1)
    if len(raw) > Limits.RECORD:
        yield Dropped(piece.name, "too long", f"more than {Limits.RECORD} bytes")
        return
    text = decode_page(raw, "", piece.name)
    yield text if isinstance(text, Dropped) else Document(piece.name, text, piece.source, meta={"format": "html"})


def decode_page(raw: bytes, declared: str, name: str) -> str | Dropped:
    """The text of a page whose HTTP header declares the encoding `declared`, or "".

    A byte order mark decides. Then UTF-8 is tried before what is declared, since text of another encoding is hardly ever
    valid UTF-8; then what is declared; and what the bytes look like only where nothing is declared.
    """
    mark = next((mark for mark in _MARKS if raw.startswith(mark)), b"")
    problem = Dropped(name, "unknown encoding", f"{declared or 'none'} is declared")
    for coding in (_MARKS[mark],) if mark else _codings(raw, declared):
        if problem.reason == "mixed encodings" and not coding.startswith(_OF_PAIRS):
            continue
        try:
            text = raw.decode(coding)
        except LookupError:
            continue
        except UnicodeDecodeError as error:
            where = f"byte 0x{raw[error.start]:02x} at offset {error.start}"
            if coding == "utf-8":
                problem = Dropped(name, "mixed encodings" if _mostly_utf8(raw) else "invalid UTF-8", where)
            else:
                problem = Dropped(name, "unknown encoding", f"{where} is not {coding}")
            continue
        if (nul := text.find("\0")) >= 0:
            return Dropped(name, "binary file", f"NUL character at {nul}")
        return tidy(text) if text.strip("\ufeff \t\r\n") else Dropped(name, "empty", "no text in it")
    return problem


def _codings(raw: bytes, declared: str) -> Iterator[str]:
    # Encodings of seven bits, such as ISO-2022-JP, and UTF-16 may be valid UTF-8 too.
    narrow = b"\x1b" in raw or b"\0" in raw
    if not narrow:
        yield "utf-8"
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    inside = chain.from_iterable(pattern.findall(raw[:_PRESCAN]) for pattern in (_META, _XML))
    labels = (declared, *(label.decode("ascii", "replace") for label in inside))
    known = [coding for label in labels if label and (coding := map_encoding_to_html5(label, fallback_utf8=False))]
    yield from known[:1] or [detect_encoding(raw) or ""]
    if narrow:
        yield "utf-8"


def _mostly_utf8(raw: bytes) -> bool:
    """Whether more than half of the bytes above ASCII are valid UTF-8, so that one of single bytes would be wrong too."""
    valid = raw.decode("utf-8", "ignore")
    return 2 * (len(valid.encode()) - _ascii(valid)) > len(raw) - len(raw.decode("ascii", "ignore"))


def _ascii(text: str) -> int:
    return len(text.encode("ascii", "ignore"))
