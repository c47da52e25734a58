"""GRPO (arXiv 2402.03300, section 4.1): several answers to each question, each judged by a program; one that is better than
its group's mean becomes likelier. No reward model and no value network."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genus.align.experience import EpisodePace, Lesson, Lessons, Part, by_length, to_lessons
from genus.align.log_probs import answer_log_probs
from genus.align.losses import clipped_policy_loss
from genus.align.recipe import Grpo
from genus.align.rollout import Asked, Episode, encode_prompts, roll_out, told
from genus.core.errors import GenusError
from genus.data.examples import Shuffled, stack
from genus.data.loader import shuffle_key
from genus.models.heads import LanguageModel
from genus.tasks.arithmetic import Problem, is_right, problem
from genus.train.loop import Scored
from genus.train.machine import pick_device
from genus.train.tuning import Opened, Tuned, Work, open_start, to_torch, tune, write_language_model

__all__ = ["HELD_OUT", "encode_problems", "group_advantages", "problems_of", "train_grpo"]

HELD_OUT = 10**9
"""Problems from this number on are kept to measure on."""


def train_grpo(recipe: Grpo, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for what does not fit.
    """
    opened, device = open_start(recipe.model, recipe.dropout), pick_device()
    reference = deepcopy(opened.network).eval().requires_grad_(False).to(device)
    collector = _Collector(recipe, opened, reference)
    card = f"""# A model tuned by GRPO

Tuned on its own answers to sums ({", ".join(recipe.kinds)}), which a program checked.

Made with Genus.
"""
    tuned = Tuned(
        model=opened.network,
        source=Shuffled(range(recipe.episodes), recipe.seed),
        prepare=partial(to_lessons, device=device),
        loss=partial(_loss, opened.network, recipe),
        validate=collector.look,
        write=lambda folder: write_language_model(folder, opened, card),
        sample=lambda: collector.last,
        family=opened.family,
        facts={"start": opened.digest},
        work=Work(
            loader=Lessons(collector, recipe),
            pace=EpisodePace(recipe.rollouts, recipe.batch, recipe.whole),
            unit="episodes",
            whole=recipe.whole,
            notes=lambda: collector.figures,
        ),
    )
    return tune(recipe, tuned, restart)


def group_advantages(scores: Tensor, group: int) -> Tensor:
    """(score - mean) / deviation of its group, in which there are `group` in a row; 0 where all are alike."""
    grouped = scores.view(-1, group)
    spread = grouped.std(1, correction=0, keepdim=True)
    return ((grouped - grouped.mean(1, keepdim=True)) / (spread + 1e-6)).flatten()


def problems_of(recipe: Grpo, numbers: range) -> list[Problem]:
    """The problems of these numbers, the recipe's kinds in turns."""
    return [problem(recipe.kinds[number % len(recipe.kinds)], number, recipe.seed) for number in numbers]


def encode_problems(recipe: Grpo, opened: Opened, problems: Sequence[Problem]) -> list[Asked]:
    """What they ask, as token ids. Raises GenusError where the answer to one would have no room."""
    asked = encode_prompts([each.prompt for each in problems], opened.tokenizer, opened.context - recipe.answer_tokens - 1)
    if len(asked) < len(problems):
        raise GenusError(f"a context of {opened.context} tokens is too short for some sums; choose fewer answer_tokens")
    return asked


