"""PPO and PPO-ptx (InstructGPT, arXiv 2203.02155, section 3.5 and appendix C.4; details of arXiv 1909.08593).

One prompt, one answer; a penalty for each token that is likelier than by the start model; the score on the last token;
values from a network of their own that starts as the reward model. docs/align.md lists what is done and what is left out.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from genus.align.advantage import adapted_kl, advantages_of, token_rewards, whitened
from genus.align.compared import split_by_prompt
from genus.align.experience import EpisodePace, Lesson, Lessons, Part, by_length, to_lessons
from genus.align.log_probs import answer_log_probs
from genus.align.losses import clipped_policy_loss, clipped_value_loss
from genus.align.monitor import Monitor, correlation
from genus.align.recipe import Ppo
from genus.align.rollout import Asked, Episode, encode_prompts, find_prompts, repetition, roll_out, told
from genus.align.scoring import score_examples, scores_at
from genus.core.errors import GenusError
from genus.core.files import read_json, sha256
from genus.core.progress import say
from genus.data.examples import Shuffled, stack
from genus.data.loader import Rows, shuffle_key
from genus.data.shards import open_shards
from genus.models.heads import LanguageModel
from genus.models.scorer import Scorer
from genus.models.weights import load_scorer
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.loop import Scored
from genus.train.losses import next_token
from genus.train.machine import pick_device
from genus.train.tuning import Opened, Tuned, Work, fingerprint, open_start, to_torch, tune, write_language_model

__all__ = ["check_gate", "open_ppo", "train_ppo"]

_HELD_OUT = 64  # prompts that are answered to see how far it is


class _Read(NamedTuple):
    """Of each episode, (answer tokens,): log p by the policy and by the start model, and values."""

    old: list[Tensor]
    reference: list[Tensor]
    values: list[Tensor]

    @property
    def entropy(self) -> float:
        """Nats a token, estimated from the tokens that were drawn."""
        return -float(torch.cat(self.old).mean())

    @property
    def kl(self) -> float:
        """Nats an answer is likelier than by the start model, in the mean."""
        return float(
            torch.stack([(mine - start).sum() for mine, start in zip(self.old, self.reference, strict=True)]).mean()
        )


class _Fixed(NamedTuple):
    """What does not learn."""

    opened: Opened
    reference: LanguageModel
    reward: Scorer
    asked: list[Asked]
    held_out: list[Asked]
    text: Rows | None


def train_ppo(recipe: Ppo, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for what does not fit.
    """
    fixed, digest = open_ppo(recipe)
    value = deepcopy(fixed.reward)
    parts = {"policy": fixed.opened.network, "value": value}
    if recipe.average:
        parts["average"] = deepcopy(fixed.opened.network).requires_grad_(False)
    model = nn.ModuleDict(parts).to(pick_device())
    collector = _Collector(recipe, fixed, model)
    lessons = Lessons(collector, recipe)
    tuned = Tuned(
        model=model,
        source=Shuffled(fixed.asked, recipe.seed),
        prepare=partial(to_lessons, device=pick_device()),
        loss=partial(_loss, model, recipe),
        validate=collector.look,
        write=partial(_write, recipe, fixed.opened, collector),
        sample=collector.sample,
        family=fixed.opened.family,
        adapted=fixed.opened.network,
        facts={"start": fixed.opened.digest, "reward": digest, "prompts": fingerprint(each.tokens for each in fixed.asked)},
        work=Work(
            loader=lessons,
            pace=EpisodePace(recipe.rollouts, recipe.batch, recipe.whole),
            unit="episodes",
            whole=recipe.whole,
            rates={"value": recipe.value_rate},
            notes=lambda: collector.figures,
        ),
    )
    return tune(recipe, tuned, restart)


