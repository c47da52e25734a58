"""The command line as a user meets it: help at once, errors in a sentence, exit codes, recipes under flags."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genus.cli import main as cli
from genus.cli.document import command_page
from genus.core.errors import GenusError, Stopped
from genus.core.recipe import as_dict, differences, read_recipe, save_recipe
from genus.data.mixture import Mix
from genus.train.recipe import Pretrain

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("genus")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli._run(arguments)
    return code, capsys.readouterr().err.strip()


def test_help_lists_every_command_and_loads_nothing_heavy():
    run("--help")  # the first start writes bytecode
    began = time.monotonic()
    done = run("--help", PYTHONPROFILEIMPORTTIME="1")
    seconds = time.monotonic() - began
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in cli.COMMANDS)
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert not loaded & {"torch", "pyarrow", "tokenizers", "numpy", "matplotlib"}
    assert seconds < 5  # no stricter: machines are noisy; bench/start.py measures


@pytest.mark.parametrize("stage", cli.STAGES)
def test_help_of_a_stage_has_an_example_and_loads_no_torch(stage):
    done = run(stage, "--help", PYTHONPROFILEIMPORTTIME="1")
    assert f"genus {stage} " in done.stdout.split("Parameters")[0].split("\n", 1)[1]
    assert "| torch\n" not in done.stderr


@pytest.mark.parametrize("arguments, expected", [
    (("pretrain", "--optim.lrr", "1"), ("--optim.lrr", "Did you mean --optim.lr?")),
    (("pretrian",), ("pretrian", 'Did you mean "pretrain"?')),
    (("corpus", "explian", "x"), ("explian", "Did you mean explain?")),
    (("pretrain", "--shards", "s", "--out", "o", "--precision", "fp8"), ("--precision", '"auto", "fp32", "bf16"')),
    (("pretrain", "--shards", "s", "--out", "o", "--optim.lr", "fast"), ("--optim.lr", "fast")),
    (("pretrain", "--out", "o"), ("--shards",)),
    (("generate",), ("MODEL",)),
])  # fmt: skip
def test_wrong_use_is_one_sentence_and_exit_code_2(capsys, arguments, expected):
    code, said = error(capsys, *arguments)
    assert code == 2
    assert "\n" not in said
    assert "--help" in said
    for part in expected:
        assert part in said


@pytest.mark.parametrize("text, expected", [
    ("[optim]\nlrr = 1", ("[optim][lrr]", "Did you mean --optim.lr?", "recipe.toml")),
    ("depht = 3", ("depht",)),
    ("[model]\ndepth = 2.5", ("model.depth = 2.5 is not a whole number",)),
    ("optim = 3", ("optim = 3 should be a table",)),
    ("[optim]\nlr = 'fast'", ("[optim][lr]", "fast")),
    ("[optim]\nbetas = [0.9]", ("betas",)),
    ("precision = 'fp8'", ("precision", '"bf16"')),
    ("[optim", ("is not TOML", "table")),
    ("[optim]\nlr = nan", ("lr",)),
    ("batch = 6\nmicro_batch = 4", ("micro_batch = 4 does not divide batch = 6",)),
])  # fmt: skip
def test_mistakes_in_a_recipe_are_named(capsys, tmp_path, text, expected):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    code, said = error(capsys, "pretrain", str(path), "--shards", "s", "--out", str(tmp_path / "out"))
    assert code in (1, 2)
    assert "\n" not in said
    for part in expected:
        assert part in said
    assert not (tmp_path / "out").exists()


def test_a_missing_recipe(capsys):
    code, said = error(capsys, "pretrain", "missing.toml")
    assert code == 1
    assert "missing.toml cannot be read" in said


def test_a_run_that_is_not_there(capsys, tmp_path):
    code, said = error(capsys, "export", str(tmp_path))
    assert code == 1
    assert "holds no run" in said


def test_flags_win_over_the_recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text('shards = "s"\nout = "o"\ntokens = 5\n[optim]\nlr = 0.5\nbetas = [0.8, 0.9]')
    values = read_recipe(path)
    _, config = cli.bind_stage("pretrain", values, "recipe.toml")
    assert (config.tokens, config.optim.lr, config.optim.betas) == (5, 0.5, (0.8, 0.9))


def test_a_flag_for_one_name_of_a_table_leaves_the_others(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("genus.train.pretrain.pretrain", lambda config, *_: seen.append(config.mixture))
    path = tmp_path / "recipe.toml"
    path.write_text('shards = "s"\nout = "o"\n[mixture.weights]\nweb = 1\nwiki = 2\n"CC-BY-4.0" = 3')
    weights = {"web": 1, "wiki": 2, "CC-BY-4.0": 3}
    for flags, changes in (
        ([], {}),
        (["--mixture.weights.web", "7"], {"web": 7}),
        (["--mixture.weights.CC-BY-4.0", "0.5", "--mixture.weights.MIT.x", "4"], {"CC-BY-4.0": 0.5, "MIT.x": 4}),
    ):
        assert cli._run(["pretrain", str(path), *flags]) == 0
        assert seen.pop().weights == {**weights, **changes}


def test_a_saved_recipe_reads_back_as_the_same(tmp_path):
    recipe = Pretrain(shards=Path("s"), out=Path("o"), tokens=7, mixture=Mix(weights={"a": 1, "Apache-2.0": 0.5}))
    save_recipe(tmp_path / "recipe.toml", recipe)
    _, again = cli.bind_stage("pretrain", read_recipe(tmp_path / "recipe.toml"), "recipe.toml")
    assert again == recipe
    assert differences(as_dict(recipe), as_dict(again)) == []


@pytest.mark.parametrize("raised, code, said", [
    (GenusError("a sentence; a step"), 1, "a sentence; a step"),
    (Stopped("saved; repeat"), 130, "saved; repeat"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (ZeroDivisionError("division"), 1, "a defect of Genus"),
])  # fmt: skip
def test_exit_codes(capsys, monkeypatch, raised, code, said):
    def fail(_arguments):
        raise raised

    monkeypatch.setattr(cli, "_dispatch", fail)
    found, sentence = error(capsys, "generate")
    assert found == code
    assert said in sentence
    assert "Traceback" not in sentence


def test_work_goes_on_when_nobody_reads_its_lines(tmp_path):
    """As under `| head -1`: the stage is finished all the same."""
    text = tmp_path / "text.txt"
    text.write_text("a line of text and then another\n" * 500)
    command = [str(Path(sys.executable).with_name("genus")), "corpus", "--source", str(text), "--out", str(tmp_path / "out")]
    reader, writer = os.pipe()
    os.close(reader)
    assert subprocess.run(command, stderr=writer, check=False).returncode == 0
    os.close(writer)
    assert (tmp_path / "out" / "manifest.json").exists()


def test_debug_shows_the_traceback():
    done = run("generate", "missing-model", "--debug")
    assert "Traceback" in done.stderr
    done = run("generate", "missing-model")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_the_command_page_is_fresh():
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == command_page(), "run `make docs`"
