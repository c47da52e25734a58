"""recipes/palms: measured, tuned on values that the user brings, measured again."""

from pathlib import Path

from genus.cli import main as cli
from genus.core.files import read_json
from tests.train.tiny_chat import EIGHT, make_base, write

RECIPES = Path(__file__).resolve().parents[2] / "recipes/palms"


def test_the_folder_runs_and_measures_before_and_after(tiny_shards, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("genus.train.machine._matmul_flops", lambda *_: 1e9)
    base, corpus = make_base(tmp_path / "demo/model"), tiny_shards.parent / "corpus"
    values = write(tmp_path / "values.jsonl", EIGHT)
    out = tmp_path / "palms"
    changes = (f"sft.model={base}", f'sft.train=["{values}"]', f"evaluate.corpus={corpus}", "sft.energy.count=off")
    arguments = ["run", str(RECIPES), "--out", str(out), *(word for change in changes for word in ("--set", change))]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/demo").symlink_to(tmp_path / "demo")  # where the recipe looks for the model it starts from
    assert cli._run(arguments) == 0, capsys.readouterr().err
    before, after = (read_json(out / f"{name}.json")["bits_per_byte"] for name in ("before", "after"))
    assert before != after
    assert (out / "model/chat_template.jinja").is_file()
    capsys.readouterr()
    assert cli._run(arguments) == 0
    assert capsys.readouterr().err.count("nothing has changed, skipped") == 3
    write(values, EIGHT[:5])
    assert cli._run(arguments) == 1  # a run on other data is another run
    assert "data_sha256 changed" in capsys.readouterr().err
    assert cli._run([*arguments, "--restart"]) == 0
    assert "| examples | 5 |" in (out / "model/README.md").read_text()
