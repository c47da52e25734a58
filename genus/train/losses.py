"""Losses as (sum, weight): the loop divides by the weight of the whole step, so that how it was cut up does not matter."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel

__all__ = ["Tokens", "next_token"]

_CPU_ROWS = 256  # logits of so many tokens stay in a CPU's cache from the product to the softmax


class Tokens(NamedTuple):
    """Rows of text, each tensor (batch, time): what is read, what is to be said next, places, and document numbers.

    `documents` None lets every token see the whole row before it.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor
    documents: Tensor | None = None


def next_token(model: LanguageModel, batch: Tokens) -> tuple[Tensor, int]:
    """Sum over all targets of -log p(target), in nats, and how many targets there were."""
    dropout = model.spec.dropout if model.training else 0.0
    attend = FastAttend(model.spec, batch.documents, dropout)
    hidden = model.decoder(batch.tokens, batch.positions, attend).flatten(0, 1)  # (batch * time, width)
    rows = _CPU_ROWS if hidden.device.type == "cpu" else len(hidden)
    parts = zip(hidden.split(rows), batch.targets.flatten().split(rows), strict=True)
    sums = [F.cross_entropy(model.logits(part).float(), targets, reduction="sum") for part, targets in parts]
    return torch.stack(sums).sum(), batch.targets.numel()