class _Collector:
    """Rollouts of the policy as it stands, judged."""

    def __init__(self, recipe: Grpo, opened: Opened, reference: LanguageModel) -> None:
        self.recipe, self.opened, self.reference = recipe, opened, reference
        self.figures: dict[str, float] = {}
        self.last = ""

    def collect(self, rollout: int, more: dict[str, Any]) -> tuple[list[Part], dict[str, Any]]:
        """See experience.Collector. Nothing is remembered between rollouts."""
        count = self.recipe.batch // self.recipe.group
        problems = problems_of(self.recipe, range(rollout * count, (rollout + 1) * count))
        episodes = self._roll(problems, shuffle_key(self.recipe.seed, rollout), self.recipe.group)
        scores = self._scores(problems, episodes, self.recipe.group)
        advantages = group_advantages(scores, self.recipe.group)
        order = by_length(episodes, self.recipe.minibatch)
        episodes, advantages = [episodes[number] for number in order], advantages[order]
        old, reference = self._read(episodes)
        kl = sum(float((mine - start).sum()) for mine, start in zip(old, reference, strict=True)) / len(episodes)
        mixed = scores.view(-1, self.recipe.group).std(1, correction=0) > 0
        entropy = -float(torch.cat(old).mean())  # nats a token, estimated from those that were drawn
        self.figures = {"reward": float(scores.mean()), "kl": round(kl, 5), "entropy": round(entropy, 5)}
        self.figures["mixed_groups"] = float(mixed.float().mean())
        return [
            Part(
                episode.example,
                mine,
                start,
                torch.full_like(mine, float(value)),
                torch.zeros_like(mine),
                torch.zeros_like(mine),
            )
            for episode, mine, start, value in zip(episodes, old, reference, advantages, strict=True)
        ], more

    def minibatch(self, parts: list[Part], step: int) -> list[Part]:
        """See experience.Collector: as they are."""
        return parts

    def look(self) -> dict[str, float]:
        """The share of sums it never learned from that it answers rightly, at temperature 0."""
        problems = problems_of(self.recipe, range(HELD_OUT, HELD_OUT + self.recipe.held_out))
        episodes = self._roll(problems, 0, 1, greedy=True)
        right = float(self._scores(problems, episodes, 1).mean())
        self.last = f"{told(self.opened.tokenizer, episodes[0])} [{problems[0].answer.strip()} is right]"
        return {"validation_loss": 1 - right, "validation_reward": right}

    def _roll(self, problems: Sequence[Problem], seed: int, n: int, greedy: bool = False) -> list[Episode]:
        asked = encode_problems(self.recipe, self.opened, problems)
        temperature = 0.0 if greedy else self.recipe.temperature
        network, family = self.opened.network, self.opened.family
        return roll_out((network, family), asked, most=self.recipe.answer_tokens, temperature=temperature, seed=seed, n=n)

    def _scores(self, problems: Sequence[Problem], episodes: Sequence[Episode], n: int) -> Tensor:
        decode = self.opened.tokenizer.decode
        return torch.tensor([float(is_right(problems[i // n], decode(each.answer))) for i, each in enumerate(episodes)])

    @torch.no_grad()
    def _read(self, episodes: Sequence[Episode]) -> tuple[list[Tensor], list[Tensor]]:
        """log p by the policy and by the start model, in the micro-batches in which the first steps compute them."""
        network = self.opened.network.eval()
        old, reference = list[Tensor](), list[Tensor]()
        for first in range(0, len(episodes), self.recipe.micro_batch):
            some = episodes[first : first + self.recipe.micro_batch]
            tokens = to_torch(stack([[episode.example] for episode in some]), pick_device())
            lengths = [len(episode.answer) for episode in some]
            old += answer_log_probs(network, tokens, self.recipe.temperature).log_probs.cpu().split(lengths)
            reference += answer_log_probs(self.reference, tokens, self.recipe.temperature).log_probs.cpu().split(lengths)
        network.train()
        return old, reference


def _loss(network: LanguageModel, recipe: Grpo, lesson: Lesson) -> Scored:
    """The sum over answer tokens of the clipped loss and of `kl` times the divergence from the start model, estimated by
    exp(d) - 1 - d with d = log ref/pi, which is never negative (2402.03300, equation 4)."""
    said = answer_log_probs(network, lesson.tokens, recipe.temperature)
    losses, held = clipped_policy_loss(said.log_probs, lesson.old, lesson.advantages, recipe.clip)
    behind = lesson.reference - said.log_probs
    far = behind.exp() - 1 - behind
    stats = {"clipped": held.float().sum(), "divergence": far.detach().sum()}
    return Scored((losses + recipe.kl * far).sum(), len(losses), stats)
