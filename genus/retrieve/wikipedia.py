"""Wikipedia dumps: the articles of NAME-pages-articles.xml.bz2 as plain text, read as a stream. Not for templates."""

import bz2
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from genus.core.errors import GenusError
from genus.data.sources import Document, Dropped, Found
from genus.data.sources.document import sound
from genus.retrieve.balanced import balanced

__all__ = ["is_dump", "plain", "read_dump"]

_LARGEST = 4 * 2**20  # characters of an article; Wikipedia itself takes 2 MiB
_FILE, _CATEGORY = "6", "14"  # namespaces whose links are no words of the text
_UNSEEN = ("File", "Image", "Category")  # what they are called in English, and understood everywhere
_SILENT = frozenset(("gallery", "imagemap", "math", "ref", "references", "score", "script", "style", "table", "timeline"))
_NAME = re.compile(r"pages-articles[^/]*\.xml(-p\d+p\d+)?(\.bz2)?$", re.IGNORECASE)
_QUOTES = re.compile(r"'{2,5}")  # bold and italics
_LINES, _SPACES = re.compile(r"\n{3,}"), re.compile(r"[ \t]{2,}")


def is_dump(name: str) -> bool:
    """Whether a file of this name is read as a dump."""
    return _NAME.search(name) is not None


def read_dump(path: Path) -> Found:
    """Each article as a document, with its title, address, date and language. Damage ends the file, and is told."""
    try:
        with bz2.open(path) if path.suffix.lower() == ".bz2" else path.open("rb") as file:
            yield from _articles(file)
    except (ElementTree.ParseError, EOFError, OSError, LookupError, ValueError) as error:  # the last two: its encoding
        yield Dropped(path.name, "broken file", str(error)[:200])


def plain(wikitext: str, unseen: tuple[str, ...] = _UNSEEN) -> str:
    """The words of wikitext, without templates, tables, references, and links into the namespaces `unseen`."""
    try:
        from mwparserfromhell import parse
    except ImportError:
        raise GenusError("wikitext needs mwparserfromhell; run: pip install 'genus[wikipedia]'") from None
    begins = tuple(f"{name.lower()}:" for name in unseen)
    text = _QUOTES.sub("", "".join(_words(parse(balanced(wikitext), skip_style_tags=True), begins)))
    return _LINES.sub("\n\n", _SPACES.sub(" ", text)).strip()


def _words(code: Any, unseen: tuple[str, ...]) -> Iterator[str]:
    """What of nodes a reader sees; the library's own strip_code leaves options of pictures and names of categories in."""
    from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Text, Wikilink

    for node in code.nodes if code else ():
        match node:
            case Text():
                yield node.value
            case HTMLEntity():
                yield node.normalize()
            case Wikilink() if not str(node.title).strip().lower().startswith(unseen):
                yield from _words(node.title if node.text is None else node.text, unseen)
            case ExternalLink() | Heading():
                yield from _words(node.title, unseen)
            case Tag() if str(node.tag).lower() not in _SILENT:
                yield from _words(node.contents, unseen)


def _articles(file: IO[bytes]) -> Found:
    site, root = _Site(), None
    for event, element in ElementTree.iterparse(file, ("start", "end")):
        root = element if root is None else root
        if event == "start":
            continue
        name = element.tag.rpartition("}")[2]
        if name == "siteinfo":
            site = _Site(element)
        if name != "page":
            continue
        found = site.article(element)
        if found is not None:
            yield found
        root.clear()  # what has been read takes no memory


class _Site:
    """Which wiki it is, and what its namespaces are called."""

    def __init__(self, info: ElementTree.Element | None = None) -> None:
        self.name = _text(info, "dbname") or "wiki"
        base = urlsplit(_text(info, "base"))
        self.root = f"{base.scheme}://{base.netloc}{base.path.rpartition('/')[0]}/" if base.netloc else ""
        self.language = base.netloc.partition(".")[0] if base.netloc.endswith("wikipedia.org") else ""
        spaces = () if info is None else info.iterfind(".//{*}namespace")
        self.unseen = (*_UNSEEN, *(each.text for each in spaces if each.text and each.get("key") in (_FILE, _CATEGORY)))

    def article(self, page: ElementTree.Element) -> Document | Dropped | None:
        """Pages of other namespaces and redirects are no articles."""
        if _text(page, "ns") != "0" or page.find("{*}redirect") is not None:
            return None
        title, wikitext = _text(page, "title"), _text(page, "revision/{*}text")
        name = f"{self.name}-{_text(page, 'id')}"
        if len(wikitext) > _LARGEST:
            return Dropped(name, "too long", f"{len(wikitext):,} characters, at most {_LARGEST:,}")
        text = sound(plain(wikitext, self.unseen))  # &#xD800; in wikitext is half a surrogate pair
        if not text:
            return Dropped(name, "empty", f"no text in {title}")
        date = _text(page, "revision/{*}timestamp")[:10]
        meta = {"title": title, "url": self.root and self.root + quote(title.replace(" ", "_"))}
        source = urlsplit(self.root).netloc or self.name
        return Document(name, text, source, date=date, language=self.language, meta=meta)


def _text(element: ElementTree.Element | None, path: str) -> str:
    return "" if element is None else (element.findtext("{*}" + path) or "").strip()
