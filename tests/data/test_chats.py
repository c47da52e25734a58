"""Conversations and prompts of every form that files have, and what is said of those that cannot be used."""

import gzip
import json

import pytest

from genus.core.errors import GenusError
from genus.data.chats import Chat, read_chats, read_prompts

SAID = "\n\nHuman: Why?\n\nAssistant: Because."
ASK, ANSWER = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
FORMS = {
    "messages": {"messages": [ASK, ANSWER]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "Because."}]},
    "alpaca": {"instruction": "Why?", "input": "", "output": "Because."},
    "self-instruct": {"instruction": "Why?", "instances": [{"input": "", "output": "Because."}]},
    "transcript": {"text": SAID},
    "pair of transcripts": {"chosen": SAID, "rejected": "\n\nHuman: Why?\n\nAssistant: No."},
    "turns and chosen": {"conversations": [{"from": "human", "value": "Why?"}], "chosen": ANSWER},
    "prompt of turns": {"prompt": [ASK], "completion": "Because."},
}  # fmt: skip


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_told_by_its_fields(tmp_path, form):
    path = write(tmp_path / "a.jsonl", FORMS[form])
    assert read_chats(path) == [Chat([ASK], "Because.", f"{path}, line 1")]
    assert read_prompts(path) == [[ASK]]


def test_a_file_may_mix_forms_be_a_list_or_be_gzipped(tmp_path):
    wanted = [Chat([ASK], "Because.")] * len(FORMS)
    lines = write(tmp_path / "a.jsonl", *FORMS.values())
    (tmp_path / "a.json").write_text(json.dumps(list(FORMS.values()), indent=1))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.read_bytes()))
    for name in ("a.jsonl", "a.json", "b.jsonl.gz"):
        assert [chat._replace(place="") for chat in read_chats(tmp_path / name)] == wanted
    assert read_chats(tmp_path / "a.json")[2].place.endswith("a.json, record 3")


def test_a_text_prompt_stays_a_text(tmp_path):
    path = write(tmp_path / "a.jsonl", {"prompt": "2 + 2 =", "answer": " 4"})
    assert read_chats(path) == [Chat("2 + 2 =", " 4", f"{path}, line 1")]
    assert read_prompts(path) == ["2 + 2 ="]


