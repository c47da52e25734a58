"""Matrices laid out once for the products of the engine: oneDNN's form, which reads them at the speed of the memory.

On a CPU, PyTorch lays a matrix out anew for every product of a few rows. Packed ones are up to three times as fast there, as
fast with many rows, and each row of a product has the same bits, however many rows there are (`alike_rows` asks for it).
"""

import copy
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.attend import Attend
from genus.models.heads import LanguageModel
from genus.models.parts.experts import Stack

__all__ = ["PackedLinear", "PackedModel", "alike_rows", "can_pack"]

_ROWS = 16  # of the products that matter most; any number works
_PROBED = 8192  # rows of a matrix: a table of tokens has many more
Linear = Callable[[Tensor, Tensor | None], nn.Module]
"""Weight (rows, columns) and bias (rows,) -> their map, in one format or another."""


class PackedLinear(nn.Module):
    """A linear map (..., columns) -> (..., rows) with its weight (rows, columns) packed; the original is left as it is."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.bias = bias
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _ROWS)

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return product


class PackedModel(nn.Module):
    """A language model, all of whose matrices but the table that tokens are looked up in are in the format of `linear`.

    Everything else it shares with the original, which is left as it is.
    """

    @torch.inference_mode()
    def __init__(self, network: LanguageModel, linear: Linear = PackedLinear) -> None:
        super().__init__()
        self.spec = network.spec
        self.decoder = _packed(network.decoder, linear)
        project = network.head.project
        self.project = None if project is None else linear(project.weight, project.bias)
        read = network.read(network.decoder.embed.weight.new_zeros(1, self.spec.width))
        self.head, self.scale = linear(read.table, read.bias), read.scale

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """tokens, positions (batch, time) -> logits (batch, time, vocab)."""
        return self.logits(self.decoder(tokens, positions, attend))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., width) -> logits (..., vocab)."""
        logits: Tensor = self.head(hidden if self.project is None else self.project(hidden))
        return logits if self.scale == 1 else logits * self.scale


class _PackedStack(nn.Module):
    """Experts' maps, see models.parts.experts.Stack."""

    def __init__(self, stack: Stack, linear: Linear) -> None:
        super().__init__()
        biases = [None] * len(stack.weight) if stack.bias is None else list(stack.bias)
        self.maps = [linear(weight, bias) for weight, bias in zip(stack.weight, biases, strict=True)]

    def forward(self, x: Tensor, rows: list[int]) -> Tensor:
        parts = zip(self.maps, x.split(rows), strict=True)
        return torch.cat([each(part) for each, part in parts if len(part)])  # oneDNN refuses none


def can_pack(weight: Tensor) -> bool:
    """Whether this machine packs such matrices."""
    return weight.device.type == "cpu" and torch.backends.mkldnn.is_available() and weight.dtype == torch.float32


def _packed(part: nn.Module, linear: Linear) -> nn.Module:
    """The same module with its matrices in another format."""
    if isinstance(part, nn.Linear):
        return linear(part.weight, part.bias)
    if isinstance(part, Stack):
        return _PackedStack(part, linear)
    twin = copy.copy(part)
    twin._modules = {name: None if child is None else _packed(child, linear) for name, child in part._modules.items()}
    return twin


@lru_cache
def alike_rows(shapes: frozenset[tuple[int, int]], pack: bool, threads: int) -> int | None:
    """The fewest rows from which on each row's product with matrices of these shapes has the same bits, however many there
    are beside it; None where that was not found. `threads` is how many PyTorch has, which share rows."""
    for least in (1, 2, 4, 8, 16, 32, 64):
        if all(_alike(min(rows, _PROBED), columns, least, pack) for rows, columns in shapes):
            return least
    return None


def _alike(rows: int, columns: int, least: int, pack: bool) -> bool:
    draw = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        weight, x = (torch.randn(count, columns, generator=draw) for count in (rows, 4 * least + 64))
        product = PackedLinear(weight, None) if pack else lambda x: F.linear(x, weight)
        whole = product(x)
        counts = (least, least + 1, least + 3, 2 * least + 1, 3 * least, 4 * least + 50)
        return all(torch.equal(product(x[-count:]), whole[-count:]) for count in counts)
