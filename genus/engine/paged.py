"""The model over the paged cache: reads a step's work and gives logits. What is read when is the scheduler's.

On a CPU in fp32 the logits of a token are the same bits however the step is put together: alone, in any batch, read in
pieces or after a shared beginning. It rests on three things that tests check on the machine at hand. A row of a matrix
product does not depend on its neighbours (packed.py), or not from a few rows on, and then a step has so many. Keys are
padded to whole pages, whose rest weighs exactly nothing in a softmax. And the values of each page are added up page by page.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genus.engine.packed import PackedModel, alike_rows, can_pack
from genus.engine.pages import Cache
from genus.engine.schedule import Work
from genus.models.attend import fused, make_mask
from genus.models.heads import LanguageModel
from genus.models.spec import DecoderSpec

__all__ = ["PagedReader"]

_PAGE = 128  # tokens; vLLM's on a CPU, and few enough to share most of a prompt
_FEW = 4  # rows from which on a small product of attention does not depend on its neighbours
_SINKS = 32  # places for one sink: sums go over whole vectors


class PagedReader:
    """A language model and its cache of `tokens` tokens. Memory is taken by the system as pages are first written."""

    def __init__(self, network: LanguageModel, tokens: int, page: int = _PAGE, sharing: bool = True) -> None:
        self.spec, self.page = network.spec, page
        self.context, self.vocab = self.spec.context, self.spec.vocab
        table = network.decoder.embed.weight
        network = network.eval()
        self.packed = can_pack(table)
        self.network = PackedModel(network) if self.packed else network
        self.shapes = frozenset((part.shape[-2], part.shape[-1]) for part in network.parameters() if part.dim() > 1)
        self.exact = table.device.type == "cpu" and table.dtype == torch.float32
        windows = [_length(self.spec, layer) for layer in range(self.spec.depth)]
        self.windows = list(dict.fromkeys(windows))
        self.places = [  # of a layer: its group, and its place in it
            (self.windows.index(window), windows[:layer].count(window)) for layer, window in enumerate(windows)
        ]
        count, part = -(-tokens // page), self.spec.attention
        self.cache = Cache(page, self.windows, [count] * len(self.windows), sharing)
        self.store = [  # keys and values of each group; one page more, for the rows that only fill up
            _zeros((2, windows.count(window), count + 1, page, part.kv_heads, part.head_dim), table)
            for window in self.windows
        ]

    @cached_property
    def least(self) -> int:
        """Rows that a step has at least."""
        if not self.exact:
            return 1
        found = alike_rows(self.shapes, self.packed, torch.get_num_threads())
        self.exact = found is not None
        return found or 1

    @torch.inference_mode()
    def read(self, work: Sequence[Work], wanted: Sequence[int]) -> Tensor:
        """Read a step's work; fp32 logits of the last `wanted` tokens of each, (sum of wanted, vocab)."""
        device = self.store[0].device
        tokens = [token for each in work for token in each.tokens]
        positions = [place for each in work for place in range(each.start, each.start + each.count)]
        short = [0] * max(0, self.least - len(tokens))
        attend = _Step(self, work, len(short))
        inputs = (torch.tensor([[*row, *short]], device=device) for row in (tokens, positions))
        hidden = self.network.decoder(*inputs, attend)[0]
        ends = torch.tensor([each.count for each in work]).cumsum(0).tolist()
        rows = [row for end, count in zip(ends, wanted, strict=True) for row in range(end - count, end)]
        if not rows:
            return hidden.new_zeros(0, self.spec.vocab, dtype=torch.float32)
        filled = rows + rows[:1] * max(0, self.least - len(rows))
        logits: Tensor = self.network.logits(hidden[torch.tensor(filled, device=device)])
        return logits[: len(rows)].float()

    @torch.inference_mode()
    def copy(self, pages: Iterable[tuple[int, int, int]]) -> None:
        """Copy pages: (group, from, to)."""
        for group, source, target in pages:
            self.store[group][:, :, target] = self.store[group][:, :, source]


@dataclass(frozen=True)
class _Piece:
    """One branch's part of a step in one group of layers."""

    rows: slice  # of the step
    pages: slice | Tensor  # of the cache; a slice where they follow each other, which needs no copy
    bias: Tensor  # (heads or 1, rows, places) to add to scores


