"""Matrices laid out for the products of the engine, in one of four formats. Arithmetic is fp32 in all of them.

fp32 and bf16 are the matrices themselves, in panels (engine/kernels/product.py). int8 rounds each group of 32 columns of a
row to 255 steps around 0, int4 to 16 steps from its least value to its greatest; scales and least values are bf16. So a
weight takes 32, 16, 8.5 or 5 bits. Decoding a few texts reads every weight once a token, and is faster the fewer bytes they
are.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.engine.kernels.product import GROUP, PAIR
from genus.engine.kernels.product import SIX as LEAST
from genus.engine.kernels.program import At, Format, Op, linear_op, run, table
from genus.models.attend import Attend
from genus.models.heads import LanguageModel
from genus.models.parts.experts import Stack

__all__ = ["BYTES", "Format", "PackedLinear", "PackedModel"]

BYTES: dict[Format, float] = {"fp32": 4, "bf16": 2, "int8": 1 + 2 / 32, "int4": 0.5 + 4 / 32}
"""What a weight takes."""


_AT_ONCE = 32 * PAIR  # rows that are packed at once


class PackedLinear(nn.Module):
    """A linear map (..., columns) -> (..., rows) whose weight (rows, columns) is packed; the original is left as it is."""

    def __init__(self, weight: Tensor, bias: Tensor | None, form: Format = "fp32") -> None:
        super().__init__()
        self.rows, self.columns = weight.shape
        self.pairs = -(-self.rows // PAIR)
        self.padded = self.pairs * PAIR
        self.bias = F.pad(
            weight.new_zeros(self.rows) if bias is None else bias.detach(), (0, self.padded - self.rows)
        ).float()
        self.form, pack = form, _PACK[form]
        parts = [pack(_panels(part)) for part in weight.detach().split(_AT_ONCE)]  # so copies on the way stay small
        self.weight, self.scales = (torch.cat(each) for each in zip(*parts, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.wide(x)[..., : self.rows]

    def wide(self, x: Tensor) -> Tensor:
        """The same with zeros up to whole panels, (..., padded)."""
        rows = x.numel() // self.columns
        flat = x.reshape(rows, self.columns)
        if 2 < rows < LEAST:
            flat = F.pad(flat, (0, 0, 0, LEAST - rows))
        flat, y = flat.contiguous(), x.new_empty(max(rows, LEAST), self.padded)
        op = self.op((flat.data_ptr(), 4 * self.columns), (y.data_ptr(), 4 * self.padded))
        run(self.form, table([op]), rows)
        return y[:rows].view(*x.shape[:-1], self.padded)

    def op(self, x: At, y: At, residual: int = 0) -> Op:
        """See kernels.program.linear_op; y must have room for `padded` numbers in each row."""
        weight = self.weight.data_ptr(), self.scales.data_ptr(), self.bias.data_ptr()
        return linear_op(x, weight, y, (self.columns, self.pairs), residual)


class PackedModel(nn.Module):
    """A language model, all of whose matrices but the table that tokens are looked up in and experts' routers are packed.

    Everything else it shares with the original, which is left as it is; where that is not in fp32, it has copies.
    """

    @torch.inference_mode()
    def __init__(self, network: LanguageModel, form: Format = "fp32") -> None:
        super().__init__()
        self.spec, self.form = network.spec, form
        self.decoder: Any = _packed(network.decoder, form)
        project = network.head.project
        self.project = None if project is None else PackedLinear(project.weight, project.bias, form)
        read = network.read(network.decoder.embed.weight.new_zeros(1, self.spec.width))
        self.head, self.scale = PackedLinear(read.table, read.bias, form), read.scale

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """tokens, positions (batch, time) -> logits (batch, time, vocab)."""
        return self.logits(self.decoder(tokens, positions, attend))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., width) -> logits (..., vocab)."""
        logits: Tensor = self.head(hidden if self.project is None else self.project(hidden))
        return logits if self.scale == 1 else logits * self.scale


