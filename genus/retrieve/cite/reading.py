"""A file as what it says and cites, by its format; and a source as passages. Not for how a format writes citations."""

from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.data.sources import Dropped
from genus.data.sources.document import sound
from genus.data.sources.pages import decode_page
from genus.data.sources.text import decode
from genus.retrieve.chunk import cut
from genus.retrieve.cite.claims import Written
from genus.retrieve.documents import reading
from genus.retrieve.passage import Passage

__all__ = ["FORMATS", "Format", "read_cited", "read_source"]

Format = Literal["html", "markdown", "wikitext"]
FORMATS: dict[str, Format] = {
    ".htm": "html",
    ".html": "html",
    ".xhtml": "html",
    ".markdown": "markdown",
    ".md": "markdown",
    ".txt": "markdown",
    ".mediawiki": "wikitext",
    ".wiki": "wikitext",
    ".wikitext": "wikitext",
}
_LARGEST = 20_000_000  # bytes of a document; War and Peace has 3 million


def read_cited(path: Path, form: Format | None, title: str = "") -> Written:
    """A document with its citations, in a format or that of its name. Raises GenusError where it cannot be read."""
    form = form or FORMATS.get(path.suffix.lower())
    if form is None:
        raise GenusError(f"{path}: the format is not known by the name; give --format markdown, wikitext or html")
    raw = _bytes(path)
    text = decode_page(raw, "", path.name) if form == "html" else decode(raw, 0, path.name)
    if isinstance(text, Dropped):
        raise GenusError(f"{path}: {text.reason}, {text.detail}; save it as UTF-8 text")
    name = sound(path.stem)  # a name need not be UTF-8
    written = _read(text, form, title or name)
    return Written(title or written.title or name, written.blocks, written.problems)


def read_source(path: Path) -> list[Passage]:
    """The passages of a file of any format that `genus index` reads. Raises GenusError where there are none."""
    if not path.is_file():
        raise GenusError(f"{path} is no file; name the source's text, saved as a file (addresses are not fetched)")
    found: list[Passage] = []
    reasons = []
    for _, item in reading(str(path))[1]:
        mine = cut(item)
        if isinstance(mine, Dropped):
            reasons.append(f"{mine.reason}, {mine.detail}")
        else:
            found += mine
    if not found:
        raise GenusError(
            f"{path} has no text to check against ({'; '.join(reasons[:1]) or 'it is empty'}); name another file"
        )
    return found


def _read(text: str, form: Format, title: str) -> Written:
    match form:
        case "html":
            from genus.retrieve.cite.html import read_html

            return read_html(text, title)
        case "wikitext":
            from genus.retrieve.cite.wikitext import read_wikitext

            return read_wikitext(text, title)
        case "markdown":
            from genus.retrieve.cite.markdown import read_markdown

            return read_markdown(text)


def _bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise GenusError(f"{path} has {size:,} bytes, more than {_LARGEST:,}; check it in parts")
        return path.read_bytes()
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name a file that can") from error
