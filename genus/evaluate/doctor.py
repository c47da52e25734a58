"""A recipe examined before it costs anything: what breaks training quietly is found in its files and its model.

Each check gives findings of one line; those of tokens and of the model are checks.py's. A stage that learns from answers is
added to FILES; one whose answers are yet to be written is examined by what it asks.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from genus.align.compared import find_comparisons, split_by_prompt
from genus.align.grpo import HELD_OUT, encode_problems, problems_of
from genus.align.ppo import check_gate, open_ppo
from genus.align.recipe import Grpo, Ppo
from genus.align.rollout import Asked, Episode, encode_prompts, find_prompts, roll_out
from genus.align.scoring import score_examples
from genus.core.errors import GenusError
from genus.data.chats import Chat, read_chats
from genus.data.encoding import encode_chat
from genus.data.turns import Prompt
from genus.evaluate.checks import (
    Case,
    Finding,
    Level,
    check_accumulation,
    check_cache,
    check_encoded,
    check_ends,
    check_known_template,
    check_lengths,
    check_padding,
    check_starts,
    folder_of,
)
from genus.tasks.arithmetic import is_right
from genus.tokenizers.template import check_template
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.inspect import answers_of, compared
from genus.train.sft import prepared, read_split
from genus.train.tuning import Opened, open_start

__all__ = ["FILES", "Files", "examine"]

_ANSWERED = 16  # prompts that are answered
_SUMS = 200  # that are looked at as tokens
_ALIKE = 1e-6  # deviation of rewards below which PPO does not scale them up


class Files(NamedTuple):
    """The fields of a stage's recipe that name its files and the share that is held out, and how its files are read."""

    field: str
    share: str
    read: Callable[[Any, list[str]], list[Chat]]
    split: Callable[[Any, list[Chat]], tuple[list[Chat], list[Chat]]]
    too_long: str  # what becomes of long examples, where the recipe does not say


def _compared(source: str, wrong: list[str]) -> list[Chat]:
    return compared(Path(source), wrong) if Path(source).suffix in _TEXT else answers_of(find_comparisons([source]))


def _by_prompt(recipe: Any, chats: Any) -> Any:
    return split_by_prompt(chats, recipe.share, recipe.seed)


_TEXT = (".jsonl", ".json", ".gz")  # else a store
_COMPARED = Files("comparisons", "share", _compared, _by_prompt, "skip")
FILES = {"sft": Files("train", "held_out_share", read_chats, read_split, "refuse"), "reward": _COMPARED, "dpo": _COMPARED}
"""The stages that learn from answers. What is wrong with a record goes into the reader's list."""


def examine(stage: str, recipe: Any) -> Iterator[Finding]:
    """Every finding about a recipe, one by one; those that need tokens only where there are some."""
    asking: dict[str, Callable[[Any], Iterator[Finding]]] = {"ppo": _ppo, "grpo": _grpo}
    if stage in asking:
        yield from asking[stage](recipe)
    elif stage in FILES:
        yield from _answered(stage, recipe)
    else:
        raise GenusError(f"doctor does not know {stage} yet; it examines {', '.join((*FILES, *asking))}")


def _answered(stage: str, recipe: Any) -> Iterator[Finding]:
    """A stage that learns from answers in files."""
    files = FILES[stage]
    wrong: list[str] = []
    sources = (getattr(recipe, files.field), recipe.held_out)
    train, held_out = ([chat for source in each for chat in files.read(source, wrong)] for each in sources)
    if not held_out and getattr(recipe, files.share):
        train, held_out = files.split(recipe, train)
    yield from _records(recipe, train, wrong)
    yield from _duplicates(train, held_out)
    try:
        if stage == "sft":
            opened, _ = prepared(recipe, train + held_out, recipe.template)
        else:
            opened = open_start(recipe.model)
            _check_turns(opened, [chat.prompt for chat in train + held_out])
    except GenusError as error:
        yield Finding("error", "template", str(error))
        return
    case = Case(recipe, opened, train, files.too_long)
    for chat in train:
        try:
            case.examples.append(encode_chat(opened.tokenizer, chat))
        except GenusError as error:
            case.unfit.append(str(error))
    yield from check_known_template(case)
    yield from check_encoded(case)
    yield from check_starts(case)
    yield from check_ends(case)
    yield from _computed(case)


