"""The losses of alignment as formulas over numbers. No model and no text here, so that each can be worked out by hand."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["clipped_policy_loss", "clipped_value_loss", "dpo_losses", "pair_margins", "pairs_of", "ranking_loss"]


def pairs_of(ranks: Sequence[int]) -> tuple[list[int], list[int]]:
    """The places of the better and of the worse answers of all pairs of one prompt's; ties are no pairs. 1 is the best."""
    both = [(i, j) for i, high in enumerate(ranks) for j, low in enumerate(ranks) if high < low]
    return [i for i, _ in both], [j for _, j in both]


def pair_margins(values: Tensor, ranks: Sequence[int]) -> Tensor:
    """Better less worse, (pairs,), of one prompt's values (K,)."""
    better, worse = pairs_of(ranks)
    return values[better] - values[worse]


def ranking_loss(rewards: Tensor, ranks: Sequence[int]) -> Tensor:
    """Mean over all pairs of one prompt's answers of -log sigmoid(r_better - r_worse) (InstructGPT, arXiv 2203.02155,
    equation 1)."""
    return -F.logsigmoid(pair_margins(rewards, ranks)).mean()


def dpo_losses(margins: Tensor, beta: float, smoothing: float = 0.0, kind: str = "sigmoid") -> Tensor:
    """A loss for each pair, as margins (pairs,): log pi(chosen)/ref(chosen) - log pi(rejected)/ref(rejected), summed over
    tokens (arXiv 2305.18290, equation 7; ipo: arXiv 2310.12036, equation 17)."""
    if kind == "ipo":
        return (margins - 1 / (2 * beta)).square()
    return -(1 - smoothing) * F.logsigmoid(beta * margins) - smoothing * F.logsigmoid(-beta * margins)


def clipped_policy_loss(log_probs: Tensor, old: Tensor, advantages: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """For each token max(-A ratio, -A clip(ratio, 1 - clip, 1 + clip)) (arXiv 1707.06347, equation 7), and whether the
    clip holds it."""
    ratio = (log_probs - old).exp()
    free, held = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    return torch.maximum(free, held), held > free


def clipped_value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """For each token half the larger of two squared errors: of the value, and of it kept near the old one."""
    near = old + (values - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (near - returns).square())
