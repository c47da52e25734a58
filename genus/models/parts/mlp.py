"""The position-wise network of a block."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.spec import Activation, Mlp

__all__ = ["FeedForward", "activate"]

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": lambda x: x * (1.702 * x).sigmoid(),
    "relu": F.relu,
    "relu_squared": lambda x: F.relu(x).square(),
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """down(act(up(x))), or gated: down(act(gate(x)) * up(x)). (..., width) -> the same."""

    def __init__(self, mlp: Mlp, width: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.up = nn.Linear(width, mlp.hidden, bias=mlp.bias)
        self.gate = nn.Linear(width, mlp.hidden, bias=mlp.bias) if mlp.gated else None
        self.down = nn.Linear(mlp.hidden, width, bias=mlp.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(activate(self.mlp, self.up(x), None if self.gate is None else self.gate(x)))


def activate(mlp: Mlp, up: Tensor, gate: Tensor | None) -> Tensor:
    """What goes into `down`: up, activated, or up times the activated gate. All (..., hidden)."""
    activation = _ACTIVATIONS[mlp.activation]
    if gate is None:
        return activation(up)
    if mlp.clamp is not None:
        gate, up = gate.clamp(max=mlp.clamp), up.clamp(-mlp.clamp, mlp.clamp)
    return activation(gate) * (up + mlp.shift if mlp.shift else up)