def test_alpaca_with_all_its_fields(tmp_path):
    record = {"system": "Be short.", "history": [["Hi", "Hello."]], "instruction": "Sum up.", "input": "A.", "output": "B."}
    (chat,) = read_chats(write(tmp_path / "a.jsonl", record))
    assert [(turn["role"], turn["content"]) for turn in chat.prompt] == [
        ("system", "Be short."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Sum up.\n\nA.")
    ]  # fmt: skip
    assert chat.answer == "B."


def test_calls_of_functions_are_the_assistants_and_what_they_gave_the_tools(tmp_path):
    words = (("human", "Time?"), ("function_call", '{"name": "now"}'), ("observation", "12:00"), ("gpt", "Noon."))
    record = {"conversations": [{"from": who, "value": said} for who, said in words], "tools": '[{"name": "now"}]'}
    (chat,) = read_chats(write(tmp_path / "a.jsonl", record))
    assert [turn["role"] for turn in chat.prompt] == ["user", "assistant", "tool"]
    assert chat.tools == ({"name": "now"},)


def test_a_prompt_needs_no_answer(tmp_path):
    records = ({"messages": [ASK]}, {"prompt": "Why?"}, {"text": "\n\nHuman: Why?\n\nAssistant:"}, {"instruction": "Why?"})
    assert read_prompts(write(tmp_path / "a.jsonl", *records)) == [[ASK], "Why?", [ASK], [ASK]]


WRONG = {
    "empty answer": ({"messages": [ASK, {"role": "assistant", "content": " \n"}]}, "messages[1].content is empty"),
    "wrong role": ({"messages": [{"role": "sheep", "content": "Baa"}]}, "messages[0].role = 'sheep' is none of"),
    "wrong speaker": ({"conversations": [{"from": 3, "value": "Baa"}]}, "conversations[0].from = 3 is none of"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content is missing"),
    "number": ({"messages": [{"role": "user", "content": 4}]}, "messages[0].content is int, not a text"),
    "no answer": ({"messages": [ASK]}, "messages does not end with an answer"),
    "nobody asked": ({"messages": [ANSWER]}, "messages has no user's turn before the answer"),
    "two answers": ({"messages": [ASK, ANSWER, ANSWER]}, "messages ends with the assistant's turn"),
    "late system": ({"messages": [ASK, {"role": "system", "content": "x"}, ANSWER]}, "messages[1] is the system's"),
    "no turns": ({"messages": []}, "messages is no list of messages"),
    "empty output": ({"instruction": "Why?", "output": ""}, "output is empty"),
    "no instruction": ({"instruction": "", "output": "Because."}, "instruction is empty"),
    "history": ({"instruction": "a", "history": ["b"], "output": "c"}, "history[0] is no pair"),
    "transcript": ({"chosen": "Why?\n\nAssistant: Because."}, "chosen is no transcript"),
    "empty turn": ({"chosen": "\n\nHuman:  \n\nAssistant: Because."}, "chosen has an empty turn of the user"),
    "empty end": ({"chosen": "\n\nHuman: Why?\n\nAssistant:"}, "chosen does not end with an answer"),
    "tools": ({"messages": [ASK, ANSWER], "tools": "["}, "tools is not JSON"),
    "other fields": ({"question": "Why?"}, "the record has fields question; known are"),
    "no object": (["Why?"], "is list, not an object"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_named_by_file_line_and_field(tmp_path, case):
    record, said = WRONG[case]
    path = write(tmp_path / "a.jsonl", FORMS["messages"], record)
    with pytest.raises(GenusError) as error:
        read_chats(path)
    assert str(error.value).startswith(f"{path}, line 2")
    assert said in str(error.value)


def test_wrong_records_may_be_left_out_and_that_is_said(tmp_path, capsys):
    path = write(tmp_path / "a.jsonl", FORMS["alpaca"], WRONG["no answer"][0], FORMS["messages"], WRONG["history"][0])
    assert [chat.place for chat in read_chats(path, "skip")] == [f"{path}, line 1", f"{path}, line 3"]
    assert f"{path}: 2 of 4 records were left out; the first: {path}, line 2: messages does" in capsys.readouterr().err
    with pytest.raises(GenusError, match="holds no record that can be used"):
        read_chats(write(path, WRONG["no answer"][0]), "skip")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"messages": [\n', "line 1 is not JSON"),
        ("a.jsonl", b'{"text": "a", "text": "b"}\n', "is given twice"),
        ("a.jsonl", b"\xff\xfe", "is not whole JSON"),
        ("a.json", b'{"messages": []}', "no list of records"),
        ("a.json", b"[", "is not whole JSON"),
        ("a.jsonl.gz", gzip.compress(b'{"prompt": "a", "answer": "b"}\n' * 99, mtime=0)[:30], "is not whole JSON"),
        ("a.jsonl.gz", b"plain", "cannot be read"),
        ("a.jsonl", b"", "holds no record"),
    ],
)
def test_files_that_are_none(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(GenusError, match=said):
        read_chats(tmp_path / name)


def test_a_missing_file(tmp_path):
    with pytest.raises(GenusError, match="cannot be read"):
        read_chats(tmp_path / "none.jsonl")


def test_public_files(shared_data):
    """Counts are those of the files' own records; LLaMA-Factory's are lists, self-instruct's have instances."""
    for name in ("alpaca_en_demo", "identity", "glaive_toolcall_en_demo", "kto_en_demo"):
        path = shared_data / "llamafactory_demo" / f"{name}.json"
        records = json.loads(path.read_text())
        found = read_chats(path)
        last = [
            record.get("output") or [*record.get("messages", ()), *record.get("conversations", ())][-1] for record in records
        ]
        said = [each if isinstance(each, str) else each.get("value", each.get("content")) for each in last]
        assert [chat.answer for chat in found] == said
    for path in (shared_data / "alpaca_seed/seed_tasks.jsonl", shared_data / "self_instruct/data/seed_tasks.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        assert [chat.answer for chat in read_chats(path)] == [record["instances"][0]["output"] for record in records]
    assert len(read_prompts(shared_data / "self_instruct/human_eval/user_oriented_instructions.jsonl")) == 252