def _computed(case: Case) -> Iterator[Finding]:
    """What every stage computes alike."""
    for check in (check_padding, check_lengths, check_accumulation, check_cache):
        yield from check(case)


def _check_turns(opened: Opened, prompts: Sequence[Prompt]) -> bool:
    """Whether there are turns, which the model's own template must then write. Raises GenusError where it cannot."""
    turns = any(not isinstance(prompt, str) for prompt in prompts)
    if turns:
        check_template(opened.tokenizer)
    return turns


def _ppo(recipe: Ppo) -> Iterator[Finding]:
    """What PPO refuses, in its own words, and what it would go on with."""
    reward = folder_of(recipe.reward)
    try:
        check_gate(replace(recipe, untrusted=False), reward)
        yield Finding("ok", "gate", "the reward model passed it")
    except GenusError as error:
        yield Finding("warning" if recipe.untrusted else "error", "gate", str(error))
    try:
        fixed, _ = open_ppo(replace(recipe, untrusted=True))
        asked = encode_prompts(find_prompts(recipe.prompts), fixed.opened.tokenizer, sys.maxsize)
        turns = _check_turns(fixed.opened, [each.prompt for each in asked])
        if not fixed.asked:
            raise GenusError("there is no prompt to learn from; name files that hold some, or lower share")
    except GenusError as error:
        yield Finding("error", "recipe", str(error))
        return
    yield from _duplicates(*([_chat(each.prompt) for each in some] for some in (fixed.asked, fixed.held_out)))
    context = min(fixed.opened.context, fixed.reward.spec.context)
    case = _case(recipe, fixed.opened, asked, context)
    yield from check_known_template(case)
    if turns and case.tokenizer.template_sha256 != Tokenizer.load(reward).template_sha256:
        text = f"{reward} has another chat template than {recipe.model}, and would judge texts of a form it never read"
        yield Finding("error", "reward's template", f"{text}; train both from one model")
    yield from check_starts(case)
    yield from _computed(case)
    episodes = _answers(case, fixed.asked)
    yield _ended(case, episodes)
    yield _rewarded(score_examples(fixed.reward, [episode.example for episode in episodes]))


