"""Rules on words and on how lines begin and end: Gopher's for quality, and FineWeb's. Not for repetition within a text.

A limit is the last value that is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from genus.data.steps.rules_view import Check, Drop, Text, at_least, at_most, first_broken

__all__ = ["FineWeb", "GopherQuality"]

_STOP_WORDS = "the be to of and that have with"
_BULLETS = ("-", "•")
_ELLIPSES = ("...", "…")
# The characters of the Basic Multilingual Plane with the property Sentence_Terminal (Unicode 17, PropList.txt).
_TERMINAL = frozenset(
    "!.?\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b\u1362\u1367"
    "\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8\u1aa9\u1aaa\u1aab\u1b4e\u1b4f\u1b5a\u1b5b\u1b5e"
    "\u1b5f\u1b7d\u1b7e\u1b7f\u1c3b\u1c3c\u1c7e\u1c7f\u2024\u203c\u203d\u2047\u2048\u2049\u2cf9\u2cfa\u2cfb\u2e2e\u2e3c"
    "\u2e53\u2e54\u2e60\u2e61\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d\uaa5e"
    "\uaa5f\uaaf0\uaaf1\uabeb\ufe12\ufe15\ufe16\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)


@cache
def _stop_words() -> NDArray[np.uint64]:
    return Text(_STOP_WORDS).shapes.numbers


@dataclass(frozen=True, kw_only=True)
class GopherQuality:
    """Gopher's rules for quality (arXiv 2112.11446, appendix A.1.1).

    Of our making: a word without letter or digit is not counted among the words, nor in their mean length; a bullet is "-"
    or "•", an ellipsis "..." or "…"; blank lines are not counted; a stop word counts once, and only in lower case.
    """

    least_words: int = 50
    """Fewest words."""
    most_words: int = 100_000
    """Most words."""
    least_mean_length: float = 3.0
    """Smallest mean length of a word, in characters."""
    most_mean_length: float = 10.0
    """Largest mean length of a word, in characters."""
    most_symbols: float = 0.1
    """Most "#" for each word, and most ellipses for each word."""
    most_bullets: float = 0.9
    """Largest share of the lines that begins with a bullet."""
    most_ellipses: float = 0.3
    """Largest share of the lines that ends in an ellipsis."""
    least_alphabetic: float = 0.8
    """Smallest share of the words, symbols too, that has a letter."""
    least_stop_words: int = 2
    """Fewest different ones of: the, be, to, of, and, that, have, with."""

    def open(self) -> Check:
        """The check of these rules."""
        return first_broken(self._rules)

    def _rules(self, text: Text) -> Iterator[Drop | None]:
        from genus.data.steps.loops import count_known  # here, since Numba takes longer to import than all else

        kinds, _, numbers = text.shapes
        count, characters = map(sum, zip(*kinds[2:], strict=True))
        yield at_least(self.least_words, count, "gopher: too few words", "words")
        yield at_most(self.most_words, count, "gopher: too many words", "words")
        mean = characters / (count or 1)
        yield at_least(self.least_mean_length, mean, "gopher: words too short", "characters a word")
        yield at_most(self.most_mean_length, mean, "gopher: words too long", "characters a word")
        alphabetic = kinds[3][0] / (text.words or 1)
        yield at_least(self.least_alphabetic, alphabetic, "gopher: too few words with letters", "of the words have a letter")
        yield from self._marks(text)
        stops = count_known(_stop_words(), numbers)
        yield at_least(self.least_stop_words, stops, "gopher: too few stop words", "stop words")

    def _marks(self, text: Text) -> Iterator[Drop | None]:
        words, lines = text.words or 1, len(text.lines) or 1
        hashes = text.text.count("#") / words
        yield at_most(self.most_symbols, hashes, "gopher: too many hashes", "hashes a word")
        ellipses = sum(map(text.text.count, _ELLIPSES))
        yield at_most(self.most_symbols, ellipses / words, "gopher: too many ellipses", "ellipses a word")
        if sum(map(text.text.count, _BULLETS)) / lines > self.most_bullets:  # no more lines than marks can begin with one
            share = sum(line.lstrip().startswith(_BULLETS) for line in text.lines) / lines
            yield at_most(self.most_bullets, share, "gopher: too many bullets", "of the lines begin with a bullet")
        if ellipses / lines > self.most_ellipses:
            share = sum(line.rstrip().endswith(_ELLIPSES) for line in text.lines) / lines
            yield at_most(self.most_ellipses, share, "gopher: too many lines cut short", "of the lines end in an ellipsis")


@dataclass(frozen=True, kw_only=True)
class FineWeb:
    """FineWeb's own rules (arXiv 2406.17557, section 3.6), found by comparing good with bad crawls.

    A line ends with punctuation when its last character ends a sentence in some script; closing quotes and trailing spaces
    are not looked behind. Departures: what is exactly at a limit is kept, and a short line may have the length given.
    FineWeb's code differs from the paper: it allows 0.01 repeated characters and 0.3 line breaks a word.
    """

    least_ended: float = 0.12
    """Smallest share of the lines that ends with punctuation."""
    most_short: float = 0.67
    """Largest share of the lines that is short."""
    short: int = 30
    """Characters in the longest line called short."""
    most_repeated: float = 0.1
    """Largest share of the characters, line breaks aside, in lines that are the same as an earlier one."""
    most_breaks: float | None = None
    """Most line breaks for each word; without it this is not looked at, as in the paper."""

    def open(self) -> Check:
        """The check of these rules."""
        return first_broken(self._rules)

    def _rules(self, text: Text) -> Iterator[Drop | None]:
        total = len(text.lines) or 1
        ended = sum([line[-1] in _TERMINAL for line in text.lines]) / total
        yield at_least(self.least_ended, ended, "fineweb: too few lines end with punctuation", "of the lines")
        short = sum([len(line) <= self.short for line in text.lines]) / total
        yield at_most(self.most_short, short, "fineweb: too many short lines", "of the lines")
        breaks = text.text.count("\n")
        repeated = text.repeated_lines[1] / (len(text.text) - breaks or 1)
        yield at_most(self.most_repeated, repeated, "fineweb: too many repeated lines", "of the characters")
        if self.most_breaks is not None:
            share = breaks / (text.words or 1)
            yield at_most(self.most_breaks, share, "fineweb: too many line breaks", "line breaks a word")
