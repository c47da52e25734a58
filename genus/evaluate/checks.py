"""What `genus doctor` looks for in examples as tokens, and in the model that is to read them.

Which of it a stage takes, and what is wrong with its files, is doctor.py's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from genus.core.files import read_json
from genus.data.chats import Chat
from genus.data.examples import Example, stack
from genus.engine.model import Model
from genus.tokenizers.template import read_template, template_warning
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.guard import Guard
from genus.train.loop import Step, TrainState, train_steps
from genus.train.losses import next_token
from genus.train.sft import rows_of
from genus.train.tuning import Opened, set_dropout, to_torch

__all__ = [
    "Case",
    "Finding",
    "Level",
    "check_accumulation",
    "check_cache",
    "check_encoded",
    "check_ends",
    "check_known_template",
    "check_lengths",
    "check_padding",
    "check_starts",
    "folder_of",
]

_TRIED = 4  # examples that the model computes
_SAID = 12  # tokens that it says
_CLOSE = 1e-3  # of logits that are computed in another order; relative, of gradients


Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One line of the doctor's."""

    level: Level
    check: str
    text: str


@dataclass
class Case:
    """A recipe with its files read and its model opened."""

    recipe: Any
    opened: Opened
    train: list[Chat]
    too_long: str  # what becomes of long examples, where the recipe does not say
    room: int = 0  # tokens that fit, where that is not the recipe's to say
    examples: list[Example] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)  # chats that cannot be encoded, and why

    @property
    def tokenizer(self) -> Tokenizer:
        return self.opened.tokenizer

    @property
    def limit(self) -> int:
        return self.room or self.recipe.max_tokens or self.opened.context

    @property
    def short(self) -> list[Example]:
        """A few examples that fit, for the model."""
        fit = (each for each in self.examples if len(each.tokens) < self.limit - _SAID and each.learned.any())
        return sorted(fit, key=lambda each: len(each.tokens))[:_TRIED]

    def name(self, token: int) -> str:
        """A token as it is written."""
        return self.tokenizer.token_bytes(token).decode("utf-8", "replace")


def folder_of(path: Path) -> Path:
    """A model's folder, or the one in a run's."""
    return path if (path / "config.json").is_file() else path / "model"


def check_known_template(case: Case) -> Iterator[Finding]:
    """That it can be learned from, prepared() has found; here whether it is the one that the model knows."""
    folder, asked = case.recipe.model, getattr(case.recipe, "template", None)
    loaded = Tokenizer.load(folder_of(folder))
    given = loaded if asked is None else loaded.with_template(read_template(asked))
    if warning := template_warning(folder, given):
        yield Finding("warning", "template", warning.removeprefix("warning: "))
    elif not case.tokenizer.chat_template:
        yield Finding("ok", "template", "none, and none is needed: all prompts are texts")
    elif not given.chat_template:
        rows = case.tokenizer.vocab - loaded.vocab
        yield Finding("ok", "template", f"the model has none and gets ChatML, with {rows} new tokens")
    else:
        yield Finding("ok", "template", "says where an answer begins and ends")
    called = [chat for chat in case.train if chat.tools]
    turns, tools = [{"role": "user", "content": "?"}], [{"type": "function", "function": {"name": "now"}}]
    if called and case.tokenizer.render_chat(turns) == case.tokenizer.render_chat(turns, tools=tools):
        text = f"{len(called):,} examples have tools, which the template leaves out; name one that writes them"
        yield Finding("warning", "tools", text)


def check_encoded(case: Case) -> Iterator[Finding]:
    """Answers whose tokens are told apart from the rest."""
    if case.unfit:
        yield Finding("error", "tokens", f"{len(case.unfit):,} examples have no exact answer; {case.unfit[0]}")


def check_starts(case: Case) -> Iterator[Finding]:
    """BOS: once, where the model expects one."""
    start, specials = list(case.tokenizer.start), set(case.tokenizer.special_names)
    begins = [each.tokens[:2].tolist() for each in case.examples]
    double = [two for two in begins if two[0] == two[-1] and len(two) == 2 and case.name(two[0]) in specials]
    if double:
        text = f"{len(double):,} examples begin with {case.name(double[0][0])} twice; take one out of the chat template"
        yield Finding("error", "start", text)
    elif start and any(two[:1] != start[:1] for two in begins):
        text = f"examples do not begin with {case.name(start[0])}, as this model's texts do; add it to the chat template"
        yield Finding("warning", "start", text)
    elif begins:
        yield Finding("ok", "start", f"{case.name(start[0])} once" if start else "texts of this model begin with no token")


