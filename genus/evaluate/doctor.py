"""A recipe examined before it costs anything: what breaks training quietly is found in its files and its model.

Each check gives findings of one line. A stage is added to FILES; its recipe is one of train/tune_recipe.py's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from genus.align.compared import find_comparisons, split_by_prompt
from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.data.chats import Chat, read_chats
from genus.data.encoding import encode_chat
from genus.data.examples import Example, stack
from genus.engine.model import Model
from genus.tokenizers.template import read_template, template_warning
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.guard import Guard
from genus.train.inspect import answers_of, compared
from genus.train.loop import Step, TrainState, train_steps
from genus.train.losses import next_token
from genus.train.sft import prepared, read_split, rows_of
from genus.train.tuning import Opened, set_dropout, to_torch

__all__ = ["FILES", "Files", "Finding", "examine"]


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
"""The stages that are examined. What is wrong with a record goes into the reader's list."""

_TRIED = 4  # examples that the model computes
_SAID = 12  # tokens that it says
_CLOSE = 1e-3  # of logits that are computed in another order; relative, of gradients


class Finding(NamedTuple):
    """One line of the doctor's."""

    level: Literal["ok", "warning", "error"]
    check: str
    text: str


@dataclass
class Case:
    """A recipe with its files read and its model opened."""

    recipe: Any
    files: Files
    opened: Opened
    train: list[Chat]
    held_out: list[Chat]
    wrong: list[str]
    examples: list[Example] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)  # chats that cannot be encoded, and why

    @property
    def tokenizer(self) -> Tokenizer:
        return self.opened.tokenizer

    @property
    def limit(self) -> int:
        return self.recipe.max_tokens or self.opened.context

    @property
    def short(self) -> list[Example]:
        """A few examples that fit, for the model."""
        fit = (each for each in self.examples if len(each.tokens) < self.limit - _SAID and each.learned.any())
        return sorted(fit, key=lambda each: len(each.tokens))[:_TRIED]


def examine(stage: str, recipe: Any) -> Iterator[Finding]:
    """Every finding about a recipe, one by one; those that need tokens only where there are some."""
    if stage not in FILES:
        raise GenusError(f"doctor does not know {stage} yet; it examines {', '.join(FILES)}")
    files = FILES[stage]
    wrong: list[str] = []
    sources = (getattr(recipe, files.field), recipe.held_out)
    train, held_out = ([chat for source in each for chat in files.read(source, wrong)] for each in sources)
    if not held_out and getattr(recipe, files.share):
        train, held_out = files.split(recipe, train)
    yield from _records(recipe, train, wrong)
    yield from _duplicates(train, held_out)
    try:
        opened, _ = prepared(recipe, train + held_out, getattr(recipe, "template", None))
    except GenusError as error:
        yield Finding("error", "template", str(error))
        return
    case = Case(recipe, files, opened, train, held_out, wrong)
    for chat in train:
        try:
            case.examples.append(encode_chat(opened.tokenizer, chat))
        except GenusError as error:
            case.unfit.append(str(error))
    for check in (_template, _encoded, _starts, _ends, _padding, _lengths, _accumulation, _cache):
        yield from check(case)


def _records(recipe: Any, train: list[Chat], wrong: list[str]) -> Iterator[Finding]:
    """Empty answers, wrong roles, and what else readers refuse."""
    if wrong:
        level: Literal["warning", "error"] = "warning" if getattr(recipe, "wrong", "refuse") == "skip" else "error"
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
        first = f"{both[0].place}, which is {seen[_key(both[0])].place}"
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


def _template(case: Case) -> Iterator[Finding]:
    """That it can be learned from, prepared() has found; here whether it is the one that the model knows."""
    folder, asked = case.recipe.model, getattr(case.recipe, "template", None)
    loaded = Tokenizer.load(folder if (folder / "config.json").is_file() else folder / "model")
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


def _encoded(case: Case) -> Iterator[Finding]:
    if case.unfit:
        yield Finding("error", "tokens", f"{len(case.unfit):,} examples have no exact answer; {case.unfit[0]}")


def _starts(case: Case) -> Iterator[Finding]:
    """BOS: once, where the model expects one."""
    start, specials = list(case.tokenizer.start), set(case.tokenizer.special_names)
    begins = [each.tokens[:2].tolist() for each in case.examples]
    double = [two for two in begins if two[0] == two[-1] and len(two) == 2 and _name(case, two[0]) in specials]
    if double:
        text = f"{len(double):,} examples begin with {_name(case, double[0][0])} twice; take one out of the chat template"
        yield Finding("error", "start", text)
    elif start and any(two[:1] != start[:1] for two in begins):
        text = f"examples do not begin with {_name(case, start[0])}, as this model's texts do; add it to the chat template"
        yield Finding("warning", "start", text)
    elif begins:
        yield Finding("ok", "start", f"{_name(case, start[0])} once" if start else "texts of this model begin with no token")


def _name(case: Case, token: int) -> str:
    return case.tokenizer.token_bytes(token).decode("utf-8", "replace")


def _ends(case: Case) -> Iterator[Finding]:
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


def _padding(case: Case) -> Iterator[Finding]:
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
    folder = case.recipe.model if (case.recipe.model / "config.json").is_file() else case.recipe.model / "model"
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    pad = config.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    if pad and pad in {_name(case, end) for end in case.tokenizer.turn_ends}:
        text = f"{pad} both ends and fills up; Genus tells them apart, but trainers that mask it never teach the end"
        yield Finding("warning", "padding", f"{text}; name another pad_token in {path} before training elsewhere")
    elif few:
        yield Finding("ok", "padding", "what fills rows up is never learned, and hides no end")


def _lengths(case: Case) -> Iterator[Finding]:
    lengths = [len(each.tokens) for each in case.examples]
    long = sum(length > case.limit for length in lengths)
    how = getattr(case.recipe, "too_long", case.files.too_long)
    if long:
        level: Literal["warning", "error"] = "error" if how == "refuse" else "warning"
        step = {"refuse": "shorten them, or set too_long = cut or skip", "cut": "they are cut", "skip": "they are left out"}[
            how
        ]
        share = f"{long:,} of {len(lengths):,} examples ({long / len(lengths):.1%})"
        yield Finding(level, "length", f"{share} are longer than {case.limit:,} tokens; {step}")
    elif lengths:
        yield Finding("ok", "length", f"the longest has {max(lengths):,} of {case.limit:,} tokens")


def _accumulation(case: Case) -> Iterator[Finding]:
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


def _cache(case: Case) -> Iterator[Finding]:
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
