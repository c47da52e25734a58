"""What a document says with a source: its sentences, and what each cites. Not for how a format writes either."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from genus.retrieve.cite.address import address, ended
from genus.retrieve.cite.sentences import sentences

__all__ = ["Block", "Claim", "Mark", "Reference", "Written", "claims_of", "first_of", "reference_of"]

_LONGEST = 2000  # characters of a claim or a title; what has no sentences is cut to what stands before its mark
_MOST = 20  # sources of a note, and titles of a source: each claim that cites it has them all
_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u4e00-\u9fff]{6}")  # writing whose words have no space between them
_URL = re.compile(r"https?://[^\s<>\"'|{}\[\]]+", re.IGNORECASE)
_QUOTED = re.compile(r'"([^"]{3,300})"|“([^”]{3,300})”|«([^»]{3,300})»')


@dataclass(frozen=True)
class Reference:
    """A source as the document names it: its address, what may be its title, and the words that stand there."""

    url: str = ""
    titles: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """Where a block cites: the linked words, or a point (start = end) where a note's number stood."""

    start: int
    end: int
    references: tuple[Reference, ...]


@dataclass
class Block:
    """A paragraph, an item or a cell: text without marks, and where they were."""

    text: str = ""
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True)
class Written:
    """A document as it was read. `problems` are citations that cannot be followed, such as a note that is not there."""

    title: str
    blocks: Sequence[Block]
    problems: Sequence[str] = ()

    @property
    def text(self) -> str:
        return "\n\n".join(block.text for block in self.blocks)


@dataclass(frozen=True)
class Claim:
    """A sentence and its sources, each named once."""

    number: int
    text: str
    references: tuple[Reference, ...]


def claims_of(written: Written) -> list[Claim]:
    """The sentences that cite, in order, numbered from 1."""
    found = (pair for block in written.blocks if block.marks for pair in _cited(block))
    return [Claim(number, text, references) for number, (text, references) in enumerate(found, 1)]


def reference_of(text: str, links: Sequence[tuple[str, str]] = ()) -> tuple[Reference, ...]:
    """Sources that a note names: its links (url, words), and addresses that stand in its text; else its text is a title.

    Where there is one source, quoted words and the whole note are taken for its title too.
    """
    said: dict[str, tuple[str, list[str]]] = {}  # by the address as it is compared: as it is written, and its links' words
    for url, link in (*links, *((ended(found), "") for found in _URL.findall(text))):
        key = address(url) or url
        titles = said.setdefault(key, (url, []))[1]
        if link and address(link) != key:
            titles.append(link[:_LONGEST])
    bare = " ".join(_URL.sub(" ", text).split()).strip(" .,;:<>()")[:_LONGEST]
    if len(said) > 1:
        return tuple(Reference(url, tuple(titles[:_MOST]), bare) for url, titles in said.values())
    quoted = [next(filter(None, groups)).strip(" .,") for groups in _QUOTED.findall(text)]
    url, own = next(iter(said.values()), ("", []))
    names = tuple(dict.fromkeys(filter(None, [*own[:_MOST], *quoted[:_MOST], bare])))
    return (Reference(url, names, bare or url),) if url or names else ()


def first_of(references: tuple[Reference, ...], note: str, problems: dict[str, None]) -> tuple[Reference, ...]:
    """The first sources of a note that may be cited anywhere; that it names more is added to the problems."""
    if len(references) > _MOST:
        problems[f"{note} names {len(references):,} sources, of which the first {_MOST} are checked"] = None
    return references[:_MOST]


def _cited(block: Block) -> Iterator[tuple[str, tuple[Reference, ...]]]:
    """Sentences with marks. A mark that follows a sentence is that sentence's; a link that says nothing cites nothing."""
    spans = list(sentences(block.text))
    marks = sorted(block.marks, key=lambda mark: mark.start)
    at = 0
    for place, (start, end) in enumerate(spans):
        following = spans[place + 1][0] if place + 1 < len(spans) else len(block.text) + 1
        own = []
        while at < len(marks) and (marks[at].start < following or marks[at].start == marks[at].end == following):
            own.append(marks[at])
            at += 1
        if own and _says(block.text, start, end, own):
            first = max(start, min(end, max(mark.end for mark in own)) - _LONGEST)
            text = " ".join(block.text[first : min(end, first + _LONGEST)].split())
            yield text, tuple(dict.fromkeys(reference for mark in own for reference in mark.references))


def _says(text: str, start: int, end: int, marks: Sequence[Mark]) -> bool:
    """Whether it has three words, and is not just the name of what it links to, as in a list of further reading."""
    words = outside = at = 0
    for match in _WORD.finditer(text, start, end):
        while at < len(marks) and marks[at].end <= match.start():
            at += 1
        words += 1
        outside += at == len(marks) or match.start() < marks[at].start
    ended = text[start:end].rstrip("\"'”’»)]").endswith((".", "!", "?", "。"))
    return (words >= 3 or bool(_UNSPACED.search(text, start, end))) and (bool(outside) or ended)
