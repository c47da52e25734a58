"""GPT-3's quality classifier: how much a text is like the best sources, and the chance that this gives it to be kept.

Not for rules on single documents, and no judge of truth: it knows words, and which collection they come from.
"""

import heapq
import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, write_bytes, write_json
from genus.core.interval import wilson
from genus.data.sources import Document
from genus.data.steps.columns import luck
from genus.data.steps.step import Fate

__all__ = ["Quality", "QualityModel", "keeps", "load_quality", "train_quality"]

_FORMAT = "genus-quality-1"
_FEATURES = 2**18  # as Spark's HashingTF, which GPT-3 used
_CHARACTERS = 20_000  # of a text, in training and scoring alike
_MOST = 20_000  # texts of a class: 400 MB, and twice that while they are chosen
_FEWEST = 20  # texts of a class that differ; with fewer, nothing is left to test on
_HELD_OUT = 10  # one in so many is tested on, not trained on


@dataclass(frozen=True)
class QualityModel:
    """Logistic regression over hashed words. `facts` says what it was trained on and how well it does on held-out texts."""

    weights: Any  # (features,) float32
    bias: float
    facts: dict[str, Any]

    def score(self) -> Callable[[str], float]:
        """Load scikit-learn and give the function from a text to 0 (like raw) .. 1 (like good), four digits."""
        vectorize, weights = _vectorizer().transform, self.weights.astype("float64")

        def score(text: str) -> float:
            row = vectorize([text[:_CHARACTERS]])
            return round(1 / (1 + math.exp(-max(-500.0, float(row.data @ weights[row.indices]) + self.bias))), 4)

        return score

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save

        with new_folder(folder) as partial:
            write_bytes(partial / "weights.safetensors", save({"weights": self.weights}))
            write_json(partial / "quality.json", {"format": _FORMAT, "bias": self.bias} | self.facts)


def load_quality(folder: Path) -> QualityModel:
    """Raises GenusError when `folder` is no quality model."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    facts = read_json(folder / "quality.json")
    if not isinstance(facts, dict) or facts.pop("format", None) != _FORMAT:
        raise GenusError(f"{folder} is not a quality model of format {_FORMAT}; train it again")
    try:
        weights = load_file(folder / "weights.safetensors")["weights"]
        return QualityModel(weights, float(facts.pop("bias")), facts)
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise GenusError(f"{folder} cannot be read ({error}); train the quality model again") from error


def train_quality(good: Iterable[str], raw: Iterable[str], seed: int = 0) -> QualityModel:
    """Train on `good` texts (GPT-3: WebText, Wikipedia, books) against `raw` ones (unfiltered crawl): appendix A.

    Of each, at most 20,000 different texts are used, those of the smallest hash(seed, text), so the order that they come in
    changes nothing. The classes weigh the same: a score of 0.5 means even odds. Raises GenusError for one class.
    """
    from sklearn.linear_model import LogisticRegression

    chosen = {"good": _choose(good, seed), "raw": _choose(raw, seed)}
    for name, texts in chosen.items():
        if len(texts) < _FEWEST:
            raise GenusError(
                f"a quality classifier needs {_FEWEST} different {name} texts and has {len(texts)}; add {name} documents"
            )
    if chosen["good"] == chosen["raw"]:
        raise GenusError("the good and the raw texts of the quality classifier are the same; name two different sources")
    train, held = _split(chosen)
    model = LogisticRegression(max_iter=300, class_weight="balanced").fit(_vectorizer().transform(train[0]), train[1])
    fitted = QualityModel(model.coef_[0].astype("float32"), float(model.intercept_[0]), {})
    score = fitted.score()
    right = sum((score(text) > 0.5) == bool(label) for text, label in zip(*held, strict=True))
    counts = {f"{name}_texts": len(texts) for name, texts in chosen.items()}
    facts = counts | {"seed": seed, "held_out": _accuracy(right, len(held[1]))}
    return QualityModel(fitted.weights, fitted.bias, facts)


def _vectorizer() -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(n_features=_FEATURES, alternate_sign=False)


def _choose(texts: Iterable[str], seed: int) -> list[tuple[int, str]]:
    """The texts of the smallest hashes, in the hashes' order; never more than twice as many in memory."""
    smallest: dict[int, str] = {}
    for text in texts:
        if text := text[:_CHARACTERS].strip():
            smallest[luck(seed, text)] = text
        if len(smallest) >= 2 * _MOST:
            smallest = dict(heapq.nsmallest(_MOST, smallest.items()))
    return heapq.nsmallest(_MOST, smallest.items())


Labelled = tuple[list[str], list[int]]


def _split(chosen: dict[str, list[tuple[int, str]]]) -> tuple[Labelled, Labelled]:
    """Training texts and held-out ones with label 1 for good, the latter every tenth by hash: two or more of each class."""

    def part(held: bool) -> Labelled:
        rows = [
            (text, int(name == "good"))
            for name in ("good", "raw")
            for i, (_, text) in enumerate(chosen[name])
            if (i % _HELD_OUT == 0) == held
        ]
        return [text for text, _ in rows], [label for _, label in rows]

    return part(False), part(True)


def _accuracy(right: int, texts: int) -> dict[str, float]:
    """The share of held-out texts told apart, with Wilson's 95% interval."""
    low, high = wilson(right / texts, texts)
    return {"texts": texts, "accuracy": right / texts, "low": low, "high": high}


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Keep documents by their quality score with GPT-3's random rule (arXiv 2005.14165, appendix A). Source code passes."""

    model: Path | None = None
    """The folder of a trained quality classifier; unset trains one: sources marked good against the others."""
    alpha: float = 9.0
    """The Pareto distribution's shape: GPT-3 9, The Pile 3. Larger keeps fewer documents of low scores."""

    def open(self, good: Collection[str] = (), seed: int = 0) -> Callable[[Document], Fate]:
        """What judges one document. Those of the collections in `good` are scored and kept all the same; `seed` chooses,
        with its id, the luck of each other one. Raises GenusError when there is no model or alpha is not above 0."""
        if not self.alpha > 0:
            raise GenusError(f"quality.alpha {self.alpha} is not above 0; GPT-3 has 9")
        if self.model is None:
            raise GenusError("the quality step has no model; name the folder of one")
        score = load_quality(self.model).score()

        def step(document: Document) -> Fate:
            if document.meta.get("code"):
                return Fate(document)
            value = score(document.text)
            measured = {"quality": value}
            if document.meta.get("collection") in good or keeps(value, document.id, self.alpha, seed):
                return Fate(document, measured=measured)
            chance = (2 - value) ** -self.alpha
            return Fate(None, "low quality", f"score {value:.4f}, kept with a chance of {chance:.4f}", measured)

        return step


def keeps(score: float, id: str, alpha: float = 9.0, seed: int = 0) -> bool:
    """GPT-3's rule: keep if a draw from Pareto(alpha), begun at 0, is above 1 - score; the chance is (2 - score)^-alpha."""
    uniform = luck(seed, id) / 2**64
    return (1 - uniform) ** (-1 / alpha) - 1 > 1 - score
