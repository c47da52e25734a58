"""From what is known of claim and passage to the probability that the passage supports the claim: a logistic layer, fitted
on labelled documents of which nobody said where in them the support is. Not for what the inputs are (features.py, judge.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layer", "Yes", "fit_layer", "fit_platt"]

Floats = NDArray[np.float64]
Yes = Sequence[bool] | NDArray[np.bool_]

_RIDGE = 1.0  # of standardised inputs
_ROUNDS = 8  # of choosing each document's best passage anew
_STEPS = 50  # of Newton's method; some 6 are enough


@dataclass(frozen=True)
class Layer:
    """The logit of support of inputs (..., inputs) is their product with `weights`, plus `bias`."""

    weights: tuple[float, ...]
    bias: float

    def logits(self, inputs: Floats) -> Floats:
        """(..., inputs) -> (...)."""
        found: Floats = inputs @ np.asarray(self.weights) + self.bias
        return found

    def scaled(self, slope: float, bias: float) -> "Layer":
        """The layer whose logit is slope * logit + bias."""
        return Layer(tuple(slope * weight for weight in self.weights), slope * self.bias + bias)


def fit_layer(documents: Sequence[Floats], supported: Yes) -> Layer:
    """Of documents (passages, inputs) and whether each supports its claim.

    A document counts as its best passage: at first that of the highest first input, then that of the highest logit, until
    that no longer changes which it is. The weights' squares, of inputs scaled to deviation 1, are held down.
    """
    every = np.concatenate(documents)
    mean, deviation = every.mean(0), every.std(0) + 1e-9
    best = [int(document[:, 0].argmax()) for document in documents]
    for _ in range(_ROUNDS):
        chosen = np.stack([document[place] for document, place in zip(documents, best, strict=True)])
        weights, bias = _logistic((chosen - mean) / deviation, np.asarray(supported, np.float64), _RIDGE)
        layer = Layer(tuple((weights / deviation).tolist()), float(bias - weights @ (mean / deviation)))
        last, best = best, [int(layer.logits(document).argmax()) for document in documents]
        if best == last:
            break
    return layer


def fit_platt(logits: Sequence[float], supported: Yes) -> tuple[float, float]:
    """Slope and bias that make logits probabilities, of scores that were not fitted on the same labels (Platt 1999).

    His targets stand in for 0 and 1, so that labels that logits tell apart completely give a finite slope.
    """
    labels = np.asarray(supported, bool)
    high, low = (labels.sum() + 1) / (labels.sum() + 2), 1 / ((~labels).sum() + 2)
    slope, bias = _logistic(np.asarray(logits, np.float64)[:, None], np.where(labels, high, low), 1e-6)
    return float(slope[0]), float(bias)


def _logistic(inputs: Floats, targets: Floats, ridge: float) -> tuple[Floats, float]:
    """Weights (inputs,) and bias of the least cross entropy plus ridge / 2 * |weights|^2, by Newton's method."""
    table = np.hstack([inputs, np.ones((len(inputs), 1))])
    held = np.full(table.shape[1], ridge)
    held[-1] = 0
    found = np.zeros(table.shape[1])
    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-np.clip(table @ found, -30, 30)))
        slope = table.T @ (share - targets) + held * found
        bend = (table * (share * (1 - share))[:, None]).T @ table + np.diag(held + 1e-9)
        step = np.linalg.solve(bend, slope)
        found -= step / max(1.0, float(abs(step).max()))  # a long step is cut, so that none overshoots
        if abs(step).max() < 1e-8:
            break
    return found[:-1], float(found[-1])
