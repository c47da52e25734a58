"""Citations of Wikipedia's wikitext: <ref>, named and reused, templates {{cite ...}} and {{sfn}}, and external links."""

import re
from typing import TYPE_CHECKING, Any

from genus.core.errors import GenusError
from genus.data.sources.document import sound
from genus.retrieve.balanced import balanced
from genus.retrieve.cite.claims import Reference, Written, first_of, reference_of
from genus.retrieve.cite.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_wikitext"]

_BREAKS = frozenset({"li", "dt", "dd", "hr", "br", "table", "tr", "td", "th", "blockquote", "p", "div"})
_DROPPED = frozenset({"gallery", "math", "nowiki", "pre", "references", "score", "syntaxhighlight", "timeline"})
_SHORT = frozenset({"sfn", "sfnp", "sfnm", "harvnb", "harv", "harvtxt"})
_SHOWN = {"convert": slice(0, 2), "cvt": slice(0, 2), "lang": slice(1, 2), "nowrap": slice(0, 1), "nobr": slice(0, 1)}
_QUOTES = re.compile(r"'{2,5}")  # of bold and italics
_SYNTAX = re.compile(r"[\[\]{}<>&']")
_NAMESPACES = ("file:", "image:", "category:")


def read_wikitext(text: str, title: str) -> Written:
    """The paragraphs, items and cells of a page called `title`. Raises GenusError where mwparserfromhell is missing."""
    try:
        import mwparserfromhell
    except ImportError:
        raise GenusError("reading wikitext needs mwparserfromhell: pip install 'genus[wikipedia]'") from None
    code = mwparserfromhell.parse(balanced(text), skip_style_tags=True)
    page = _Page(code)
    page.walk(code.nodes)
    return Written(title, [block for draft in page.drafts if (block := draft.block()).text.strip()], list(page.problems))


class _Page:
    """What has been read of a page: its drafts, and the references that have names."""

    def __init__(self, code: Any) -> None:
        self.drafts = [Draft()]
        self.problems: dict[str, None] = {}
        self.named: dict[str, tuple[Reference, ...]] = {}
        self.books: dict[str, tuple[Reference, ...]] = {}
        for tag in code.ifilter_tags(matches=lambda node: _name(node.tag) == "ref"):
            if tag.has("name") and not tag.self_closing and tag.contents:
                self.named.setdefault(_value(tag, "name"), self._note(tag))
        for template in code.ifilter_templates(matches=lambda node: _name(node.name).startswith(("cite ", "citation"))):
            for key in _keys(template):
                self.books.setdefault(key, _sources([template]))

    def walk(self, nodes: "Sequence[Any]") -> None:
        """Add what stands there to the last draft, or to new ones."""
        from mwparserfromhell import nodes as kinds

        for node in nodes:
            match node:
                case kinds.Text():
                    self._text(str(node))
                case kinds.HTMLEntity():
                    self._text(sound(node.normalize()))  # &#xD800; is half a surrogate pair
                case kinds.Tag():
                    self._tag(node)
                case kinds.Template():
                    self._template(node)
                case kinds.Wikilink():
                    if not _name(node.title).startswith(_NAMESPACES):
                        self._text(_plain(node.text or node.title))
                case kinds.ExternalLink():
                    words = _plain(node.title or "")
                    self._cite(reference_of("", [(str(node.url).strip(), words)]), words)
                case kinds.Heading():
                    self.drafts.append(Draft())
                case _:
                    pass  # comments, and arguments of templates

    def _text(self, text: str) -> None:
        first, *rest = _QUOTES.sub("", text).split("\n\n")
        self.drafts[-1].pieces.append(first.replace("\n", " "))
        self.drafts += [Draft(each.replace("\n", " ")) for each in rest]

    def _tag(self, tag: Any) -> None:
        name = _name(tag.tag)
        if name == "ref":
            if tag.has("name") and (tag.self_closing or not tag.contents):
                self._named(_value(tag, "name"))
            else:
                self._cite(self._note(tag))
        elif name not in _DROPPED:
            self.drafts += [Draft()] if name in _BREAKS else []
            self.walk(tag.contents.nodes if tag.contents else ())
            self.drafts += [Draft()] if name in _BREAKS and tag.contents else []

    def _template(self, template: Any) -> None:
        name = _name(template.name)
        values = [str(each.value) for each in template.params if not each.showkey]
        if name.startswith(("cite ", "citation")):
            self._cite(_sources([template]))
        elif name in _SHORT:
            years = [place for place, value in enumerate(values) if value.strip()[:4].isdigit()]
            key = " ".join(each.strip().lower() for each in values[: years[0] + 1 if years else len(values)])
            self._cite(self.books.get(key) or reference_of(" ".join(values)))
        elif name == "r":
            for value in values:
                self._named(value.strip())
        elif name in _SHOWN:
            self._text(" ".join(_plain(value) for value in values[_SHOWN[name]]))

    def _note(self, tag: Any) -> tuple[Reference, ...]:
        name = f'<ref name="{_value(tag, "name")}">' if tag.has("name") else "a <ref>"
        return first_of(_sources(tag.contents), name, self.problems)

    def _named(self, name: str) -> None:
        if name in self.named:
            self._cite(self.named[name])
        else:
            self.problems[f'<ref name="{name}"/> is cited but not written'] = None

    def _cite(self, references: tuple[Reference, ...], words: str = "") -> None:
        draft = self.drafts[-1]
        start = len(draft.pieces)
        if words:
            self._text(words)
            draft.link(start, references)
        else:
            draft.note(start, references)


def _sources(code: Any) -> tuple[Reference, ...]:
    """What a reference names: each template's url and title; links and text where it has no template."""
    import mwparserfromhell

    code = code if hasattr(code, "ifilter_templates") else mwparserfromhell.wikicode.Wikicode(list(code))
    found = []
    for template in code.ifilter_templates(recursive=False):
        if _name(template.name).startswith(("cite ", "citation")):
            fields = {key: _field(template, key) for key in ("url", "archive-url", "chapter-url", "title", "chapter")}
            titles = tuple(filter(None, (fields["title"], fields["chapter"])))
            urls = list(filter(None, (fields["url"], fields["chapter-url"], fields["archive-url"])))
            found += [Reference(url, titles, fields["title"] or url) for url in urls[:1] or ([""] if titles else [])]
    if found:
        return tuple(found)
    links = [(str(link.url).strip(), _plain(link.title or "")) for link in code.ifilter_external_links()]
    return reference_of(_plain(code), links)


def _field(template: Any, key: str) -> str:
    return _plain(template.get(key).value) if template.has(key, ignore_empty=True) else ""


def _keys(template: Any) -> list[str]:
    """How {{sfn}} may name it: last names and year, in small letters."""
    names = []
    for number in range(1, 5):
        keys = (f"last{number}", f"author{number}-last", f"surname{number}", *(("last", "author") if number == 1 else ()))
        names += list(filter(None, (_field(template, key) for key in keys)))[:1]
    year = _field(template, "year") or _field(template, "date")[-4:]
    return [" ".join([*names, year]).lower()] if names and year else []


def _plain(code: Any) -> str:
    import mwparserfromhell

    text = str(code)
    return " ".join((sound(mwparserfromhell.parse(text).strip_code()) if _SYNTAX.search(text) else text).split())


def _value(tag: Any, key: str) -> str:
    return str(tag.get(key).value).strip()


def _name(code: Any) -> str:
    return str(code).strip().lower().replace("_", " ")
