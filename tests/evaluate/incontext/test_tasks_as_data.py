"""Tasks are files: those that come along are whole, each form is read, and what is wrong is named by file and line."""

import json
import random

import pytest

from genus.core.errors import GenusError
from genus.data.records import Record
from genus.evaluate.incontext.example import Example, example_of, fill
from genus.evaluate.incontext.finding import find_tasks, guess_task
from genus.evaluate.incontext.readers import read_records
from genus.evaluate.incontext.scramble import scrambled, wanted
from genus.evaluate.incontext.task import Task, known_tasks, read_task

PAIR = {"query": "one and", "choices": ["two", "three"], "gold": 0}


def jsonl(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_every_task_that_comes_along_says_what_it_is():
    found = known_tasks()
    assert {"copa", "piqa", "winogrande", "arc_easy", "sst2", "trec", "cb", "rte", "boolq", "gsm8k", "xcopa-zh",
            "arithmetic-add2", "scramble-cycle", "lambada-blank", "blimp", "flores", "wikitext"} <= found.keys()  # fmt: skip
    assert len(found["xcopa"]) == 11 and {task.about for tasks in found.values() for task in tasks}.isdisjoint({""})


def test_the_files_of_published_sets_are_read(shared_data):
    names = [
        "copa",
        "piqa",
        "winogrande",
        "arc_easy",
        "sst2",
        "trec",
        "cb",
        "rte",
        "arithmetic",
        "xcopa",
        "flores",
        "wikitext",
    ]
    found = {each.task.name: each.prompts for each in find_tasks(names, shared_data)}
    sizes = {name: len(found[name]) for name in ("copa", "piqa", "sst2", "trec", "rte", "wikitext", "flores-eng_Latn")}
    assert sizes == {
        "copa": 500,
        "piqa": 919,
        "sst2": 872,
        "trec": 5452,
        "rte": 277,
        "wikitext": 60,
        "flores-eng_Latn": 1012,
    }
    copa, zh, add = found["copa"][0], found["xcopa-zh"][0], found["arithmetic-add2"][0]
    assert copa.contexts == ("The item was packaged in bubble wrap because",)
    assert copa.completions == (" it was fragile.", " it was small.") and copa.gold == 0
    assert zh.contexts == ("那人打开水龙头 所以",) and zh.gold == 1
    assert (add.contexts, add.completions, add.answers) == (("\n\nQ: What is 98 plus 45?\n\nA:",), (" 143",), (" 143",))
    names = found["winogrande"][0]
    assert names.contexts == tuple(f"Sarah was a much better surgeon than Maria so {name}" for name in ("Sarah", "Maria"))
    assert names.completions == (" always got the easier cases.",) and names.gold == 1
    assert found["sst2"][4].contexts[0].startswith("Review: there is a fabric") and found["sst2"][4].gold == 1
    assert found["trec"][0].gold == 2 and found["cb"][0].completions == (" true", " false", " neither")
    assert "(24 in)" in found["wikitext"][0].contexts[0] and "( 24 in )" in found["wikitext"][0].answers[0]


@pytest.mark.parametrize(("record", "kind", "context", "completions"), [
    (PAIR, "choice", "one and", (" two", " three")),
    ({**PAIR, "query": "one\n"}, "choice", "one\n", ("two", "three")),
    ({"context_options": ["A b", "C b"], "continuation": " went", "gold": 1}, "partial", "A b", (" went",)),
    ({"context": "one", "completion": " two"}, "cloze", "one", (" two",)),
    ({"context": "one", "continuation": "two"}, "cloze", "one", (" two",)),
    ({"context": "one", "answers": ["two", "2"]}, "free", "one", (" two",)),
    ({"question": "one?", "answer": "two"}, "free", "Question: one?\nAnswer:", (" two",)),
    ({"sentence_good": "It is.", "sentence_bad": "It are."}, "choice", "", ("It is.", "It are.")),
    ({"text": "one two"}, "text", "one two", None),
])  # fmt: skip
def test_ones_own_records_need_no_code(tmp_path, record, kind, context, completions):
    (found,) = find_tasks([str(jsonl(tmp_path / "own.jsonl", record))], None)
    prompt = found.prompts[0]
    assert found.task.kind == kind and prompt.contexts[0] == context
    assert completions is None or prompt.completions == completions


def test_records_of_no_known_fields_are_said():
    with pytest.raises(GenusError, match=r"own, line 1 has the fields a, b; give it those of one of: query, choices, gold;"):
        guess_task(None, Record({"a": 1, "b": 2}, "own, line 1"))


TASK = Task(name="t", kind="choice", file="")
LABELS = Task(name="t", kind="choice", file="", labels={"0": "no", "1": "yes"}, gold="label", context="{text}")


@pytest.mark.parametrize(("task", "fields", "said"), [
    (TASK, {"choices": ["a", "b"], "gold": 0}, "wants {query}, and the record has gold"),
    (TASK, {"query": "q", "gold": 0}, "choices is not a list of two or more texts"),
    (TASK, {"query": "q", "choices": ["a"], "gold": 0}, "choices is not a list of two or more texts"),
    (TASK, {"query": "q", "choices": ["a", " "], "gold": 0}, r"choices\[1\] is empty"),
    (TASK, {**PAIR, "gold": 2}, "gold is 2, the number of no choice; give 0 to 1"),
    (TASK, {**PAIR, "gold": -1}, "gold is -1, the number of no choice"),
    (TASK, {**PAIR, "gold": True}, "gold is True, the number of no choice"),
    (TASK, {"query": "q", "choices": ["a", "b"]}, "gold is None, the number of no choice"),
    (LABELS, {"text": "t", "label": 2}, "label is '2', none of the labels 0, 1"),
    (Task(name="t", kind="cloze", file="", completion=" {answer}"), {"query": "q"}, "answer is missing"),
    (Task(name="t", kind="text", file="", context="{text}"), {"text": " "}, "text is empty"),
    (Task(name="t", kind="choice", file="", words={"gold": {"x": "y"}}), PAIR, "gold is '0', none of x"),
])  # fmt: skip
def test_what_is_wrong_with_a_record_is_named_by_its_line(task, fields, said):
    with pytest.raises(GenusError, match=f"^file, line 7: .*{said}"):
        example_of(Record(fields, "file, line 7"), task)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("own.jsonl", json.dumps(PAIR) + '\n{"query": ', "own.jsonl, line 2 is not JSON"),
    ("own.jsonl", json.dumps(PAIR) + "\n\n[1]\n", "own.jsonl, line 3 is list"),
    ("own.jsonl", json.dumps(PAIR) + "\n" + json.dumps({**PAIR, "gold": 9}), "own.jsonl, line 2: gold is 9"),
    ("own.jsonl", "", "holds no record"),
    ("own.toml", 'kind = "choice"', "own.toml: file is missing"),
    ("own.toml", 'kind = "chose"\nfile = "a"', "kind = 'chose' is unknown; choose choice, partial, cloze"),
    ("own.toml", 'kind = "choice"\nfile = "a"\nshots = 3', "own.toml: shots is no field of a task"),
    ("own.toml", 'kind = "free"\nfile = "a"\nmost = "many"', "own.toml: most = 'many' is of the wrong kind"),
    ("own.toml", 'kind = "free"\nfile = "a"\nmost = 0', "most = 0 and beams = 1 must be at least 1"),
    ("own.toml", 'kind = "choice"\nfile = "a"\ncontext = "{choice}"', "differ on the other side"),
    ("own.toml", 'kind = "choice"\nfile = "absent.jsonl"', "absent.jsonl is missing"),
    ("own.toml", 'kind = "choice"\nfile = "*.absent"', r"holds no \*.absent"),
    ("own.toml", 'kind = "choice"\nfile = "own.toml"\nform = "xls"', "the form 'xls' is unknown"),
])  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(GenusError, match=said):
        find_tasks([str(tmp_path / name)], None)


