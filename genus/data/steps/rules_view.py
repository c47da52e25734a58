"""What sets of rules share: a text's words and lines, found once, and how a rule says that it is broken.

Not for the rules themselves. A word is what stands between white space, `text.split()`, punctuation and all: the papers do
not say how they found words, and where a language puts no spaces between them no rule on words means much. A line is what
stands between "\\n", as it is, unless it is blank.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["Check", "Drop", "Text", "at_least", "at_most", "first_broken", "repeats"]

_KNOWN = 200_000  # words whose kind is remembered, about 20 MB
_LONG = 40  # characters; longer words seldom come again


class Drop(NamedTuple):
    """Why a document is not kept: the phrase that is counted, and its numbers beside the limit."""

    reason: str
    detail: str


class _Kinds(dict[str, int]):
    """Of a word 0 when it has neither letter nor digit, 1 when it has no letter, else 2."""

    def __missing__(self, word: str) -> int:
        kind = 2 if any(map(str.isalpha, word)) else int(any(map(str.isalnum, word)))
        if len(word) <= _LONG:
            if len(self) >= _KNOWN:
                self.clear()
            self[word] = kind
        return kind


_KINDS = _Kinds()  # remembers only what the word alone decides, so no document's fate depends on what came before


class Text:
    """A text with its words and lines; what few rules need is found when one first asks."""

    __slots__ = ("_kinds", "_repeated", "lines", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = text.split()
        self.lines = [line for line in text.split("\n") if line and not line.isspace()]
        self._kinds: bytes | None = None
        self._repeated: tuple[int, int] | None = None

    @property
    def kinds(self) -> bytes:
        """Of each word 0 (neither letter nor digit in it), 1 (no letter) or 2."""
        if self._kinds is None:
            self._kinds = bytes(map(_KINDS.__getitem__, self.words))
        return self._kinds

    @property
    def repeated_lines(self) -> tuple[int, int]:
        """How many lines are the same as an earlier one, and their characters."""
        if self._repeated is None:
            self._repeated = repeats(self.lines)
        return self._repeated


Check = Callable[[Text], Text | Drop]


def repeats(items: list[str]) -> tuple[int, int]:
    """How many items are the same as an earlier one, and their characters."""
    once = set(items)
    if len(once) == len(items):
        return 0, 0
    return len(items) - len(once), sum(map(len, items)) - sum(map(len, once))


def at_least(limit: float, value: float, reason: str, what: str) -> Drop | None:
    """Nothing, or that `value` is below the limit; `what` it counts comes after the number."""
    return None if value >= limit else Drop(reason, f"{_number(value)} {what}, at least {limit:,}")


def at_most(limit: float, value: float, reason: str, what: str) -> Drop | None:
    """Nothing, or that `value` is above the limit; `what` it counts comes after the number."""
    return None if value <= limit else Drop(reason, f"{_number(value)} {what}, at most {limit:,}")


def first_broken(rules: Callable[[Text], Iterator[Drop | None]]) -> Check:
    """A check of the rules in the order in which `rules` tries them; those after the first broken one cost nothing."""

    def check(text: Text) -> Text | Drop:
        for drop in rules(text):
            if drop is not None:
                return drop
        return text

    return check


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
