"""Muon: steps whose directions are orthogonal matrices (K. Jordan 2024, kellerjordan.github.io/posts/muon).

The momentum of a matrix is replaced by the nearest orthogonal one, so that all its directions move equally fast. It is for
matrices that map hidden states to hidden states; tables, gains and biases are left to AdamW, in the same optimizer.
"""

from typing import Any

import torch
from torch import Tensor, nn

from genus.parallel.mesh import is_split, local, window_of

__all__ = ["Muon", "orthogonalise"]

_MOMENTUM = 0.95
_RMS = 0.2  # of an update, as AdamW's usually is, so that one learning rate serves both (Moonlight, arXiv 2502.16982)
_STEPS = 5
_TOGETHER = 4  # matrices that are made whole and turned at once: of a large model's, all would not fit
_A, _B, _C = 3.4445, -4.7750, 2.0315  # Jordan's: five times take singular values of 0.01 to 1 to within 0.7 to 1.2


class Muon(torch.optim.AdamW):
    """AdamW, but groups with `orthogonal` set take orthogonalised Nesterov momentum. Weight decay is the same."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; on a device, nothing where `found_inf` is 1, as fused AdamW."""
        groups = self.param_groups
        for group in groups:
            if group.get("orthogonal"):
                self._turn(group)
        self.param_groups = [group for group in groups if not group.get("orthogonal")]
        try:
            super().step(closure)
        finally:
            self.param_groups = groups

    def _turn(self, group: dict[str, Any]) -> None:
        """Matrices of one shape are orthogonalised together, a few at a time."""
        alike: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                alike.setdefault(parameter.shape, []).append(parameter)
        refused = getattr(self, "found_inf", None)
        applied = 1.0 if refused is None else 1 - refused  # a number, or one on the device that nobody waits for
        few = [same[first : first + _TOGETHER] for same in alike.values() for first in range(0, len(same), _TOGETHER)]
        for parameters in few:
            directions = orthogonalise(torch.stack([_whole(self._ahead(parameter, refused)) for parameter in parameters]))
            size = _RMS * max(directions.shape[-2:]) ** 0.5 * group["lr"]
            for parameter, direction in zip(parameters, directions, strict=True):
                held = local(parameter)
                held.mul_(1 - group["lr"] * group["weight_decay"] * applied)
                held.sub_(direction[window_of(parameter)] * (size * applied))

    def _ahead(self, parameter: nn.Parameter, refused: Tensor | None) -> Tensor:
        """The momentum with this gradient in it, and this gradient once more (Nesterov)."""
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        if refused is not None:  # the gradient may not be finite: as if it had been what is expected
            held = local(gradient)  # of many ranks each decides for its part: `refused` is no DTensor
            held.copy_(torch.where(refused.bool(), local(momentum), held))
        return gradient.lerp(momentum.lerp_(gradient, 1 - _MOMENTUM), _MOMENTUM)


def orthogonalise(x: Tensor, steps: int = _STEPS) -> Tensor:
    """Matrices (..., rows, columns) with singular values near 1 in place of theirs, by Newton and Schulz's iteration.

    On an accelerator in bf16, which is exact enough for a direction.
    """
    wide = x.shape[-2] <= x.shape[-1]
    kind = x.dtype
    x = x.bfloat16() if x.device.type == "cuda" else x
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        squares = x @ x.mT
        x = _A * x + (_B * squares + _C * squares @ squares) @ x
    return (x if wide else x.mT).to(kind)


def _whole(x: Tensor) -> Tensor:
    """All of a matrix of which each rank holds a part: every rank then computes the same."""
    return x.full_tensor() if is_split(x) else x
