"""A model whose chat template was changed since it was tuned: `genus chat` and `genus serve` say so in one line."""

import io

import pytest

from genus.cli import main as cli
from genus.train.sft import sft
from tests.train.tiny_chat import EIGHT, make_base, sft_recipe, write


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("warning")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("genus.train.machine._matmul_flops", lambda *_: 1e9)
        sft(sft_recipe(make_base(folder / "base"), write(folder / "chats.jsonl", EIGHT), folder / "run", epochs=1))
    return folder / "run"


def chat(folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    return ["chat", str(folder)]


def serve(folder, monkeypatch):
    from genus.serve import start

    async def nothing(*_):
        pass

    monkeypatch.setattr(start, "_run", nothing)
    return ["serve", str(folder)]


@pytest.mark.parametrize("command", [chat, serve])
def test_a_changed_template_is_said_once(tuned, monkeypatch, capsys, command):
    model = tuned / "model"
    folder = tuned if command is chat else model  # chat opens a run's folder too
    assert cli._run(command(folder, monkeypatch)) == 0
    assert "template" not in capsys.readouterr().err
    path = model / "chat_template.jinja"
    before = path.read_text()
    path.write_text(before.replace("Tools", "Functions"))
    try:
        assert cli._run(command(folder, monkeypatch)) == 0
        said = [line for line in capsys.readouterr().err.splitlines() if "template" in line]
    finally:
        path.write_text(before)
    assert len(said) == 1
    assert said[0].startswith(f"warning: {folder}: its chat template was changed since it was tuned; put back")
