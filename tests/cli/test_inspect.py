"""`genus inspect`: the exact tokens of an example, what is learned of them, and the numbers of the file."""

import json

import pytest
import tomli_w

from genus.cli import main as cli
from genus.core.recipe import as_dict
from genus.tokenizers.tokenizer import Tokenizer
from tests.train.tiny_chat import EIGHT, ask, make_base, sft_recipe, write


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("inspect") / "model")


def show(capsys, *arguments):
    assert cli._run(["inspect", *map(str, arguments)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def test_tokens_are_those_that_are_trained_on(base, tmp_path, capsys):
    data = write(tmp_path / "chats.jsonl", [*EIGHT, ask("naïve 🙂", "the people\n", "Why?", "a law")])
    said = show(capsys, data, "--model", base, "--example", 9)
    line = next(line for line in said.splitlines() if line.startswith("<|im_start|>·u"))
    assert line.count("«") == line.count("»") == 2
    inside = [part.split("»")[0].replace("·", "") for part in line.split("«")[1:]]
    assert inside == ["the people<|im_end|>", "a law<|im_end|>"]
    whole = line.replace("·", "").replace("«", "").replace("»", "").replace("\\n", "\n")
    assert whole.startswith("<|im_start|>user\nna")
    assert whole.count("<|im_end|>\n") == 4
    assert "{{ message.role }}" in said
    assert "chats.jsonl, line 9: " in said
    assert "0 start tokens, 4 end tokens, 2 of them learned" in said


def test_numbers_of_the_whole_file(base, tmp_path, capsys):
    data = write(tmp_path / "chats.jsonl", [*EIGHT[:3], ask("Why?", "plenty of it " * 40)])
    said = show(capsys, data, "--model", base).splitlines()[-1]
    assert said.startswith("all: 4 examples, ")
    assert "1 (25.0%) longer than 96; start tokens 0, end tokens 2 an example" in said
    assert "0 (0.0%) longer than 9,999" in show(capsys, data, "--model", base, "--context", 9999)


def test_start_tokens_are_counted(tmp_path, capsys):
    data = write(tmp_path / "chats.jsonl", EIGHT)
    said = show(capsys, data, "--model", make_base(tmp_path / "llama", "llama"))
    assert "; 1 start tokens, 2 end tokens, 1 of them learned" in said
    assert "\n<s>·<|im_start|>·" in said


def test_each_answer_of_a_comparison_is_an_example(base, tmp_path, capsys):
    data = write(tmp_path / "pairs.jsonl", [{"prompt": "the", "answers": ["people", "law"], "ranks": [2, 1]}])
    said = show(capsys, data, "--model", base, "--example", 2)
    assert "pairs.jsonl, line 1, answer 2, rank 1: " in said
    assert "«law·<|endoftext|>»" in said.replace("l·aw", "law").replace("la·w", "law").replace("l·a·w", "law")
    assert "chat template" not in said
    assert "all: 2 examples" in said


def test_records_that_cannot_be_used_are_counted(base, tmp_path, capsys):
    data = write(tmp_path / "chats.jsonl", [*EIGHT, ask("Why?", "")])
    assert "; 1 records cannot be used, the first: " + f"{data}, line 9: " in show(capsys, data, "--model", base)
    pairs = write(
        tmp_path / "pairs.jsonl", [{"prompt": "the", "chosen": said, "rejected": "law"} for said in ("people", "")]
    )
    said = show(capsys, pairs, "--model", base)
    assert "all: 2 examples" in said
    assert "; 1 records cannot be used, the first: " in said


def test_a_recipe_names_all_that_is_needed(base, tmp_path, capsys):
    data, path = write(tmp_path / "chats.jsonl", EIGHT), tmp_path / "sft.toml"
    path.write_text(tomli_w.dumps(as_dict(sft_recipe(base, data, tmp_path / "run", max_tokens=30))))
    assert show(capsys, path, "--example", 2) == show(capsys, data, "--model", base, "--context", 30, "--example", 2)


def test_rows_of_shards(tiny_shards, capsys):
    from genus.data.shards import open_shards

    shards = open_shards(tiny_shards)
    row = shards.stream("train").read(32, 64).tolist()
    said = show(capsys, tiny_shards, "--example", 2, "--context", 32)
    line = next(line for line in said.splitlines() if "«" in line)
    assert (
        line.replace("·", "").replace("«", "").replace("»", "").replace("\\n", "\n")
        == b"".join(map(shards.tokenizer().token_bytes, row)).decode()
    )
    assert "32 tokens, 31 learned" in said


def test_on_a_terminal_what_is_learned_is_coloured(base, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("TERM", "xterm-256color")
    said = show(capsys, write(tmp_path / "chats.jsonl", EIGHT), "--model", base)
    end = Tokenizer.load(base).encode("the people")
    assert said.count("\x1b[30;4") + said.count("\x1b[30;10") == len(end)  # green, and bright green, without bold
    assert said.count("\x1b[1;30;4") + said.count("\x1b[1;30;10") == 1  # the end


def test_what_is_not_there(base, tmp_path, capsys):
    data = write(tmp_path / "chats.jsonl", EIGHT)
    for arguments, said in (
        ([data], "--model is missing; name the model that is to read"),
        ([data, "--model", base, "--example", 9], "--example 9 is not there; "),
        ([data, "--model", tmp_path / "none"], "is not a folder that exists"),
        ([tmp_path / "none.jsonl", "--model", base], "cannot be read"),
    ):
        assert cli._run(["inspect", *map(str, arguments)]) == 1
        assert said in capsys.readouterr().err
    data.write_text(json.dumps({"messages": []}))
    assert cli._run(["inspect", str(data), "--model", str(base)]) == 1
    assert "line 1: messages is no list of messages" in capsys.readouterr().err
