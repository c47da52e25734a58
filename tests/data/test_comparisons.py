"""Comparisons of every form that files have, and what is said of those that contradict themselves."""

import json

import pytest

from genus.core.errors import GenusError
from genus.data.comparisons import Comparison, read_comparisons

ASK = {"role": "user", "content": "Why?"}
YES, NO = {"role": "assistant", "content": "Because."}, {"role": "assistant", "content": "No."}
PAIR = {"chosen": "Because.", "rejected": "No."}
FORMS = {
    "ranks": {"prompt": [ASK], "answers": ["Because.", "No."], "ranks": [1, 2]},
    "prompt of turns": {"prompt": [ASK], **PAIR},
    "messages": {"messages": [ASK], **PAIR},
    "instruction": {"instruction": "Why?", "input": "", **PAIR},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "Why?"}],
        "chosen": {"from": "gpt", "value": "Because."},
        "rejected": {"from": "gpt", "value": "No."},
    },
    "answers as lists": {"prompt": [ASK], "chosen": [YES], "rejected": [NO]},
    "whole lists": {"chosen": [ASK, YES], "rejected": [ASK, NO]},
    "transcripts": {"chosen": "\n\nHuman: Why?\n\nAssistant: Because.", "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_told_by_its_fields(tmp_path, form):
    path = write(tmp_path / "a.jsonl", FORMS[form], {**FORMS[form], "labeller": "anna"})
    plain = Comparison([ASK], ("Because.", "No."), (1, 2))
    places = [f"{path}, line {number}" for number in (1, 2)]
    assert read_comparisons(path) == [plain._replace(place=places[0]), plain._replace(labeller="anna", place=places[1])]


def test_rankings_keep_their_order_ties_and_text_prompts(tmp_path):
    path = write(tmp_path / "a.jsonl", {"prompt": "2 + 2 =", "answers": ["5", "4", "four"], "ranks": [2, 1, 1]})
    assert read_comparisons(path) == [Comparison("2 + 2 =", ("5", "4", "four"), (2, 1, 1), place=f"{path}, line 1")]


def ranked(**changes):
    return {**FORMS["ranks"], **changes}


WRONG = {
    "one answer": (ranked(answers=["a"], ranks=[1]), "answers has 1, and nothing can be ranked below two"),
    "no list": (ranked(answers="a"), "answers is str, not a list"),
    "empty answer": (ranked(answers=["a", " "]), "answers[1] is empty"),
    "same answer twice": (ranked(answers=["a", "a"]), "answers[1] is the same as answers[0]"),
    "ranks of another length": (ranked(ranks=[1, 2, 3]), "ranks has 3 for 2 answers"),
    "rank 0": (ranked(ranks=[0, 1]), "ranks = [0, 1] are not whole numbers from 1"),
    "half ranks": (ranked(ranks=[1, 1.5]), "ranks = [1, 1.5] are not whole numbers from 1"),
    "true as a rank": (ranked(ranks=[True, 2]), "ranks = [True, 2] are not whole numbers from 1"),
    "no ranks": ({"prompt": "a", "answers": ["b", "c"]}, "ranks = None are not whole numbers"),
    "no prompt": ({"answers": ["b", "c"], "ranks": [1, 2]}, "prompt is missing"),
    "prompt that ends with an answer": (ranked(prompt=[ASK, YES]), "prompt ends with the assistant's turn"),
    "same": ({"prompt": "a", "chosen": "b", "rejected": "b"}, "rejected is the same as chosen"),
    "same transcripts": ({"chosen": FORMS["transcripts"]["chosen"], "rejected": FORMS["transcripts"]["chosen"]}, "the same"),
    "empty chosen": ({"prompt": "a", "chosen": "", "rejected": "b"}, "chosen is empty"),
    "empty transcript": (
        {**FORMS["transcripts"], "rejected": "\n\nHuman: Why?\n\nAssistant:"},
        "rejected ends with an empty",
    ),
    "other question": (
        {**FORMS["transcripts"], "rejected": "\n\nHuman: Who?\n\nAssistant: No."},
        "rejected differs from chosen before the last answer",
    ),
    "answer of the user": ({"prompt": "a", "chosen": [ASK], "rejected": [NO]}, "chosen is the user's turn"),
    "one alone": ({"prompt": "a", "chosen": "b"}, "the record has fields prompt, chosen; known are"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_contradicts_itself_is_named_by_file_line_and_field(tmp_path, case):
    record, said = WRONG[case]
    path = write(tmp_path / "a.jsonl", FORMS["ranks"], record)
    with pytest.raises(GenusError) as error:
        read_comparisons(path)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert said in str(error.value)


def test_public_files(shared_data):
    path = shared_data / "llamafactory_demo/dpo_en_demo.json"
    records = json.loads(path.read_text())
    wanted = [(record["chosen"]["value"], record["rejected"]["value"]) for record in records]
    assert [comparison.answers for comparison in read_comparisons(path)] == wanted


def test_hh_rlhf(shared_data):
    """Its own text comes back from what was read. Four of its answers are empty, and one pair shares no prompt."""
    path = shared_data / "hh_rlhf/harmless_test_1500.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    with pytest.raises(GenusError, match="line 87: chosen ends with an empty answer"):
        read_comparisons(path)
    found = read_comparisons(path, "skip")
    assert len(found) == 1500 - 4 - 1
    left = [record for number, record in enumerate(records, 1) if number not in (87, 517, 926, 1104, 1255)]
    names = {"user": "Human", "assistant": "Assistant"}
    for record, comparison in zip(left, found, strict=True):
        turns = [*comparison.prompt, {"role": "assistant", "content": comparison.answers[1]}]
        text = "".join(f"\n\n{names[turn['role']]}: {turn['content']}" for turn in turns)
        assert text.split() == record["rejected"].split()
