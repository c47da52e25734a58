"""A block while it is read: text piece by piece, and citations among the pieces. Not for how a format writes them."""

import re
from bisect import bisect_right
from itertools import accumulate

from genus.retrieve.cite.claims import Block, Mark, Reference

__all__ = ["Draft"]

_NOTE = "\0"  # stands for a note's number until the block is done
_TAKEN = re.compile(r"(?<!\s)\s*+[\[(][\s,;–-]*+\0[\s,;–\0-]*+[\])]|\0")


class Draft:
    """Text in pieces, since text that grows by += is copied each time. A place is the number of pieces before it."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = list(pieces)
        self._marks: list[Mark] = []

    def words(self, start: int) -> str:
        """What was added since a place, but for notes."""
        return "".join(self.pieces[start:]).replace(_NOTE, "")

    def link(self, start: int, references: tuple[Reference, ...]) -> None:
        """Cite with the words since a place."""
        self._marks.append(Mark(start, len(self.pieces), references))

    def note(self, start: int, references: tuple[Reference, ...]) -> None:
        """Cite with a point, for which the words since a place are taken out; without references, only take them out."""
        self.pieces[start:] = [_NOTE]
        if references:
            self._marks.append(Mark(start, start, references))

    def block(self) -> Block:
        """The whole of it. Brackets with nothing but notes in them are taken out too: "tall [1, 2]." becomes "tall."."""
        text, at = "".join(self.pieces), [0, *accumulate(map(len, self.pieces))]
        taken = [found.span() for found in _TAKEN.finditer(text)]
        starts, lengths = [start for start, _ in taken], [0, *accumulate(end - start for start, end in taken)]

        def moved(piece: int) -> int:
            before = bisect_right(starts, at[piece])
            inside = max(0, taken[before - 1][1] - at[piece]) if before else 0
            return at[piece] - lengths[before] + inside

        marks = [Mark(moved(mark.start), moved(mark.end), mark.references) for mark in self._marks]
        return Block(_TAKEN.sub("", text), marks)
