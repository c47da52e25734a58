"""Scores by checkpoint and by size: each figure is that of its own weights, and the curves are drawn."""

import json
import re

import pytest

import genus
from genus.cli import main as cli
from genus.core.files import read_json
from genus.core.progress import set_quiet
from genus.data.corpus import documents
from genus.evaluate.perplexity import bits_per_byte
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe
from tests.train.tiny import tiny_recipe


@pytest.fixture(scope="module")
def runs(tiny_shards, tmp_path_factory):
    """A run with two checkpoints, a larger model, and records to ask."""
    set_quiet(True)
    home = tmp_path_factory.mktemp("growth")
    every = Every(validate=0, sample=0, checkpoint=10)
    pretrain(tiny_recipe(tiny_shards, home / "small", every=every))
    larger = ModelRecipe(family="llama", context=32, width=48, depth=2, heads=3)
    pretrain(tiny_recipe(tiny_shards, home / "large", every=every, model=larger))
    pairs = [{"query": "the people of", "choices": ["these states", "zebras"], "gold": i % 2} for i in range(6)]
    (home / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    set_quiet(False)
    return home


def ask(runs, *more):
    return cli._run(["evaluate", *map(str, more), "--quiet"])


def test_each_checkpoint_gives_a_point(runs, tiny_shards, capsys, tmp_path):
    corpus, out = tiny_shards.parent / "corpus", tmp_path / "growth"
    line = (runs / "small", "--every-checkpoint", "--tasks", runs / "pairs.jsonl", "--corpus", corpus, "--out", out)
    assert ask(runs, *line) == 0
    result = read_json(out / "growth.json")
    assert [(point["step"], point["tokens"]) for point in result["points"]] == [(10, 10 * 8 * 32), (20, 20 * 8 * 32)]
    texts = [document.text for document in documents(corpus, "validation")]
    for point in result["points"]:
        own = bits_per_byte(genus.load(out / f"step-{point['step']}" / "model"), texts)["bits_per_byte"]
        assert point["bits_per_byte"] == pytest.approx(own)
    last = bits_per_byte(genus.load(runs / "small/model"), texts)["bits_per_byte"]
    assert result["points"][1]["bits_per_byte"] == pytest.approx(last) != result["points"][0]["bits_per_byte"]
    page = (out / "growth.html").read_text()
    assert page.count("<svg") == 1 and "accuracy" in page and "bits per byte" in page and "million tokens read" in page
    table = capsys.readouterr().out
    assert f"{result['points'][0]['bits_per_byte']:.3f}" in table and "pairs" in table
    times = {file: file.stat().st_mtime_ns for file in out.rglob("model.safetensors")}
    assert ask(runs, *line) == 0
    assert times == {file: file.stat().st_mtime_ns for file in out.rglob("model.safetensors")}
    assert read_json(out / "growth.json") == result


def test_one_checkpoint_is_no_curve(tiny_shards, runs, capsys, tmp_path):
    set_quiet(True)
    pretrain(tiny_recipe(tiny_shards, tmp_path / "run", steps=4, every=Every(validate=0, sample=0, checkpoint=2, keep=1)))
    capsys.readouterr()
    assert ask(runs, tmp_path / "run", "--every-checkpoint", "--tasks", runs / "pairs.jsonl", "--out", tmp_path / "o") == 1
    said = capsys.readouterr().err
    assert "keeps 1 checkpoint, and a curve needs two" in said and "every.keep" in said
    assert ask(runs, runs / "small/model", "--every-checkpoint", "--tasks", "x", "--out", tmp_path / "o") == 1
    assert "holds no run" in capsys.readouterr().err
    assert ask(runs, runs / "small", "--every-checkpoint", "--out", tmp_path / "o") == 1
    assert "--tasks or --corpus" in capsys.readouterr().err


def test_sizes_are_drawn_against_parameters(runs, capsys, tmp_path):
    for name in ("small", "large"):
        assert ask(runs, runs / name / "model", "--tasks", runs / "pairs.jsonl", "--out", tmp_path / name) == 0
    sizes = {name: read_json(tmp_path / name / "results.json")["parameters"] for name in ("small", "large")}
    assert sizes["small"] == genus.load(runs / "small").spec.parameters < sizes["large"]
    line = ["report", "--sizes", *(str(tmp_path / name) for name in ("small", "large")), "--out", str(tmp_path / "p.html")]
    assert cli._run([*line, "--quiet"]) == 0
    page = (tmp_path / "p.html").read_text()
    assert page.count("<svg") == 1 and "pairs, 0 shots" in page and "parameters" in page
    for name, size in sizes.items():
        assert f"({size:,})" in page and f'href="{name}/pairs.jsonl"' in page
    assert len(re.findall(r"<tr><td>", page)) == 2
    assert cli._run(["report", "--sizes", str(tmp_path / "small"), "--out", str(tmp_path / "q.html"), "--quiet"]) == 1
    assert "no task was asked of two sizes" in capsys.readouterr().err
    assert cli._run(["report", "--out", str(tmp_path / "q.html"), "--quiet"]) == 1
    assert "name a run, or --sizes" in capsys.readouterr().err