def _grpo(recipe: Grpo) -> Iterator[Finding]:
    """Sums as tokens, and whether those held out are new."""
    asked = problems_of(recipe, range(max(1, recipe.rollouts * recipe.batch // recipe.group)))
    held_out = problems_of(recipe, range(HELD_OUT, HELD_OUT + recipe.held_out))
    seen = {each.prompt for each in asked}
    if same := sum(each.prompt in seen for each in held_out):
        text = f"{same:,} of {len(held_out):,} sums are asked in training too, for there are few of so few digits"
        yield Finding("warning", "held out", f"{text}; what is right there may be known by heart")
    else:
        yield Finding("ok", "held out", f"none of {len(held_out):,} is asked in training")
    try:
        opened, few = open_start(recipe.model), asked[:_SUMS]
        prompts = encode_problems(recipe, opened, few)
    except GenusError as error:
        yield Finding("error", "recipe", str(error))
        return
    case = _case(recipe, opened, prompts, opened.context)
    yield from check_starts(case)
    yield from _computed(case)
    encode, decode, most = opened.tokenizer.encode, opened.tokenizer.decode, recipe.answer_tokens
    if lost := [each for each in few if not is_right(each, decode(encode(each.answer)[:most]))]:
        text = f"{len(lost):,} of {len(few):,} right ones are not said in {most} tokens, such as {lost[0].answer.strip()}"
        yield Finding("error", "answers", f"{text}; raise answer_tokens")
    else:
        yield Finding("ok", "answers", f"the right ones of {len(few):,} sums are said in {most} tokens")
    episodes = _answers(case, prompts)
    yield _ended(case, episodes)
    right = sum(is_right(each, decode(episode.answer)) for each, episode in zip(few, episodes, strict=False))
    text = f"{right} of {len(episodes)} answers tried are right"
    if right:
        yield Finding("ok", "reward", text)
    else:
        text += "; groups that are all wrong teach nothing: choose easier kinds, or tune the model on sums first"
        yield Finding("warning", "reward", text)


def _case(recipe: Any, opened: Opened, asked: Sequence[Asked], context: int) -> Case:
    """Prompts as examples, of which the token is learned that ends an answer."""
    room = context - recipe.answer_tokens  # for a prompt and that token
    case = Case(recipe, opened, [_chat(each.prompt) for each in asked], "skip", room)
    case.examples += [Episode(each, (each.end,), True).example for each in asked]
    return case


def _chat(prompt: Prompt) -> Chat:
    """A prompt without an answer, named by its words."""
    words = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return Chat(prompt, "", repr(words if len(words) < 40 else f"{words[:40]}..."))


def _answers(case: Case, asked: Sequence[Asked]) -> list[Episode]:
    """The start model's to the first of them, drawn as the stage draws them."""
    recipe, opened = case.recipe, case.opened
    how: dict[str, Any] = {"most": recipe.answer_tokens, "temperature": recipe.temperature, "seed": recipe.seed}
    return roll_out((opened.network, opened.family), asked[:_ANSWERED], **how)


def _ended(case: Case, episodes: Sequence[Episode]) -> Finding:
    """Whether the start model ends any answer by itself."""
    ended, name = sum(each.ended for each in episodes), case.name(episodes[0].asked.end)
    text = f"{ended} of {len(episodes)} answers tried end with {name} within {case.recipe.answer_tokens} tokens"
    if ended:
        return Finding("ok", "end", text)
    return Finding("warning", "end", f"{text}; raise answer_tokens, or tune the model on answers that end")


def _rewarded(scores: torch.Tensor) -> Finding:
    """Whether the reward model tells those answers apart."""
    told = f"from {scores.min():.3g} to {scores.max():.3g} on the answers tried"
    if not torch.isfinite(scores).all():
        return Finding("error", "reward", f"{told}, which is not finite; train the reward model again with a lower optim.lr")
    if len(scores) > 1 and scores.std() < _ALIKE:
        return Finding("error", "reward", f"{told}: all are alike, so that nothing is learned; look at its gate.json")
    return Finding("ok", "reward", told)


def _records(recipe: Any, train: list[Chat], wrong: list[str]) -> Iterator[Finding]:
    """Empty answers, wrong roles, and what else readers refuse."""
    if wrong:
        level: Level = "warning" if getattr(recipe, "wrong", "refuse") == "skip" else "error"
        step = "they are left out" if level == "warning" else "correct them, or set wrong = skip"
        yield Finding(level, "records", f"{len(wrong):,} cannot be used, and {step}; the first: {wrong[0]}")
    elif train:
        yield Finding("ok", "records", f"all {len(train):,} can be used")
    if not train:
        yield Finding("error", "records", "there is nothing to train on; name files that hold some")


def _duplicates(train: list[Chat], held_out: list[Chat]) -> Iterator[Finding]:
    """What is held out must be new to the model."""
    seen = {_key(chat): chat for chat in train}
    asked = {_key(chat)[0] for chat in train}
    both = [chat for chat in held_out if _key(chat) in seen]
    same = [chat for chat in held_out if _key(chat)[0] in asked]
    if both:
        first = ", which is ".join(dict.fromkeys((both[0].place, seen[_key(both[0])].place)))
        yield Finding(
            "error", "held out", f"{len(both):,} examples are trained on too, such as {first}; take them out of one"
        )
    elif same:
        text = f"{len(same):,} prompts are trained on too, such as that of {same[0].place}; the loss there says little"
        yield Finding("warning", "held out", text)
    elif held_out:
        yield Finding("ok", "held out", f"none of {len(held_out):,} is trained on")
    else:
        yield Finding("warning", "held out", "nothing is, so over-fitting will not show; set held_out, or a share")
    if twice := len(train) - len(seen):
        text = f"{twice:,} of {len(train):,} repeat another and count twice; take them out unless that is meant"
        yield Finding("warning", "duplicates", text)


def _key(chat: Chat) -> tuple[str, str]:
    """What makes two chats the same: all words, whatever their case and spaces."""
    prompt = chat.prompt if isinstance(chat.prompt, str) else " ".join(f"{t['role']} {t['content']}" for t in chat.prompt)
    return " ".join(prompt.lower().split()), " ".join(chat.answer.lower().split())
