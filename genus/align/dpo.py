"""Direct preference optimisation (arXiv 2305.18290): comparisons teach the policy itself. What the start model makes of each
answer is computed once, before the first step."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genus.align.compared import encode_comparisons, find_comparisons, pairs_of, split_by_prompt
from genus.align.log_probs import answer_log_probs
from genus.align.losses import dpo_losses
from genus.align.recipe import Dpo
from genus.core.progress import progress, say
from genus.data.examples import Example, Shuffled, stack
from genus.models.heads import LanguageModel
from genus.train.loop import Scored
from genus.train.losses import Tokens
from genus.train.machine import pick_device
from genus.train.tuning import Tuned, fingerprint, open_start, to_torch, tune, write_language_model

__all__ = ["train_dpo"]

_AT_ONCE = 16  # answers, where no gradient is asked for


class _Pair(NamedTuple):
    """A better and a worse answer, and log p of each by the start model."""

    chosen: Example
    rejected: Example
    reference: tuple[float, float]


class _Batch(NamedTuple):
    """Chosen answers as rows, then the rejected ones; and log p of all by the start model."""

    tokens: Tokens
    reference: Tensor  # (2 * pairs,)


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
    learned, held_out = (
        _with_reference(network, pairs_of(encode_comparisons(part, opened.tokenizer, most))) for part in parts
    )
    say(f"{len(learned):,} pairs to learn from, {len(held_out):,} held out")
    loss = partial(_loss, network, recipe)
    prepare = partial(_prepare, device=device)
    card = f"""# A model tuned by DPO

Tuned from {recipe.model.name} on {len(learned):,} pairs of answers by direct preference optimisation, beta {recipe.beta}.

Made with Genus. It has learned what these labellers preferred, which is not what is true or good for everybody.
"""
    tuned = Tuned(
        model=network,
        source=Shuffled(learned, recipe.seed),
        prepare=prepare,
        loss=loss,
        validate=lambda: _validate(loss, prepare, held_out),
        write=lambda folder: write_language_model(folder, opened, card),
        family=opened.family,
        facts={"start": opened.digest, "pairs": fingerprint(pair[:2] for pair in learned)},
    )
    return tune(recipe, tuned, restart)


def _prepare(pairs: Sequence[_Pair], device: torch.device) -> _Batch:
    examples = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    reference = [pair.reference[0] for pair in pairs] + [pair.reference[1] for pair in pairs]
    return _Batch(to_torch(stack([[example] for example in examples]), device), torch.tensor(reference, device=device))


def _loss(network: LanguageModel, recipe: Dpo, batch: _Batch) -> Scored:
    """The sum over pairs, and how many there are. Stats: how often the chosen gained more, and each one's gain in nats."""
    said = answer_log_probs(network, batch.tokens).summed(len(batch.reference))
    chosen, rejected = (said - batch.reference).chunk(2)
    losses = dpo_losses(chosen - rejected, recipe.beta, recipe.smoothing, recipe.loss)
    with torch.no_grad():
        stats = {
            "accuracy": (chosen > rejected).float().sum(),
            "chosen_gain": chosen.sum(),
            "rejected_gain": rejected.sum(),
        }
    return Scored(losses.sum(), len(losses), stats)


def _validate(loss: partial[Scored], prepare: partial[_Batch], held_out: Sequence[_Pair]) -> dict[str, float]:
    if not held_out:
        return {}
    scored = [loss(prepare(held_out[first : first + _AT_ONCE])) for first in range(0, len(held_out), _AT_ONCE)]
    told = {"validation_loss": sum(float(each.total) for each in scored) / len(held_out)}
    for name in ("accuracy", "chosen_gain", "rejected_gain"):
        told[f"validation_{name}"] = sum(float(each.stats[name]) for each in scored) / len(held_out)
    return told


@torch.no_grad()
def _with_reference(network: LanguageModel, pairs: Sequence[tuple[Example, Example]]) -> list[_Pair]:
    """What the network makes of each answer as it is now."""
    examples = [example for pair in pairs for example in pair]
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
    return [_Pair(*pair, (found[2 * i], found[2 * i + 1])) for i, pair in enumerate(pairs)]
