"""`genus answer` on an index in a folder: what it prints, and what it refuses before anything is loaded."""

import io
import json

import pytest

import genus.cli.main as cli
from genus.retrieve.answer.answer import NOT_FOUND
from genus.retrieve.lance import LanceCorpus
from genus.retrieve.minilm import MiniLM
from genus.retrieve.verify.opening import open_verifier
from tests.retrieve.answering import BEARS, LIBRARY, ORDERS, WRITTEN, library
from tests.retrieve.memory_corpus import passage

HOSTILE = "Green tea \x1b[31mleaves\u202e fold in the pot <b>slowly</b>, one by one."


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> str:
    folder, encoder = tmp_path_factory.mktemp("index") / "library", MiniLM()
    corpus = LanceCorpus(folder, {"name": encoder.name, "sha256": encoder.sha256, "width": encoder.width})
    found = [*library(), passage("evil", ORDERS), passage("hostile", HOSTILE)]
    corpus.add(found, encoder.encode([f"{each.title}\n{each.text}" for each in found]))
    return str(folder)


def test_quotes_with_the_place_of_each(index, capsys):
    assert cli._run(["answer", BEARS, "--index", index]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("Polar bears eat ringed seals, which they catch at holes in the ice. [")
    assert any("bears:1, characters 41 to 108, sha256 " in line for line in rest)


def test_json_has_offsets_of_the_document(index, capsys):
    assert cli._run(["answer", BEARS, "--index", index, "--json", "--count", "3"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert len(said["sources"]) == 3 and not said["abstained"]
    quote = said["sentences"][0]["quote"]
    assert LIBRARY["bears"][quote["start"] : quote["end"]] == said["sentences"][0]["text"]


def test_a_terminal_is_written_to_in_plain_text(index, capsys):
    assert cli._run(["answer", "What do green tea leaves do in the pot?", "--index", index]) == 0
    said = capsys.readouterr().out
    assert "the pot <b>slowly</b>" in said and "\x1b" not in said and "\u202e" not in said
    assert cli._run(["answer", "What do green tea leaves do in the pot?", "--index", index, "--json"]) == 0
    said = capsys.readouterr().out
    assert "the pot <b>slowly</b>" in json.loads(said)["text"] and said.isascii() and "\x1b" not in said


def test_what_is_not_there_is_not_answered(index, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.read", lambda: "How do I reset the password of my router?\n", raising=False)
    assert cli._run(["answer", "-", "--index", index]) == 0
    assert capsys.readouterr().out.startswith(NOT_FOUND)


def test_standard_input_in_other_bytes_is_told(index, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9?"), "utf-8"))
    assert cli._run(["answer", "-", "--index", index]) == 1
    assert "standard input is not UTF-8 (byte 3)" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "said"), [
    (["What?"], "genus index sotu --out runs/sotu/index"),
    (["What?", "--index", "nowhere"], "nowhere"),
    (["What?", "--index", "x", "--mode", "generative"], "genus import smollm2"),
    (["What?", "--index", "x", "--count", "0"], "choose from 1 to 20"),
    (["x" * 2001, "--index", "x"], "2,001 characters"),
    ([" ", "--index", "x"], "the question is empty"),
    (["What?", "--index", "x", "--mode", "poetic"], "poetic"),
])  # fmt: skip
def test_wrong_use_is_told_in_a_sentence(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli._run(["answer", *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error and "defect" not in error and len(error.splitlines()) == 1


def test_a_model_writes(index, capsys, answer_writer):
    assert cli._run(["answer", BEARS, "--index", index, "--model", str(answer_writer), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mode"] == "generative"
    told = {each["text"]: each["status"] for each in said["sentences"]}
    assert told == dict(zip(WRITTEN.values(), ("supported", "unsupported", "unsupported"), strict=True))


def claims_of_the_library():
    """Eight words in a row of a text, beside that text or beside another one."""
    texts = list(LIBRARY.values())
    for number in range(120):
        own = number % len(texts)
        words, start = texts[own].split(), number % 5
        good = (number // len(texts)) % 2 == 0
        label = "supported" if good else "not_supported"
        shown = texts[own if good else (own + 1) % len(texts)]
        yield {"claim": " ".join(words[start : start + 8]), "passages": [shown], "label": label, "document": str(number)}


def test_a_judge_that_was_made_decides(index, capsys, answer_writer, tmp_path):
    (tmp_path / "claims.jsonl").write_text("\n".join(map(json.dumps, claims_of_the_library())))
    made = ["--form", "support", "--model", "none", "--support.meaning", "False", "--out", str(tmp_path / "judge")]
    assert cli._run(["tune", *made, "--train", str(tmp_path / "claims.jsonl")]) == 0
    capsys.readouterr()
    asked = ["answer", BEARS, "--index", index, "--model", str(answer_writer), "--judge", str(tmp_path / "judge"), "--json"]
    assert cli._run(asked) == 0
    said = json.loads(capsys.readouterr().out)
    decided = open_verifier(tmp_path / "judge").thresholds.verdict
    told = {"supported": "supported", "partial": "partial", "unsupported": "not supported"}
    assert said["sentences"]
    for sentence in said["sentences"]:
        assert told[sentence["status"]] == decided(sentence["score"])
        assert (sentence["passage"] is None) == (sentence["status"] == "unsupported")
