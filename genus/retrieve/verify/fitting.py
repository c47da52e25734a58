"""Fitting what a judge knows to labelled claims, and measuring it on claims that it was not fitted to: parts, the layer,
its calibration, thresholds. Claims of one text, or about one document, are always on the same side."""

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.retrieve.verifier import Thresholds
from genus.retrieve.verify.layer import Layer, Yes, fit_layer, fit_platt

__all__ = [
    "best_logits",
    "check_enough",
    "choose_thresholds",
    "cross_fitted",
    "fit_calibrated",
    "folds_of",
    "groups_of",
    "shares",
]

Floats = NDArray[np.float64]

_FOLDS = 5
_FEWEST = 20  # documents that support, and that do not, for a layer to be worth having
_PARTS = 3  # groups, so that two are left to be told apart where one is held out


def groups_of(keys: Sequence[Iterable[Hashable]]) -> list[int]:
    """The number of each item's group: items with a key in common are in one, and so are those who share with them."""
    parent = list(range(len(keys)))

    def root(item: int) -> int:
        while parent[item] != item:
            item = parent[item]
        return item

    first: dict[Hashable, int] = {}
    for item, mine in enumerate(keys):
        for key in mine:
            parent[root(item)] = root(first.setdefault(key, item))
    return [root(item) for item in range(len(keys))]


def check_enough(supported: Yes, groups: Sequence[int]) -> None:
    """Raises GenusError for what a judge cannot be fitted to and measured on: few documents, or few that are apart."""
    right = int(np.sum(supported))
    if min(right, len(supported) - right) < _FEWEST:
        raise GenusError(
            f"{right} held-out documents support their claim and {len(supported) - right} do not; "
            f"bring {_FEWEST} of each at least in held_out, or more claims in train"
        )
    sizes = np.unique(np.asarray(groups), return_counts=True)[1]
    if len(sizes) < _PARTS or sizes.max() > len(groups) / 2:
        raise GenusError(
            "more than half of the held-out claims hang together by their documents, so that they cannot be split; "
            "bring claims about more different documents"
        )


def folds_of(groups: Sequence[int], seed: int, count: int = _FOLDS) -> NDArray[np.int64]:
    """Which of `count` folds of about equal size each item is in; groups are whole, the largest placed first."""
    names, sizes = np.unique(np.asarray(groups), return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    held, fold = np.zeros(count), {}
    for place in sorted(order, key=lambda place: -sizes[place]):
        fold[names[place]] = int(held.argmin())
        held[fold[names[place]]] += sizes[place]
    return np.array([fold[group] for group in groups])


def best_logits(layer: Layer, documents: Sequence[Floats]) -> Floats:
    """Of each document the logit of its best passage."""
    return np.array([layer.logits(document).max() for document in documents])


def cross_fitted(documents: Sequence[Floats], supported: Yes, groups: Sequence[int], seed: int = 0) -> Floats:
    """Of each document the logit by a layer that was fitted on the other folds."""
    folds, logits, labels = folds_of(groups, seed), np.zeros(len(documents)), np.asarray(supported, bool)
    for fold in range(_FOLDS):
        learned, asked = (np.flatnonzero(side).tolist() for side in (folds != fold, folds == fold))
        if asked:
            layer = fit_layer([documents[place] for place in learned], labels[learned])
            logits[asked] = best_logits(layer, [documents[place] for place in asked])
    return logits


def fit_calibrated(
    documents: Sequence[Floats], supported: Yes, groups: Sequence[int], seed: int = 0
) -> tuple[Layer, Floats]:
    """A layer on all documents, its logits set so that they are probabilities; and the cross-fitted, calibrated logits."""
    apart = cross_fitted(documents, supported, groups, seed)
    slope, bias = fit_platt(apart.tolist(), supported)
    return fit_layer(documents, supported).scaled(slope, bias), slope * apart + bias


def shares(logits: Floats) -> Floats:
    """Probabilities of logits."""
    return 1 / (1 + np.exp(-np.clip(logits, -500, 500)))


def choose_thresholds(scores: Floats, labels: Sequence[int], differences: Sequence[float] = ()) -> Thresholds:
    """Those of the best mean F1 over three labels (2, 1, 0), or of two where no label is 1.

    `differences` are how much higher other documents scored than documents that support the claim: the margin is what 95%
    of them stay below, so that a better source is wrongly named in 5% of such cases; 0.05 at least.
    """
    right = np.asarray(labels)
    levels = np.unique(np.quantile(scores, np.linspace(0, 1, 50)))
    cuts = (levels[1:] + levels[:-1]) / 2
    pairs = [(high, low) for high in cuts for low in cuts if low <= high]
    high, low = max(pairs, key=lambda pair: _mean_f1(right, (scores >= pair[0]).astype(int) + (scores >= pair[1])))
    margin = float(np.quantile(differences, 0.95)) if len(differences) else 0.1
    return Thresholds(round(float(high), 4), round(float(low), 4), round(max(0.05, margin), 4))


def _mean_f1(right: NDArray[Any], said: NDArray[Any]) -> float:
    found = []
    for label in np.unique(right):
        both, either = np.sum((right == label) & (said == label)), np.sum(right == label) + np.sum(said == label)
        found.append(2 * both / either)
    return float(np.mean(found))
