"""The papers' recipes, through the real loader: the model they name, and figures computed by hand from the papers."""

import shlex
from pathlib import Path

import pytest

from genus.cli import main as cli
from genus.cli.document import recipe_page
from genus.core.recipe import read_recipe
from genus.models.families import FAMILIES, family_named
from genus.train import run
from genus.train.journal import read_journal
from genus.train.recipe import Pretrain
from genus.train.schedule import Pace, learning_rate
from genus.train.shape import shape_model
from tests.models.test_sizes import COUNTS
from tests.train.test_logbook import describe

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "recipes").glob("*/pretrain.toml"))
M, B = 10**6, 10**9


def recipe_named(name: str) -> Pretrain:
    path = ROOT / "recipes" / name / "pretrain.toml"
    config: Pretrain = cli.bind_stage("pretrain", read_recipe(path), str(path))[1]
    return config


def pace_of(recipe: Pretrain) -> Pace:
    return Pace(recipe.batch, recipe.ramp, shape_model(recipe.model)[1].context, recipe.tokens)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_the_published_one(name):
    recipe = recipe_named(name)
    family, spec = shape_model(recipe.model)
    published = family.sizes[recipe.model.size]
    assert {**vars(spec), "dropout": 0} == {**vars(published), "dropout": 0}
    assert spec.parameters == COUNTS.get(recipe.model.size, spec.parameters)
    told = name.split("-")[-1]
    count = float(told.rstrip("mb").replace("b", ".")) * (1e9 if "b" in told else 1e6)
    assert spec.parameters == pytest.approx(count, rel=0.09)  # PaLM-8B has 8.63 billion
    assert str(recipe.out) == f"runs/{name}"


def test_the_sizes_of_the_papers_are_all_there():
    there = {recipe_named(name).model.size for name in NAMES}
    ours = ("gpt1", "gpt2", "gpt3", "gptj", "opt", "bloom", "palm", "galactica")
    assert there >= {size for family in ours for size in family_named(family).sizes}
    assert there >= {"gpt-neox-20b", "llama-7b", "llama-13b", "llama-33b", "llama-65b"}
    assert len(there) == len(NAMES)
    assert {shape_model(recipe_named(name).model)[0].name for name in NAMES} <= set(FAMILIES)


# name, tokens, the rate there, rows of a step there. By hand: a cosine in its middle is the mean of both its ends.
SPOTS = [
    ("gpt3-125m", 375 * M / 2, 3.0e-4, 16),  # the batch grows every 266.7M tokens: 16 rows of 256 in 15 steps over 4B
    ("gpt3-125m", 375 * M, 6.0e-4, 32),
    ("gpt3-125m", 2 * B, None, 16 + 16 * 7),
    ("gpt3-125m", 4 * B + M, None, 256),
    ("gpt3-125m", (260 * B + 375 * M) / 2, 3.3e-4, 256),
    ("gpt3-125m", 260 * B, 0.6e-4, 256),
    ("gpt3-125m", 300 * B, 0.6e-4, 256),
    ("gpt3-175b", 375 * M / 2, 0.3e-4, 32),  # 97 steps up over 12B, so one each 123.7M
    ("gpt3-175b", 375 * M, 0.6e-4, 64),
    ("gpt3-175b", 280 * B, 0.6e-5, 1568),
    ("opt-125m", 375 * M, 6.0e-4, 256),
    ("opt-125m", (300 * B + 375 * M) / 2, 3.3e-4, 256),
    ("opt-125m", 300 * B, 0.6e-4, 256),
    ("opt-175b", 1000 * 1024 * 2048, 0.6e-4, 1024),
    ("opt-175b", 2000 * 1024 * 2048, 1.2e-4, 1024),
    ("opt-175b", 300 * B, 1.2e-5, 1024),
    ("bloom-176b", 375 * M, 6e-5, 224),  # 116 steps up of 16 rows over 20B, so one each 172.4M
    ("bloom-176b", 10 * B, None, 192 + 16 * 58),
    ("bloom-176b", 20 * B + M, None, 2048),
    ("bloom-176b", (409.6 * B + 375 * M) / 2, 3.3e-5, 2048),
    ("bloom-560m", (409.6 * B + 375 * M) / 2, (3e-4 + 1e-5) / 2, 256),
    ("bloom-7b1", 15 * B + M, None, 192 + 32 * 7),
    ("palm-540b", 5_000 * 512 * 2048, 1e-2, 512),  # steps 5,000, 10,000 and 40,000: 1 / sqrt(40,000) = 0.005
    ("palm-540b", 10_000 * 512 * 2048, 1e-2, 512),
    ("palm-540b", 40_000 * 512 * 2048, 5e-3, 512),
    ("palm-540b", 60_000 * 1024 * 2048, 85_000**-0.5, 1024),  # 50,000 steps of 512 are 25,000 of 1,024
    ("palm-540b", 378_880_000 * 2048, 255_000**-0.5, 2048),
    ("gptj-6b", 1_500 * 512 * 2048, 0.6e-4, 512),
    ("gptj-6b", 153_000 * 512 * 2048, 0.66e-4, 512),
    ("gptj-6b", 303_000 * 512 * 2048, 1.2e-5, 512),
    ("gptj-6b", 383_500 * 512 * 2048, 1.2e-5, 512),
    ("gpt-neox-20b", 1_500 * 1536 * 2048, 0.97e-4, 1536),
    ("gpt-neox-20b", 150_000 * 1536 * 2048, 0.97e-5, 1536),
    ("llama-7b", 2_000 * 4 * 2**20, 3e-4, 2048),
    ("llama-65b", 1400 * B, 1.5e-5, 2048),
    ("galactica-30b", 450 * B, 1e-5, 1024),
]


