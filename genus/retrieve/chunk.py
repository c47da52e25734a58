"""Documents as passages of 100 words, as Sphere and DPR cut them. Not for where documents or their titles are from."""

import re
import unicodedata
from collections.abc import Iterator

from genus.core.errors import GenusError
from genus.data.sources import Document, Dropped
from genus.retrieve.passage import Passage, hashed

__all__ = ["ID_BYTES", "check_document", "cut", "passages"]

ID_BYTES = 400
"""UTF-8 bytes of a document's id at most, so that a passage's fits any store's key."""
_WORDS = 100
_LONGEST = 6000  # characters of a passage, where tables have wide gaps; 100 words are some 600
_TITLE = 300  # characters kept
_URL = 2000
_SOURCE, _TAG = 4096, 64  # bytes kept of a source, and of a language or date: a Milvus takes no more
# Of scripts that put no blanks between words, two characters are taken for one; a word without end is cut too.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]{{1,2}}|[^\s{_UNSPACED}]{{1,60}}")


def passages(document: Document) -> Iterator[Passage]:
    """Its passages in order, numbered from 1: document.text[start:end] is the text, and title and url are those of meta.

    Each has 100 words, but the last two share evenly what is left. Raises GenusError as `check_document` does.
    """
    check_document(document.id)
    title = " ".join(document.meta.get("title", "").split())[:_TITLE]
    url = document.meta.get("url", "")[:_URL]
    facts = _first(document.source, _SOURCE), _first(document.language, _TAG), _first(document.date, _TAG)
    for number, (start, end) in enumerate(_spans(document.text), 1):
        text = document.text[start:end]
        yield Passage(
            f"{document.id}:{number}",
            document.id,
            number,
            title,
            text,
            start,
            end,
            hashed(title, text),
            url,
            *facts,
        )


def cut(item: Document | Dropped) -> list[Passage] | Dropped:
    """The passages of a document, one at least, or why there are none."""
    if isinstance(item, Dropped):
        return item
    try:
        return list(passages(item)) or Dropped(item.id, "empty", "no words in it")
    except GenusError as error:
        return Dropped(item.id, "bad id", str(error))


def check_document(name: str) -> str:
    """The id of a document. Raises GenusError where it is empty, longer than 400 bytes, or has control characters."""
    if not name.strip() or len(name.encode("utf-8", "replace")) > ID_BYTES:
        raise GenusError(f"a document's id has 1 to {ID_BYTES} bytes, not {name[:60]!a}; give it a shorter one")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in name):
        raise GenusError(f"the document's id {name[:60]!a} has control characters; give it one without")
    return name


def _first(text: str, most: int) -> str:
    """Its first characters, of so many UTF-8 bytes at most."""
    return text.encode("utf-8", "replace")[:most].decode(errors="ignore")


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each passage begins and ends."""
    held: list[tuple[int, int]] = []
    for word in _WORD.finditer(text):
        held.append(word.span())
        if len(held) > 2 * _WORDS:
            yield from _short(held[:_WORDS])
            del held[:_WORDS]
    half = len(held) if len(held) <= _WORDS else (len(held) + 1) // 2
    yield from _short(held[:half])
    yield from _short(held[half:])


def _short(words: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The span of words one after another, in parts where they lie too far apart."""
    while words:
        start = words[0][0]
        fit = next((place for place, (_, end) in enumerate(words) if end - start > _LONGEST), len(words))
        yield start, words[fit - 1][1]
        words = words[fit:]
