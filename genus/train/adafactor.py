"""Adafactor without its factors, as PaLM was trained: Adam whose step is a share of the size of what it changes.

Not for saving memory, which is what the factors were for: it keeps two moments like Adam.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Adafactor"]

_TINY = 1e-30  # keeps a gradient of 0 from dividing by 0
_LEAST = 1e-3  # parameters that begin at 0 must get away from it
_FORGETS = -0.8  # step k gives the newest square a share of k ** -0.8, so the mean needs no correction


class Adafactor(torch.optim.Optimizer):
    """PaLM's optimizer (arXiv 2204.02311, section 5; arXiv 1804.04235 without factors; T5X's order of operations).

    `lr` is relative to the root mean square of each tensor, `beta` the decay of the momentum, and each step takes away
    `weight_decay` * lr ** 2 of the weights. State of each parameter: step, momentum, square; all are tensors.
    """

    def __init__(self, params: Iterable[Any], lr: float, beta: float = 0.9, weight_decay: float = 1.0) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. A closure is not supported."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, lr = self.state[parameter], group["lr"]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["momentum"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        state["square"].lerp_(gradient.square() + _TINY, state["step"] ** _FORGETS)
        scale = parameter.square().mean().sqrt().clamp(min=_LEAST)
        state["momentum"].lerp_(gradient * state["square"].rsqrt() * (lr * scale), 1 - group["beta"])
        parameter.mul_(1 - group["weight_decay"] * lr**2).sub_(state["momentum"])
