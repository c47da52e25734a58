"""`genus corpus explain`: every document's fate, by its id."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from genus.cli import main as cli
from genus.core.errors import GenusError
from genus.data.corpus import Corpus, documents, make_corpus
from genus.data.pipeline.runner import Runner
from genus.data.report.fate import fates
from genus.data.steps.rules import Rules

SECRET = " ".join(f"question{i}" for i in range(13))


def words(seed: int, count: int) -> str:
    chosen = random.Random(seed)
    return " ".join(f"w{chosen.randrange(3000)}" for _ in range(count))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fate")
    records = [
        *({"id": f"d{i:02}", "text": words(i, 300)} for i in range(30)),
        *({"id": f"same{i}", "text": words(3, 300)} for i in range(7)),
        {"id": "near", "text": words(7, 300).replace("w1", "v1", 2)},
        {"id": "near of it", "text": words(3, 300).replace("w1", "v1", 2)},
        {"id": "mail", "text": f"{words(90, 150)} ann@example.com or bob@example.com {words(91, 50)}"},
        {"id": "tainted", "text": f"{words(92, 200)} {SECRET} {words(93, 200)}"},
        {"id": "short", "text": "\x1b[31mtoo few\nwords"},
    ]
    (folder / "quiz.jsonl").write_text(json.dumps({"question": SECRET}) + "\n")
    (folder / "web.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    steps = ("rules", "exact", "fuzzy", "decontaminate", "personal")
    recipe = Corpus(source=str(folder / "web.jsonl"), out=folder / "out", steps=steps, runner=Runner(processes=1))
    cut = replace(recipe.decontaminate, tasks=(folder / "quiz.jsonl",), shortest=100, around=20)
    rules = replace(Rules(), sets=("gopher_quality",), languages=())
    rules = replace(rules, gopher_quality=replace(rules.gopher_quality, least_stop_words=0))
    make_corpus(replace(recipe, decontaminate=cut, rules=rules))
    return recipe.out


def row_of(told: str, out: Path) -> str:
    """The id of the document at the place that is told: "train, documents/..., row 5 from 0"."""
    split, _, row = told.split(", ")
    return list(documents(out, split))[int(row.split()[1])].id


def test_a_kept_document(out: Path) -> None:
    (told,) = fates(out, "d03")
    assert told["passed"] == "read, rules, ids, exact, fuzzy, decontaminate, personal"
    assert row_of(told["now"], out) == "d03"
    assert told["measured"] == "rules: words 300" and "dropped" not in told
    copies = "near of it (near copy), same0 (duplicate), same1 (duplicate), same2 (duplicate), same3 (duplicate)"
    assert told["copies"] == f"stays for {copies} and 3 more"


def test_copies_name_the_one_that_stays_and_where(out: Path) -> None:
    (told,) = fates(out, "same4")
    assert told["passed"] == "read, rules, ids" and told["dropped"] == "in exact: duplicate"
    name, _, place = told["stays"].partition(": ")
    assert name == "d03" == row_of(place, out)
    (told,) = fates(out, "near")
    assert told["passed"] == "read, rules, ids, exact" and told["dropped"] == "in fuzzy: near copy"
    assert told["evidence"].startswith("Jaccard 0.9") and told["stays"].startswith("d07: ")
    assert told["begins"] == words(7, 300).replace("w1", "v1", 2)[:400]


def test_a_rule_says_what_it_found(out: Path) -> None:
    (told,) = fates(out, "short")
    assert told["passed"] == "read" and told["dropped"] == "in rules: gopher: too few words"
    assert told["evidence"] == "3 words, at least 50" and told["begins"] == "\x1b[31mtoo few\nwords"


def test_what_was_written_over_is_counted(out: Path) -> None:
    (told,) = fates(out, "mail")
    assert "personal: email 2" in told["measured"] and row_of(told["now"], out) == "mail"


def test_pieces_of_a_document_are_told_by_its_id(out: Path) -> None:
    found = fates(out, "tainted")
    assert [told["document"] for told in found] == ["tainted#cut1", "tainted#cut2"]
    assert all(row_of(told["now"], out) == told["document"] for told in found)
    assert "decontaminate: characters removed 1" in found[0]["measured"]
    assert fates(out, "tainted#cut2") == [found[1]]


def test_a_tail_is_where_its_document_is(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(words(1, 2000))
    make_corpus(Corpus(source=str(tmp_path / "book.txt"), out=tmp_path / "out"))
    (told,) = fates(tmp_path / "out", "book.txt")
    train, tail = told["now"].split("; ")
    assert train.startswith("train, documents/train-") and tail.startswith("validation, its tail, documents/validation-")


def test_an_unknown_document_has_near_ones(out: Path) -> None:
    with pytest.raises(GenusError, match="knows no document sam4; the nearest: same4, "):
        fates(out, "sam4")
    with pytest.raises(GenusError, match="knows no document %%%; ids are in the column id"):
        fates(out, "%%%")
    with pytest.raises(GenusError, match="knows no document d0; the nearest: "):  # no pattern and no beginning
        fates(out, "d0")


def test_a_folder_without_a_report_or_damaged_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.raises(GenusError, match="is no corpus with a report; make one with: genus corpus"):
        fates(tmp_path, "a")
    for name in ("report.json", "manifest.json"):
        (tmp_path / name).write_text((out / name).read_text())
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "dropped.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(GenusError, match=r"cannot be read .*; make the corpus again"):
        fates(tmp_path, "a")


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["genus", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(str(ended.value.code))


def test_the_command(out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["corpus", "explain", "short", "--corpus", str(out)], monkeypatch) == 0
    said = capsys.readouterr().out
    assert "evidence  3 words, at least 50" in said
    assert "\x1b" not in said and "too few words" in said  # a document cannot move the cursor
    assert run(["corpus", "explain", "tainted", "--corpus", str(out), "--json"], monkeypatch) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == fates(out, "tainted")
    assert run(["corpus", "explain", "no such one", "--corpus", str(out)], monkeypatch) == 1
    assert "knows no document no such one" in capsys.readouterr().err
