"""Citations of a web page: links to other sites, and notes, whose numbers lead to the place where the source is named."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from genus.core.errors import GenusError
from genus.data.steps.extract import Extract
from genus.retrieve.cite.claims import Reference, Written, first_of, reference_of
from genus.retrieve.cite.draft import Draft

if TYPE_CHECKING:
    from resiliparse.parse.html import ElementNode

__all__ = ["read_html"]

_BREAKS = frozenset(
    """address article aside blockquote body dd div dl dt fieldset figcaption figure h1 h2 h3 h4 h5 h6 hr li main ol p pre
    section table td th tr ul""".split()  # noqa: SIM905
)
_SKIPPED = frozenset(
    """audio button canvas footer form head iframe math nav noscript object script select style svg template textarea
    video""".split()  # noqa: SIM905
)
_LARGE = frozenset("article body figure h1 h2 h3 h4 h5 h6 main section table".split())  # noqa: SIM905
_LONGEST = 2000  # characters and tags of a note
_FURNITURE = frozenset({"mw-editsection", "mw-cite-backlink", "navbox"})
_YEAR = re.compile(r"\s*\d{4}\s*")
_NUMBER = re.compile(r"\s*[\[(]?\s*(\d{1,4}|[a-z]{1,2}|[*†‡§]|(?:note|nb) \d{1,4})\s*[\])]?\s*", re.IGNORECASE)
_LINK = re.compile(r"\s*https?://\S", re.IGNORECASE)


def read_html(text: str, title: str) -> Written:
    """The page's paragraphs, items and cells; `title` is for pages that have none. Scripts are never run.

    Raises GenusError for a page that is made to hang its reader.
    """
    from resiliparse.parse.html import HTMLTree

    if trouble := Extract().trouble(text):
        raise GenusError(f"{trouble[0]}: {trouble[1]}; check the page in parts")
    tree = HTMLTree.parse(text.encode("utf-8", "replace").decode())
    if not tree.body:
        return Written(title, [])
    page = _Page(tree.body, _own_site(tree.head))
    page.read(tree.body)
    heading = tree.body.query_selector("h1")
    title = " ".join((_words(heading) if heading else "").split()) or " ".join((tree.title or "").split()) or title
    return Written(title, [block for draft in page.drafts if (block := draft.block()).text.strip()], list(page.problems))


def _own_site(head: "ElementNode | None") -> str:
    """The host of the page, where it says so: links to it lead through the site, and are no sources."""
    link = head.query_selector('link[rel="canonical"]') if head else None
    return _host(link.getattr("href") or "") if link else ""


def _host(url: str) -> str:
    try:
        return (urlsplit(url.strip()).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


class _Page:
    """What has been read of a page: its drafts, and the places that notes lead to."""

    def __init__(self, body: "ElementNode", site: str) -> None:
        self.drafts = [Draft()]
        self.problems: dict[str, None] = {}
        self.site = site
        self.places: dict[str, ElementNode] = {}
        for node, entering in _walk(body):
            if (
                entering
                and not isinstance(node, str)
                and (name := node.getattr("id") or (node.tag == "a" and node.getattr("name")))
            ):
                self.places.setdefault(str(name), node)
        self.notes: dict[str, tuple[Reference, ...]] = {}

    def read(self, body: "ElementNode") -> None:
        """Fill the drafts. What a note led to before is a note, and no text of the page's own."""
        opened: list[tuple[Draft, int]] = []  # where links began
        for node, entering in _walk(body, self._skips):
            if isinstance(node, str):
                self.drafts[-1].pieces.append(node)
            elif node.tag == "br":
                self.drafts[-1].pieces += [" "] if entering else []
            elif node.tag in _BREAKS:
                self.drafts.append(Draft())
            elif node.tag == "a" and entering:
                opened.append((self.drafts[-1], len(self.drafts[-1].pieces)))
            elif node.tag == "a" and opened:
                draft, start = opened.pop()
                self._link(node, start if draft is self.drafts[-1] else 0)

    def _skips(self, node: "ElementNode") -> bool:
        return _hidden(node) or bool(self.notes.get(node.getattr("id") or ""))

    def _link(self, node: "ElementNode", start: int) -> None:
        """A link that ends here; a note's number is taken out of the text, that of a section or a figure is not."""
        draft = self.drafts[-1]
        words, href = draft.words(start), (node.getattr("href") or "").strip()
        in_sup = node.parent is not None and node.parent.tag == "sup"
        digits = any(map(str.isdigit, words))
        number = _NUMBER.fullmatch(words)
        if number and (in_sup or digits) and (place := self._place(href)):
            references = self._note(place)
            if references or in_sup or place not in self.places:
                draft.note(start, references)
        elif _LINK.match(href) and _host(href) != self.site:
            reference = Reference(href, tuple(filter(None, [node.getattr("title") or ""])), " ".join(words.split()))
            if number and digits and not _YEAR.fullmatch(words):
                draft.note(start, (reference,))
            else:
                draft.link(start, (reference,))

    def _place(self, href: str) -> str:
        """The place in this page that a link leads to, if to any. Where a browser saved the page, links to it are whole."""
        base, _, place = href.partition("#")
        place = place if place in self.places else unquote(place)
        here = not base or (place in self.places and (not self.site or _host(base) in ("", self.site)))
        return place if here else ""

    def _note(self, place: str) -> tuple[Reference, ...]:
        """What a note names; nothing where the place is no note."""
        if place not in self.places:
            self.problems[f"note #{place} is cited but not there"] = None
            return ()
        if place not in self.notes:
            node = self.places[place]
            self.notes[place] = first_of(self._sources(node), f"note #{place}", self.problems) if _brief(node) else ()
        return self.notes[place]

    def _sources(self, note: "ElementNode", hops: int = 1) -> tuple[Reference, ...]:
        """What a note names; one that only names a place in a list of books, that book."""
        links, further = [], ""
        for link in note.get_elements_by_tag_name("a"):
            href = (link.getattr("href") or "").strip()
            if place := self._place(href):
                further = place if place.startswith("CITEREF") and place in self.places else further
            elif _LINK.match(href) and _host(href) != self.site:
                links.append((href, " ".join(_words(link).split())))
        if further and not links and hops:
            return self._sources(self.places[further], hops - 1)
        words = " ".join(_words(note).split()).strip("^↑↩ ")
        if (
            len(links) > 1 and len({url for url, _ in links}) > 1
        ):  # the archive's copy, the publisher, the ISBN: the first names it
            links = links[:1]
        return reference_of(words, links)


