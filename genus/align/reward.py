"""A reward model from rankings (InstructGPT, arXiv 2203.02155, section 3.5): all answers of a prompt are read once each, and
all their pairs are one element of the batch."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from genus.align.compared import Ranked, encode_comparisons, find_comparisons, find_demonstrations, split_by_prompt
from genus.align.encoding import answer_example, encode_answer
from genus.align.gate import Gate, measure_gate
from genus.align.losses import ranking_loss
from genus.align.recipe import Reward
from genus.align.scoring import Texts, prepare_texts, score_examples, text_scores
from genus.core.errors import GenusError
from genus.core.files import write_json
from genus.core.progress import say
from genus.data.encoding import encode_prompt
from genus.data.examples import Example, Shuffled
from genus.models.scorer import Scorer
from genus.models.weights import save_scorer
from genus.train.card import FIGURES
from genus.train.loop import Scored
from genus.train.machine import pick_device
from genus.train.tuning import Opened, Tuned, fingerprint, open_start, tune

__all__ = ["train_reward"]

_DEMONSTRATIONS = 256  # whose mean is 0: to a sixteenth of a reward's deviation


class _Batch(NamedTuple):
    """Answers of some prompts as rows, and how many rows each prompt has, with their ranks."""

    texts: Texts
    ranks: list[tuple[int, ...]]


def train_reward(recipe: Reward, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the folder of the reward model.

    gate.json in the run's folder tells how far it can be trusted. Raises GenusError before any work for what does not fit.
    """
    opened = open_start(recipe.model, recipe.dropout)
    learned, held_out = _split(recipe, opened)
    scorer, device = Scorer.of(opened.network, 1), pick_device()
    say(f"{len(learned):,} comparisons to learn from, {len(held_out):,} held out")
    tuned = Tuned(
        model=scorer,
        source=Shuffled(learned, recipe.seed),
        prepare=partial(_prepare, device=device),
        loss=partial(_loss, scorer),
        validate=partial(_validate, scorer, held_out),
        write=partial(_write, recipe, opened, scorer, (learned, held_out)),
        family=opened.family,
        facts={"start": opened.digest, "comparisons": fingerprint(learned)},
    )
    return tune(recipe, tuned, restart)


def _split(recipe: Reward, opened: Opened) -> tuple[list[Ranked], list[Ranked]]:
    """Comparisons to learn from, and those held out."""
    found = find_comparisons(recipe.comparisons, recipe.wrong)
    if recipe.held_out:
        learned, held_out = found, find_comparisons(recipe.held_out, recipe.wrong)
    else:
        learned, held_out = split_by_prompt(found, recipe.share, recipe.seed)
    most = min(recipe.max_tokens or opened.context, opened.context)
    encoded = [encode_comparisons(each, opened.tokenizer, most) for each in (learned, held_out)]
    if not encoded[1]:
        raise GenusError(
            f"of {len(found):,} comparisons none is held out, so nothing could say how good the reward model is; "
            "bring more, raise share, or name held_out"
        )
    return encoded[0], encoded[1]


def _prepare(ranked: list[Ranked], device: torch.device) -> _Batch:
    examples = [example for each in ranked for example in each.examples]
    return _Batch(prepare_texts(examples, device), [each.ranks for each in ranked])


def _loss(scorer: Scorer, batch: _Batch) -> Scored:
    """The sum over prompts of the mean over pairs, and how many prompts there are."""
    rewards = text_scores(scorer, batch.texts).split([len(ranks) for ranks in batch.ranks])
    losses = [ranking_loss(each, ranks) for each, ranks in zip(rewards, batch.ranks, strict=True)]
    return Scored(torch.stack(losses).sum(), len(losses))


def _rewards(scorer: Scorer, ranked: Sequence[Ranked]) -> list[Tensor]:
    """(K,) for each prompt."""
    scores = score_examples(scorer, [example for each in ranked for example in each.examples])
    return list(scores.split([len(each.ranks) for each in ranked]))


def _validate(scorer: Scorer, held_out: Sequence[Ranked]) -> dict[str, float]:
    rewards = _rewards(scorer, held_out)
    losses = [ranking_loss(each, ranked.ranks) for each, ranked in zip(rewards, held_out, strict=True)]
    accuracy = measure_gate(held_out, rewards).accuracy
    return {"validation_loss": float(torch.stack(losses).mean()), "validation_accuracy": accuracy}


def _write(recipe: Reward, opened: Opened, scorer: Scorer, ranked: tuple[list[Ranked], list[Ranked]], folder: Path) -> None:
    """The model folder, and the gate beside it. Its zero point is the mean reward of demonstrations."""
    learned, held_out = ranked
    scorer.eval()
    scorer.shift = 0.0
    scorer.shift = -float(score_examples(scorer, _demonstrations(recipe, opened, learned)).mean())
    gate = measure_gate(held_out, _rewards(scorer, held_out))
    end = opened.tokenizer.end_of_text
    # a reader that looks for the last token that is no padding must find the one that ends the answer
    save_scorer(folder, scorer, opened.family, ("reward",), {"pad": 1 if end == 0 else 0, "eos": end})
    opened.tokenizer.save(folder)
    write_json(folder / "gate.json", gate.as_dict())
    (folder / "README.md").write_text(_card(gate, len(learned)), "utf-8")
    write_json(recipe.out / "gate.json", gate.as_dict())
    say(gate.told())


def _demonstrations(recipe: Reward, opened: Opened, learned: Sequence[Ranked]) -> list[Example]:
    """Answers that people wrote, or else the best of each comparison; of very many, some from all over."""
    if not recipe.demonstrations:
        found = [example for each in learned for example, rank in zip(each.examples, each.ranks, strict=True) if rank == 1]
    else:
        tokenizer, found = opened.tokenizer, []
        for prompt, answer, _ in find_demonstrations(recipe.demonstrations, recipe.wrong):
            found.append(answer_example(encode_prompt(tokenizer, prompt), encode_answer(tokenizer, prompt, answer)))
        found = [example for example in found if len(example.tokens) <= opened.context]
    return found[:: max(1, len(found) // _DEMONSTRATIONS)]


def _card(gate: Gate, count: int) -> str:
    return f"""---
library_name: genus
tags: [reward-model]
---

# A reward model

Trained on comparisons of answers. It gives one number to a prompt with an answer, read at the token that ends the answer;
the mean over demonstrations is zero.

Made with Genus. It has learned what those who compared them preferred, people or programs, which is not what is true or good
for everybody.

{FIGURES[0]}
{count:,} comparisons; {gate.told()}.
{FIGURES[1]}
"""
