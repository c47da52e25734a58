"""A judge that is a program: it ranks answers to instructions made by data/instructions.py, so that alignment can be tried,
and its gains counted, before any person has ranked anything. It knows form, not truth."""

import contextlib
import json
import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from genus.align.recipe import Judge
from genus.align.rollout import Asked, Episode, encode_prompts, find_prompts, repetition, roll_out, told
from genus.core.errors import GenusError
from genus.core.files import write_json, write_text
from genus.core.interval import wilson
from genus.core.progress import say
from genus.data.chats import read_chats
from genus.data.comparisons import Prompt
from genus.data.instructions import topic_of
from genus.train.tuning import Opened, open_start

__all__ = ["judge", "judge_answer"]

_WORDS = re.compile(r"[A-Za-z']+")
_TOLD = 3  # answers of each model that are written down
_FEW = 12  # words; fewer have said little


def judge(recipe: Judge) -> dict[str, Any]:
    """Rank the answers of one model, or compare several; what was found. Raises GenusError for what cannot be read."""
    prompts = find_prompts(recipe.prompts)
    prompts = prompts[: recipe.most] if recipe.most else prompts
    opened = [open_start(folder) for folder in recipe.models]
    if len(opened) == 1:
        return _rank(recipe, opened[0], prompts)
    found = _compare(recipe, opened, prompts)
    write_json(recipe.out, found)
    return found


def judge_answer(prompt: Prompt, answer: str, ended: bool, known: Collection[str] = ()) -> float:
    """From 0 to 6: two points for speaking of what was asked, and one each for ending with a sentence, for not repeating
    itself, for words that are `known` (all, where none are given), and for having said something at all."""
    words = _words(answer)
    topic = topic_of(prompt if isinstance(prompt, str) else prompt[-1]["content"])
    pairs = list(pairwise(words))
    near = max((_likeness(topic, word) for word in words), default=0.0)
    ends = float(ended and answer.rstrip().endswith((".", "!", "?")))
    fresh = len(set(pairs)) / len(pairs) if pairs else 0.0
    real = sum(word in known for word in words) / len(words) if known and words else float(bool(words))
    return 2 * near + ends + fresh + real + min(1.0, len(words) / _FEW)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text)]


def _likeness(topic: str, word: str) -> float:
    """The share of a topic with which a word begins; less than half is none."""
    same = next(
        (at for at, pair in enumerate(zip(topic, word, strict=False)) if pair[0] != pair[1]), min(len(topic), len(word))
    )
    share = same / max(1, len(topic))
    return share if share >= 0.5 else 0.0


def _answers(recipe: Judge, opened: Opened, prompts: Sequence[Prompt], n: int) -> list[Episode]:
    asked = encode_prompts(prompts, opened.tokenizer, opened.context - recipe.answer_tokens - 1)
    how = {"most": recipe.answer_tokens, "temperature": recipe.temperature, "seed": recipe.seed, "n": n}
    return roll_out((opened.network, opened.family), asked, **how)  # type: ignore[arg-type]


def _score(opened: Opened, episode: Episode, known: Collection[str]) -> tuple[str, float]:
    text = opened.tokenizer.decode(episode.answer)
    return text, judge_answer(episode.asked.prompt, text, episode.ended, known)


def _known(files: Sequence[str]) -> frozenset[str]:
    """The words of the answers that the prompts' files have; none where a file has prompts alone."""
    with contextlib.suppress(GenusError):
        return frozenset(word for name in files for chat in read_chats(Path(name)) for word in _words(chat.answer))
    return frozenset()


def _rank(recipe: Judge, opened: Opened, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """Answers to each prompt, ranked; those that are the same count once."""
    known = _known(recipe.prompts)
    groups: dict[int, tuple[Asked, dict[str, float]]] = {}
    for number, episode in enumerate(_answers(recipe, opened, prompts, recipe.answers)):
        text, score = _score(opened, episode, known)
        groups.setdefault(number // recipe.answers, (episode.asked, {}))[1].setdefault(text, score)
    lines = []
    for asked, scores in groups.values():
        if len(scores) > 1:
            better = sorted(set(scores.values()), reverse=True)
            ranks = [better.index(score) + 1 for score in scores.values()]
            lines.append(json.dumps({"prompt": asked.prompt, "answers": list(scores), "ranks": ranks, "labeller": "judge"}))
    write_text(recipe.out, "\n".join(lines) + "\n")
    say(f"ranked the answers to {len(lines):,} prompts")
    return {"prompts": len(lines)}


def _compare(recipe: Judge, opened: Sequence[Opened], prompts: Sequence[Prompt]) -> dict[str, Any]:
    """How each model does, and how often its answer is better than the first's; equal ones are half a win."""
    first, known = list[float](), _known(recipe.prompts)
    found: dict[str, Any] = {}
    for folder, model in zip(recipe.models, opened, strict=True):
        episodes = _answers(recipe, model, prompts, 1)
        scores = [_score(model, episode, known)[1] for episode in episodes]
        first = first or scores
        wins = sum(0.5 * ((mine > theirs) + (mine >= theirs)) for mine, theirs in zip(scores, first, strict=True))
        least, most = wilson(wins / len(scores), len(scores))
        mean = sum(scores) / len(scores)
        found[str(folder)] = {
            "says": [told(model.tokenizer, episode) for episode in episodes[:_TOLD]],
            "prompts": len(scores),
            "score": mean,
            "deviation": (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5,
            "win_rate": wins / len(scores),
            "win_rate_least": least,
            "win_rate_most": most,
            "repetition": repetition(episodes),
            "ended": sum(episode.ended for episode in episodes) / len(episodes),
            "tokens": sum(len(episode.answer) for episode in episodes) / len(episodes),
        }
        say(f"{folder}: wins {wins / len(scores):.1%} ({least:.1%} to {most:.1%}) against the first, score {mean:.2f} of 6")
    return found
