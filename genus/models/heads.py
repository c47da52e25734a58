"""What is read off the hidden states: next-token logits, or scores (classes, reward, value)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.attend import Attend
from genus.models.decoder import Decoder
from genus.models.spec import DecoderSpec

__all__ = ["LanguageModel", "Readout", "ScoreHead", "TokenHead"]


class Readout(NamedTuple):
    """Logits before they are computed: (hidden (..., columns) @ table.T (columns, vocab) + bias) * scale."""

    hidden: Tensor
    table: Tensor
    bias: Tensor | None
    scale: float

    def logits(self) -> Tensor:
        """(..., vocab)."""
        logits = F.linear(self.hidden, self.table, self.bias)
        return logits if self.scale == 1 else logits * self.scale


class TokenHead(nn.Module):
    """hidden (..., width) -> what logits (..., vocab) are made of. A tied head reads the embedding's table and owns none."""

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.scale = spec.head_scale
        self.project = nn.Linear(spec.width, spec.embed_dim, bias=False) if spec.embed_dim else None
        self.weight = None if spec.tied else nn.Parameter(torch.empty(spec.vocab, spec.embed_width))
        self.bias = nn.Parameter(torch.zeros(spec.vocab)) if spec.head_bias else None

    def forward(self, hidden: Tensor, embed: Tensor) -> Readout:
        hidden = hidden if self.project is None else self.project(hidden)
        return Readout(hidden, embed if self.weight is None else self.weight, self.bias, self.scale)


class ScoreHead(nn.Module):
    """hidden (..., width) -> scores (..., outputs); zero at first, so that tuning starts from the backbone as it is."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, width))

    def forward(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weight)


class LanguageModel(nn.Module):
    """A decoder and its token head."""

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.spec = spec
        self.decoder = Decoder(spec)
        self.head = TokenHead(spec)

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """tokens, positions (batch, time) -> logits (batch, time, vocab)."""
        return self.logits(self.decoder(tokens, positions, attend))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., width) -> logits (..., vocab)."""
        return self.read(hidden).logits()

    def read(self, hidden: Tensor) -> Readout:
        """hidden (..., width) -> what logits are made of, for a loss that does not want to hold them all."""
        readout: Readout = self.head(hidden, self.decoder.embed.weight)
        return readout
