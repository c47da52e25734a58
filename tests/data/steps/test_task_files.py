"""Task files of all forms, against their texts as they were written."""

import csv
import gzip
import json
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.data.steps.task_files import TaskSet, read_tasks

RECORDS = [
    {"question": "Why?\nSo.", "choices": ["a", {"text": "b"}], "label": 1, "none": None},
    {"question": "", "choices": ["é"]},
]
FOUNDRY = "world_knowledge/arc_easy"
TEXTS = [["Why?\nSo.", "a", "b"], ["é"]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("set.jsonl", "\n".join(map(json.dumps, RECORDS)) + "\n\n"),
        ("set.json", json.dumps(RECORDS)),
        ("set.json", json.dumps({"version": "1", "data": {"one": RECORDS[:1], "two": RECORDS[1:], "tags": ["x"]}})),
        ("set.JSONL.gz", "\ufeff" + "\r\n".join(map(json.dumps, RECORDS))),
    ],
)
def test_json(tmp_path: Path, name: str, content: str) -> None:
    raw = content.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert read_tasks(tmp_path / name) == [TaskSet(f"{tmp_path.name}/set", TEXTS)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables(tmp_path: Path, delimiter: str) -> None:
    rows = [["id", "text", "label"], ["1", f"two\nlines{delimiter} and more, or; not", "yes"]]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert read_tasks(tmp_path / "t.csv") == [TaskSet(f"{tmp_path.name}/t", rows)]


def test_lines_of_texts(tmp_path: Path) -> None:
    (tmp_path / "eng.v2.devtest").write_text("One sentence.\n\n Another. \n")
    assert read_tasks(tmp_path / "eng.v2.devtest") == [
        TaskSet(f"{tmp_path.name}/eng.v2", [["One sentence."], [" Another. "]])
    ]


def test_folders_name_their_sets_and_leave_notes_out(tmp_path: Path) -> None:
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "test.jsonl").write_text('{"x": "one"}')
    (tmp_path / "a.json").write_text('["two"]')
    (tmp_path / "README.txt").write_text("notes")
    root = tmp_path.name
    assert read_tasks(tmp_path) == [TaskSet(f"{root}/a", [["two"]]), TaskSet(f"{root}/b/c/test", [["one"]])]


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.jsonl", b'{"x": "y"}\n{"x": ', "a.jsonl cannot be read as .jsonl .line 2: "),
        ("a.json", b"[" * 100_000, "cannot be read as .json"),
        ("a.csv", b'x,"y\n', "cannot be read as .csv"),
        ("a.txt", b"\xff", "cannot be read as .txt"),
        ("a.json.gz", gzip.compress(b"[]", mtime=0)[:-3], "cannot be read as .json"),
        ("a.json", b"[1, null]", "holds no text"),
        ("a.xml", b"<a/>", "is not a task file; its name must end in one of: .csv"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(GenusError, match=message):
        read_tasks(tmp_path / name)


@pytest.mark.parametrize("name", ["", "missing"])
def test_nothing_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(GenusError, match="holds no evaluation set"):
        read_tasks(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "examples"),
    [("gsm8k/train.jsonl", 1500), ("stereoset/gender_test.json", 253), ("flores200/eng_Latn.devtest", 1012)],
)
def test_published_sets(shared_data: Path, name: str, examples: int) -> None:
    (tasks,) = read_tasks(shared_data / name)
    assert len(tasks.examples) == examples


def test_folders_of_published_sets(shared_data: Path) -> None:
    for folder, name in (
        ("bbq", "Age"),
        ("crows_pairs", "crows_pairs_anonymized"),
        ("llm_foundry_eval", FOUNDRY),
        ("xcopa", "val.zh"),
    ):
        assert f"{folder}/{name}" in [tasks.name for tasks in read_tasks(shared_data / folder)]
