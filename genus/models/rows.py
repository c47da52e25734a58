"""Rows of the token table for tokens that a tokenizer got after its model was trained."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from genus.models.heads import LanguageModel

__all__ = ["learn_only", "new_rows"]

_NOISE = 0.1  # of the rows' own deviation, so that new tokens differ


@torch.no_grad()
def new_rows(model: LanguageModel, tokens: range, seed: int) -> tuple[nn.Parameter, ...]:
    """Give `tokens` rows near the mean of all before them, in place, so that each is about as likely as any.

    A model may have rows there, as padding; the table grows where it has none. Gives the tables, none for no tokens.
    """
    if not tokens:
        return ()
    generator = torch.Generator().manual_seed(seed)
    embed, head = model.decoder.embed, model.head
    embed.weight = nn.Parameter(_with_rows(embed.weight, tokens, generator))
    embed.num_embeddings = len(embed.weight)
    tables = [embed.weight]
    if head.weight is not None:
        head.weight = nn.Parameter(_with_rows(head.weight, tokens, generator))
        tables.append(head.weight)
    if head.bias is not None:
        mean = head.bias[: tokens.start].mean().expand(len(tokens))
        head.bias = nn.Parameter(torch.cat((head.bias[: tokens.start], mean, head.bias[tokens.stop :])))
        tables.append(head.bias)
    model.spec = model.decoder.spec = replace(model.spec, vocab=len(embed.weight))
    return tuple(tables)


def learn_only(table: nn.Parameter, tokens: range) -> None:
    """Let the rows of `tokens` learn, and no other; none decays."""
    table.requires_grad_(True)
    table.decays = False  # type: ignore[attr-defined]  # for the optimizer: decay would shrink the others
    table.register_hook(lambda gradient: _masked(gradient, tokens))


def _masked(gradient: Tensor, tokens: range) -> Tensor:
    kept = torch.zeros_like(gradient)
    kept[tokens.start : tokens.stop] = gradient[tokens.start : tokens.stop]
    return kept


def _with_rows(table: Tensor, tokens: range, generator: torch.Generator) -> Tensor:
    known = table[: tokens.start]
    noise = torch.randn(len(tokens), table.shape[1], generator=generator).to(table) * _NOISE
    return torch.cat((known, known.mean(0) + noise * known.std(0), table[tokens.stop :]))