def test_tasks_that_there_are_not(tmp_path):
    with pytest.raises(
        GenusError, match=r"^cop is no task \(perhaps copa\); name a .toml or .jsonl file, or choose of arc_easy, "
    ):
        find_tasks(["cop"], tmp_path)
    with pytest.raises(GenusError, match="name the folder that holds it with --data"):
        find_tasks(["copa"], None)
    own = str(jsonl(tmp_path / "own.jsonl", PAIR))
    with pytest.raises(GenusError, match="two tasks are called own"):
        find_tasks([own, own], None)


def test_variants_and_files_of_one_task(tmp_path):
    (tmp_path / "all.toml").write_text(
        'kind = "choice"\nfile = "a.jsonl"\nlabels = {y = "yes", n = "no"}\n'
        '[variants.b]\nfile = "b.jsonl"\n[variants.c]\nmost = 3'
    )
    tasks = read_task(tmp_path / "all.toml")
    assert [(task.name, task.file, task.most) for task in tasks] == [("all-b", "b.jsonl", 64), ("all-c", "a.jsonl", 3)]
    (tmp_path / "each.toml").write_text('kind = "text"\nfile = "sub/*.txt"\nform = "lines"\ncontext = "{text}"')
    (tmp_path / "sub").mkdir()
    for name in ("it", "fr"):
        (tmp_path / "sub" / f"{name}.txt").write_text("one\n\ntwo\n")
    found = find_tasks([str(tmp_path / "each.toml")], None)
    assert [each.task.name for each in found] == ["each-fr", "each-it"] and len(found[0].prompts) == 2