def _brief(place: "ElementNode") -> bool:
    """Whether it may be a note: it has few words, and no heading, table or figure."""
    length = 0
    for node, _ in _walk(place, _hidden):
        length += len(node) if isinstance(node, str) else 1
        if length > _LONGEST or (not isinstance(node, str) and node.tag in _LARGE):
            return False
    return True


def _words(node: "ElementNode") -> str:
    """All text of a node but for scripts, styles and ways back."""
    return "".join(each for each, _ in _walk(node, _hidden) if isinstance(each, str))


def _hidden(node: "ElementNode") -> bool:
    return node.tag in _SKIPPED or bool(_FURNITURE.intersection((node.getattr("class") or "").split()))


def _walk(
    root: "ElementNode", skips: "Callable[[ElementNode], bool]" = lambda _: False
) -> Iterator["tuple[ElementNode | str, bool]"]:
    """Elements as they are entered (true) and left, and texts, in order; without recursion.

    From sibling to sibling: a list of child nodes takes time in the square of their number.
    """
    from resiliparse.parse.html import NodeType

    opened = []
    node: Any = root  # with texts and comments, which the library types apart
    while node is not None:
        if node.type == NodeType.TEXT:
            yield node.value or "", True
        elif node.type == NodeType.ELEMENT and not skips(node):
            yield node, True
            opened.append(node)
            if node.first_child is not None:
                node = node.first_child
                continue
            yield opened.pop(), False
        while node is not root and node.next is None and opened:
            node = opened.pop()
            yield node, False
        node = node.next if node is not root else None
