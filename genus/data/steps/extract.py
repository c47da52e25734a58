"""The text of a web page: what a reader came for, without menus and scripts, and the page's title.

Not for reading files or finding out their encoding: a page is a document whose meta["format"] is "html".
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from genus.data.sources import Document
from genus.data.steps.step import Fate

__all__ = ["Extract"]

# Tags as the HTML standard cuts them (section 13.2.5), since a page may be made to hang its reader: a ">" or "</div>" within
# quotes or a comment ends nothing. All repeats are possessive: each character is looked at once or twice.
_ATTRIBUTE = re.compile(
    r"""[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+"""
    r"""(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:"[^"]*+"?+|'[^']*+'?+|[^ \t\n\f\r>"'][^ \t\n\f\r>]*+)?+)?+"""
)
_TAG = re.compile(
    r"<!--(?:-?>|.*?--!?>|.*)|<(?:[!?]|/[^a-z>])[^>]*+>?"
    r"|<(?P<end>/?)(?P<name>[a-z][^ \t\n\f\r/>]*+)(?P<attributes>(?:[ \t\n\f\r/]++|" + _ATTRIBUTE.pattern + r")*+)>?",
    re.IGNORECASE | re.DOTALL,
)
_RAW = {
    name: re.compile(rf"</{name}(?=[ \t\n\f\r/>])", re.IGNORECASE)
    for name in ("iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp")
}
# These hold nothing, or end by themselves where the next of their kind begins.
_SHALLOW = frozenset(
    """area base body br caption col colgroup dd dt embed frame head hr html img input keygen li link meta optgroup option p
    param rb rp rt rtc source tbody td tfoot th thead tr track wbr""".split()  # noqa: SIM905
)
_DEEPEST = 512  # nested elements, as many as Chromium's parser makes
_WORK = 20_000_000  # ancestors of all elements: the time of extraction, a few seconds at most
_ATTRIBUTES = 1_000  # of one tag; parsing takes time in the square of it


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Turn HTML into text with resiliparse, as DCLM did (arXiv 2406.11794, section 4.2). Other documents pass."""

    main: bool = True
    """Keep only what looks like the main content: no menus, headers, footers and side bars."""
    links: bool = False
    """Write the addresses of links into the text."""
    largest: int = 20_000_000
    """Characters of HTML; a longer page is dropped."""

    def open(self) -> Callable[[Document], Fate]:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree

        def step(document: Document) -> Fate:
            if document.meta.get("format") != "html":
                return Fate(document)
            if trouble := self.trouble(document.text):
                return Fate(None, *trouble)
            # A lone half of a surrogate pair cannot be handed to the parser, which takes UTF-8.
            tree = HTMLTree.parse(document.text.encode("utf-8", "replace").decode())
            text = extract_plain_text(tree, main_content=self.main, links=self.links).strip()
            if not text:
                return Fate(None, "no text in the page", f"{len(document.text):,} characters of HTML")
            meta = {key: value for key, value in document.meta.items() if key != "format"}
            title = meta.get("title") or (tree.title or "").strip()
            return Fate(replace(document, text=text, meta=meta | ({"title": title} if title else {})))

        return step

    def trouble(self, html: str) -> tuple[str, str] | None:
        """Why the page is not parsed, as a reason and where it is; none where it is as pages are."""
        if len(html) > self.largest:
            return "page too large", f"{len(html):,} characters of HTML, at most {self.largest:,}"
        depth, work, attributes = _extremes(html)
        if depth > _DEEPEST:
            return "page nested too deep", f"more than {_DEEPEST} elements open at once"
        if work > _WORK:
            return "page nested too deep", f"more than {_WORK:,} ancestors of its elements, {depth} of one"
        if attributes > _ATTRIBUTES:
            return "tag with too many attributes", f"more than {_ATTRIBUTES:,} in one tag"
        return None


def _extremes(html: str) -> tuple[int, int, int]:
    """Most elements open at once, their sum over all elements, and most attributes in a tag; stops beyond a limit.

    The first two are not less than what the parser will have but for a small factor.
    """
    opened: Counter[str] = Counter()
    depth = deepest = work = most = at = 0
    while deepest <= _DEEPEST and work <= _WORK and most <= _ATTRIBUTES and (match := _TAG.search(html, at)):
        at = match.end()
        name = (match["name"] or "").lower()
        work += depth
        if len(match["attributes"] or "") > 2 * _ATTRIBUTES:  # an attribute takes two characters at least
            most = max(most, sum(1 for _ in _ATTRIBUTE.finditer(match["attributes"])))
        if not name or name in _SHALLOW:
            continue
        if match["end"]:
            depth -= opened[name] > 0
            opened[name] -= opened[name] > 0
        elif name in _RAW and not opened["svg"] and not opened["math"]:  # these have a script that is not raw
            ended = _RAW[name].search(html, at)
            at = ended.start() if ended else len(html)
        else:
            opened[name] += 1
            depth += 1
            deepest = max(deepest, depth)
    return deepest, work, most
