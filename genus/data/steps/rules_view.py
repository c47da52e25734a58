"""What sets of rules share: a text's words and lines, found once, and how a rule says that it is broken.

Not for the rules themselves. A word is what stands between white space, `text.split()`, punctuation and all: the papers do
not say how they found words, and where a language puts no spaces between them no rule on words means much. A line is what
stands between "\\n", as it is, unless it is blank.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Check", "Drop", "Text", "at_least", "at_most", "first_broken", "repeats"]

_PLANES = 0x40000  # in the planes of Unicode behind these there are no letters, digits or spaces


class Drop(NamedTuple):
    """Why a document is not kept: the phrase that is counted, and its numbers beside the limit."""

    reason: str
    detail: str


@cache
def _classes() -> NDArray[np.uint8]:
    """Of each character 0 (white space), 1 (neither letter nor digit), 2 (digit) or 3 (letter)."""
    every = [chr(code) for code in range(_PLANES)]
    of = [np.fromiter(map(test, every), np.uint8, len(every)) for test in (str.isalnum, str.isalpha, str.isspace)]
    return (1 + of[0] + of[1]) * (1 - of[2])


class Text:
    """A text with its words and lines; what few rules need is found when one first asks."""

    __slots__ = ("_repeated", "_shapes", "lines", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.words = text.split()
        self.lines = [line for line in text.split("\n") if line and not line.isspace()]
        self._shapes: tuple[NDArray[np.uint8], NDArray[np.intp]] | None = None
        self._repeated: tuple[int, int] | None = None

    @property
    def shapes(self) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Of each word 1 (neither letter nor digit in it), 2 (no letter) or 3; and its length in characters."""
        if self._shapes is None:
            self._shapes = _shapes(self.text)
        return self._shapes

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


def _shapes(text: str) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    padded = np.zeros(len(codes) + 2, np.uint8)
    _classes().take(codes, out=padded[1:-1], mode="clip")
    inside = padded != 0
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    starts, ends = edges[::2], edges[1::2]
    return np.maximum.reduceat(padded[1:-1], starts) if len(starts) else padded[:0], ends - starts


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
