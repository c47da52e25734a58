"""A passage of a document, and a passage that was found. Not for how documents are cut, nor for where passages are kept."""

import hashlib
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Hit", "Passage", "hashed", "in_one_line"]

_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Passage:
    """Characters `start` to `end` of a document's text. `id` is the document's and the passage's number in it.

    `sha256` is that of title and text: a passage whose id and sha256 are known needs neither encoding nor writing again.
    """

    id: str
    document: str
    number: int
    title: str
    text: str
    start: int
    end: int
    sha256: str
    url: str = ""
    source: str = ""
    language: str = ""
    date: str = ""


class Hit(NamedTuple):
    """A passage found, and how well it fits: more is better, comparable within one search only."""

    passage: Passage
    score: float


def hashed(title: str, text: str) -> str:
    """What tells whether a passage has changed."""
    return hashlib.sha256(f"{title}\0{text}".encode()).hexdigest()


def in_one_line(text: str) -> str:
    """A text without control characters and signs of direction, by which it could write anywhere on a terminal."""
    bad = {"Cc", "Cs", "Zl", "Zp"}  # Cs: half a surrogate pair, which no tokenizer reads
    kept = (" " if unicodedata.category(each) in bad or each in _DIRECTIONS else each for each in text)
    return " ".join("".join(kept).split())