class _PackedStack(nn.Module):
    """Experts' maps, see models.parts.experts.Stack.

    What goes into an activation is `wide`, filled up with zeros to whole vectors: PyTorch computes what is left of the last
    vector by other code, so that a token's bits would go by the tokens beside it.
    """

    def __init__(self, stack: Stack, form: Format, wide: bool) -> None:
        super().__init__()
        self.wide = wide
        biases = [None] * len(stack.weight) if stack.bias is None else list(stack.bias)
        self.maps = [PackedLinear(weight, bias, form) for weight, bias in zip(stack.weight, biases, strict=True)]

    def forward(self, x: Tensor, rows: list[int]) -> Tensor:
        parts = zip(self.maps, x.split(rows), strict=True)
        found = torch.cat([each.wide(part[:, : each.columns]) for each, part in parts if len(part)])
        return found if self.wide else found[:, : self.maps[0].rows]


def _packed(part: nn.Module, form: Format, name: str = "") -> nn.Module:
    """The same module with its matrices in another format, and everything else in fp32."""
    if isinstance(part, nn.Linear):
        return PackedLinear(part.weight, part.bias, form)
    if isinstance(part, Stack):
        return _PackedStack(part, form, wide=name != "down")
    twin = copy.copy(part)
    twin._parameters = {
        name: None if own is None else nn.Parameter(own.float(), requires_grad=False)
        for name, own in part._parameters.items()
    }
    twin._modules = {
        name: None if child is None else _packed(child, "fp32" if name == "router" else form, name)
        for name, child in part._modules.items()
    }
    return twin


def _panels(rows: Tensor) -> Tensor:
    """Rows of a matrix, (rows, columns) -> pairs of panels in fp32, (panels, columns, 16)."""
    return F.pad(rows.float(), (0, 0, 0, -len(rows) % PAIR)).unflatten(0, (-1, 16)).transpose(1, 2)


Packed = tuple[Tensor, Tensor]  # panels and what goes with their groups


def _fp32(panels: Tensor) -> Packed:
    return panels.contiguous(), panels.new_empty(0)


def _bf16(panels: Tensor) -> Packed:
    return panels.bfloat16().contiguous(), panels.new_empty(0)


def _int8(panels: Tensor) -> Packed:
    groups = _groups(panels)
    scales = (groups.abs().amax(2, keepdim=True) / 127).bfloat16()
    steps = (groups / _not_zero(scales)).round().clamp(-127, 127)
    return steps.to(torch.int8).flatten(1, 2)[:, : panels.shape[1]].contiguous(), scales


def _int4(panels: Tensor) -> Packed:
    groups = _groups(panels)
    least = groups.amin(2, keepdim=True).bfloat16()
    scales = ((groups.amax(2, keepdim=True) - least) / 15).bfloat16()
    steps = ((groups - least) / _not_zero(scales)).round().clamp(0, 15).to(torch.int32).flatten(1, 2)
    eights = F.pad(steps[:, : panels.shape[1]], (0, 0, 0, -panels.shape[1] % 8)).unflatten(1, (-1, 8))
    words = eights << torch.arange(0, 32, 4, dtype=torch.int32)[:, None]  # bits of their own: the sum is their union
    return words.sum(2, dtype=torch.int32), torch.cat((scales, least), 2)


def _groups(panels: Tensor) -> Tensor:
    """(panels, columns, 16) -> (panels, groups, 32, 16); the last group is filled up with what it ends with."""
    short = -panels.shape[1] % GROUP
    return torch.cat((panels, panels[:, -1:].expand(-1, short, -1)), 1).unflatten(1, (-1, GROUP))


def _not_zero(scales: Tensor) -> Tensor:
    return torch.where(scales == 0, 1, scales).float()


_PACK: dict[Format, Callable[[Tensor], Packed]] = {"fp32": _fp32, "bf16": _bf16, "int8": _int8, "int4": _int4}
