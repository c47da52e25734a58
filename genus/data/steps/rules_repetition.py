"""Gopher's rules on repetition within a document: lines, paragraphs and word n-grams. Not for what other documents repeat.

An n-gram is told from another by a number of 64 bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from genus.data.steps.rules_view import Check, Drop, Text, at_most, first_broken, repeats

__all__ = ["GopherRepetition"]

_SHORTEST = 5  # words in the shortest n-gram whose repeats are counted


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
        if text.words > 1:
            yield from self._n_grams(text)

    def _lines(self, text: Text) -> Iterator[Drop | None]:
        size = len(text.text)
        count, characters = text.repeated_lines
        yield at_most(self.most_lines, count / len(text.lines), "gopher: repeated lines", "of the lines")
        yield at_most(self.most_line_characters, characters / size, "gopher: characters in repeated lines", "of them")
        parts = (part.lstrip("\n") for part in text.text.strip().split("\n\n"))
        paragraphs = [part for part in parts if part and not part.isspace()]
        count, characters = repeats(paragraphs)
        reason = "gopher: repeated paragraphs"
        yield at_most(self.most_paragraphs, count / len(paragraphs), reason, "of the paragraphs")
        reason = "gopher: characters in repeated paragraphs"
        yield at_most(self.most_paragraph_characters, characters / size, reason, "of them")

    def _n_grams(self, text: Text) -> Iterator[Drop | None]:
        from genus.data.steps.loops import most_frequent, repeated  # here, since Numba takes longer to import than all else

        (_, lengths, numbers), size = text.shapes, len(text.text)
        for n, limit in enumerate(self.most_frequent, 2):
            share = most_frequent(numbers, lengths, n) / size
            yield at_most(limit, share, f"gopher: frequent {n}-gram", "of the characters")
        for n, limit in enumerate(self.most_repeated, _SHORTEST):
            share = repeated(numbers, lengths, n) / size
            yield at_most(limit, share, f"gopher: repeated {n}-grams", "of the characters")
            if share == 0:  # then no longer n-gram repeats either
                break