def open_ppo(recipe: Ppo) -> tuple[_Fixed, str]:
    """All that is needed, checked against each other, and the digest of the reward model. Raises GenusError."""
    opened = open_start(recipe.model, recipe.dropout)
    folder = recipe.reward / "model" if (recipe.reward / "model" / "config.json").is_file() else recipe.reward
    reward, _, labels = load_scorer(folder)
    if len(labels) != 1:
        raise GenusError(f"{folder} gives {len(labels)} scores, and a reward is one number; name a reward model")
    if Tokenizer.load(folder).sha256 != opened.tokenizer.sha256:
        raise GenusError(f"{folder} has another tokenizer than {recipe.model}; both must start from the same model")
    check_gate(recipe, folder)
    room = min(opened.context, reward.spec.context) - recipe.answer_tokens - 1
    if room < 1:
        raise GenusError(f"answer_tokens = {recipe.answer_tokens} leaves no room for a prompt; choose fewer")
    asked, held_out = _prompts(recipe, opened.tokenizer, room)
    reference = deepcopy(opened.network).eval().requires_grad_(False)
    fixed = _Fixed(opened, reference, reward.eval().requires_grad_(False), asked, held_out, _text(recipe, opened))
    device = pick_device()
    fixed.reference.to(device), fixed.reward.to(device)
    return fixed, fingerprint(sha256(path) for path in [*sorted(folder.glob("*.safetensors")), folder / "config.json"])


def check_gate(recipe: Ppo, folder: Path) -> None:
    """Raise GenusError where the reward model in `folder` may reward anything."""
    path = folder / "gate.json"
    passed = path.is_file() and read_json(path).get("passed")
    if not passed and not recipe.untrusted:
        what = "did not pass its gate" if path.is_file() else "has no gate.json"
        raise GenusError(f"{folder} {what}, so it may reward anything; train a better one, or add --untrusted")


def _prompts(recipe: Ppo, tokenizer: Tokenizer, room: int) -> tuple[list[Asked], list[Asked]]:
    """Those to learn from and those held out."""
    asked = encode_prompts(find_prompts(recipe.prompts), tokenizer, room)
    if recipe.held_out:
        return asked, encode_prompts(find_prompts(recipe.held_out), tokenizer, room)[:_HELD_OUT]
    learned, held_out = split_by_prompt(asked, recipe.share, recipe.seed)
    return learned, held_out[:_HELD_OUT]


def _text(recipe: Ppo, opened: Opened) -> Rows | None:
    """Rows of pretraining text, for PPO-ptx."""
    if recipe.ptx is None or not recipe.ptx_weight:
        return None
    shards = open_shards(recipe.ptx)
    theirs, ours = shards.tokenizer(), opened.tokenizer  # which may have tokens of a chat besides
    if any(theirs.token_bytes(number) != ours.token_bytes(number) for number in range(theirs.vocab)):
        raise GenusError(
            f"{recipe.ptx} was made with another tokenizer than the model's; make shards of it with the model's"
        )
    return Rows(shards.stream("train"), recipe.ptx_tokens or opened.context, recipe.seed, mask_documents=False)


