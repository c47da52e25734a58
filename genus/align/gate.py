"""What must be known of a reward model before anything is trained to please it: how often it agrees with people, how sure it
is when it does, and whether it has only learned that long answers win."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from genus.align.compared import Ranked
from genus.align.losses import pair_margins
from genus.core.interval import wilson

__all__ = ["Gate", "measure_gate"]

_BINS = 10


@dataclass(frozen=True)
class Gate:
    """Figures over held-out comparisons. An accuracy is the mean over prompts of the share of pairs ordered rightly."""

    prompts: int
    pairs: int
    accuracy: float
    accuracy_least: float
    """Of the interval that holds the accuracy with 95%, over prompts."""
    accuracy_most: float
    length_accuracy: float
    """Of a judge that always prefers the longer answer."""
    length_correlation: float
    """Of a reward and its answer's length, by ranks (Spearman), over all answers."""
    calibration_error: float
    """Mean difference between how sure the model is of a pair, and how often it is right when it is so sure."""
    by_labeller: dict[str, float]
    """The accuracy on each person's pairs."""

    @property
    def passed(self) -> bool:
        """Whether it surely knows more than chance."""
        return self.accuracy_least > 0.5

    def told(self) -> str:
        """In words."""
        sure = f"{self.accuracy:.1%} ({self.accuracy_least:.1%} to {self.accuracy_most:.1%})"
        text = f"held-out accuracy {sure} on {self.pairs:,} pairs of {self.prompts:,} prompts"
        text += f"; always the longer one: {self.length_accuracy:.1%}"
        text += (
            f"; reward and length correlate by {self.length_correlation:.2f}; calibration error {self.calibration_error:.3f}"
        )
        if not self.passed:
            return f"{text}. NOT PASSED: it may know no more than chance; bring more comparisons"
        longer = self.accuracy <= max(self.length_accuracy, 1 - self.length_accuracy)
        return f"{text}. Passed" + (", but it is no better than looking at lengths" if longer else "")

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return {**asdict(self), "passed": self.passed}


def measure_gate(ranked: Sequence[Ranked], rewards: Sequence[Tensor]) -> Gate:
    """The figures for comparisons and the rewards (K,) of each one's answers."""
    by_prompt, by_length, sureness, right, people = [], [], [], [], dict[str, list[float]]()
    for each, scores in zip(ranked, rewards, strict=True):
        margins = pair_margins(scores.double(), each.ranks)
        by_prompt.append(_share(margins))
        by_length.append(_share(pair_margins(torch.tensor(each.lengths).double(), each.ranks)))
        people.setdefault(each.labeller, []).append(by_prompt[-1])
        sureness += margins.abs().sigmoid().tolist()
        right += (0.5 * (1 + margins.sign())).tolist()
    accuracy = sum(by_prompt) / len(by_prompt)
    least, most = wilson(accuracy, len(by_prompt))
    lengths = [float(length) for each in ranked for length in each.lengths]
    return Gate(
        prompts=len(ranked),
        pairs=len(right),
        accuracy=accuracy,
        accuracy_least=least,
        accuracy_most=most,
        length_accuracy=sum(by_length) / len(by_length),
        length_correlation=_spearman(torch.cat(list(rewards)).double(), torch.tensor(lengths, dtype=torch.float64)),
        calibration_error=_calibration(sureness, right),
        by_labeller={name: sum(found) / len(found) for name, found in sorted(people.items()) if name},
    )


def _share(margins: Tensor) -> float:
    """Of pairs that are ordered rightly; equal scores are half right."""
    return float((0.5 * (1 + margins.sign())).mean())


def _calibration(sureness: Sequence[float], right: Sequence[float]) -> float:
    """Expected calibration error over equal bins from 0.5 to 1."""
    bins: list[list[tuple[float, float]]] = [[] for _ in range(_BINS)]
    for sure, was in zip(sureness, right, strict=True):
        bins[min(_BINS - 1, int((sure - 0.5) * 2 * _BINS))].append((sure, was))
    return sum(abs(sum(sure - was for sure, was in found)) for found in bins) / len(right)


def _spearman(one: Tensor, other: Tensor) -> float:
    ranks = torch.stack([_ranks(one), _ranks(other)])
    found = float(torch.corrcoef(ranks)[0, 1])
    return 0.0 if math.isnan(found) else found


def _ranks(values: Tensor) -> Tensor:
    """Places from the least, equal values sharing the mean of theirs."""
    less = (values[None, :] < values[:, None]).sum(1)
    same = (values[None, :] == values[:, None]).sum(1)
    return less.double() + (same - 1) / 2
