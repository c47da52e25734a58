"""The position-wise network of a block."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.spec import Activation, DecoderSpec

__all__ = ["FeedForward"]

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """down(act(up(x))), or gated: down(act(gate(x)) * up(x)). (batch, time, width) -> the same."""

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        part, width = spec.mlp, spec.width
        self.activation = _ACTIVATIONS[part.activation]
        self.up = nn.Linear(width, part.hidden, bias=part.bias)
        self.gate = nn.Linear(width, part.hidden, bias=part.bias) if part.gated else None
        self.down = nn.Linear(part.hidden, width, bias=part.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is None:
            return self.down(self.activation(self.up(x)))
        return self.down(self.activation(self.gate(x)) * self.up(x))
