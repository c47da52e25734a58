"""Keys and values of tokens already read, and the `attend` that uses them, so that each new token is one short step."""

import torch
from torch import Tensor

from genus.models.attend import FastAttend, fused, make_mask
from genus.models.spec import Alibi, DecoderSpec, Strided, Window

__all__ = ["CachedAttend"]


class CachedAttend:
    """Attention over a cache that grows by the tokens of each forward, up to `capacity` tokens a sequence.

    After each forward of the decoder, call `advance`. One forward may bring a whole prompt, a piece of one, or one token.
    """

    def __init__(self, spec: DecoderSpec, batch: int, capacity: int, like: Tensor) -> None:
        part = spec.attention
        shape = (spec.depth, 2, batch, part.kv_heads, capacity, part.head_dim)
        self.spec, self.length, self.whole = spec, 0, FastAttend(spec)
        self.cache = torch.empty(shape, dtype=like.dtype, device=like.device)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        time, window = q.shape[1], self.spec.attention.window(layer)
        end = self.length + time
        self.cache[layer, 0, :, :, self.length : end] = k.transpose(1, 2)  # (batch, kv_heads, time, head_dim)
        self.cache[layer, 1, :, :, self.length : end] = v.transpose(1, 2)
        if self.length == 0:
            return self.whole(layer, q, k, v, sinks)
        past, mask = _last(window, end) if time == 1 else slice(end), None
        if time > 1 or isinstance(self.spec.position, Alibi):
            places = torch.arange(end, device=q.device)
            mask = make_mask(self.spec, window, places[self.length :], places[past])
        k, v = self.cache[layer, :, :, :, past].transpose(2, 3)
        return fused(self.spec, (q, k, v), mask, sinks)

    def advance(self, time: int) -> None:
        """Count the `time` tokens just read as past."""
        self.length += time


def _last(window: Window, end: int) -> slice:
    """What the newest of `end` tokens sees."""
    if isinstance(window, Strided):
        return slice((end - 1) % window.stride, end, window.stride)
    return slice(0 if window is None else max(0, end - window), end)
