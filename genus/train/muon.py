"""Muon: steps whose directions are orthogonal matrices (K. Jordan 2024, kellerjordan.github.io/posts/muon).

The momentum of a matrix is replaced by the nearest orthogonal matrix, so that all its directions move equally fast. For
matrices that map hidden states to hidden states; tables, gains and biases want AdamW.
"""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonalise"]

# x -> a x + b x^3 + c x^5, five times, takes any singular value from 0.01 to 1 to about 1 (Jordan's coefficients)
_STEPS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Orthogonalised Nesterov momentum, decoupled weight decay.

    An update has the root mean square that AdamW's usually has, 0.2 (Moonlight, arXiv 2502.16982), so that one learning
    rate and one weight decay serve both.
    """

    def __init__(self, params: Any, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Update every parameter that has a gradient. Matrices of one shape are orthogonalised together."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        gradients = [parameter.grad for parameter in parameters]
        momenta = [self._momentum(parameter) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov's
        directions = orthogonalise(torch.stack(ahead))
        rows, columns = parameters[0].shape[-2:]
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(directions), alpha=-0.2 * max(rows, columns) ** 0.5 * group["lr"])

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]


def orthogonalise(x: Tensor, steps: int = _STEPS) -> Tensor:
    """Matrices (..., rows, columns) with singular values near 1 in place of theirs, by Newton and Schulz's iteration.

    On a GPU in bf16, which is exact enough for a direction.
    """
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.mT
        x = _A * x + (_B * a + _C * a @ a) @ x
    return x if wide else x.mT
