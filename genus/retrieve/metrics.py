"""How good retrieval and citations are: one definition for each measure, with what it makes of ties.

`found` are different names of what was found, best first; `right` those that should be. Where a figure is of scores, equal
scores count alike, so that no order of the input changes it; `weights` (..., items) say how often each item counts, by which
intervals are drawn. Not for what finds passages, nor for what judges them.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genus.evaluate.estimates import Estimate, resampled
from genus.evaluate.incontext.measures import plain_words

__all__ = [
    "Cited", "Flagged", "answer_in_context", "auprc", "auroc", "calibration_error", "cited", "flagged", "ndcg", "precision",
    "preference_accuracy", "success", "top_precision",
]  # fmt: skip

Floats = NDArray[np.float64]


def success(found: Sequence[str], right: Collection[str], count: int) -> float:
    """success@count: 1 where one of the first `count` is right, else 0 (KILT, arXiv 2009.02252)."""
    return float(any(name in right for name in found[:count]))


def precision(found: Sequence[str], right: Collection[str], count: int = 1) -> float:
    """precision@count: the share of `count` places that hold what is right; places left empty hold nothing."""
    return sum(name in right for name in found[:count]) / count


def ndcg(found: Sequence[str], gains: Mapping[str, float], count: int) -> float:
    """nDCG@count: gains / log2(1 + rank) over that of the best order (Järvelin, Kekäläinen 2002); 0 where nothing gains."""

    def discounted(values: Sequence[float]) -> float:
        return sum(value / math.log2(1 + rank) for rank, value in enumerate(values[:count], 1))

    best = discounted(sorted(gains.values(), reverse=True))
    return discounted([gains.get(name, 0.0) for name in found]) / best if best else 0.0


def answer_in_context(answers: Sequence[str], passages: Sequence[str]) -> float:
    """1 where the words of an answer stand in a row in a passage, in lower case, without punctuation and articles."""
    asked = [words for answer in answers if (words := plain_words(answer))]
    texts = [plain_words(passage) for passage in passages]
    return float(any(_in_a_row(words, text) for words in asked for text in texts))


def _in_a_row(words: Sequence[str], text: Sequence[str]) -> bool:
    return any(text[first : first + len(words)] == words for first in range(len(text) - len(words) + 1))


@np.errstate(invalid="ignore", divide="ignore")
def auroc(scores: Sequence[float], positive: Sequence[bool], weights: Floats | None = None) -> Any:
    """How often a positive has a higher score than a negative; an equal one counts half (Mann and Whitney 1947).

    Not a number without one of either.
    """
    _, hits, misses = _levels(scores, positive, weights)
    below = misses.sum(-1, keepdims=True) - misses.cumsum(-1)  # levels run from the highest score down
    return ((below + misses / 2) * hits).sum(-1) / (hits.sum(-1) * misses.sum(-1))


@np.errstate(invalid="ignore", divide="ignore")
def auprc(scores: Sequence[float], positive: Sequence[bool], weights: Floats | None = None) -> Any:
    """Average precision: the precision down to each level of the score, weighted by the recall that it adds."""
    _, hits, misses = _levels(scores, positive, weights)
    true = hits.cumsum(-1)
    return (hits * true / np.maximum(true + misses.cumsum(-1), 1e-12)).sum(-1) / hits.sum(-1)


def top_precision(
    scores: Sequence[float], positive: Sequence[bool], share: float = 0.1, weights: Floats | None = None
) -> Any:
    """The share of positives among the highest `share` of the scores, at least one; equals at the edge count in part."""
    _, hits, misses = _levels(scores, positive, weights)
    mass = hits + misses
    wanted = np.ceil(share * mass.sum(-1, keepdims=True) - 1e-9)
    taken = np.clip(wanted - (mass.cumsum(-1) - mass), 0, mass)
    return (taken * hits / np.maximum(mass, 1e-12)).sum(-1) / wanted[..., 0]


def calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = 10, weights: Floats | None = None
) -> Any:
    """Expected calibration error over bins of equal mass: the mean of |mean probability - share of outcomes|.

    Items are sorted by probability and cut into `bins` parts of exactly equal weight; an item, or equal ones, on a border
    counts in both in proportion (Nguyen and O'Connor 2015, with ties made fair).
    """
    levels, hits, misses = _levels(probabilities, outcomes, weights)
    mass = hits + misses
    total, end = mass.sum(-1), mass.cumsum(-1)
    gap = levels * mass - hits  # of each level, as a sum over its items
    found = np.zeros(total.shape)
    for number in range(bins):
        low, high = (total * number / bins)[..., None], (total * (number + 1) / bins)[..., None]
        inside = np.clip(np.minimum(end, high) - np.maximum(end - mass, low), 0, None)
        found = found + abs((inside * gap / np.maximum(mass, 1e-12)).sum(-1))
    return found / total


def preference_accuracy(pairs: Sequence[tuple[float, float]], weights: Floats | None = None) -> Any:
    """How often the first of a pair (the cited source) scores higher than the second (another); equal ones count half."""
    first, second = np.asarray(pairs, np.float64).reshape(-1, 2).T
    right = (first > second) + (first == second) / 2
    return (right * (1.0 if weights is None else weights)).sum(-1) / (len(right) if weights is None else weights.sum(-1))


def _levels(scores: Sequence[float], positive: Sequence[bool], weights: Floats | None) -> tuple[Floats, Floats, Floats]:
    """Each score once, highest first (levels,), and the weights of positives and of negatives with it (..., levels)."""
    values, place = np.unique(-np.asarray(scores, np.float64), return_inverse=True)
    counted = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(values)))
    true = np.asarray(positive, bool)
    hits, misses = (np.add.reduceat((counted * part)[..., order], starts, -1) for part in (true, ~true))
    return -values, hits, misses


@dataclass(frozen=True)
class Flagged:
    """How well low support finds citations that fail, which are the positives. Intervals are by document."""

    auroc: Estimate
    auprc: Estimate
    top_precision: Estimate
    """Of the tenth with the least support."""


def flagged(support: Sequence[float], failed: Sequence[bool], documents: Sequence[str]) -> Flagged:
    """Each citation's support, whether it fails, and its document: documents are what intervals draw anew."""
    doubt = [-score for score in support]
    names, group = np.unique(np.asarray(documents, str), return_inverse=True)

    def estimate(figure: Callable[..., Any]) -> Estimate:
        return resampled(len(names), lambda drawn: figure(doubt, failed, weights=drawn[..., group]))

    return Flagged(estimate(auroc), estimate(auprc), estimate(top_precision))


@dataclass(frozen=True)
class Cited:
    """Citations of a text, by the definitions of ALCE (Gao et al. 2023, arXiv 2305.14627, section 3)."""

    recall: Estimate
    """Of sentences: those whose passages together support them. A sentence without citations is not supported."""
    precision: Estimate
    """Of citations: those of a supported sentence that support it alone, or without which the others do not."""


def cited(sentences: Sequence[tuple[str, Sequence[str]]], supports: Callable[[str, str], bool]) -> Cited:
    """Sentences with the texts of the passages that each cites; `supports` takes it and a text: theirs, joined by newlines.

    Intervals draw sentences anew.
    """
    rows = []  # of each sentence: supported, precise citations, citations
    for sentence, passages in sentences:
        supported = bool(passages) and supports(sentence, "\n".join(passages))
        precise = sum(_needed(sentence, passages, number, supports) for number in range(len(passages))) if supported else 0
        rows.append((float(supported), float(precise), float(len(passages))))
    table = np.asarray(rows, np.float64).reshape(-1, 3)
    return Cited(
        resampled(len(rows), lambda drawn: drawn @ table[:, 0] / drawn.sum(-1)),
        resampled(len(rows), lambda drawn: drawn @ table[:, 1] / (drawn @ table[:, 2])),
    )


def _needed(sentence: str, passages: Sequence[str], number: int, supports: Callable[[str, str], bool]) -> bool:
    others = [*passages[:number], *passages[number + 1 :]]
    return supports(sentence, passages[number]) or not others or not supports(sentence, "\n".join(others))
