"""`genus run` and `genus demo`: stages in order, skipped while nothing changed; and the whole way on a small text."""

import io
import json
import re
import sys
from pathlib import Path

import pytest

import genus
from genus.cli import main as cli
from genus.cli.demo import _ALIGNS, sized
from genus.cli.run import parse_changes
from genus.core.errors import GenusError
from tests.train.tiny import WORDS

pytestmark = pytest.mark.xdist_group("demo")  # one worker makes the run that these share
ROOT = Path(__file__).resolve().parents[2]
NAMES = [path.stem.partition("-")[2] for path in (ROOT / "recipes/demo").glob("*.toml")]
DEMO_STAGES = len([name for name in NAMES if name not in _ALIGNS])  # of a text that has no sentences
SMALL = ["--set", "pretrain.tokens=4096", "--set", "pretrain.model.width=24", "--set", "pretrain.model.heads=2",
         "--set", "pretrain.model.depth=1", "--set", "pretrain.every.sample=1"]  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for number in range(30):
        lines = [f"{WORDS[(number * line) % 4]}, said {line * number} of them <b>plainly</b>" for line in range(1, 60)]
        (folder / f"{number:02d}.txt").write_text("\n".join(lines * 6))
    return folder


@pytest.fixture(scope="module")
def made(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo run on the small text, once."""
    out = tmp_path_factory.mktemp("made") / "run"
    assert cli._run(["demo", "--text", str(text), "--out", str(out), *SMALL]) == 0
    return out


def again(text: Path, out: Path, *changes: str) -> int:
    return cli._run(["demo", "--text", str(text), "--out", str(out), *SMALL, *changes])


def test_the_demo_makes_a_model_and_a_report(made, capsys):
    model = genus.load(made / "model")
    assert model.generate("the people", max_tokens=8, seed=1)
    scores = json.loads((made / "evaluation.json").read_text())
    assert 0 < scores["bits_per_byte"] < 9
    assert scores["references"]["ngram_bpb"] > 0
    manifest = json.loads((made / "corpus" / "manifest.json").read_text())
    assert scores["bytes"] == manifest["splits"]["validation"]["bytes"]


def test_the_report_is_one_safe_page(made):
    page = (made / "report.html").read_text()
    assert "<svg" in page and "bits per byte" in page.lower()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", page), "it must not reach out"
    assert "<script" not in page
    assert "&lt;b&gt;" in page or "<b>" not in page  # samples are text, whatever the text says
    for part in ("vocabulary", "how held out", "[optim]", "tokens per second", "After 0 tokens"):
        assert part in page


def test_repeated_every_stage_is_skipped(made, text, capsys):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file() and path.name != ".lock"}
    assert again(text, made) == 0
    assert capsys.readouterr().err.count("nothing has changed, skipped") == DEMO_STAGES
    after = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before


def test_a_lost_output_is_made_again_and_nothing_before_it(made, text, capsys):
    (made / "evaluation.json").unlink()
    assert again(text, made) == 0
    said = capsys.readouterr().err
    assert said.count("nothing has changed, skipped") == 4  # not the report: its logbook has a new entry
    assert "evaluate: started" in said


def test_a_changed_recipe_is_named_not_used_silently(made, text, capsys):
    assert again(text, made, "--set", "pretrain.optim.lr=0.01") == 1
    assert "optim.lr was 0.004, now 0.01" in capsys.readouterr().err


def test_changed_text_is_named_not_used_silently(made, text, capsys):
    (text / "99.txt").write_text("a new text " * 50)
    try:
        assert again(text, made) == 1
        assert "shards changed" in capsys.readouterr().err
    finally:
        (text / "99.txt").unlink()
    assert again(text, made) == 0


def test_restart_makes_everything_again(made, text, capsys):
    assert again(text, made, "--set", "pretrain.seed=5", "--restart") == 0
    said = capsys.readouterr().err
    assert "skipped" not in said
    assert said.count(": started") == DEMO_STAGES + 1  # instruct is tried
    assert "instruct and what builds on it are left out" in said
    assert again(text, made, "--restart") == 0  # as the other tests expect it


def test_a_folder_may_hold_a_stage_twice(made, tmp_path, capsys):
    for number, name in enumerate(("one", "two")):
        recipe = f'model = "{made}/model"\ncorpus = "{made}/corpus"\nout = "{tmp_path}/{name}.json"\nreferences = false\n'
        (tmp_path / f"{number}-evaluate.toml").write_text(recipe)
    for skipped in (0, 2):
        assert cli._run(["run", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
        assert capsys.readouterr().err.count("skipped") == skipped
    assert (tmp_path / "one.json").read_text() == (tmp_path / "two.json").read_text()


def test_generate_from_the_shell(made, capsys, monkeypatch):
    arguments = [str(made / "model"), "--max-tokens", "8", "--seed", "3"]
    assert cli._run(["generate", *arguments[:1], "the people", *arguments[1:]]) == 0
    first = capsys.readouterr().out
    assert first.startswith("the people")
    monkeypatch.setattr(sys, "stdin", io.StringIO("the people\n"))
    assert cli._run(["generate", *arguments[:1], "-", *arguments[1:]]) == 0
    assert capsys.readouterr().out == first


def test_chat_goes_on_past_the_context(made, capsys, monkeypatch):
    lines = ["the people of these states shall have peace and plenty " * 4 + "\n"] * 12
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(lines)))
    assert cli._run(["chat", str(made / "model"), "--max-tokens", "8", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.out.count("\n") >= 12
    assert "no longer fit the context" in captured.err


def test_verify_proves_the_demo_model(made, capsys):
    assert cli._run(["verify", str(made / "model")]) == 0
    found = dict(re.findall(r"(\w+): logits differ by at most (\S+)", capsys.readouterr().out))
    assert float(found["transformers"]) < 1e-4
    assert float(found["round_trip"]) == 0


def test_transformers_reads_the_tokenizer_too(made):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(made / "model")
    text = "the people, 1790, said: peace & plenty\n\n  — and more"
    assert tokenizer.encode(text, add_special_tokens=False) == genus.load(made / "model").tokenizer.encode(text)


@pytest.mark.parametrize("assignment", ["pretrain.tokens", "tokens=3", "nosuch.tokens=3", "=3"])
def test_malformed_changes(assignment):
    with pytest.raises(GenusError, match=r"STAGE\.FIELD=VALUE"):
        parse_changes([assignment])


def test_changes_are_toml_or_text():
    assert parse_changes(["pretrain.optim.lr=1e-3", "pretrain.optim.eps=1e-9", "corpus.source=my texts"]) == {
        "pretrain": {"optim": {"lr": 1e-3, "eps": 1e-9}},
        "corpus": {"source": "my texts"},
    }


@pytest.mark.parametrize("kilobytes", [3, 100, 1_100, 50_000])
def test_a_text_gets_a_model_of_its_size(tmp_path, kilobytes):
    (tmp_path / "text.txt").write_bytes(b"x" * kilobytes * 1000)
    changes = sized(tmp_path)
    vocab, tokens = changes["tokenizer"]["vocab"], changes["pretrain"]["tokens"]
    assert 320 <= vocab <= 4096
    assert vocab <= max(320, 2 * kilobytes)
    assert 1000 < tokens <= 1_500_000


@pytest.mark.parametrize("folder, match", [("missing", "does not exist|no such|not a|missing"), ("empty", "no |empty")])
def test_no_text(tmp_path, capsys, folder, match):
    (tmp_path / "empty").mkdir()
    assert cli._run(["demo", "--text", str(tmp_path / folder), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(match, said), said


def test_recipes_must_be_named_by_stage(tmp_path, capsys):
    assert cli._run(["run", str(tmp_path)]) == 1
    assert "has no recipes" in capsys.readouterr().err
    (tmp_path / "1-corpsu.toml").write_text("")
    assert cli._run(["run", str(tmp_path)]) == 1
    assert "NUMBER-STAGE.toml" in capsys.readouterr().err


def test_all_recipes_are_whole():
    """Every recipe of the repository binds: no field is misspelt in a file that a test does not run."""
    from genus.core.recipe import read_recipe

    for recipe in (ROOT / "recipes").glob("*/*.toml"):
        cli.bind_stage(recipe.stem.split("-", 1)[-1], read_recipe(recipe), str(recipe))


ANSWERS = ["--set", "instruct.count=24", "--set", "judge.most=24", "--set", "judge.answer_tokens=8",
           "--set", "reward.share=0.3", "--set", "ppo.episodes=64", "--set", "ppo.answer_tokens=8",
           "--set", "ppo.untrusted=true"]  # fmt: skip


def test_a_text_with_sentences_gives_a_model_that_answers(tmp_path, capsys):
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(30):
        words = ("peace", "order", "commerce", "justice", "harbors", "science", "liberty", "treaties", "credit", "bounty")
        lines = [f"The people of the union shall have {word} and plenty in year {number}." for word in words]
        (texts / f"{number:02d}.txt").write_text("\n".join(lines * 6))
    small = ["demo", "--text", str(texts), "--out", str(tmp_path / "run"), *SMALL, *ANSWERS]
    assert cli._run(small) == 0
    found = capsys.readouterr()
    assert "what builds on it" not in found.err and f"answers {tmp_path / 'run/align/dpo/model'}" in found.out
    wins = json.loads((tmp_path / "run/align/wins.json").read_text())
    assert [Path(name).parent.name for name in wins] == ["sft", "ppo", "dpo"]
    assert next(iter(wins.values()))["win_rate"] == 0.5
    page = (tmp_path / "run/report.html").read_text()
    assert "wins against the first" in page and "The reward model orders" in page
    assert cli._run(small) == 0
    assert capsys.readouterr().err.count("nothing has changed, skipped") == len(NAMES)
