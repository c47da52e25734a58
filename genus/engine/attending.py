"""Keys and values in pages, and attention over them: by our kernels on a CPU, by PyTorch's elsewhere."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from genus.engine.kernels.attention import scratch_bytes
from genus.engine.kernels.product import PAIR
from genus.engine.kernels.program import At, Op, attend_op, run, table
from genus.engine.schedule import Work
from genus.models.attend import Attend, fused, make_mask
from genus.models.spec import Alibi, DecoderSpec, Strided

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KernelStep", "KernelStore", "SdpaStore", "Store"]

TURN, TOKENS, POSITIONS, WANTED = 8, 10, 11, 12
"""Words of a step: addresses of cosines and, after them, sines; of token ids, places in the text, rows whose logits are
wanted."""

_ROWS = 24  # of a prompt in one task: enough of them for all threads


class Store(Protocol):
    """The keys and values of all pages. `places` of a layer: its group, and its place in it."""

    device: torch.device

    def step(self, work: Sequence[Work]) -> Attend:
        """What attends for one row with all tokens of a step's work."""

    def copy(self, group: int, source: int, target: int) -> None:
        """Copy a page of a group."""


class KernelStore:
    """For a CPU, in fp32, in the panels that engine/kernels/product.py reads."""

    device = torch.device("cpu")

    def __init__(self, spec: DecoderSpec, places: Sequence[tuple[int, int]], count: int, page: int, like: Tensor) -> None:
        if page % PAIR:
            raise ValueError(f"pages of {page} tokens are no multiple of {PAIR}")
        self.spec, self.places, self.page = spec, places, page
        part, layers = spec.attention, _layers(places)
        padded = -(-part.head_dim // PAIR) * PAIR
        # zeros that the system brings as they are first written
        self.keys = [np.zeros((each, count, part.kv_heads, page, part.head_dim), np.float32) for each in layers]
        self.values = [np.zeros((each, count, part.kv_heads, page, padded), np.float32) for each in layers]
        scale = part.scale if part.scale is not None else part.head_dim**-0.5
        self.scale = np.array([scale], np.float32)

    def step(self, work: Sequence[Work]) -> "KernelStep":
        return KernelStep(self, work)

    def attend_op(self, layer: int, q: At, kv: tuple[int, int, int], out: At, sinks: Tensor | None) -> Op:
        """See kernels.program.attend_op."""
        group, place = self.places[layer]
        cache = self.keys[group][place].ctypes.data, self.values[group][place].ctypes.data
        return attend_op(q, kv, out, cache, 0 if sinks is None else sinks.data_ptr(), group)

    def copy(self, group: int, source: int, target: int) -> None:
        for store in (self.keys[group], self.values[group]):
            store[:, target] = store[:, source]


class KernelStep:
    """What kernels are told of a step's work, `words`: see kernels/attention.py and pointwise.py. And `attend` by them."""

    def __init__(self, store: KernelStore, work: Sequence[Work]) -> None:
        self.store, part = store, store.spec.attention
        self.rows = sum(each.count for each in work)
        places = max(-(-(each.start + each.count) // store.page) for each in work) * store.page
        size = -(-scratch_bytes(part.head_dim, places) // 64) * 64
        scratch = np.zeros(size * torch.get_num_threads(), np.uint8)
        shape = (part.heads, part.kv_heads, part.head_dim, store.page)
        self.words = np.zeros(16 + 4 * len(store.keys), np.int64)
        self.words[:8] = (scratch.ctypes.data, size, places, *shape, store.scale.ctypes.data)
        self.kept: list[Any] = [scratch]  # whose addresses are in the words
        for group in range(len(store.keys)):
            self.words[16 + 4 * group : 20 + 4 * group] = self._group(group, work)

    def tell(self, first: int, *found: "NDArray[Any]") -> None:
        """Put the addresses of arrays into words from `first` on, see TURN and the others."""
        self.words[first : first + len(found)] = [each.ctypes.data for each in found]
        self.kept += found

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        out = torch.empty_like(q)
        q_step, k_step = (4 * each.shape[-1] * each.shape[-2] for each in (q, k))
        op = self.store.attend_op(
            layer, (q.data_ptr(), q_step), (k.data_ptr(), v.data_ptr(), k_step), (out.data_ptr(), q_step), sinks
        )
        run("fp32", table([op]), self.rows, self.words.ctypes.data)
        return out

    def _group(self, group: int, work: Sequence[Work]) -> tuple[int, int, int, int]:
        """Where the rows go in a group's pages, the tasks, their number, the window."""
        store, page = self.store, self.store.page
        window = store.spec.attention.window(store.places.index((group, 0)))
        slots, tasks, first = [], [], 0
        for each in work:
            assert each.branch.table is not None
            pages = np.array(each.branch.table.pages[group], np.int64)
            places = np.arange(each.start, each.start + each.count)
            slots.append(pages[places // page] * page + places % page)
            bias = (
                self._bias(window, each) if isinstance(window, Strided) or isinstance(store.spec.position, Alibi) else None
            )
            self.kept += [pages, bias]
            for done in range(0, each.count, _ROWS):
                rows = min(_ROWS, each.count - done)
                added = (0, 0, 0)
                if bias is not None:
                    heads, step = 0 if len(bias) == 1 else bias.stride(0), bias.stride(1)
                    added = (bias.data_ptr() + 4 * step * done, heads, step)
                tasks.append((first + done, rows, each.start + done, pages.ctypes.data, *added))
            first += each.count
        tables = np.concatenate(slots), np.array(tasks, np.int64)
        self.kept += tables
        return tables[0].ctypes.data, tables[1].ctypes.data, len(tasks), window if isinstance(window, int) else 0

    def _bias(self, window: Any, each: Work) -> Tensor:
        """What is added to a text's scores, (heads or 1, rows, places)."""
        places = torch.arange(-(-(each.start + each.count) // self.store.page) * self.store.page)
        bias = make_mask(self.store.spec, window, torch.arange(each.start, each.start + each.count), places)[0]
        return torch.zeros(bias.shape).masked_fill(~bias, float("-inf")) if bias.dtype == torch.bool else bias.contiguous()


class SdpaStore:
    """By PyTorch's own attention, text by text, in the network's own precision."""

    def __init__(self, spec: DecoderSpec, places: Sequence[tuple[int, int]], count: int, page: int, like: Tensor) -> None:
        self.spec, self.places, self.page, self.device = spec, places, page, like.device
        part = spec.attention
        self.store = [
            like.new_zeros((2, each, count, page, part.kv_heads, part.head_dim)) for each in _layers(places)
        ]  # keys and values of each group

    def step(self, work: Sequence[Work]) -> Attend:
        return _SdpaStep(self, work)

    def copy(self, group: int, source: int, target: int) -> None:
        self.store[group][:, :, target] = self.store[group][:, :, source]


class _SdpaStep:
    def __init__(self, store: SdpaStore, work: Sequence[Work]) -> None:
        self.store = store
        self.pieces = [[self._piece(group, each) for each in work] for group in range(len(store.store))]
        self.slots = [torch.cat([slots for slots, _, _ in pieces]) for pieces in self.pieces]
        self.counts = [each.count for each in work]

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, sinks: Tensor | None = None) -> Tensor:
        group, place = self.store.places[layer]
        keys, values = self.store.store[group][:, place]  # (pages, page, kv_heads, head_dim)
        keys.flatten(0, 1)[self.slots[group]] = k[0]
        values.flatten(0, 1)[self.slots[group]] = v[0]
        out = [
            fused(self.store.spec, (mine, keys[pages].flatten(0, 1)[None], values[pages].flatten(0, 1)[None]), mask, sinks)
            for mine, (_, pages, mask) in zip(q.split(self.counts, 1), self.pieces[group], strict=True)
        ]
        return torch.cat(out, 1)

    def _piece(self, group: int, work: Work) -> tuple[Tensor, Tensor, Tensor]:
        """Where a text's tokens go in the group's store, the pages that they see, and what of them."""
        store, page, device = self.store, self.store.page, self.store.device
        assert work.branch.table is not None
        end = -(-(work.start + work.count) // page)
        held = work.branch.table.pages[group][:end]
        lost = sum(each < 0 for each in held)  # those behind the window are the first
        pages = torch.tensor(held, device=device)
        queries = torch.arange(work.start, work.start + work.count, device=device)
        window = store.spec.attention.window(store.places.index((group, 0)))
        mask = make_mask(store.spec, window, queries, torch.arange(lost * page, end * page, device=device))
        return pages[queries // page] * page + queries % page, pages[lost:], mask


def _layers(places: Sequence[tuple[int, int]]) -> list[int]:
    """How many layers each group has."""
    groups = [group for group, _ in places]
    return [groups.count(group) for group in range(max(groups) + 1)]
