"""A tiny model with a tokenizer, and comparisons and prompts for it."""

import json
from pathlib import Path

from genus.align.recipe import Reward
from genus.align.reward import train_reward
from genus.engine.model import Model
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.recipe import Every, Optim

WORDS = ["we the people of the union", "law and order for the people", "peace with all nations of the world"]
QUIET = {"tensorboard": "off", "precision": "fp32", "every": Every(validate=0, sample=0, checkpoint=4)}
FAST = {"optim": Optim(lr=3e-3, weight_decay=0.0)}


def save_small(folder: Path, family: str = "llama", context: int = 64) -> Path:
    """A model folder."""
    words = folder.parent / f"{folder.name}-words"
    train_kind(iter(WORDS * 4), 300).save(words)
    tokenizer = Tokenizer.load(words)
    spec = spec_of(family, vocab=tokenizer.vocab, context=context, width=32, depth=2, heads=2)
    network = LanguageModel(spec)
    initialise(network, family_named(family).init(spec), seed=0)
    Model(network, family_named(family), tokenizer).save(folder)
    return folder


def write_comparisons(path: Path, count: int = 8) -> Path:
    """The answer that has "people" in it is better."""
    lines = [
        {"prompt": f"say {number}", "answers": [" the people", " the world", " of law"], "ranks": [1, 3, 2]}
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def write_prompts(path: Path, count: int = 12) -> Path:
    """Prompts alone."""
    path.write_text("".join(json.dumps({"prompt": f"say {number}"}) + "\n" for number in range(count)))
    return path


def make_home(home: Path, model: str, epochs: int) -> Path:
    """A start model, a reward model for it, comparisons and prompts."""
    save_small(home / model)
    data = str(write_comparisons(home / "comparisons.jsonl"))
    fields = {"model": home / model, "out": home / "reward", "comparisons": (data,), "held_out": (data,), "batch": 4}
    train_reward(Reward(**fields, **QUIET, **FAST, epochs=epochs))
    write_prompts(home / "prompts.jsonl")
    return home
