"""The optimizer and its learning rate over time. Schedules count tokens, so that they mean the same at any batch size."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from genus.core.errors import GenusError

__all__ = ["Optim", "Schedule", "learning_rate", "make_optimizer"]


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW (arXiv 1711.05101)."""

    lr: float = 1e-3
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of the first and second moments, as GPT-3."""
    eps: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.1
    """Decoupled decay of matrices; gains and biases are left alone."""
    clip: float = 1.0
    """Largest norm of the gradient of a step; 0 turns clipping off."""

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.eps <= 0 or self.weight_decay < 0 or self.clip < 0:
            raise GenusError("optim: lr and eps must be above 0, weight_decay and clip at least 0; correct the recipe")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise GenusError(f"optim.betas = {self.betas} must lie from 0 to below 1; (0.9, 0.95) is usual")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over the tokens of a run."""

    warmup_tokens: int = 100_000
    """Tokens over which the learning rate rises from 0 to its peak."""
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    """The way from the peak to the end of the run."""
    final: float = 0.1
    """Learning rate at the end, as a share of the peak."""

    def __post_init__(self) -> None:
        if self.warmup_tokens < 0 or not 0 <= self.final <= 1:
            raise GenusError("schedule: warmup_tokens must be at least 0 and final from 0 to 1; correct the recipe")


def learning_rate(schedule: Schedule, peak: float, seen: int, total: int) -> float:
    """The learning rate for the step that ends at `seen` of `total` tokens."""
    if seen < schedule.warmup_tokens:
        return peak * seen / schedule.warmup_tokens
    share = min(1.0, (seen - schedule.warmup_tokens) / max(1, total - schedule.warmup_tokens))
    shape = {"cosine": 0.5 * (1 + math.cos(math.pi * share)), "linear": 1 - share, "constant": 1.0}[schedule.decay]
    return peak * (schedule.final + (1 - schedule.final) * shape)


def make_optimizer(model: nn.Module, optim: Optim) -> torch.optim.AdamW:
    """AdamW in one fused pass over all parameters. Matrices decay; vectors (gains, biases) do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": optim.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=True)
