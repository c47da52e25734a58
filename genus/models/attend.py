"""What a query may see: the dense reference and the fast training attention, behind one call.

The decoder calls `attend(layer, q, k, v)` and knows nothing else. The engine brings its own, over its cache.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.parts.position import alibi_slopes
from genus.models.spec import Alibi, DecoderSpec

__all__ = ["Attend", "DenseAttend", "FastAttend", "alibi_bias"]


class Attend(Protocol):
    """q (batch, time, heads, head_dim), k and v (batch, time, kv_heads, head_dim) -> as q."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor: ...


class DenseAttend:
    """The reference: every score is written out, as the formula reads. Slow and large; other routes are tested against it.

    `documents` (batch, time) numbers the document of each token; a token sees only its own document.
    """

    def __init__(self, spec: DecoderSpec, documents: Tensor | None = None) -> None:
        self.spec, self.documents = spec, documents

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        part, time = self.spec.attention, q.shape[1]
        groups = part.heads // part.kv_heads  # query head h reads key head h // groups
        k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q.float(), k.float()) * _scale(self.spec)
        index = torch.arange(time, device=q.device)
        if isinstance(self.spec.position, Alibi):
            scores = scores + alibi_bias(part.heads, index, index)
        hidden = index[:, None] < index[None, :]  # (query, key)
        if self.documents is not None:
            hidden = hidden | (self.documents[:, :, None] != self.documents[:, None, :])[:, None]
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1).to(v.dtype)
        return torch.einsum("bhqk,bkhd->bqhd", weights, v)


class FastAttend:
    """Training attention through PyTorch's fused kernels; scores are never stored where the kernel allows it.

    `documents` as in DenseAttend; None means that each row is one document, which lets the kernel skip half the work.
    `dropout` is the chance that a weight is dropped.
    """

    def __init__(self, spec: DecoderSpec, documents: Tensor | None = None, dropout: float = 0.0) -> None:
        self.spec, self.dropout, self.documents = spec, dropout, documents
        self.mask: Tensor | None = None  # one for all layers, made at the first

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        part = self.spec.attention
        if self.mask is None:
            self.mask = self._make_mask(q)
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2),  # (batch, heads, time, head_dim)
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=self.mask,
            is_causal=self.mask is None,
            dropout_p=self.dropout,
            scale=_scale(self.spec),
            enable_gqa=part.kv_heads != part.heads,
        )
        return out.transpose(1, 2)

    def _make_mask(self, q: Tensor) -> Tensor | None:
        """None for plain causal; else (batch or 1, heads or 1, query, key): True where seen, or the bias to add."""
        alibi = isinstance(self.spec.position, Alibi)
        if self.documents is None and not alibi:
            return None
        index = torch.arange(q.shape[1], device=q.device)
        seen = (index[:, None] >= index[None, :])[None, None]
        if self.documents is not None:
            seen = seen & (self.documents[:, :, None] == self.documents[:, None, :])[:, None]
        if not alibi:
            return seen
        bias = alibi_bias(self.spec.attention.heads, index, index)
        return bias.masked_fill(~seen, float("-inf")).to(q.dtype)


def alibi_bias(heads: int, queries: Tensor, keys: Tensor) -> Tensor:
    """slope * (key - query), (heads, queries, keys), from their places in the row, fp32.

    BLOOM writes slope * key; softmax does not see the difference, which is constant along a row.
    """
    distance = (keys[None, :] - queries[:, None]).float()
    return alibi_slopes(heads).to(distance.device)[:, None, None] * distance


def _scale(spec: DecoderSpec) -> float:
    return spec.attention.scale if spec.attention.scale is not None else spec.attention.head_dim**-0.5
