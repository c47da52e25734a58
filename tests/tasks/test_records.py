"""Files of records: three formats say the same, and whatever is wrong is named by file, line and field."""

import pytest

from genus.core.errors import GenusError
from genus.tasks.forms import FORMS, Record
from genus.tasks.records import read_records

ENTAILMENT = {
    "a.jsonl": '{"premise": "It \\"rains\\".", "hypothesis": "It is wet, now.", "label": "yes", "idx": 4}\n\n'
    '{"premise": "b", "hypothesis": "c", "label": 0}\n',
    "a.csv": 'label,premise,hypothesis\nyes,"It ""rains"".","It is wet, now."\n0,b,c\n',
    "a.tsv": 'hypothesis\tpremise\tlabel\nIt is wet, now.\tIt "rains".\tyes\n\nc\tb\t0\n',
}


@pytest.mark.parametrize("name", ENTAILMENT)
def test_three_formats_say_the_same(tmp_path, name):
    path = tmp_path / name
    path.write_text("\ufeff" + ENTAILMENT[name], "utf-8")
    found = read_records(path, FORMS["entailment"])
    assert [record[:3] for record in found] == [(('It "rains".', "It is wet, now."), "yes", ()), (("b", "c"), "0", ())]
    assert found[0].where == f"{path}, line {1 if name == 'a.jsonl' else 2}"


def test_a_choice_may_have_a_question_and_name_its_answer(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"context": "c", "question": "q?", "answers": ["x", "y", "z"], "label": "y"}\n'
        '{"context": "d", "answers": ["x", "y"], "label": 1}\n'
    )
    (tmp_path / "b.csv").write_text('context,answers,label\nd,"[""x"", ""y""]",1\n')
    one, two = read_records(tmp_path / "a.jsonl", FORMS["choice"])
    assert one[:3] == (("c", "q?"), "1", ("x", "y", "z"))
    assert two[:3] == (("d", ""), "1", ("x", "y")) == read_records(tmp_path / "b.csv", FORMS["choice"])[0][:3]


GOOD = '{"text": "a", "label": "b"}\n'
WRONG = {
    "not JSON": ("classification", "a.jsonl", GOOD + "{", r"a.jsonl, line 2 is not JSON"),
    "a list": ("classification", "a.jsonl", GOOD + "\n[1]", r"a.jsonl, line 3 is not a JSON object"),
    "a key twice": (
        "classification",
        "a.jsonl",
        '{"text": "a", "text": "b"}',
        r"line 1 is not JSON .*'text' is given twice",
    ),
    "no field": ("entailment", "a.jsonl", GOOD, r"a.jsonl, line 1: the field premise is missing \(there are: text, label\)"),
    "no label": ("classification", "a.jsonl", GOOD + '{"text": "a"}', r"line 2: label = 'None' is neither"),
    "a flag": ("classification", "a.jsonl", '{"text": "a", "label": true}', r"line 1: label = 'True' is neither"),
    "an empty text": ("classification", "a.jsonl", '{"text": " ", "label": "b"}', r"line 1: text = ' ' is not a text"),
    "a number": ("classification", "a.jsonl", '{"text": 3, "label": "b"}', r"line 1: text = '3' is not a text"),
    "too few columns": ("classification", "a.csv", "text,label\na,b\nc\n", r"a.csv, line 3 has 1 columns, the first line 2"),
    "an open quote": ("classification", "a.csv", 'text,label\n"a,b\n', r"a.csv, line 2 cannot be read \(unexpected end"),
    "a column twice": ("classification", "a.tsv", "text\ttext\n", r"a.tsv, line 1 names a column twice"),
    "one answer": ("choice", "a.jsonl", '{"context": "a", "answers": ["b"], "label": 0}', r"answers = .* two or more"),
    "answers as text": (
        "choice",
        "a.csv",
        "context,answers,label\na,b|c,0\n",
        r"a.csv, line 2: answers = 'b\|c' is not a list",
    ),
    "no such answer": ("choice", "a.jsonl", '{"context": "a", "answers": ["b", "c"], "label": 2}', r"label = '2' .* 0 to 1"),
    "nothing": ("classification", "a.csv", "text,label\n", r"a.csv holds no records; give it lines with text, label"),
    "another format": ("classification", "a.txt", GOOD, r"a.txt is not a .jsonl, .csv or .tsv file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path, case):
    form, name, content, message = WRONG[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(GenusError, match=message):
        read_records(tmp_path / name, FORMS[form])


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(GenusError, match=r"none.csv cannot be read \(No such file"):
        read_records(tmp_path / "none.csv", FORMS["classification"])
    (tmp_path / "latin.csv").write_bytes("text,label\nné,1\n".encode("latin-1"))
    with pytest.raises(GenusError, match=r"latin.csv is not UTF-8"):
        read_records(tmp_path / "latin.csv", FORMS["classification"])


def test_what_stands_between_the_delimiters():
    choice = Record(("The sky is", "Which?"), "0", ("blue", "green"))
    assert FORMS["choice"].sequences(choice) == [("The sky is Which?", "blue"), ("The sky is Which?", "green")]
    assert FORMS["similarity"].sequences(Record(("a", "b"))) == [("a", "b"), ("b", "a")]
    assert FORMS["entailment"].sequences(Record(("a", "b"))) == [("a", "b")]
    assert FORMS["classification"].sequences(Record(("a",))) == [("a",)]
