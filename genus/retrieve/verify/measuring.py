"""How good a judge is on claims that it was not fitted to, beside the coverage of words on the same ones."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from genus.evaluate.estimates import Estimate, resampled
from genus.retrieve.metrics import auroc, calibration_error, preference_accuracy
from genus.retrieve.verify.features import Floats
from genus.retrieve.verify.fitting import best_logits, check_enough, fit_calibrated, folds_of, shares
from genus.retrieve.verify.layer import fit_layer

__all__ = ["measure"]

_FOLDS, _ROUNDS = 5, 5  # of folds, each drawn anew


def measure(
    documents: Sequence[Floats], others: Sequence[Floats], labels: Sequence[int], groups: Sequence[int]
) -> dict[str, Any]:
    """Of documents (passages, inputs), the neighbour of each, labels 2, 1 and 0, and groups that are never split.

    Each is scored by a layer, and a calibration, fitted on the other four folds; five draws of the folds are averaged, as
    figures and not as scores. Intervals of 95% draw the groups anew. `others` are empty where a document has no neighbour.
    Raises GenusError as `check_enough`.
    """
    supported = [label == 2 for label in labels]
    check_enough(supported, groups)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    rounds = [_apart(documents, others, supported, groups, seed) for seed in range(_ROUNDS)]
    cover = [float(document[:, 0].max()) for document in documents]
    there = np.array([len(other) > 0 for other in others])
    over = np.array([other[:, 0].max() if len(other) else 0.0 for other in others])

    def estimate(figure: Callable[[Floats], Any]) -> dict[str, Any]:
        found: Estimate = resampled(len(names), lambda drawn: figure(drawn[..., group]))
        return asdict(found)

    def judged(weights: Floats) -> Any:
        return np.mean([auroc(logits.tolist(), supported, weights) for _, logits, _ in rounds], axis=0)

    def preferred(pairs: Sequence[tuple[Floats, Floats]]) -> dict[str, Any]:
        return estimate(
            lambda weights: np.mean(
                [preference_accuracy(np.stack(pair, 1)[there], weights[..., there]) for pair in pairs], axis=0
            )
        )

    def error(logits: Sequence[Floats]) -> float:
        return float(np.mean([calibration_error(shares(each).tolist(), supported) for each in logits]))

    return {
        "documents": len(documents),
        "groups": len(names),
        "supported": sum(supported),
        "coverage": {
            "auroc": estimate(lambda weights: auroc(cover, supported, weights)),
            "preference": preferred([(np.array(cover), over)]),
            "calibration_error": float(calibration_error(cover, supported)),
        },
        "judge": {
            "auroc": estimate(judged),
            "preference": preferred([(logits, beside) for _, logits, beside in rounds]),
            "calibration_error_before": error([raw for raw, _, _ in rounds]),
            "calibration_error": error([logits for _, logits, _ in rounds]),
        },
        "difference": estimate(lambda weights: judged(weights) - auroc(cover, supported, weights)),
    }


def _apart(
    documents: Sequence[Floats], others: Sequence[Floats], supported: Sequence[bool], groups: Sequence[int], seed: int
) -> tuple[Floats, Floats, Floats]:
    """Of each document the logit before and after calibration, and that of its neighbour, all by other folds."""
    folds = folds_of(groups, seed, _FOLDS)
    raw, calibrated, beside = (np.zeros(len(documents)) for _ in range(3))
    for fold in range(_FOLDS):
        learned, asked = (np.flatnonzero(side).tolist() for side in (folds != fold, folds == fold))
        known, right = [documents[place] for place in learned], [supported[place] for place in learned]
        layer, _ = fit_calibrated(known, right, [groups[place] for place in learned], seed)
        raw[asked] = best_logits(fit_layer(known, right), [documents[place] for place in asked])
        calibrated[asked] = best_logits(layer, [documents[place] for place in asked])
        for place in asked:
            beside[place] = layer.logits(others[place]).max() if len(others[place]) else 0.0
    return raw, calibrated, beside
