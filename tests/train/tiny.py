"""Shards of a small text and recipes for models that train on them in a second."""

from pathlib import Path

from genus.data.corpus import Corpus, make_corpus
from genus.data.pipeline.recipe import Source
from genus.data.shards import ShardsRecipe, make_shards
from genus.data.vocabulary import TokenizerRecipe, make_tokenizer
from genus.train.recipe import Energy, Every, ModelRecipe, Optim, Pretrain, Schedule

WORDS = ("the people of these states shall have peace and plenty", "no law shall be made without their consent",
         "we hold that all are equal before it", "and the treasury reports a surplus of revenue")  # fmt: skip


def make_tiny_shards(folder: Path) -> Path:
    text = folder / "text"
    text.mkdir(parents=True)
    for number in range(24):
        lines = [WORDS[(number * step + step) % len(WORDS)] + f" in the year {number * step}" for step in range(1, 30)]
        (text / f"{number:02d}.txt").write_text("\n".join(lines))
    make_corpus(Corpus(source=str(text), out=folder / "corpus", held_out=0.1))
    make_tokenizer(TokenizerRecipe(corpus=folder / "corpus", out=folder / "tokenizer", vocab=320))
    make_shards(ShardsRecipe(corpus=folder / "corpus", tokenizer=folder / "tokenizer", out=folder / "shards"))
    return folder / "shards"


SIZES = {"speeches": 40, "laws": 24, "notes": 10}  # documents


def make_mixed_shards(folder: Path) -> Path:
    """Shards by source of three, no line of which is in another."""
    for name, count in SIZES.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            lines = [f"{name} {number}: {WORDS[(number * step + step) % 4]}, {name} {step}" for step in range(1, 30)]
            (folder / name / f"{number:02d}.txt").write_text("\n".join(lines))
    sources = tuple(Source(name=name, path=str(folder / name)) for name in SIZES)
    make_corpus(Corpus(sources=sources, out=folder / "corpus", held_out=0.2))
    make_tokenizer(TokenizerRecipe(corpus=folder / "corpus", out=folder / "tokenizer", vocab=320))
    recipe = ShardsRecipe(corpus=folder / "corpus", tokenizer=folder / "tokenizer", out=folder / "shards", by="collection")
    make_shards(recipe)
    return recipe.out


def tiny_recipe(shards: Path, out: Path, steps: int = 20, **changes: object) -> Pretrain:
    fields: dict[str, object] = {
        "shards": shards,
        "out": out,
        "tokens": steps * 8 * 32,
        "batch": 8,
        "micro_batch": 4,
        "model": ModelRecipe(family="llama", context=32, width=24, depth=2, heads=3, dropout=0.1),
        "optim": Optim(lr=3e-3),
        "schedule": Schedule(warmup_tokens=512),
        "every": Every(validate=0, sample=0, checkpoint=5),
        "energy": Energy(count="off"),
        "tensorboard": "off",
    }
    return Pretrain(**{**fields, **changes})
