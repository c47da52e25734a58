"""The model over the paged cache: reads a step's work and gives logits. What is read when is the scheduler's.

On a CPU, in every weight format, the logits of a token are the same bits however the step is put together: alone, in any
batch, read in pieces or after a shared beginning. The kernels see to it: each sum runs in the order of its terms, whatever
is beside.
"""

import itertools
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genus.engine.attending import KernelStep, KernelStore, SdpaStore, Store
from genus.engine.compiled import Listed, can_list
from genus.engine.packed import Format, PackedModel
from genus.engine.pages import Cache
from genus.engine.schedule import Work
from genus.models.heads import LanguageModel

__all__ = ["PagedReader"]

_PAGE = 32  # tokens; as few as the kernels' panels allow, to share most of a beginning


class PagedReader:
    """A language model and its cache of `tokens` tokens. Memory is taken by the system as pages are first written.

    On a CPU the matrices are packed in a format, by default the network's own; elsewhere they stay as they are.
    """

    def __init__(
        self, network: LanguageModel, tokens: int, page: int = _PAGE, sharing: bool = True, form: Format | None = None
    ) -> None:
        self.spec, table, network = network.spec, network.decoder.embed.weight, network.eval()
        self.context, self.vocab = self.spec.context, self.spec.vocab
        self.exact = table.device.type == "cpu"
        own: Format = "fp32" if table.dtype == torch.float32 else "bf16"
        self.network = PackedModel(network, form or own) if self.exact else network
        windows = [
            window if isinstance(window, int) else None for window in map(self.spec.attention.window, range(self.spec.depth))
        ]
        groups, count = list(dict.fromkeys(windows)), -(-tokens // page)
        places = [(groups.index(window), windows[:layer].count(window)) for layer, window in enumerate(windows)]
        self.cache = Cache(page, groups, [count] * len(groups), sharing)
        self.store: Store = (KernelStore if self.exact else SdpaStore)(self.spec, places, count, page, table)
        self.listed: Listed | None = None

    @torch.inference_mode()
    def read(self, work: Sequence[Work], wanted: Sequence[int]) -> Tensor:
        """Read a step's work; fp32 logits of the last `wanted` tokens of each, (sum of wanted, vocab), until the next
        call."""
        tokens = [token for each in work for token in each.tokens]
        positions = [place for each in work for place in range(each.start, each.start + each.count)]
        ends = itertools.accumulate(each.count for each in work)
        rows = [row for end, count in zip(ends, wanted, strict=True) for row in range(end - count, end)]
        step = self.store.step(work)
        if isinstance(step, KernelStep) and isinstance(self.network, PackedModel) and can_list(self.spec):
            if self.listed is None or self.listed.rows < len(tokens):
                self.listed = Listed(self.network, step.store, 1 << (len(tokens) - 1).bit_length())
            return self.listed(tokens, positions, rows, step)
        inputs = (torch.tensor([row], device=self.store.device) for row in (tokens, positions))
        hidden = self.network.decoder(*inputs, step)[0, torch.tensor(rows, dtype=torch.long, device=self.store.device)]
        logits: Tensor = self.network.logits(hidden)
        return logits.float()

    @torch.inference_mode()
    def copy(self, pages: Iterable[tuple[int, int, int]]) -> None:
        """Copy pages: (group, from, to)."""
        for each in pages:
            self.store.copy(*each)
