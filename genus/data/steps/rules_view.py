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


class Shapes(NamedTuple):
    """The words of a text. Kinds: 1, without letter or digit; 2, without letter; 3."""

    kinds: list[list[int]]
    """Of each kind, from 0 on, how many words it has, and how many characters these."""
    lengths: NDArray[np.int32]
    """Of each word its characters."""
    numbers: NDArray[np.uint64]
    """Of each word a number that is its own."""


class Text:
    """A text with its words and lines, which are found when a rule first asks."""

    __slots__ = ("_lines", "_repeated", "_shapes", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._lines: list[str] | None = None
        self._shapes: Shapes | None = None
        self._repeated: tuple[int, int] | None = None

    @property
    def shapes(self) -> Shapes:
        """What is known of each word."""
        if self._shapes is None:
            self._shapes = _shapes(self.text)
        return self._shapes

    @property
    def words(self) -> int:
        """How many words there are."""
        return len(self.shapes.lengths)

    @property
    def lines(self) -> list[str]:
        """The lines that are not blank."""
        if self._lines is None:
            self._lines = [line for line in self.text.split("\n") if line and not line.isspace()]
        return self._lines

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


def _shapes(text: str) -> Shapes:
    from genus.data.steps.loops import read_shapes  # here, since Numba takes longer to import than all else

    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    room = len(data) // 2 + 1
    totals, lengths, numbers = np.zeros((4, 2), np.int64), np.empty(room, np.int32), np.empty(room, np.uint64)
    count = read_shapes(data, _classes(), totals, lengths, numbers)
    return Shapes(totals.tolist(), lengths[:count], numbers[:count])


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
