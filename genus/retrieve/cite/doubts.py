"""Signs that a passage holds a claim's words without bearing it out by itself: copies, and words put there to be found.

They are counted, not understood. A false page written as fluently as a true one has none of these signs.
"""

import itertools
import re
from collections import defaultdict
from typing import Literal

from genus.retrieve.verify.words import WordCounts
from genus.retrieve.words import words

__all__ = ["MEANING", "Doubt", "Doubts"]

Doubt = Literal["", "copied", "repeated", "bare", "listed", "scrambled"]
MEANING: dict[Doubt, str] = {
    "copied": "most of it stands in the checked document too: one is a copy of the other",
    "repeated": "it repeats the claim word for word",
    "bare": "it holds the claim's words and hardly others",
    "listed": "it lists the claim's words, where sentences would have others between them",
    "scrambled": "it holds the claim's words, but not in the claim's phrases",
}

# The limits leave 97 in 100 of WiCE's cited pages without doubt, see bench/cite.py.
_RUN = 5  # words one after another that two texts do not share by chance
_COPIED = 0.5  # of a passage's runs beyond the claim's own
_ENOUGH = 10  # such runs, to tell by
_REPEATED = 0.8  # of a claim's runs, quotations not counted
_BARE = 0.4  # of the weight of a passage's words, what is not the claim's, at least
_COVERED = 0.5  # of the weight of a claim's words, from which their order is looked at
_KEPT = 0.35  # of the weight of the claim's pairs of neighbours, what stands near in the passage too, at least
_NEAR = 3  # words
_COMMON = 0.15  # of all passages hold a word that may stand between others
_LISTED = 5  # of the claim's rarer words, one after another and not as in the claim
_QUOTED = re.compile(r'"[^"]{1,400}"|“[^”]{1,400}”|«[^»]{1,400}»')


class Doubts:
    """What casts doubt on a passage, given the document that is checked and how rare words are in the index."""

    def __init__(self, counts: WordCounts, document: str = "") -> None:
        self._counts = counts
        self._own = _runs(words(document))

    def of(self, claim: str, passage: str) -> Doubt:
        """The first sign that there is."""
        said = words(passage)
        runs = _runs(said)
        beyond = runs - _runs(words(claim))  # a page that is quoted whole, in one sentence, is no copy of the document
        if len(beyond) >= _ENOUGH and len(beyond & self._own) >= _COPIED * len(beyond):
            return "copied"
        own = _runs(words(_QUOTED.sub(" ", claim)))
        if len(own) > 3 and len(own & runs) >= _REPEATED * len(own):
            return "repeated"
        asked, held = words(claim), set(said)
        if self._weight(held - set(asked)) < _BARE * self._weight(held):
            return "bare"
        if self._listed(asked, said) >= _LISTED:
            return "listed"
        covered = self._weight(held & set(asked)) >= _COVERED * self._weight(set(asked))
        return "scrambled" if covered and self._kept(asked, said) < _KEPT else ""

    def _weight(self, of: set[str]) -> float:
        return sum(map(self._counts.idf, of))

    def _listed(self, claim: list[str], passage: list[str]) -> int:
        """The most of the claim's rarer words that stand in a row, of which those count that the claim has elsewhere."""
        rare = {word for word in claim if self._counts.holding.get(word, 0) < _COMMON * self._counts.passages}
        pairs = set(itertools.pairwise(claim))
        most = row = 0
        for before, word in itertools.pairwise(["", *passage]):
            if word not in rare:
                row = 0
            elif (before, word) not in pairs:
                row += 1
                most = max(most, row)
        return most

    def _kept(self, claim: list[str], passage: list[str]) -> float:
        """Of the claim's neighbouring words that the passage holds, those that it holds near one another, by weight."""
        places: defaultdict[str, set[int]] = defaultdict(set)
        for place, word in enumerate(passage):
            places[word].add(place)
        pairs = {(one, other) for one, other in itertools.pairwise(claim) if one in places and other in places}
        weights = {pair: self._weight(set(pair)) for pair in pairs if pair[0] != pair[1]}
        kept = sum(
            weight
            for (one, other), weight in weights.items()
            if any(place + step in places[other] for place in places[one] for step in range(1, _NEAR + 1))
        )
        return kept / sum(weights.values()) if weights else 0.0


def _runs(of: list[str]) -> set[int]:
    """Every run of five words, or the whole of a shorter text, as numbers: a document's fit in memory."""
    if len(of) < _RUN:
        return {hash(tuple(of))} if of else set()
    return {hash(run) for run in zip(*(of[place:] for place in range(_RUN)), strict=False)}