class _Collector:
    """Rollouts of the policy as it stands, and what they are worth."""

    def __init__(self, recipe: Ppo, fixed: _Fixed, model: nn.ModuleDict) -> None:
        self.recipe, self.fixed, self.model = recipe, fixed, model
        self.policy: LanguageModel = model["policy"]  # type: ignore[assignment]
        self.value: Scorer = model["value"]  # type: ignore[assignment]
        self.source, self.monitor = Shuffled(fixed.asked, recipe.seed), Monitor()
        self.figures: dict[str, float] = {}
        self.last: tuple[Episode, float] | None = None
        self.scale = (1.0, 0.0)  # gain and bias of the reward model

    def collect(self, rollout: int, more: dict[str, Any]) -> tuple[list[Part], dict[str, Any]]:
        """See experience.Collector. `more` holds the KL penalty, and the reward model's gain and bias."""
        if not more:
            more = self._begin()
        self.scale, self.value.shift, kl = (more["gain"], more["bias"]), more["shift"], more["kl"]
        self.monitor.first = more.get("first")
        numbers = range(rollout * self.recipe.batch, (rollout + 1) * self.recipe.batch)
        asked = [self.source.row(*divmod(number, len(self.source))) for number in numbers]
        began = time.perf_counter()
        episodes = self._roll(asked, shuffle_key(self.recipe.seed, rollout))
        episodes = [episodes[number] for number in by_length(episodes, self.recipe.minibatch)]
        rolled = time.perf_counter()
        scores = self._scores(episodes)
        read = self._read(episodes)
        parts = self._parts(episodes, scores, read, kl)
        self._note(episodes, scores, read, kl)
        self.figures |= {
            "answering_seconds": round(rolled - began, 4),
            "scoring_seconds": round(time.perf_counter() - rolled, 4),
        }
        if self.recipe.kl_target:
            kl = adapted_kl(kl, read.kl, self.recipe.kl_target, len(episodes))
        return parts, {**more, "kl": kl, "first": self.monitor.first}

    def minibatch(self, parts: list[Part], step: int) -> list[Part]:
        """See experience.Collector: advantages whitened over the minibatch, and pretraining text for each episode."""
        if self.recipe.average and step:
            self.follow()
        tokens = [len(part.old) for part in parts]
        white = whitened(torch.cat([part.advantages for part in parts])).split(tokens)
        parts = [part._replace(advantages=each) for part, each in zip(parts, white, strict=True)]
        rows = self.fixed.text
        if rows is None:
            return parts
        count, first = self.recipe.ptx_rows, step * len(parts) * self.recipe.ptx_rows
        share = self.recipe.ptx_weight * sum(tokens) / (len(parts) * count * rows.context)
        found = []
        for place, part in enumerate(parts):
            mine = range(first + place * count, first + (place + 1) * count)
            text = np.stack([rows.row(*divmod(number, len(rows))) for number in mine])
            found.append(part._replace(text=text, share=share))
        return found

    @torch.no_grad()
    def follow(self) -> None:
        """Let the average follow the policy."""
        average = self.model["average"]
        for mean, now in zip(average.parameters(), self.policy.parameters(), strict=True):
            mean.lerp_(now, 1 - self.recipe.average)

    def look(self) -> dict[str, float]:
        """How the policy does on held-out prompts, with the same randomness each time."""
        if not self.fixed.held_out:
            return {}
        episodes = self._roll(self.fixed.held_out, self.recipe.seed)
        scores = self._scores(episodes, raw=True)
        self.last = episodes[0], float(scores[0])
        return {
            "validation_loss": -float(scores.mean()),
            "validation_reward": float(scores.mean()),
            "validation_kl": self._read(episodes).kl,
            "validation_tokens": sum(len(episode.answer) for episode in episodes) / len(episodes),
            "validation_repetition": repetition(episodes),
        }

    def sample(self) -> str:
        """An answer to a held-out prompt, with its reward."""
        if self.last is None:
            return ""
        episode, score = self.last
        return f"{told(self.fixed.opened.tokenizer, episode)} [reward {score:.2f}]"

    def _begin(self) -> dict[str, Any]:
        """The first penalty, and what makes rewards of the start model's answers have mean 0 and deviation 1."""
        gain, bias = 1.0, 0.0
        if self.recipe.normalise:
            count = max(self.recipe.batch, 64)
            asked = [self.source.row(*divmod(number, len(self.source))) for number in range(count)]
            scores = self._scores(self._roll(asked, self.recipe.seed + 1), raw=True)
            gain = 1 / max(float(scores.std()), 1e-6)
            bias = -gain * float(scores.mean())
            say(f"rewards of the start model: mean {scores.mean():.3f}, deviation {scores.std():.3f}; taken as 0 and 1")
        with torch.no_grad():  # values start as what the rewards are now
            self.value.score.weight.mul_(gain)
        return {"kl": self.recipe.kl, "gain": gain, "bias": bias, "shift": gain * self.value.shift + bias}

    def _roll(self, asked: Sequence[Asked], seed: int) -> list[Episode]:
        how = {"most": self.recipe.answer_tokens, "temperature": self.recipe.temperature}
        return roll_out((self.policy, self.fixed.opened.family), asked, **how, seed=seed)  # type: ignore[arg-type]

    def _scores(self, episodes: Sequence[Episode], raw: bool = False) -> Tensor:
        """The reward of each answer, unless `raw` shifted and scaled, and less where it did not end."""
        scores = score_examples(self.fixed.reward, [episode.example for episode in episodes])
        if raw:
            return scores
        cut = torch.tensor([not episode.ended for episode in episodes])
        scores = self.scale[0] * scores + self.scale[1] - self.recipe.missing_end * cut
        if not torch.isfinite(scores).all():
            raise GenusError("the reward model gave a reward that is not finite; train it again with a lower optim.lr")
        return scores

    @torch.no_grad()
    def _read(self, episodes: Sequence[Episode]) -> _Read:
        """In the very micro-batches in which the first steps compute them, so that their ratios there are exactly 1."""
        self.model.eval()
        old, reference, values = list[Tensor](), list[Tensor](), list[Tensor]()
        device = next(self.policy.parameters()).device
        for first in range(0, len(episodes), self.recipe.micro_batch):
            some = episodes[first : first + self.recipe.micro_batch]
            tokens = to_torch(stack([[episode.example] for episode in some]), device)
            assert tokens.scored is not None
            lengths = [len(episode.answer) for episode in some]
            said = answer_log_probs(self.policy, tokens, self.recipe.temperature)
            start = answer_log_probs(self.fixed.reference, tokens, self.recipe.temperature)
            old += said.log_probs.cpu().split(lengths)
            reference += start.log_probs.cpu().split(lengths)
            values += scores_at(self.value, tokens, tokens.scored).cpu().split(lengths)
        self.model.train()
        return _Read(old, reference, values)

    def _parts(self, episodes: Sequence[Episode], scores: Tensor, read: _Read, kl: float) -> list[Part]:
        old, reference, values = (pad_sequence(each, batch_first=True) for each in read[:3])
        lengths = torch.tensor([len(episode.answer) for episode in episodes])
        rewards = token_rewards(scores, old - reference, lengths, kl)
        if self.recipe.whiten_rewards:
            there = torch.arange(rewards.shape[1]) < lengths[:, None]
            rewards[there] = whitened(rewards[there], shift=False)
        advantages = advantages_of(rewards, values, self.recipe.gamma, self.recipe.lam)
        returns = advantages + values
        return [
            Part(
                example=episode.example,
                old=old[i, :count],
                reference=reference[i, :count],
                advantages=advantages[i, :count],
                values=values[i, :count],
                returns=returns[i, :count],
            )
            for i, (episode, count) in enumerate(zip(episodes, lengths.tolist(), strict=True))
        ]

    def _note(self, episodes: Sequence[Episode], scores: Tensor, read: _Read, penalty: float) -> None:
        lengths = torch.tensor([float(len(episode.answer)) for episode in episodes])
        self.figures = {
            "reward": round(float(scores.mean()), 5),
            "kl": round(read.kl, 5),
            "kl_penalty": penalty,
            "entropy": round(read.entropy, 5),
            "answer_tokens": round(float(lengths.mean()), 3),
            "ended": sum(episode.ended for episode in episodes) / len(episodes),
            "repetition": round(repetition(episodes), 5),
            "length_correlation": round(correlation(scores, lengths), 4),
        }
        self.monitor.note(self.figures)


