"""The optimizer that a recipe asks for. Its learning rate over time is schedule.py's."""

import torch
from torch import nn

from genus.train.adafactor import Adafactor
from genus.train.recipe import Optim

__all__ = ["make_optimizer"]


def make_optimizer(model: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """The optimizer over all parameters, AdamW in one fused pass. Matrices decay; vectors (gains, biases) do not."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    groups = [{"params": matrices, "weight_decay": optim.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if optim.kind == "adafactor":
        return Adafactor(groups, lr=optim.lr, beta=optim.betas[0])
    return torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=True)
