"""A score from 0 to 1 for toxic language, and a limit to it.

By default it is a list of words, no more: it knows no context, no irony and no language but English, takes medical and queer
words for insults, and misses polite hatred (arXiv 2104.08758 shows whom such lists silence). A classifier does better: train
one with `train_quality` on toxic texts as the good ones and harmless ones as the raw, and name its folder as `model`.
"""

import importlib.util
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.quality import load_quality
from genus.data.steps.step import Fate

__all__ = ["Toxicity", "toxicity_score"]

_SENTENCE = 20  # words


@dataclass(frozen=True, kw_only=True)
class Toxicity:
    """Score documents for toxic language and drop those above a limit. Source code passes."""

    most: float = 0.5
    """Highest score to keep: 1 keeps all and only measures."""
    words: Path | None = None
    """A list of words or phrases, one a line, in place of better-profanity's (MIT)."""
    model: Path | None = None
    """The folder of a classifier of toxic texts, in place of a list."""

    def open(self) -> Callable[[Document], Fate]:
        """Raises GenusError when the list or the model is missing, or when there are both."""
        if not 0 <= self.most <= 1:
            raise GenusError(f"toxicity.most {self.most} is not between 0 and 1; try 0.5")
        score = toxicity_score(self.words, self.model)

        def step(document: Document) -> Fate:
            if document.meta.get("code"):
                return Fate(document)
            value = score(document.text)
            if value <= self.most:
                return Fate(document, measured={"toxicity": value})
            return Fate(None, "toxic", f"score {value:.4f}, at most {self.most}", {"toxicity": value})

        return step


def toxicity_score(words: Path | None = None, model: Path | None = None) -> Callable[[str], float]:
    """What scores a text, by a list or a classifier. Raises GenusError when it is missing, or both are given."""
    if words and model:
        raise GenusError("toxicity.words and toxicity.model are both given; keep one of them")
    return load_quality(model).score() if model else _by_words(_read(words or _packaged()))


def _packaged() -> Path:
    # Read without importing the package, which loads more than its list.
    spec = importlib.util.find_spec("better_profanity")
    if spec is None or not spec.submodule_search_locations:
        raise GenusError("the step toxicity needs a list of words; run: pip install better-profanity, or set toxicity.words")
    return Path(spec.submodule_search_locations[0]) / "profanity_wordlist.txt"


def _read(path: Path) -> frozenset[tuple[str, ...]]:
    try:
        lines = path.read_text("utf-8").lower().splitlines()
    except (OSError, ValueError) as error:
        raise GenusError(
            f"the list of words {path} cannot be read ({error}); give a UTF-8 file with one word a line"
        ) from error
    phrases = frozenset(tuple(_words(line)) for line in lines) - {()}
    if not phrases:
        raise GenusError(f"the list of words {path} is empty; give a UTF-8 file with one word a line")
    return phrases


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’*$@!-]?[^\W_]+)*", text)


def _by_words(phrases: frozenset[tuple[str, ...]]) -> Callable[[str], float]:
    """The chance that a sentence of 20 words, drawn from the text, has one on the list: 1 - (1 - share of words)^20."""
    lengths: dict[str, set[int]] = {}
    for phrase in phrases:
        lengths.setdefault(phrase[0], set()).add(len(phrase))

    def score(text: str) -> float:
        words = _words(text.lower())
        listed = sum(
            any(tuple(words[i : i + length]) in phrases for length in lengths[word])
            for i, word in enumerate(words)
            if word in lengths
        )
        return round(1 - math.pow(1 - listed / max(1, len(words)), _SENTENCE), 4)

    return score
