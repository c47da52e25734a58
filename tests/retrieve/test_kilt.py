"""KILT's files: what is read is written again to the byte, and what is wrong is named by file, line and field."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.retrieve.kilt import pages, provenance, read_kilt, write_kilt
from genus.retrieve.passage import Hit
from tests.retrieve.memory_corpus import passage

SPAN = {
    "wikipedia_id": "290",
    "title": "A",
    "section": "Section::::History.",
    "start_paragraph_id": 3,
    "start_character": 0,
    "end_paragraph_id": 4,
    "end_character": 117,
    "bleu_score": 1.0,
    "meta": {"evidence_span": ["x"]},
}
EXAMPLE = {
    "id": "fever-1",
    "input": "Is \u201ca\u201d a letter?\n\u2028",
    "output": [
        {"answer": "yes", "provenance": [SPAN, {"wikipedia_id": "7", "section": None}]},
        {"provenance": [{"wikipedia_id": "290"}]},
        {"answer": "it is"},
    ],
    "meta": {"left_context": "", "obj_surface": None},
    "unknown": [1.5, {"b": 1, "a": 2}],
}


def written(path, *examples):
    path.write_text("".join(json.dumps(each) + "\n" for each in examples))
    return path


def test_what_is_read_is_written_to_the_byte(tmp_path):
    path = written(tmp_path / "dev.jsonl", EXAMPLE, {"input": "x", "id": "2"}, {"id": "3", "input": "y", "output": []})
    examples = read_kilt(path)
    write_kilt(tmp_path / "again.jsonl", examples)
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()
    assert examples[0] == EXAMPLE and [*examples[1]] == ["input", "id"]


TEXT = st.text().filter(str.strip).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
COUNT = st.integers(0, 2**40)
SPANS = st.fixed_dictionaries(
    {"wikipedia_id": TEXT},
    optional={
        "title": st.text(), "section": st.none() | st.text(), "start_paragraph_id": COUNT, "start_character": COUNT,
        "end_character": COUNT, "bleu_score": st.floats(0, 1), "meta": st.dictionaries(st.text(), st.booleans()),
    },
)  # fmt: skip
OUTPUTS = st.fixed_dictionaries({}, optional={"answer": st.none() | st.text(), "provenance": st.lists(SPANS, max_size=3)})
EXAMPLES = st.fixed_dictionaries({"id": TEXT, "input": TEXT}, optional={"output": st.lists(OUTPUTS, max_size=3)})


@settings(max_examples=60, deadline=None)
@given(st.lists(EXAMPLES, min_size=1, max_size=4))
def test_every_example_comes_back(tmp_path_factory, examples):
    path = tmp_path_factory.mktemp("kilt") / "any.jsonl"
    write_kilt(path, examples)
    assert read_kilt(path) == examples


def changed(*path_and_value):
    *path, value = path_and_value
    example = json.loads(json.dumps(EXAMPLE))
    inner = example
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return example


@pytest.mark.parametrize(
    ("example", "field"),
    [
        (changed("id", 5), "id is int"),
        (changed("id", ""), "id is empty"),
        (changed("input", None), "input is missing"),
        (changed("output", {}), "output is not a list"),
        (changed("output", None), "output is not a list"),
        (changed("output", 1, "no"), r"output\[1\] is not an object"),
        (changed("output", 2, "answer", 5), r"output\[2\].answer is not a text"),
        (changed("output", 0, "provenance", "no"), r"output\[0\].provenance is not a list"),
        (changed("output", 0, "provenance", 1, []), r"output\[0\].provenance\[1\] is not an object"),
        (changed("output", 0, "provenance", 1, {}), r"provenance\[1\].wikipedia_id is missing"),
        (changed("output", 0, "provenance", 1, {"wikipedia_id": 290}), r"provenance\[1\].wikipedia_id is int"),
        (changed("output", 0, "provenance", 0, "title", 1), r"provenance\[0\].title is not a text"),
        (changed("output", 0, "provenance", 0, "start_character", -1), "start_character is not a count"),
        (changed("output", 0, "provenance", 0, "end_paragraph_id", True), "end_paragraph_id is not a count"),
        (changed("output", 0, "provenance", 0, "bleu_score", "high"), "bleu_score is not a finite number"),
        (changed("output", 0, "provenance", 0, "bleu_score", float("nan")), "bleu_score is not a finite number"),
        (changed("output", 0, "provenance", 0, "meta", []), "meta is not an object"),
    ],
)
def test_a_wrong_field_is_named_by_file_and_line(tmp_path, example, field):
    path = written(tmp_path / "dev.jsonl", EXAMPLE, EXAMPLE, example)
    with pytest.raises(GenusError, match=f"dev.jsonl, line 3: .*{field}"):
        read_kilt(path)


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "1", "id": "2", "input": "x"}', '"text"', "[" * 10000])
def test_a_line_that_is_no_record_is_named(tmp_path, line):
    path = tmp_path / "dev.jsonl"
    path.write_bytes(f"{json.dumps(EXAMPLE)}\n{line}\n".encode("latin-1"))
    with pytest.raises(GenusError, match=r"dev\.jsonl, line 2"):
        read_kilt(path)


def test_what_json_cannot_say_is_not_written(tmp_path):
    example = {"id": "1", "input": "x", "output": [{"provenance": [{"wikipedia_id": "1", "bleu_score": float("nan")}]}]}
    with pytest.raises(GenusError, match="JSON"):
        write_kilt(tmp_path / "out.jsonl", [example])
    assert not (tmp_path / "out.jsonl").exists()


def test_pages_are_those_of_all_outputs():
    assert pages(EXAMPLE) == {"290", "7"} and pages({"id": "1", "input": "x"}) == frozenset()


def test_what_search_finds_is_provenance(tmp_path):
    found = passage("bears", "hunt seals", number=2, title="Bears", start=6, end=16)
    example = {"id": "1", "input": "who?", "output": [{"provenance": provenance([Hit(found, 0.5)])}]}
    write_kilt(tmp_path / "out.jsonl", [example])
    said = read_kilt(tmp_path / "out.jsonl")[0]["output"][0]["provenance"][0]
    assert "polar hunt seals"[said["start_character"] : said["end_character"]] == found.text
    assert (said["wikipedia_id"], said["meta"]["passage"], said["meta"]["score"]) == ("bears", "bears:2", 0.5)
