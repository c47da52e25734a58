"""How tensors in a family's files become Genus's and back: each rule is declared once and read in both directions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.models.spec import DecoderSpec

__all__ = ["OWN_NAMES", "Deinterleave", "FusedByHead", "FusedInThirds", "Rename", "Rule", "Transpose", "renames"]


class Rule(ABC):
    """One tensor of theirs, one or more of ours. `{i}` in the names stands for the layer."""

    theirs: str
    ours: tuple[str, ...]
    transposed = False  # whether theirs has the inputs before the outputs

    @abstractmethod
    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        """Theirs -> ours, in the order of `self.ours`."""

    @abstractmethod
    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        """Ours -> theirs: the inverse of `load`."""


@dataclass(frozen=True, init=False)
class Rename(Rule):
    """The same tensor under another name."""

    theirs: str
    ours: tuple[str, ...]

    def __init__(self, theirs: str, ours: str) -> None:
        object.__setattr__(self, "theirs", theirs)
        object.__setattr__(self, "ours", (ours,))

    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        return (tensor,)

    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        return tensors[0]


class Transpose(Rename):
    """Theirs is [..., in, out] (a Conv1D), ours [..., out, in]. A square one hides a forgotten rule: parity tests do not."""

    transposed = True

    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        return (tensor.mT,)

    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        return tensors[0].mT


@dataclass(frozen=True)
class FusedInThirds(Rule):
    """q, k, v side by side along theirs' last dimension: weight [in, 3 out] or bias [3 out]."""

    theirs: str
    ours: tuple[str, ...]
    transposed = True

    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        return [part.t() if part.dim() == 2 else part for part in tensor.chunk(3, dim=-1)]

    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([part.t() if part.dim() == 2 else part for part in tensors], dim=-1)


@dataclass(frozen=True)
class FusedByHead(Rule):
    """Rows ordered head by head, and in a head q, then k, then v: weight [heads * 3 * head_dim, in] or bias."""

    theirs: str
    ours: tuple[str, ...]

    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        by_head = tensor.unflatten(0, (spec.attention.heads, 3, spec.attention.head_dim))
        return [part.flatten(0, 1) for part in by_head.unbind(1)]

    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        heads = (spec.attention.heads, spec.attention.head_dim)
        return torch.stack([part.unflatten(0, heads) for part in tensors], dim=1).flatten(0, 2)


@dataclass(frozen=True)
class Deinterleave(Rule):
    """Gate and up in turn along theirs' last dimension: weights [experts, in, 2 out] or biases [experts, 2 out]."""

    theirs: str
    ours: tuple[str, ...]

    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        parts = tensor[..., 0::2], tensor[..., 1::2]
        return [part.mT if part.dim() == 3 else part for part in parts]

    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        parts = [part.mT if part.dim() == 3 else part for part in tensors]
        return torch.stack(parts, dim=-1).flatten(-2)


def renames(names: Mapping[str, str], kinds: Sequence[str] = ("weight", "bias")) -> tuple[Rule, ...]:
    """Theirs -> ours for modules: the tensors of each that a spec has."""
    return tuple(Rename(f"{theirs}.{kind}", f"{ours}.{kind}") for theirs, ours in names.items() for kind in kinds)


_ATTENTION = ("attention_norm", "attention.q", "attention.k", "attention.v", "attention.out")
_BLOCK = (*_ATTENTION, "mlp_norm", "mlp.up", "mlp.gate", "mlp.down")
_OWN = ("decoder.embed", "decoder.position", *(f"decoder.blocks.{{i}}.{part}" for part in _BLOCK), "decoder.norm", "head")

OWN_NAMES = renames({name: name for name in _OWN})
"""Genus's own names, for families whose authors never published any."""
