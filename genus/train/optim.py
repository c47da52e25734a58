"""The optimizer and its learning rate over time. Schedules count tokens, so that they mean the same at any batch size."""

import math

import torch
from torch import nn

from genus.train.recipe import Optim, Schedule

__all__ = ["learning_rate", "make_optimizer"]


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
