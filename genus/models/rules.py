"""How tensors in a family's files become Genus's and back: each rule is declared once and read in both directions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genus.models.spec import DecoderSpec

__all__ = ["FusedByHead", "FusedInThirds", "Rename", "Rule", "Transpose"]


class Rule(ABC):
    """One tensor of theirs, one or more of ours. `{i}` in the names stands for the layer."""

    theirs: str
    ours: tuple[str, ...]

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
    """Theirs is [in, out] (a Conv1D), ours [out, in]. A square matrix hides a forgotten one: parity tests do not."""

    def load(self, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
        return (tensor.t(),)

    def save(self, spec: DecoderSpec, tensors: Sequence[Tensor]) -> Tensor:
        return tensors[0].t()


@dataclass(frozen=True)
class FusedInThirds(Rule):
    """q, k, v side by side along theirs' last dimension: weight [in, 3 out] or bias [3 out]."""

    theirs: str
    ours: tuple[str, ...]

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
