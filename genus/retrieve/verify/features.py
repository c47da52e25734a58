"""What can be counted of a claim and a passage: which of its words, numbers and names the passage says too.

A claim that is borne out only in part mostly has one number or name that the passage lacks, which one share of all words
hides. Not for what the counts are worth: layer.py learns that from labelled claims.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genus.retrieve.verify.words import WordCounts
from genus.retrieve.words import words

__all__ = ["FEATURES", "Floats", "features"]

Floats = NDArray[np.float64]

FEATURES = (
    "coverage",  # share of the IDF of the claim's words that the passage says, as coverage.py
    "stem_coverage",  # the same, endings aside
    "word_coverage",  # share of its words
    "number_coverage",  # share of its numbers; 1 where it has none
    "numbers_missing",
    "no_numbers",
    "name_coverage",  # share of its capitalised words, but of the first of a sentence; 1 where it has none
    "names_missing",
    "pair_coverage",  # share of its pairs of neighbouring words
    "idf_missing",
    "rarest_missing",
    "words_missing",
    "claim_words",  # logarithm
    "claim_idf",
    "commas",
    "passage_words",  # logarithm
)
"""In the order of the columns; the first is the coverage of words."""

_SPELLED = {  # cardinals and ordinals
    word: str(number)
    for names in (
        "zero one two three four five six seven eight nine ten eleven twelve",
        "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
    )
    for number, word in enumerate(names.split())
}
_NUMBER = re.compile(r"\d[\d,.]*\d|\d")
_NAME = re.compile(r"(?<!^)(?<![.!?\"“]\s)\b[A-Z]\w+")
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "ers", "er", "es", "ly", "s")


def features(claim: str, passages: Sequence[str], counts: WordCounts) -> Floats:
    """(passages, features)."""
    asked = _Claim(claim, counts)
    return np.array([asked.beside(passage) for passage in passages]).reshape(-1, len(FEATURES))


class _Claim:
    """What of a claim does not depend on the passage."""

    def __init__(self, text: str, counts: WordCounts) -> None:
        said = words(text)
        self.weights = {word: counts.idf(word) for word in said}
        self.total = sum(self.weights.values()) or 1.0
        self.stems = {word: _stem(word) for word in self.weights}
        self.numbers = _numbers(text, said)
        self.names = {word for name in _NAME.findall(text) for word in words(name)}
        self.pairs = list(pairwise(said))
        self.commas = text.count(",")

    def beside(self, passage: str) -> list[float]:
        """The features, in order."""
        said = words(passage)
        there, numbers = set(said), _numbers(passage, said)
        stems, pairs = {_stem(word) for word in there}, set(pairwise(said))
        exact = [weight for word, weight in self.weights.items() if word in there]
        missing = [weight for word, weight in self.weights.items() if word not in there and self.stems[word] not in stems]
        return [
            sum(exact) / self.total,
            1 - sum(missing) / self.total,
            _share(len(exact), len(self.weights)),
            _share(len(self.numbers & numbers), len(self.numbers)),
            len(self.numbers - numbers),
            not self.numbers,
            _share(len(self.names & there), len(self.names)),
            len(self.names - there),
            _share(sum(pair in pairs for pair in self.pairs), len(self.pairs)),
            sum(missing),
            max(missing, default=0.0),
            len(missing),
            math.log(1 + len(self.weights)),
            self.total,
            self.commas,
            math.log(1 + len(said)),
        ]


def _numbers(text: str, said: Sequence[str]) -> set[str]:
    """In figures, and in words up to twelve: 1,000 is 1000, second is 2."""
    return {number.replace(",", "") for number in _NUMBER.findall(text)} | {
        _SPELLED[word] for word in said if word in _SPELLED
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _stem(word: str) -> str:
    """Without a common English ending, where three letters stay: bridge and bridges are alike, and moved and moving."""
    ending = next((ending for ending in _ENDINGS if word.endswith(ending) and len(word) - len(ending) >= 3), "")
    return word.removesuffix(ending).removesuffix("e")
