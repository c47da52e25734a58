"""More rows for the table of a model, for tokens that its vocabulary did not have."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from genus.models.heads import LanguageModel
from genus.models.initialise import Init

__all__ = ["add_rows"]


@torch.no_grad()
def add_rows(model: LanguageModel, first: int, count: int, init: Init, seed: int) -> None:
    """Let rows `first` to `first` + `count` of the table and of an untied head be new, in place; the table grows if it must.

    Rows that only fill the table up are taken before it grows. They are drawn as the family's authors drew theirs.
    """
    generator, rows = torch.Generator().manual_seed(seed), max(model.spec.vocab, first + count)
    embed, head = model.decoder.embed, model.head
    embed.weight = _grown(embed.weight, (rows, first, count), init.embed, generator)
    embed.num_embeddings = rows
    if head.weight is not None:
        spread = head.weight.shape[-1] ** -0.5 if init.matrix is None else init.matrix
        head.weight = _grown(head.weight, (rows, first, count), spread, generator)
    if head.bias is not None:
        head.bias = _grown(head.bias, (rows, first, count), 0.0, generator)
    model.spec = model.decoder.spec = replace(model.spec, vocab=rows)


def _grown(table: Tensor, place: tuple[int, int, int], spread: float, generator: torch.Generator) -> nn.Parameter:
    rows, first, count = place
    grown = table.new_zeros(rows, *table.shape[1:])
    grown[: len(table)] = table
    grown[first : first + count] = spread * torch.randn(count, *table.shape[1:], generator=generator)
    return nn.Parameter(grown)
