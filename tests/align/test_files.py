"""Tasks from files, with errors by file, line and field; rankings into files that other programs read."""

import csv
import json

import pytest

from genus.align.files import export, read_tasks
from genus.align.rankings import FLAGS, Task
from genus.core.errors import GenusError
from genus.data.comparisons import Demonstration, read_comparisons
from tests.align.said import CHAT, opened, said

GOOD = {"prompt": "p", "answers": ["a", "b"]}


def test_a_file_twice_adds_nothing(tmp_path):
    path = tmp_path / "tasks.jsonl"
    lines = [GOOD, {"prompt": CHAT, "answers": ["5", "six"], "sources": ["m", ""]}]
    path.write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    feedback = opened(tmp_path, 0)
    assert [feedback.add_tasks(read_tasks(path)) for _ in range(2)] == [2, 0]
    assert feedback.task(2) == Task(CHAT, ("5", "six"), ("m", ""), id=2)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({**GOOD, "answers": ["a"]}, r"answers has 1 entries"),
        ({**GOOD, "answers": list("abcdefghij")}, r"answers has 10 entries"),
        ({**GOOD, "answers": []}, r"answers has 0 entries"),
        ({**GOOD, "answers": ["a", " "]}, r"answers\[1\] is empty"),
        ({**GOOD, "answers": ["a", "b", "a"]}, r"answers\[2\] repeats answers\[0\]"),
        ({**GOOD, "answers": "ab"}, r"answers is no list"),
        ({**GOOD, "answers": ["a", 5]}, r"answers is no list of texts"),
        ({**GOOD, "answers": ["a", "b\0"]}, r"answers\[1\] holds a character"),
        ({**GOOD, "answers": ["a", "\ud800"]}, r"answers\[1\] holds a character"),
        ({**GOOD, "answers": ["a", "b" * 100_001]}, r"answers\[1\] has 100,001 characters"),
        ({**GOOD, "sources": ["m"]}, r"sources has 1 entries"),
        ({**GOOD, "prompt": ""}, r"prompt is empty"),
        ({"answers": ["a", "b"]}, r"prompt is missing"),
        ({**GOOD, "prompt": [{"role": "user"}]}, r"prompt\[0\]\.content is missing"),
        ({**GOOD, "prompt": [*CHAT, {"role": "assistant", "content": "5"}]}, r"prompt ends with the assistant"),
        ([], r"is list, not an object"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(tmp_path, line, told):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{json.dumps({**GOOD, 'prompt': 'first'})}\n\n{json.dumps(line)}\n")
    with pytest.raises(GenusError, match=rf"tasks\.jsonl, line 3:? {told}"):
        read_tasks(path)


def test_a_task_that_stands_there_twice(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{json.dumps({**GOOD, 'answers': ['b', 'a']})}\n")
    with pytest.raises(GenusError, match=r"line 2 says the same as .*line 1"):
        read_tasks(path)


@pytest.fixture
def told(tmp_path):
    """A store in which a little was said."""
    feedback = opened(tmp_path, 0)
    feedback.add_tasks([Task("=p\nq", ("=cmd|' /C calc'!A0", "+1", "-1", "@x", "\ty", "\rz", "plain"), ("m",) * 7)])
    flags = (("opinion",), *((),) * 6)
    feedback.save(said(1, (1, 2, 2, 3, 4, 5, 6), overall=(7, *(None,) * 6), flags=flags, comment="=1+1", seconds=2.5))
    yield feedback
    feedback.close()


def test_what_is_exported_can_be_trained_on(told, tmp_path):
    path = tmp_path / "rankings.jsonl"
    assert export(told, path) == (1, None)
    assert [each._replace(place="") for each in read_comparisons(path)] == told.comparisons()
    line = json.loads(path.read_text())
    assert (line["sources"], line["flags"][0], line["overall"][0], line["seconds"]) == (["m"] * 7, ["opinion"], 7, 2.5)
    told.demonstrate(Demonstration("p", "a", "anna"))
    count, beside = export(told, path)
    assert (count, beside) == (1, tmp_path / "rankings.demonstrations.jsonl")
    assert json.loads(beside.read_text()) == {"prompt": "p", "answer": "a", "labeller": "anna"}


def test_f43_no_cell_of_the_table_is_a_formula(told, tmp_path):
    export(told, tmp_path / "rankings.csv")
    with (tmp_path / "rankings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["answer"].removeprefix("'") for row in rows] == list(told.task(1).answers)
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[0]["comment"] == "'=1+1" and rows[0]["answer"] == "'=cmd|' /C calc'!A0" and rows[6]["answer"] == "plain"
    assert [row["rank"] for row in rows] == ["1", "2", "2", "3", "4", "5", "6"]
    assert {flag: rows[0][flag] for flag in FLAGS} == {flag: str(int(flag == "opinion")) for flag in FLAGS}


def test_another_kind_of_file_is_refused(told, tmp_path):
    with pytest.raises(GenusError, match=r"rankings\.xlsx is no \.jsonl or \.csv"):
        export(told, tmp_path / "rankings.xlsx")
