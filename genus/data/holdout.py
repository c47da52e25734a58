"""Which text is held out for validation: the newest documents, else a seeded choice, else the tail of each document.

Training must never see it, so the rule is decided once for the whole corpus, and is stated in words in its manifest.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from genus.core.errors import GenusError
from genus.data.sources import Document

__all__ = ["Facts", "Rule", "TooLittle", "choose"]

_LEAST = 100  # bytes; a validation loss over less text than this says nothing
_MANY = 20  # documents; with fewer, one document is already more than the usual share of 5%
_DAY = 10  # characters of a date that are its day
_DIGITS = 16  # hexadecimal, of a hash


class TooLittle(GenusError):  # noqa: N818 - as Stopped, it says what is so
    """There is not enough text to hold some out."""


Key = Callable[[str, str], tuple[str, str]]


class Facts(NamedTuple):
    """What the choice needs to know of a document: `size` in UTF-8 bytes."""

    id: str
    date: str
    size: int


@dataclass(frozen=True)
class Rule:
    """The rule that was chosen. Documents whose key reaches `cut` are held out; without a key, each gives its tail."""

    words: str
    share: float
    key: Key | None = None
    cut: tuple[str, str] = ("", "")

    def held(self, id: str, date: str) -> bool:
        """Whether a whole document is held out."""
        return self.key is not None and self.key(id, date) >= self.cut

    def split(self, document: Document) -> Iterator[tuple[str, Document]]:
        """The split or splits that a document goes to, with what each gets of it."""
        if self.key is not None:
            yield ("validation" if self.held(document.id, document.date) else "train"), document
            return
        at = _boundary(document.text, self.share)
        yield "train", replace(document, text=document.text[:at])
        if at < len(document.text):
            yield "validation", replace(document, id=f"{document.id}#tail", text=document.text[at:])


def choose(facts: Iterable[Facts], share: float, seed: int) -> Rule:
    """The rule that holds out about `share` of the bytes of these documents, never more than half of them.

    `facts` is gone through several times: a list, or what reads them anew. Memory holds 24 bytes for each document, or what
    is known of the documents of one day. Raises TooLittle when the share is too little text to measure a loss on.
    """
    total, count, dated = 0, 0, True
    for fact in facts:
        total, count, dated = total + fact.size, count + 1, dated and bool(fact.date)
    if total * share < _LEAST:
        need = int(_LEAST / share) + 1
        raise TooLittle(
            f"the corpus has {total:,} bytes of text, too little to hold out {share:.0%}; give at least {need:,} bytes"
        )
    if dated and (cut := _newest(facts, share * total, total / 2)):
        return Rule(f"the newest documents, from {cut[0]} on", share, _by_date, cut)
    if count >= _MANY and (cut := _luckiest(facts, _by_hash(seed), share * total, total / 2)):
        return Rule(f"documents chosen by a hash of seed {seed} and their id", share, _by_hash(seed), cut)
    return Rule("the tail of each document, cut at a paragraph, line or word", share)


def _newest(facts: Iterable[Facts], wanted: float, most: float) -> tuple[str, str] | None:
    """The least date and id held out when the newest are taken until there are as many bytes as wanted."""
    days: Counter[str] = Counter()
    for fact in facts:
        days[fact.date[:_DAY]] += fact.size
    taken = 0
    for day in sorted(days, reverse=True):
        if taken + days[day] >= wanted:
            break
        taken += days[day]
    for date, id, size in sorted(
        ((fact.date, fact.id, fact.size) for fact in facts if fact.date[:_DAY] == day), reverse=True
    ):
        taken += size
        if taken >= wanted:
            return (date, id) if taken <= most else None
    return None


def _luckiest(facts: Iterable[Facts], key: Key, wanted: float, most: float) -> tuple[str, str] | None:
    """The least key held out when documents are taken from the greatest down; of the key only its first 64 bits."""
    numbers, sizes = array("Q"), array("q")
    for fact in facts:
        numbers.append(int(key(fact.id, fact.date)[0][:_DIGITS], 16))
        sizes.append(fact.size)
    order = np.argsort(np.frombuffer(numbers, np.uint64))[::-1]
    taken = np.cumsum(np.frombuffer(sizes, np.int64)[order])
    last = int(np.searchsorted(taken, wanted))
    return (f"{numbers[order[last]]:0{_DIGITS}x}", "") if taken[last] <= most else None


def _by_date(name: str, date: str) -> tuple[str, str]:
    return date, name


def _by_hash(seed: int) -> Key:
    return lambda name, _date: (hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=16).hexdigest(), "")


def _boundary(text: str, share: float) -> int:
    """Where the tail begins: the last paragraph, else line, else word, of the second half before the share begins."""
    at = int(len(text) * (1 - share))
    for mark in ("\n\n", "\n", " "):
        cut = text.rfind(mark, len(text) // 2, at)
        if cut >= 0 and text[:cut].strip() and text[cut:].strip():
            return cut + len(mark)
    return len(text)
