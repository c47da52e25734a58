"""What a query may see: the dense reference and the fast training attention, behind one call.

The decoder calls `attend(layer, q, k, v, sinks)` and knows nothing else. The engine brings its own, over its cache.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.parts.position import alibi_slopes
from genus.models.spec import Alibi, DecoderSpec, Strided, Window

__all__ = ["Attend", "DenseAttend", "FastAttend", "TreeAttend", "fused", "make_mask"]


class Attend(Protocol):
    """q (batch, time, heads, head_dim), k and v (batch, time, kv_heads, head_dim), sinks None or (heads,) -> as q."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor: ...


class DenseAttend:
    """The reference: every score is written out, as the formula reads. Slow and large; other routes are tested against it.

    `documents` (batch, time) numbers the document of each token; a token sees only its own document.
    """

    def __init__(self, spec: DecoderSpec, documents: Tensor | None = None) -> None:
        self.spec, self.documents = spec, documents

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        part, time = self.spec.attention, q.shape[1]
        groups = part.heads // part.kv_heads  # query head h reads key head h // groups
        k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
        scores = torch.einsum("bqhd,bkhd->bhqk", q.float(), k.float()) * _scale(self.spec)
        index = torch.arange(time, device=q.device)
        if isinstance(self.spec.position, Alibi):
            scores = scores + _alibi(part.heads, index[:, None] - index[None, :])
        seen = _seen(part.window(layer), index[:, None] - index[None, :])
        if self.documents is not None:
            seen = seen & (self.documents[:, :, None] == self.documents[:, None, :])[:, None]
        scores = scores.masked_fill(~seen, float("-inf"))
        if sinks is not None:  # one more column, whose value is nothing
            scores = torch.cat((scores, sinks.float()[:, None, None].expand(*scores.shape[:3], 1)), dim=-1)
        weights = scores.softmax(-1)[..., :time].to(v.dtype)
        return torch.einsum("bhqk,bkhd->bqhd", weights, v)


class FastAttend:
    """Training attention through PyTorch's fused kernels; scores are never stored where the kernel allows it.

    A layer with a window does the work of the window only. `documents` as in DenseAttend; None means that each row is one
    document, which lets the kernel skip half the work. `dropout` is the chance that a weight is dropped.
    """

    def __init__(self, spec: DecoderSpec, documents: Tensor | None = None, dropout: float = 0.0) -> None:
        self.spec, self.dropout, self.documents = spec, dropout, documents
        self.masks: dict[tuple[str, int, int], Tensor] = {}  # shared by the layers
        self.heads = slice(None)  # of all, those that are computed here

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        window = self.spec.attention.window(layer)
        if isinstance(window, Strided):
            return self._strided(window.stride, (q, k, v), sinks)
        if window is not None and window < q.shape[1]:
            return self._banded(window, (q, k, v), sinks)
        return self._causal((q, k, v), sinks, self.documents)

    def _causal(self, qkv: "_Qkv", sinks: Tensor | None, documents: Tensor | None, step: int = 1) -> Tensor:
        """All of the past, of rows whose neighbours are `step` places apart."""
        index = torch.arange(qkv[0].shape[1], device=qkv[0].device) * step
        mask = None
        if documents is not None or isinstance(self.spec.position, Alibi):
            own = None if documents is None else (documents, documents)
            mask = self._mask(("causal", len(index), step), (None, index, index), own)
        return fused(self.spec, qkv, mask, sinks, self.dropout)

    def _strided(self, stride: int, qkv: "_Qkv", sinks: Tensor | None) -> Tensor:
        """Places that are equal modulo the stride see each other and nobody else: each such set is a row of its own."""
        batch, time = qkv[0].shape[:2]

        def deal(x: Tensor) -> Tensor:
            rows = _filled(x, stride).unflatten(1, (-1, stride)).transpose(1, 2)
            return rows.flatten(0, 1)  # (batch * stride, time / stride, ...)

        q, k, v = map(deal, qkv)
        out = self._causal((q, k, v), sinks, None if self.documents is None else deal(self.documents), stride)
        return out.unflatten(0, (batch, stride)).transpose(1, 2).flatten(1, 2)[:, :time]

    def _banded(self, band: int, qkv: "_Qkv", sinks: Tensor | None) -> Tensor:
        """Queries in blocks: each sees keys of its own block and of the band before it, so that work grows with time.

        On a CPU a segment of blocks at a time: what it needs, forward and backward, then stays in the cache.
        """
        time, device = qkv[0].shape[1], qkv[0].device
        block = band // 2 if band % 2 == 0 else band  # smaller ones waste less on masked keys and more on calls
        segment = max(band, _CPU_SEGMENT // block * block) if device.type == "cpu" else time
        whole, rest = divmod(time - band, segment)
        cuts = [band, *[segment] * whole, *([rest] if rest else [])]
        q, k, v = (x.split(cuts, dim=1) for x in qkv)
        ids = None if self.documents is None else self.documents.split(cuts, dim=1)
        out = [self._causal((q[0], k[0], v[0]), sinks, None if ids is None else ids[0])]
        index, seen = torch.arange(band + block, device=device), band + block

        def keys_of(parts: Sequence[Tensor], i: int) -> Tensor:
            return _blocks(torch.cat((parts[i - 1][:, -band:], parts[i]), dim=1), seen, block)

        for i in range(1, len(cuts)):
            documents = None if ids is None else (_blocks(ids[i], block, block), keys_of(ids, i))
            mask = self._mask(("banded", band, i if ids else 0), (band, index[band:], index), documents)
            blocks = _blocks(q[i], block, block), keys_of(k, i), keys_of(v, i)
            said = fused(self.spec, blocks, mask, sinks, self.dropout)
            out.append(said.unflatten(0, (len(q[i]), -1)).flatten(1, 2)[:, : cuts[i]])  # without what filled up
        return torch.cat(out, dim=1)

    def _mask(
        self, key: tuple[str, int, int], place: tuple[Window, Tensor, Tensor], documents: "_Documents | None"
    ) -> Tensor:
        if key not in self.masks:
            mask = make_mask(self.spec, *place, documents)
            self.masks[key] = mask[:, self.heads] if isinstance(self.spec.position, Alibi) else mask
        return self.masks[key]


class TreeAttend:
    """Attention within rows that are trees, as texts with a common beginning are when it is written once.

    `seen` (batch, time, time) says which keys are before a query in its own text; positions (batch, time) count within it.
    """

    def __init__(self, spec: DecoderSpec, seen: Tensor, positions: Tensor) -> None:
        self.spec, self.seen = spec, seen[:, None]
        self.distance = (positions[:, :, None] - positions[:, None, :])[:, None]  # (batch, 1, queries, keys)
        self.masks: dict[Window, Tensor] = {}  # shared by the layers

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        window = self.spec.attention.window(layer)
        if window not in self.masks:
            mask = self.seen & _seen(window, self.distance)
            if isinstance(self.spec.position, Alibi):
                mask = _alibi(self.spec.attention.heads, self.distance).masked_fill(~mask, float("-inf"))
            self.masks[window] = mask
        return fused(self.spec, (q, k, v), self.masks[window], sinks)


_CPU_SEGMENT = 2048  # tokens
_Qkv = tuple[Tensor, Tensor, Tensor]
_Documents = tuple[Tensor, Tensor]  # of queries and of keys, (batch, places)


def fused(spec: DecoderSpec, qkv: _Qkv, mask: Tensor | None, sinks: Tensor | None, dropout: float = 0.0) -> Tensor:
    """PyTorch's attention over q (batch, time, heads, head_dim), k, v -> as q. No mask: causal where q has many places."""
    q, k, v = qkv
    size, causal = q.shape[-1], mask is None and q.shape[1] > 1
    if sinks is not None:
        q, k, v, mask = _with_sink(qkv, mask, sinks / _scale(spec), causal)
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2),  # (batch, heads, time, head_dim)
        k.transpose(1, 2),
        v.transpose(1, 2),
        attn_mask=mask if mask is None or mask.dtype == torch.bool else mask.to(q.dtype),
        is_causal=causal,
        dropout_p=dropout,
        scale=_scale(spec),
        enable_gqa=q.shape[2] != k.shape[2],
    ).transpose(1, 2)
    return out if sinks is None else out[:, -qkv[0].shape[1] :, :, :size]


