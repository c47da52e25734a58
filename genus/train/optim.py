"""The optimizer that a recipe asks for. Its learning rate over time is schedule.py's."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from genus.train.adafactor import Adafactor
from genus.train.muon import Muon
from genus.train.recipe import Optim

__all__ = ["make_optimizer"]


def make_optimizer(model: nn.Module, optim: Optim, rates: Mapping[str, float] = {}) -> torch.optim.Optimizer:
    """The optimizer over all parameters that learn, AdamW in one fused pass.

    Matrices decay; vectors (gains, biases), and tables of which a few rows alone learn, do not. Muon takes the matrices of
    the blocks, which map hidden states to hidden states, and AdamW the rest.
    """
    learned = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    named = {name: parameter for name, parameter in learned.items() if not name.endswith("bias")}
    inner = {name for name, parameter in named.items() if ".blocks." in name and parameter.dim() >= 2}
    inner = {name for name in inner if ".router." not in name} if optim.kind == "muon" else set()
    kinds: dict[tuple[bool, bool, float], list[nn.Parameter]] = {}
    for name, parameter in learned.items():
        rate = rates.get(name.partition(".")[0], 1.0)
        decays = parameter.dim() >= 2 and getattr(parameter, "decays", True)  # see models/rows.py
        kinds.setdefault((decays, name in inner, rate), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": parameters, "weight_decay": optim.weight_decay if decays else 0.0, "orthogonal": orthogonal, "rate": rate}
        for (decays, orthogonal, rate), parameters in kinds.items()
    ]
    if optim.kind == "adafactor":
        return Adafactor(groups, lr=optim.lr, beta=optim.betas[0])
    adamw = Muon if optim.kind == "muon" else torch.optim.AdamW
    return adamw(groups, lr=optim.lr, betas=optim.betas, eps=optim.eps, fused=True)
