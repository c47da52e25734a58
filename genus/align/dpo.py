"""Direct preference optimisation (arXiv 2305.18290): comparisons teach the policy itself. What the start model makes of each
answer is computed once, before the first step; and each answer of a ranking is read once a step for all its pairs."""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genus.align.compared import Ranked, encode_comparisons, find_comparisons, split_by_prompt
from genus.align.log_probs import answer_log_probs
from genus.align.losses import dpo_losses, pair_margins, pairs_of
from genus.align.recipe import Dpo
from genus.core.progress import progress, say
from genus.data.examples import Shuffled, stack
from genus.models.heads import LanguageModel
from genus.train.loop import Scored
from genus.train.losses import Tokens
from genus.train.machine import pick_device
from genus.train.tuning import Tuned, fingerprint, open_start, to_torch, tune, write_language_model

__all__ = ["train_dpo"]

_AT_ONCE = 16  # answers, where no gradient is asked for


class _Known(NamedTuple):
    """A ranking, and log p of each of its answers by the start model."""

    ranked: Ranked
    reference: tuple[float, ...]


class _Batch(NamedTuple):
    """Answers of some prompts as rows, log p of each by the start model, and each prompt's ranks."""

    tokens: Tokens
    reference: Tensor  # (rows,)
    ranks: list[tuple[int, ...]]


def train_dpo(recipe: Dpo, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for what does not fit.
    """
    opened, device = open_start(recipe.model, recipe.dropout), pick_device()
    found = find_comparisons(recipe.comparisons, recipe.wrong)
    parts = (
        (found, find_comparisons(recipe.held_out, recipe.wrong))
        if recipe.held_out
        else split_by_prompt(found, recipe.share, recipe.seed)
    )
    most = min(recipe.max_tokens or opened.context, opened.context)
    network = opened.network.to(device)
    learned, held_out = (_with_reference(network, encode_comparisons(part, opened.tokenizer, most)) for part in parts)
    say(f"{len(learned):,} comparisons to learn from, {len(held_out):,} held out")
    loss = partial(_loss, network, recipe)
    prepare = partial(_prepare, device=device)
    card = """# A model tuned by DPO

Tuned on comparisons of answers by direct preference optimisation.

Made with Genus. It has learned what those who compared them preferred, people or programs, which is not what is true or good
for everybody.
"""
    tuned = Tuned(
        model=network,
        source=Shuffled(learned, recipe.seed),
        prepare=prepare,
        loss=loss,
        validate=lambda: _validate(loss, prepare, held_out),
        write=lambda folder: write_language_model(folder, opened, card),
        family=opened.family,
        facts={"start": opened.digest, "comparisons": fingerprint(each.ranked for each in learned)},
    )
    return tune(recipe, tuned, restart)


def _prepare(known: Sequence[_Known], device: torch.device) -> _Batch:
    rows = [[example] for each in known for example in each.ranked.examples]
    reference = torch.tensor([value for each in known for value in each.reference], device=device)
    return _Batch(to_torch(stack(rows), device), reference, [each.ranked.ranks for each in known])


def _loss(network: LanguageModel, recipe: Dpo, batch: _Batch) -> Scored:
    """The sum over prompts of the mean over pairs, and how many prompts there are. Stats, in the same way: how often the
    better answer gained more, and how many nats the better and the worse gained."""
    said = answer_log_probs(network, batch.tokens)
    sums = said.summed(len(batch.reference))
    means = sums / said.rows.bincount(minlength=len(sums))  # log p of a token
    sizes = [len(ranks) for ranks in batch.ranks]
    losses, stats = list[Tensor](), defaultdict[str, Any](float)
    for each, likely, ranks in zip((sums - batch.reference).split(sizes), means.split(sizes), batch.ranks, strict=True):
        margins = pair_margins(each, ranks)
        best = [place for place, rank in enumerate(ranks) if rank == 1]
        losses.append(
            dpo_losses(margins, recipe.beta, recipe.smoothing, recipe.loss).mean() - recipe.nll * likely[best].mean()
        )
        better, worse = pairs_of(ranks)
        with torch.no_grad():
            stats["accuracy"] += (margins > 0).float().mean()
            stats["chosen_gain"] += each[better].mean()
            stats["rejected_gain"] += each[worse].mean()
    return Scored(torch.stack(losses).sum(), len(losses), stats)


def _validate(loss: partial[Scored], prepare: partial[_Batch], held_out: Sequence[_Known]) -> dict[str, float]:
    if not held_out:
        return {}
    scored = [loss(prepare(held_out[first : first + _AT_ONCE])) for first in range(0, len(held_out), _AT_ONCE)]
    told = {"validation_loss": sum(float(each.total) for each in scored) / len(held_out)}
    for name in ("accuracy", "chosen_gain", "rejected_gain"):
        told[f"validation_{name}"] = sum(float(each.stats[name]) for each in scored) / len(held_out)
    return told


@torch.no_grad()
def _with_reference(network: LanguageModel, ranked: Sequence[Ranked]) -> list[_Known]:
    """What the network makes of each answer as it is now."""
    examples = [example for each in ranked for example in each.examples]
    order = sorted(range(len(examples)), key=lambda number: len(examples[number].tokens))
    device, found = network.decoder.embed.weight.device, [math.nan] * len(examples)
    network.eval()
    with progress("reference", len(examples), 0) as update:
        for first in range(0, len(order), _AT_ONCE):
            some = order[first : first + _AT_ONCE]
            tokens = to_torch(stack([[examples[number]] for number in some]), device)
            for number, value in zip(some, answer_log_probs(network, tokens).summed(len(some)).tolist(), strict=True):
                found[number] = value
            update(first + len(some), "")
    values = iter(found)
    return [_Known(each, tuple(islice(values, len(each.ranks)))) for each in ranked]
