"""Chats with a model, and texts that begin with a start of their own."""

import io
import itertools
import json
import math
import sys
from pathlib import Path

import pytest
import torch

import genus.engine.engine
from genus.core.errors import GenusError
from genus.engine.model import Model
from genus.engine.sample import Row
from genus.evaluate.perplexity import bits_per_byte
from genus.tokenizers.kinds import train_kind
from tests.engine.tiny_chat import chat_tokenizer, tiny_model
from tests.train.tiny import WORDS

LONG = "law of the people of the union " * 2


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(chat_tokenizer(tmp_path_factory.mktemp("chat")))


@pytest.fixture(scope="module")
def llama_model() -> Model:
    return tiny_model(train_kind(iter(WORDS * 4), 330, "llama"))


def test_a_chat_reads_its_template_and_stops_at_the_end_of_the_turn(
    chat_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = chat_model.tokenizer.encode
    prompt = encode("<|im_start|>user\nthe people<|im_end|>\n<|im_start|>assistant\n", specials=True)
    script = prompt + encode(" yes<|im_end|> no<|endoftext|>", specials=True)

    def scripted(_logits: object, rows: list[Row]) -> list[int]:
        assert list(rows[0].prompt) == prompt
        return [script[len(prompt) + row.position] for row in rows]

    monkeypatch.setattr(genus.engine.engine, "choose", scripted)
    assert chat_model.chat([{"role": "user", "content": "the people"}]) == " yes"


def test_a_chat_is_generating_after_the_rendered_text(chat_model: Model) -> None:
    messages = [{"role": "user", "content": "the people"}]
    ids = chat_model.tokenizer.encode_chat(messages)
    follow = chat_model.generate(ids, 12, temperature=0, ignore_eos=True, return_tokens=True)
    kept = list(itertools.takewhile(lambda token: token not in chat_model.tokenizer.turn_ends, follow))
    assert chat_model.chat(messages, 12, temperature=0) == chat_model.tokenizer.decode(kept)
    with pytest.raises(GenusError, match="do not fit the context of 128"):
        chat_model.chat([{"role": "user", "content": "the people " * 99}])


def talk(model: Model, folder: Path, lines: str, monkeypatch: pytest.MonkeyPatch, *flags: str) -> int:
    model.save(folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    monkeypatch.setattr(sys, "argv", ["genus", "chat", str(folder), *flags])
    with pytest.raises(SystemExit) as ended:
        from genus.cli.main import main

        main()
    return int(ended.value.code or 0)


def test_the_command_chats_by_turns_from_a_pipe(
    chat_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--system", "law", "--temperature", "0", "--max-tokens", "6")
    assert talk(chat_model, tmp_path / "m", "the people\n\nof peace\n", monkeypatch, *flags) == 0
    messages, expected = [{"role": "system", "content": "law"}], ""
    for line in ("the people", "of peace"):
        messages.append({"role": "user", "content": line})
        messages.append({"role": "assistant", "content": chat_model.chat(messages, 6, temperature=0)})
        expected += messages[-1]["content"] + "\n"
    assert capsys.readouterr().out == expected


def test_the_command_forgets_the_oldest_turns_and_says_so(
    chat_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["the people of the union"] * 6
    flags = ("--temperature", "0", "--max-tokens", "9", "--system", LONG)
    assert talk(chat_model, tmp_path / "m", "\n".join(lines), monkeypatch, *flags) == 0
    shown = capsys.readouterr()
    assert "turns no longer fit the context of 128" in shown.err
    turns: list[dict[str, str]] = []
    expected = ""
    for line in lines:
        turns.append({"role": "user", "content": line})
        told = [{"role": "system", "content": LONG}]
        while len(chat_model.tokenizer.encode_chat(told + turns)) > 128 - 9:
            turns = turns[2:]
        answer = chat_model.chat(told + turns, 9, temperature=0)
        turns.append({"role": "assistant", "content": answer})
        expected += answer + "\n"
    assert shown.out == expected


def test_without_a_template_the_command_goes_on_with_the_text(
    llama_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(llama_model, tmp_path / "m", "the people\n", monkeypatch, "--temperature", "0", "--max-tokens", "5") == 0
    assert capsys.readouterr().out == str(llama_model.generate("the people", 5, temperature=0)) + "\n"
    assert talk(llama_model, tmp_path / "n", "the people\n", monkeypatch, "--system", "law") == 1
    assert "has no chat template" in capsys.readouterr().err


def test_prompts_begin_with_the_start_of_the_tokenizer(llama_model: Model) -> None:
    tokenizer = llama_model.tokenizer
    assert llama_model.prompt_ids("the people") == [1, *tokenizer.encode("the people")]
    assert llama_model.prompt_ids("") == [1]
    whole = [1, *tokenizer.encode("the people of peace")]
    first = 1 + len(tokenizer.encode("the people"))
    log_probs = llama_model.logits(torch.tensor([whole]))[0].log_softmax(-1)
    expected = [float(log_probs[place - 1, whole[place]]) for place in range(first, len(whole))]
    assert llama_model.score("the people", " of peace") == pytest.approx(expected, abs=1e-5)


def test_held_out_text_is_read_from_its_start_to_the_end_of_text(llama_model: Model) -> None:
    text = "the people of peace"
    whole = [1, *llama_model.tokenizer.encode(text), 2]
    log_probs = llama_model.logits(torch.tensor([whole]))[0].log_softmax(-1)
    nats = -sum(float(log_probs[place - 1, whole[place]]) for place in range(1, len(whole)))
    found = bits_per_byte(llama_model, [text])
    assert found["bits"] == pytest.approx(nats / math.log(2), rel=1e-5)
    assert found["tokens"] == len(whole) - 1


def test_a_model_folder_with_older_tokenizer_files_opens(chat_model: Model, tmp_path: Path) -> None:
    plain = train_kind(iter(WORDS * 4), 300)
    tiny_model(plain).save(tmp_path)
    model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"] | {"<|endoftext|>": 299}))
    (tmp_path / "merges.txt").write_text("\n".join(" ".join(pair) for pair in model["merges"]))
    (tmp_path / "tokenizer.json").unlink()
    assert genus.load(tmp_path).prompt_ids("the people") == plain.encode("the people")