def check_ends(case: Case) -> Iterator[Finding]:
    """A model that never learns to end goes on and on."""
    ends = case.tokenizer.turn_ends
    kept = [Example(each.tokens[: case.limit], each.learned[: case.limit]) for each in case.examples]
    without = sum(not (set(each.tokens[each.learned].tolist()) & ends) for each in kept)
    if without and without == len(kept):
        yield Finding("error", "end", "no example teaches the model to end: the end is cut off everywhere; raise max_tokens")
    elif without:
        text = f"{without:,} of {len(kept):,} examples lose their end where they are cut; raise max_tokens, or skip them"
        yield Finding("warning", "end", text)
    elif kept:
        yield Finding("ok", "end", "every example teaches the token that ends an answer")


def check_padding(case: Case) -> Iterator[Finding]:
    """What fills rows up is told by place here; elsewhere often by its id, which then must not be the end's."""
    few = case.short
    if few:
        batch, ends = stack(rows_of(few, packing=False)), sorted(case.tokenizer.turn_ends)
        scored = batch.targets[batch.scored].tolist()
        wanted = [token for each in few for token in each.tokens[each.learned].tolist()]
        lost = sum(wanted.count(end) - scored.count(end) for end in ends)
        if lost or len(scored) != len(wanted):
            text = f"{lost} of the ends are lost in a batch that is filled up; report this defect of Genus"
            yield Finding("error", "padding", text)
            return
    path = folder_of(case.recipe.model) / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    pad = config.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if pad and pad in {case.name(end) for end in case.tokenizer.turn_ends}:
        text = f"{pad} both ends and fills up; Genus tells them apart, but trainers that mask it never teach the end"
        yield Finding("warning", "padding", f"{text}; name another pad_token in {path} before training elsewhere")
    elif few:
        yield Finding("ok", "padding", "what fills rows up is never learned, and hides no end")


def check_lengths(case: Case) -> Iterator[Finding]:
    """Examples that are too long, and what becomes of them."""
    lengths = [len(each.tokens) for each in case.examples]
    long = sum(length > case.limit for length in lengths)
    how = getattr(case.recipe, "too_long", case.too_long)
    if long:
        level: Level = "error" if how == "refuse" else "warning"
        step = {"refuse": "shorten them, or set too_long = cut or skip", "cut": "they are cut", "skip": "they are left out"}[
            how
        ]
        share = f"{long:,} of {len(lengths):,} examples ({long / len(lengths):.1%})"
        yield Finding(level, "length", f"{share} are longer than {case.limit:,} tokens; {step}")
    elif lengths:
        yield Finding("ok", "length", f"the longest has {max(lengths):,} of {case.limit:,} tokens")


def check_accumulation(case: Case) -> Iterator[Finding]:
    """One step computed at once and in parts."""
    if len(few := case.short) < 2:
        return
    set_dropout(case.opened.network, 0.0)
    rows = rows_of(few, packing=False)
    whole, parts = _step(case.opened, [rows]), _step(case.opened, [[row] for row in rows])
    loss, norm = abs(whole.loss / parts.loss - 1), abs(whole.gradient_norm / parts.gradient_norm - 1)
    told = f"loss {whole.loss:.6f} at once and {parts.loss:.6f} in parts, gradient {norm:.1e} apart"
    if not max(loss, norm) < _CLOSE:
        yield Finding(
            "error", "accumulation", f"{told}; set micro_batch = batch, for this model's parts depend on each other"
        )
    else:
        yield Finding("ok", "accumulation", told)


def _step(opened: Opened, batches: list[list[list[Example]]]) -> Step:
    network = opened.network.train()
    state = TrainState(network, torch.optim.SGD(network.parameters(), lr=0.0), Guard())
    micro_batches = [to_torch(stack(rows), torch.device("cpu")) for rows in batches]
    (step,) = train_steps(state, [micro_batches], lambda tokens: next_token(network, tokens), lambda _: 0.0, 0.0)
    return step


def check_cache(case: Case) -> Iterator[Finding]:
    """What is said from the cache is what the whole model finds likeliest."""
    if not case.short:
        return
    model = Model(case.opened.network, case.opened.family, case.opened.tokenizer)
    worst = 0.0
    for example in case.short:
        start = int(example.learned.argmax())
        asked: list[int] = example.tokens[:start].tolist()
        said = list(map(int, model.generate(asked, _SAID, temperature=0, ignore_eos=True, return_tokens=True)))
        logits = model.logits(torch.tensor([asked + said]))[0, start - 1 : -1]  # (said, vocab)
        gaps = logits.max(1).values - logits.gather(1, torch.tensor(said)[:, None])[:, 0]
        worst = max(worst, float(gaps.max()))
    if not worst < _CLOSE * 10:
        text = f"tokens said from the cache are up to {worst:.2g} nats from the likeliest; report this defect of Genus"
        yield Finding("error", "cache", text)
    else:
        yield Finding("ok", "cache", "the model says from its cache what it computes without")