class _Step:
    """`attend` for one step's work: one row of tokens, of which each branch has a part."""

    def __init__(self, model: PagedReader, work: Sequence[Work], short: int) -> None:
        self.model, self.spec = model, model.spec
        self.pieces = [self._pieces(group, work) for group in range(len(model.windows))]
        self.slots = [self._slots(group, work, short) for group in range(len(model.windows))]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        group, place = self.model.places[layer]
        keys, values = self.model.store[group][:, place]  # (pages, page, kv_heads, head_dim)
        keys.flatten(0, 1)[self.slots[group]] = k[0]
        values.flatten(0, 1)[self.slots[group]] = v[0]
        out = torch.zeros_like(q)
        attend = self._exact if self.model.exact else self._fast
        for piece in self.pieces[group]:
            out[0, piece.rows] = attend(q[0, piece.rows], keys[piece.pages], values[piece.pages], piece, sinks)
        return out

    def _pieces(self, group: int, work: Sequence[Work]) -> list[_Piece]:
        pieces, first = [], 0
        device = self.model.store[group].device
        for each in work:
            assert each.branch.table is not None
            end = -(-(each.start + each.count) // self.model.page)
            pages = each.branch.table.pages[group][:end]
            lost = sum(page < 0 for page in pages)  # those behind the window are the first
            places = torch.arange(lost * self.model.page, end * self.model.page, device=device)
            queries = torch.arange(each.start, each.start + each.count, device=device)
            layer = self.model.places.index((group, 0))
            bias = make_mask(self.spec, self.spec.attention.window(layer), queries, places)[0]
            if bias.dtype == torch.bool:
                bias = torch.zeros(bias.shape, device=device).masked_fill(~bias, float("-inf"))
            pieces.append(_Piece(slice(first, first + each.count), _run(pages[lost:], device), bias))
            first += each.count
        return pieces

    def _slots(self, group: int, work: Sequence[Work], short: int) -> Tensor:
        """Where in the group's cache each token's key goes."""
        size, slots = self.model.page, []
        for each in work:
            assert each.branch.table is not None
            pages = each.branch.table.pages[group]
            slots += [pages[place // size] * size + place % size for place in range(each.start, each.start + each.count)]
        last = self.model.store[group].shape[2] - 1
        return torch.tensor(slots + [last * size] * short, device=self.model.store[group].device)

    def _fast(self, q: Tensor, keys: Tensor, values: Tensor, piece: _Piece, sinks: Tensor | None) -> Tensor:
        """PyTorch's kernel. q (rows, heads, head_dim), keys and values (pages, page, kv_heads, head_dim) -> as q."""
        return fused(self.spec, (q[None], keys.flatten(0, 1)[None], values.flatten(0, 1)[None]), piece.bias[None], sinks)[0]

    def _exact(self, q: Tensor, keys: Tensor, values: Tensor, piece: _Piece, sinks: Tensor | None) -> Tensor:
        """The same in products whose bits depend on nothing but the row and the places that it sees."""
        part, count = self.spec.attention, len(q)
        each = part.heads // part.kv_heads  # query heads that read one key head
        scale = part.scale if part.scale is not None else part.head_dim**-0.5
        q, bias = q * scale, piece.bias
        if short := max(0, -(-_FEW // each) - count):
            q, bias = F.pad(q, (0, 0, 0, 0, 0, short)), F.pad(bias, (0, 0, 0, short))
        rows = q.unflatten(1, (part.kv_heads, each)).permute(1, 2, 0, 3)  # (kv_heads, each, rows, head_dim)
        scores = torch.bmm(rows.flatten(1, 2), keys.flatten(0, 1).permute(1, 2, 0)).unflatten(1, rows.shape[1:3])
        scores += bias if len(bias) == 1 else bias.unflatten(0, rows.shape[:2])  # (kv_heads, each, rows, places)
        weights = _softmax(scores, sinks).flatten(1, 2)
        out = torch.zeros_like(weights[..., : part.head_dim])
        for page, value in enumerate(values.transpose(1, 2)):  # (kv_heads, page, head_dim)
            out = torch.baddbmm(out, weights[..., page * self.model.page : (page + 1) * self.model.page], value)
        return out.unflatten(1, rows.shape[1:3]).permute(2, 0, 1, 3).flatten(1, 2)[:count]


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros as the other. On a CPU the system brings each page as it is first written; PyTorch would write them all now."""
    if like.device.type != "cpu":
        return like.new_zeros(shape)
    return torch.from_numpy(np.zeros(math.prod(shape) * like.element_size(), np.uint8)).view(like.dtype).view(shape)


def _softmax(scores: Tensor, sinks: Tensor | None) -> Tensor:
    """Over the last dimension of (kv_heads, each, rows, places), with one more column of sinks (heads,) that is dropped."""
    if sinks is None:
        return scores.softmax(-1)
    column = scores.new_full((*scores.shape[:3], _SINKS), float("-inf"))
    column[..., 0] = sinks.view(*scores.shape[:2], 1)
    return torch.cat((column, scores), -1).softmax(-1)[..., _SINKS:]


def _run(pages: list[int], device: torch.device) -> slice | Tensor:
    """Pages as a slice, where they follow each other."""
    if pages == list(range(pages[0], pages[0] + len(pages))):
        return slice(pages[0], pages[0] + len(pages))
    return torch.tensor(pages, device=device)


def _length(spec: DecoderSpec, layer: int) -> int | None:
    """Tokens that a layer sees; None for all, and for a pattern over all."""
    window = spec.attention.window(layer)
    return window if isinstance(window, int) else None