def _with_sink(qkv: _Qkv, mask: Tensor | None, scores: Tensor, causal: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """A first key that everybody sees and whose value is nothing. It meets only a dimension of the queries that is added
    to hold the sink's score, so that no score need be written out and gradients reach the sink."""
    q, k, v = qkv
    q = torch.cat((q, scores.to(q.dtype)[:, None].expand(*q.shape[:3], 1)), dim=-1)
    k, v = F.pad(k, (0, 1, 0, 0, 1, 0)), F.pad(v, (0, 1, 0, 0, 1, 0))
    k[:, 0, :, -1] = 1
    if causal:
        q = F.pad(q, (0, 0, 0, 0, 1, 0))  # a first query too, which keeps the diagonal where it was
    if mask is not None:
        mask = F.pad(mask, (1, 0), value=mask.dtype == torch.bool)  # True where seen, or 0 to add
    return q, k, v, mask


def make_mask(
    spec: DecoderSpec, window: Window, queries: Tensor, keys: Tensor, documents: _Documents | None = None
) -> Tensor:
    """(batch or 1, heads or 1, queries, keys) for places in the row: True where seen; with ALiBi the bias to add, fp32."""
    distance = queries[:, None] - keys[None, :]
    seen = _seen(window, distance)[None, None]
    if documents is not None:
        mine, theirs = documents
        seen = seen & (mine[:, :, None] == theirs[:, None, :])[:, None]
    if not isinstance(spec.position, Alibi):
        return seen
    return _alibi(spec.attention.heads, distance).masked_fill(~seen, float("-inf"))


def _seen(window: Window, distance: Tensor) -> Tensor:
    """Whether a key `distance` places back is seen, causality included."""
    seen = distance >= 0
    if isinstance(window, Strided):
        return seen & (distance % window.stride == 0)
    return seen if window is None else seen & (distance < window)


def _alibi(heads: int, distance: Tensor) -> Tensor:
    """-slope * distance, (heads, queries, keys), fp32.

    BLOOM writes slope * key; softmax does not see the difference, which is constant along a row.
    """
    return -alibi_slopes(heads).to(distance.device)[:, None, None] * distance.float()


def _blocks(x: Tensor, size: int, step: int) -> Tensor:
    """Pieces of `size` along time, every `step`, as rows: (batch, time, ...) -> (batch * pieces, size, ...)."""
    return _filled(x, step).unfold(1, size, step).movedim(-1, 2).flatten(0, 1)


def _filled(x: Tensor, step: int) -> Tensor:
    """x (batch, time, ...) with zeros after it up to a multiple of `step`: later keys, which no real query sees."""
    short = -x.shape[1] % step
    return torch.cat((x, x.new_zeros(len(x), short, *x.shape[2:])), dim=1) if short else x


def _scale(spec: DecoderSpec) -> float:
    return spec.attention.scale if spec.attention.scale is not None else spec.attention.head_dim**-0.5