def _loss(model: nn.ModuleDict, recipe: Ppo, lesson: Lesson) -> Scored:
    """The sum over answer tokens of the clipped losses, with the pretraining text's in proportion; and how many tokens.

    Stats, a token: the policy's and the value's loss, how many are held by the clip, the policy's step
    (half the mean square of log ratios, 1909.08593's approximate KL); `ptx_loss` in nats a token of text.
    """
    policy: LanguageModel = model["policy"]  # type: ignore[assignment]
    said = answer_log_probs(policy, lesson.tokens, recipe.temperature)
    losses, held = clipped_policy_loss(said.log_probs, lesson.old, lesson.advantages, recipe.clip)
    values = scores_at(model["value"], lesson.tokens, lesson.tokens.scored)  # type: ignore[arg-type]
    value_losses = clipped_value_loss(values, lesson.values, lesson.returns, recipe.clip)
    total = losses.sum() + recipe.value_weight * value_losses.sum()
    stats = {
        "policy_loss": losses.detach().sum(),
        "value_loss": value_losses.detach().sum(),
        "clipped": held.float().sum(),
        "policy_step": 0.5 * (said.log_probs.detach() - lesson.old).square().sum(),
    }
    if lesson.text is not None:
        text = next_token(policy, lesson.text)
        total = total + lesson.share * text.total
        stats["ptx_loss"] = text.total.detach() * (lesson.share / recipe.ptx_weight)
    return Scored(total, len(losses), stats)


def _write(recipe: Ppo, opened: Opened, collector: _Collector, folder: Path) -> None:
    network = opened.network
    if recipe.average:
        collector.follow()
        network = collector.model["average"]  # type: ignore[assignment]
    card = f"""# A model tuned by PPO{"-ptx" if recipe.ptx else ""}

Tuned on its own answers to please a reward model.

Made with Genus. It has learned what that reward model rewards, which is not what is true or good for everybody.
"""
    write_language_model(folder, opened._replace(network=network), card)
