"""Normalisation of the residual stream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.spec import Norm

__all__ = ["LayerNorm", "RmsNorm", "make_norm"]


class LayerNorm(nn.Module):
    """Mean 0, variance 1, then gain and, where the spec has one, bias. (..., width) -> (..., width)."""

    def __init__(self, width: int, eps: float, bias: bool) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RmsNorm(nn.Module):
    """Root mean square 1, in fp32, cast back, and only then the gain (as LLaMA: the order shows in bf16)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float()
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * exact.to(x.dtype)


def make_norm(norm: Norm, width: int) -> nn.Module:
    """The module that a spec's norm describes."""
    return RmsNorm(width, norm.eps) if norm.kind == "rms" else LayerNorm(width, norm.eps, norm.bias)
