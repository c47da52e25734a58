"""Gopher's rules on repetition within a document: lines, paragraphs and word n-grams. Not for what other documents repeat.

Most texts pass by a bound that costs less than the exact shares: an n-gram repeats only where n - 1 pairs of words in a row
do, and is no more frequent than the most frequent pair.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genus.data.steps.rules_view import Check, Drop, Text, at_most, first_broken, repeats

__all__ = ["GopherRepetition"]

_BETWEEN_PARAGRAPHS = re.compile(r"\n{2,}")
_SHORTEST = 5  # words in the shortest n-gram whose repeats are counted
_RUN = re.compile(b"\1{%d,}" % (_SHORTEST - 1))  # pairs in a row that occurred before


@dataclass(frozen=True, kw_only=True)
class GopherRepetition:
    """Gopher's rules on repetition (arXiv 2112.11446, appendix A.1.1, table A1).

    All shares of characters are of the whole text, white space too. A repeat is an item that is the same as an earlier one;
    the first is none. An n-gram is n words joined by single spaces; the most frequent one (of several, the first) counts
    with all its places, overlapping or not. Repeated n-grams are found from the first word to the last: one that has
    occurred counts with the characters of its words, and the search goes on behind it, so none counts twice.
    """

    most_lines: float = 0.3
    """Largest share of the lines that repeats."""
    most_paragraphs: float = 0.3
    """Largest share of the paragraphs, which stand between empty lines, that repeats."""
    most_line_characters: float = 0.2
    """Largest share of the characters in lines that repeat."""
    most_paragraph_characters: float = 0.2
    """Largest share of the characters in paragraphs that repeat."""
    most_frequent: tuple[float, ...] = (0.20, 0.18, 0.16)
    """Largest shares of the characters in the most frequent 2-gram, 3-gram and so on."""
    most_repeated: tuple[float, ...] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)
    """Largest shares of the characters in repeated 5-grams, 6-grams and so on."""

    def open(self) -> Check:
        """The check of these rules."""
        return first_broken(self._rules)

    def _rules(self, text: Text) -> Iterator[Drop | None]:
        if text.repeated_lines[0]:  # without it no paragraph repeats either
            yield from self._lines(text)
        if len(text.words) > 1:
            yield from self._n_grams(text)

    def _lines(self, text: Text) -> Iterator[Drop | None]:
        size = len(text.text)
        count, characters = text.repeated_lines
        yield at_most(self.most_lines, count / len(text.lines), "gopher: repeated lines", "of the lines")
        yield at_most(self.most_line_characters, characters / size, "gopher: characters in repeated lines", "of them")
        paragraphs = [part for part in _BETWEEN_PARAGRAPHS.split(text.text.strip()) if not part.isspace()]
        count, characters = repeats(paragraphs)
        reason = "gopher: repeated paragraphs"
        yield at_most(self.most_paragraphs, count / len(paragraphs), reason, "of the paragraphs")
        reason = "gopher: characters in repeated paragraphs"
        yield at_most(self.most_paragraph_characters, characters / size, reason, "of them")

    def _n_grams(self, text: Text) -> Iterator[Drop | None]:
        words, size, pairs = text.words, len(text.text), len(text.words) - 1
        earlier: dict[tuple[str, str], int] = {}
        first = np.fromiter(map(earlier.setdefault, pairwise(words), range(pairs)), np.intp, pairs)
        places = np.bincount(first)[first]  # of each pair, how many there are
        yield from self._frequent(text, places)
        runs = _runs(words, (first != np.arange(pairs)).tobytes())
        for n, limit in enumerate(self.most_repeated, _SHORTEST):
            runs = [(length, characters) for length, characters in runs if length >= n]
            if sum(characters for _, characters in runs) / size > limit:
                yield at_most(limit, repeated(words, n) / size, f"gopher: repeated {n}-grams", "of the characters")

    def _frequent(self, text: Text, places: NDArray[np.intp]) -> Iterator[Drop | None]:
        lengths, size = text.shapes[1], len(text.text)
        fewest, characters = places, lengths
        for n, limit in enumerate(self.most_frequent, 2):
            characters = characters[:-1] + lengths[n - 1 :] + 1
            if n > 2:
                fewest = np.minimum(fewest[:-1], places[n - 2 :])  # an n-gram has no more places than a pair in it
            if len(fewest) and int((fewest * characters).max()) / size > limit:
                yield at_most(limit, most_frequent(text.words, n) / size, f"gopher: frequent {n}-gram", "of the characters")


def most_frequent(words: list[str], n: int) -> int:
    """Characters in all places of the most frequent n-gram, joined by spaces; of several as frequent, the first."""
    counts = Counter(zip(*(words[offset:] for offset in range(n)), strict=False))
    if not counts:
        return 0
    gram = max(counts, key=counts.__getitem__)
    return counts[gram] * len(" ".join(gram))


def repeated(words: list[str], n: int) -> int:
    """Characters of words in n-grams that occurred before, none counted twice."""
    seen: set[tuple[str, ...]] = set()
    characters = place = 0
    while place <= len(words) - n:
        gram = tuple(words[place : place + n])
        if gram in seen:
            characters += len("".join(gram))
            place += n
        else:
            seen.add(gram)
            place += 1
    return characters


def _runs(words: list[str], again: bytes) -> list[tuple[int, int]]:
    """Words and characters of each stretch where every pair has occurred before, if it can hold the shortest n-gram."""
    spans = [match.span() for match in _RUN.finditer(again)]
    return [(end - start + 1, len("".join(words[start : end + 1]))) for start, end in spans]
