"""Projections around attention. What attends to what, and over which cache, is the caller's `attend`."""

import torch
from torch import Tensor, nn

from genus.models.attend import Attend
from genus.models.parts.norm import make_norm
from genus.models.parts.position import Rotation, rotate
from genus.models.spec import DecoderSpec, Rotary

__all__ = ["SelfAttention"]


class SelfAttention(nn.Module):
    """q, k, v are stored apart, so that families differ only in how their files are read."""

    def __init__(self, spec: DecoderSpec, layer: int) -> None:
        super().__init__()
        part, width = spec.attention, spec.width
        self.layer, self.head_dim, self.position = layer, part.head_dim, spec.position
        self.q = nn.Linear(width, part.heads * part.head_dim, bias=part.bias)
        self.k = nn.Linear(width, part.kv_heads * part.head_dim, bias=part.bias)
        self.v = nn.Linear(width, part.kv_heads * part.head_dim, bias=part.bias)
        self.q_norm = make_norm(spec.norm, part.head_dim) if part.qk_norm else None
        self.k_norm = make_norm(spec.norm, part.head_dim) if part.qk_norm else None
        self.out = nn.Linear(part.heads * part.head_dim, width, bias=part.out_bias)
        self.sinks = nn.Parameter(torch.zeros(part.heads)) if part.sinks else None

    def forward(self, x: Tensor, turn: Rotation | None, attend: Attend) -> Tensor:
        """x (batch, time, width) -> (batch, time, width)."""
        q, k, v = (
            linear(x).unflatten(-1, (-1, self.head_dim))  # (batch, time, heads, head_dim)
            for linear in (self.q, self.k, self.v)
        )
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if isinstance(self.position, Rotary) and turn is not None:
            q, k = rotate(self.position, q, turn), rotate(self.position, k, turn)
        return self.out(attend(self.layer, q, k, v, self.sinks).flatten(-2))  # (batch, time, heads * head_dim)
