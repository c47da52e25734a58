"""A small model without a chat template, and a few conversations to tune it on."""

import json
from pathlib import Path
from typing import Any

from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.weights import save_model
from genus.tokenizers.kinds import KindName, train_kind
from genus.train.recipe import Energy
from genus.train.sft_recipe import Sft
from genus.train.tune_recipe import TuneEvery, TuneOptim
from tests.train.tiny import WORDS

FAMILIES: dict[str, tuple[KindName, int]] = {"gpt2": ("gpt2", 288), "llama": ("llama", 284)}


def make_base(folder: Path, family: str = "gpt2", padding: int = 0) -> Path:
    """A freshly drawn model and its tokenizer, which for llama begins texts with <s>; with `padding` rows of no token."""
    kind, vocab = FAMILIES[family]
    tokenizer = train_kind(iter([f"{words}, 12 times: {{}}" for words in WORDS]), vocab, kind)
    spec = spec_of(family, vocab=tokenizer.vocab + padding, context=96, width=32, depth=2, heads=4)
    model = LanguageModel(spec)
    initialise(model, family_named(family).init(spec), seed=0)
    folder.mkdir(parents=True)
    save_model(folder, model, family_named(family), end_of_text=tokenizer.end_of_text)
    tokenizer.save(folder)
    return folder


def ask(question: str, answer: str, *more: str) -> dict[str, Any]:
    """A record of messages by turns."""
    said = (question, answer, *more)
    return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(said)]}


EIGHT = [
    ask("Who?", "the people"),
    ask("By what", "a law"),
    ask("equal?", "all of us"),
    ask("these states", "peace"),
    ask("surplus", "no treasury"),
    ask("revenue of", "plenty of it"),
    ask("hold that", "we"),
    ask("consent", "reports"),
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def sft_recipe(model: Path, data: Path, out: Path, **changes: Any) -> Sft:
    fields: dict[str, Any] = {
        "model": model,
        "train": (data,),
        "out": out,
        "batch": 4,
        "micro_batch": 2,
        "epochs": 10,
        "dropout": 0.1,
        "optim": TuneOptim(lr=3e-3),
        "every": TuneEvery(validate=0, checkpoint=0),
        "energy": Energy(count="off"),
        "tensorboard": "off",
    }
    return Sft(**{**fields, **changes})
