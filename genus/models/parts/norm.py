"""Normalisation of the residual stream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.spec import Norm

__all__ = ["LayerNorm", "RmsNorm", "make_norm"]


class LayerNorm(nn.Module):
    """Mean 0, variance 1, then gain and bias, where the spec has them. (..., width) -> (..., width)."""

    def __init__(self, norm: Norm, width: int) -> None:
        super().__init__()
        self.eps, self.shape = norm.eps, (width,)
        self.weight = nn.Parameter(torch.ones(width)) if norm.gain else None
        self.bias = nn.Parameter(torch.zeros(width)) if norm.bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class RmsNorm(nn.Module):
    """Root mean square 1, in fp32, cast back, and only then the gain (as LLaMA: the order shows in bf16)."""

    def __init__(self, norm: Norm, width: int) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight = nn.Parameter(torch.ones(width)) if norm.gain else None

    def forward(self, x: Tensor) -> Tensor:
        exact = x.float()
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.eps)
        return exact.to(x.dtype) if self.weight is None else self.weight * exact.to(x.dtype)


def make_norm(norm: Norm, width: int) -> nn.Module:
    """The module that a spec's norm describes."""
    return RmsNorm(norm, width) if norm.kind == "rms" else LayerNorm(norm, width)
