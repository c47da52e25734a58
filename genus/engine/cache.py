"""Keys and values of tokens already read, and the `attend` that uses them, so that each new token is one short step."""

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.attend import alibi_bias
from genus.models.spec import Alibi, DecoderSpec

__all__ = ["CachedAttend"]


class CachedAttend:
    """Attention over a cache that grows by the tokens of each forward, up to `capacity` tokens a sequence.

    After each forward of the decoder, call `advance`. One forward may bring a whole prompt, a piece of one, or one token.
    """

    def __init__(self, spec: DecoderSpec, batch: int, capacity: int, like: Tensor) -> None:
        part = spec.attention
        shape = (spec.depth, 2, batch, part.kv_heads, capacity, part.head_dim)
        self.spec, self.length = spec, 0
        self.cache = torch.empty(shape, dtype=like.dtype, device=like.device)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        part, time = self.spec.attention, q.shape[1]
        end = self.length + time
        self.cache[layer, 0, :, :, self.length : end] = k.transpose(1, 2)  # (batch, kv_heads, time, head_dim)
        self.cache[layer, 1, :, :, self.length : end] = v.transpose(1, 2)
        mask = self._mask(time, q)
        out = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            self.cache[layer, 0, :, :, :end],
            self.cache[layer, 1, :, :, :end],
            attn_mask=mask,
            is_causal=mask is None and time > 1,
            scale=part.scale,
            enable_gqa=part.kv_heads != part.heads,
        )
        return out.transpose(1, 2)

    def advance(self, time: int) -> None:
        """Count the `time` tokens just read as past."""
        self.length += time

    def _mask(self, time: int, q: Tensor) -> Tensor | None:
        """None where plain causal or a single token will do; else (heads or 1, query, key)."""
        alibi = isinstance(self.spec.position, Alibi)
        if not alibi and (time == 1 or self.length == 0):
            return None
        queries = torch.arange(self.length, self.length + time, device=q.device)
        keys = torch.arange(self.length + time, device=q.device)
        seen = queries[:, None] >= keys[None, :]
        if not alibi:
            return seen
        bias = alibi_bias(self.spec.attention.heads, queries, keys)
        return bias.masked_fill(~seen, float("-inf")).to(q.dtype)
