"""Losses as sum and weight: the loop divides by the weight of the whole step, so that how it was cut up does not matter."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel
from genus.models.parts.experts import ExpertMlps, balance
from genus.models.spec import Experts
from genus.train.cross_entropy import cross_entropy
from genus.train.loop import Scored

__all__ = ["Tokens", "next_token"]


class Tokens(NamedTuple):
    """Rows of text, each tensor (batch, time): what is read, what is to be said next, places, and document numbers.

    `documents` None lets every token see the whole row before it; `scored` None makes every token a target.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor
    documents: Tensor | None = None
    scored: Tensor | None = None


def next_token(
    model: LanguageModel, batch: Tokens, z_loss: float = 0.0, decoder: Callable[..., Tensor] | None = None, chunk: int = 0
) -> Scored:
    """Sum over all targets of -log p(target), in nats, and how many targets there were.

    Training adds the loss that keeps experts about equally busy, where there are any, and tells the `activation_rms` of a
    token before the last norm. Gradients, but not the sum, are also those of `z_loss` * log(Z)^2, which keeps the logits
    from drifting (PaLM, arXiv 2204.02311, section 5). `decoder` is the model's own in another form, compiled for one;
    `chunk` is cross_entropy's.
    """
    dropout = model.spec.dropout if model.training else 0.0
    attend = FastAttend(model.spec, batch.documents, dropout)
    decode = model.decoder if decoder is None else decoder
    if batch.scored is None:
        hidden, targets = decode(batch.tokens, batch.positions, attend).flatten(0, 1), batch.targets.flatten()
    else:  # (targets, width), as above
        hidden = decode(batch.tokens, batch.positions, attend, batch.scored)
        targets = batch.targets[batch.scored]
    loss, squares = cross_entropy(model.read(hidden), targets, z_loss, chunk)
    stats = {} if model.decoder.rms is None or not model.training else {"activation_rms": model.decoder.rms}
    scored = Scored(loss, targets.numel(), {**stats, "z_loss": squares} if z_loss else stats)
    experts = model.spec.mlp
    return _with_balance(model, experts, scored) if model.training and isinstance(experts, Experts) else scored


def _with_balance(model: LanguageModel, experts: Experts, scored: Scored) -> Scored:
    """Add the routers' loss, in the mean over layers, and what they did: see balance.

    Stats: `balance` as it is added, `router_entropy` in nats a token, `expert_load` (depth, count), 1 where an expert
    gets its fair share of the tokens.
    """
    parts = [block.mlp for block in model.decoder.blocks]
    routings = [part.routing for part in parts if isinstance(part, ExpertMlps) and part.routing is not None]
    losses, shares = zip(*map(balance, routings), strict=True)  # (batch,) and (batch, count) each
    time = scored.weight / len(losses[0])  # targets of a row, in the mean
    added = experts.balance * time * torch.stack(losses).sum(1).mean()
    with torch.no_grad():
        entropies = torch.stack([-(r.probabilities * r.probabilities.log()).nansum() for r in routings])
        load = torch.stack(shares).sum(1) * time * (experts.count / experts.per_token)  # (depth, count)
    stats = {"balance": added.detach(), "router_entropy": entropies.mean(), "expert_load": load}
    return Scored(scored.total + added, scored.weight, {**scored.stats, **stats})
