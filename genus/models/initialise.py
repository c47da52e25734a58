"""Random weights to start training from, as each family's authors drew them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genus.models.heads import LanguageModel

__all__ = ["Init", "initialise"]


@dataclass(frozen=True, kw_only=True)
class Init:
    """Standard deviations; None means fan_in ** -0.5. `residual` is for the two maps that write to the stream."""

    matrix: float | None
    residual: float | None
    embed: float
    position: float = 0.02


@torch.no_grad()
def initialise(model: LanguageModel, init: Init, seed: int, put: Callable[[Tensor, Tensor], object] = Tensor.copy_) -> None:
    """Fill every parameter: normal matrices, zero biases, gains of 1. The same seed gives the same weights anywhere.

    `put(parameter, values)` sets one, of which a rank may hold a part.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1 or name.endswith("bias"):
            parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        else:
            put(parameter, _normal(parameter, _deviation(name, parameter, init), generator))


def _deviation(name: str, parameter: nn.Parameter, init: Init) -> float:
    if name == "decoder.embed.weight":
        return init.embed
    if name == "decoder.position.weight":
        return init.position
    chosen = init.residual if name.endswith(("attention.out.weight", "mlp.down.weight")) else init.matrix
    return chosen if chosen is not None else 1 / math.sqrt(parameter.shape[-1])


def _normal(like: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=torch.float32) * deviation
