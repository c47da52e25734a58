"""The model over the paged cache: reads a step's work and gives logits. What is read when is the scheduler's.

On a CPU, in every weight format, the logits of a token are the same bits however the step is put together: alone, in any batch,
read in pieces or after a shared beginning. The kernels see to it: each sum runs in the order of its terms, whatever is beside.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from genus.engine.compiled import Blocks, can_list
from genus.engine.attending import KernelStore, SdpaStore, Store
from genus.engine.packed import Format, PackedModel
from genus.engine.pages import Cache
from genus.engine.schedule import Work
from genus.models.attend import Attend
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
        windows = [window if isinstance(window, int) else None for window in map(self.spec.attention.window, range(self.spec.depth))]
        groups, count = list(dict.fromkeys(windows)), -(-tokens // page)
        places = [(groups.index(window), windows[:layer].count(window)) for layer, window in enumerate(windows)]
        self.cache = Cache(page, groups, [count] * len(groups), sharing)
        self.store: Store = (KernelStore if self.exact else SdpaStore)(self.spec, places, count, page, table)
        self.blocks: Blocks | None = None

    @torch.inference_mode()
    def read(self, work: Sequence[Work], wanted: Sequence[int]) -> Tensor:
        """Read a step's work; fp32 logits of the last `wanted` tokens of each, (sum of wanted, vocab)."""
        device = self.store.device
        tokens = [token for each in work for token in each.tokens]
        positions = [place for each in work for place in range(each.start, each.start + each.count)]
        hidden = self._hidden(*(torch.tensor(row, device=device) for row in (tokens, positions)), self.store.step(work))
        ends = torch.tensor([each.count for each in work]).cumsum(0).tolist()
        rows = [row for end, count in zip(ends, wanted, strict=True) for row in range(end - count, end)]
        if not rows:
            return hidden.new_zeros(0, self.spec.vocab, dtype=torch.float32)
        if len(rows) < len(hidden):
            hidden = hidden[torch.tensor(rows, device=device)]
        logits: Tensor = self.network.logits(self.network.decoder.norm(hidden))
        return logits.float()

    def _hidden(self, tokens: Tensor, positions: Tensor, step: Attend) -> Tensor:
        """What comes out of the blocks, (tokens, width)."""
        decoder, spec = self.network.decoder, self.spec
        x = decoder.enter(tokens[None], positions[None])
        if isinstance(self.network, PackedModel) and can_list(spec):
            if self.blocks is None or self.blocks.rows < len(tokens):
                self.blocks = Blocks(self.network, self.store, 2 ** len(tokens).bit_length())
            return self.blocks(x[0], positions, step)
        return decoder.through(x, positions[None], step)[0]

    @torch.inference_mode()
    def copy(self, pages: Iterable[tuple[int, int, int]]) -> None:
        """Copy pages: (group, from, to)."""
        for each in pages:
            self.store.copy(*each)