@pytest.mark.parametrize("name, tokens, rate, rows", SPOTS)
def test_spots_of_the_papers(name, tokens, rate, rows):
    recipe = recipe_named(name)
    pace = pace_of(recipe)
    step = pace.nearest(int(tokens))
    assert pace.rows(pace.tokens(step) // 2048) == rows
    if rate:
        # a step's worth of tokens is as near as steps come to the spot
        assert learning_rate(recipe.schedule, recipe.optim.lr, step, pace) == pytest.approx(rate, rel=4e-3)


def test_gpt1_counts_epochs():
    recipe = recipe_named("gpt1-117m")
    assert (recipe.epochs, recipe.tokens, recipe.batch) == (100, 0, 64)
    pace = Pace(recipe.batch, recipe.ramp, 512, 100 * 10**9)
    at = [learning_rate(recipe.schedule, recipe.optim.lr, step, pace) for step in (1000, 2000, pace.steps)]
    assert at == pytest.approx([1.25e-4, 2.5e-4, 0.0], abs=1e-12)
    assert (recipe.optim.betas, recipe.optim.weight_decay) == ((0.9, 0.999), 0.01)


def test_palm_ends_at_its_last_step():
    recipe = recipe_named("palm-540b")
    pace = pace_of(recipe)
    assert pace.steps == 255_000
    sizes = [(pace.tokens(step) - pace.tokens(step - 1)) // 2048 for step in (50_000, 50_001, 115_000, 115_001, 255_000)]
    assert sizes == [512, 1024, 1024, 2048, 2048]
    assert (recipe.optim.kind, recipe.optim.weight_decay, recipe.z_loss) == ("adafactor", 1.0, 1e-4)


def test_the_page_of_recipes_is_fresh():
    text = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    assert text == recipe_page(text), "run `make docs`"
    for name in NAMES:
        assert f"recipes/{name}/pretrain.toml" in text


def test_the_commands_of_the_page_bind():
    text = (ROOT / "docs" / "recipes.md").read_text("utf-8").replace("\\\n", " ")
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("genus ")]
    assert len(commands) == 2
    for _, stage, recipe, *flags in commands:
        app = cli.make_app()
        app.config = (cli.Dict({stage: read_recipe(ROOT / recipe)}, source=recipe),)
        _, bound, _ = app.parse_args([stage, *flags])
        shape_model(bound.arguments["config"].model, vocab=4096)


def test_rows_of_a_ramp_are_whole(tmp_path, capsys):
    places = ["--shards", str(tmp_path), "--out", str(tmp_path / "run")]
    recipe = str(ROOT / "recipes" / "gpt3-125m" / "pretrain.toml")
    assert cli._run(["pretrain", recipe, *places, "--ramp.rows", "2.5"]) == 1
    assert "ramp.rows = 2.5 is not a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["gpt2-124m", "gpt3-125m"])
def test_a_recipe_starts_here_when_made_small(name, tiny_shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "describe", describe)
    recipe = f"recipes/{name}/pretrain.toml"
    family = name.split("-")[0]
    small = f"--model.family {family} --model.width 24 --model.depth 1 --model.heads 3 --model.context 32 --tokens 8448"
    ramp = "--ramp.rows 4 --ramp.until 2048 --ramp.by 4 --schedule.decay-tokens 6000" if name.startswith("gpt3") else ""
    flags = f"{small} --batch 16 --micro-batch 4 --schedule.warmup-tokens 512 {ramp}".split()
    monkeypatch.chdir(ROOT)
    places = ["--shards", str(tiny_shards), "--out", str(tmp_path / "run"), "--model.size", ""]
    assert cli._run(["pretrain", recipe, *places, *flags]) == 0, capsys.readouterr().err
    losses = [record["loss"] for record in read_journal(tmp_path / "run" / "metrics.jsonl") if "loss" in record]
    # 512 tokens a step; or, ramped, 6 of 128 up to 683 tokens, 3 of 256, 2 of 384 and 12 of 512
    assert len(losses) == (16 if name == "gpt2-124m" else 23)
    assert losses[-1] < losses[0]