def test_examples_of_a_file_of_their_own(tmp_path):
    (tmp_path / "t.toml").write_text('kind = "choice"\nfile = "items.jsonl"\nexamples = "others.jsonl"\n')
    jsonl(tmp_path / "items.jsonl", PAIR, {**PAIR, "query": "one or"})
    with pytest.raises(GenusError, match=r"others.jsonl cannot be read"):
        find_tasks([str(tmp_path / "t.toml")], None, shots=1)
    jsonl(tmp_path / "others.jsonl", {**PAIR, "query": "other"})
    (found,) = find_tasks([str(tmp_path / "t.toml")], None, shots=1)
    assert [found.prompts[n].contexts[0] for n in range(2)] == ["other two\n\none and", "other two\n\none or"]
    assert found.files.keys() == {"items.jsonl", "others.jsonl"}


def test_filters():
    example = Example(place="here", fields={"a": " The end. ", "b": "I see.", "c": "He saw."})
    assert fill("{a|strip}|{a|unstop}|{b|lower_first}|{c|lower_first}", example, "") == "The end.|The end|I see.|he saw."
    with pytest.raises(GenusError, match="unknown filter; choose of strip"):
        fill("{a|upper}", example, "")


def test_other_forms(tmp_path):
    (tmp_path / "a.txt").write_text("0 a dull film\n1 fine\nDESC:manner How ?\n")
    found = [dict(record.fields) for record in read_records(tmp_path / "a.txt", "labelled")]
    assert found[0] == {"label": "0", "fine": "", "text": "a dull film"}
    assert found[2] == {"label": "DESC", "fine": "manner", "text": "How ?"}
    (tmp_path / "bad.txt").write_text("0 fine\n1\n")
    with pytest.raises(GenusError, match=r"bad.txt, line 2 is not a label and a text"):
        read_records(tmp_path / "bad.txt", "labelled")
    passage = jsonl(tmp_path / "l.jsonl", {"text": "He gave her the ring"})
    assert dict(read_records(passage, "last_word")[0].fields)["word"] == "ring"
    (tmp_path / "copa.xml").write_text(
        '<copa-corpus>\n<item id="1" asks-for="cause" most-plausible-alternative="3">'
        "<p>a</p><a1>b</a1><a2>c</a2></item></copa-corpus>"
    )
    with pytest.raises(GenusError, match=r"copa.xml, line 2: most-plausible-alternative is '3'; give 1 or 2"):
        read_records(tmp_path / "copa.xml", "copa")


def test_scrambled_words(tmp_path):
    found = scrambled("inevitably", seed=3)
    assert found == scrambled("inevitably", seed=3) != scrambled("inevitably", seed=4)
    assert found["reversed"] == "ylbativeni"
    assert found["cycle"] in {"inevitably"[n:] + "inevitably"[:n] for n in range(1, 10)}
    for name, ends in (("anagram1", 1), ("anagram2", 2)):
        made = found[name]
        assert made != "inevitably" and sorted(made) == sorted("inevitably")
        assert made[:ends] + made[-ends:] == "inevitably"[:ends] + "inevitably"[-ends:]
    assert found["insertion"][::2] == "inevitably" and not any(map(str.isalnum, found["insertion"][1::2]))
    assert [word for word in ("four", "fives", "o'clock", "x" * 14, "x" * 15) if wanted(word)] == ["fives", "x" * 14]
    words = [*("".join(random.Random(n).choices("abcdefgh", k=6)) for n in range(3)), "it"]
    (tmp_path / "words.txt").write_text("\n".join([*words, words[0]]) + "\n")
    assert [record.fields["word"] for record in read_records(tmp_path / "words.txt", "words")] == words[:3]
