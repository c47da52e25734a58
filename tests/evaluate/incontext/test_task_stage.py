"""Tasks asked of a tiny model: against each pair read alone, in any order, after a kill, and with what does not fit."""

import json
import math
from dataclasses import replace

import pytest
import torch

from genus.core.errors import GenusError
from genus.engine.model import load
from genus.evaluate.incontext import finding, stage
from genus.evaluate.incontext.encoding import encode_pairs
from genus.evaluate.incontext.finding import find_tasks
from genus.evaluate.incontext.measuring import measure
from genus.evaluate.recipe import Evaluate
from tests.tasks.small import WORDS, make_base, write_records

CHOICES = [
    {"query": f"the {word} of these", "choices": [f"{other} shall", "be made", "no law without consent"], "gold": n % 3}
    for n, (word, other) in enumerate(zip(WORDS, reversed(WORDS), strict=True))
]
NAMES = [{"context_options": [f"no {word}", f"all the {word}"], "continuation": "is equal", "gold": 1} for word in WORDS]
CLOZE = [{"context": f"we hold the {word}", "continuation": "shall have"} for word in WORDS]
FREE = [{"context": f"no {word} shall", "answers": ["be made", "have"]} for word in WORDS]
TEXT = [{"text": f"the {word} of these states\nshall have peace and plenty " * 12} for word in WORDS]
OWN = {"choices": CHOICES, "names": NAMES, "cloze": CLOZE, "free": FREE, "text": TEXT}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_shards):
    return make_base(tmp_path_factory.mktemp("model") / "model", tiny_shards.parent / "tokenizer", context=128)


@pytest.fixture(scope="module")
def model(folder):
    return load(folder)


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    for name, records in OWN.items():
        write_records(tmp_path / "data" / f"{name}.jsonl", records)
    return tmp_path / "data"


def asked(folder, data, out, *names, **changes):
    names = tuple(str(data / f"{name}.jsonl") for name in names or OWN)
    return Evaluate(**{"model": folder, "tasks": names, "out": out, **changes})


def rows(out, name):
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]


@torch.no_grad()
def alone(model, context, completion):
    """log p of a completion by the plainest means."""
    end, encode = model.tokenizer.end_of_text, model.tokenizer.encode
    whole, before = encode(context + completion), encode(context)
    if not before:
        whole, before = [end, *whole], [end]
    logs = model.logits(torch.tensor([whole]))[0].log_softmax(-1)
    return sum(float(logs[place - 1, whole[place]]) for place in range(len(before), len(whole)))


def test_scores_are_those_of_each_pair_alone(model, folder, data, tmp_path):
    found = stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices", "names", "cloze"))["tasks"]
    hits = 0
    for row, record in zip(rows(tmp_path / "out", "choices"), CHOICES, strict=True):
        nats = [alone(model, record["query"], " " + choice) for choice in record["choices"]]
        counts = [len(model.tokenizer.encode(" " + choice)) for choice in record["choices"]]
        means = [each / count for each, count in zip(nats, counts, strict=True)]
        assert row["nats"] == pytest.approx(nats, abs=1e-4) and row["tokens"] == counts
        assert row["scores"] == pytest.approx(means, abs=1e-4) and row["choice"] == means.index(max(means))
        assert row["by_rule"]["sum"] == nats.index(max(nats))
        hits += row["choice"] == record["gold"]
    assert found["choices"]["figures"]["accuracy"]["value"] == hits / 8
    for row, record in zip(rows(tmp_path / "out", "names"), NAMES, strict=True):
        nats = [alone(model, context, " is equal") for context in record["context_options"]]
        assert row["nats"] == pytest.approx(nats, abs=1e-4) and row["choice"] == nats.index(max(nats))
    totals = [alone(model, record["context"], " shall have") for record in CLOZE]
    assert [row["nats"] for row in rows(tmp_path / "out", "cloze")] == pytest.approx(totals, abs=1e-4)
    assert found["cloze"]["figures"]["perplexity"]["value"] == pytest.approx(math.exp(-sum(totals) / 8), rel=1e-4)


def test_unconditional_scores(model, folder, data):
    (ready,) = find_tasks([str(data / "choices.jsonl")], None)
    task = replace(ready.task, rule="unconditional")
    for row, record in zip(measure(model, task, [ready.prompts[n] for n in range(8)]), CHOICES, strict=True):
        less = [alone(model, "Answer:", " " + choice) for choice in record["choices"]]
        assert row["scores"] == pytest.approx([a - b for a, b in zip(row["nats"], less, strict=True)], abs=1e-4)
        assert row["choice"] == row["by_rule"]["unconditional"]


def test_what_is_said_is_what_the_model_generates(model, folder, data, tmp_path):
    stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "free"))
    for row, record in zip(rows(tmp_path / "out", "free"), FREE, strict=True):
        expected = model.generate(record["context"], 64, temperature=0, stop=("\n",))
        assert row["said"] == expected[: len(row["said"])] and row["said"]
        assert row["f1"] >= row["exact"]


def test_texts_are_read_whole(model, folder, data, tmp_path):
    from genus.evaluate.perplexity import bits_per_byte

    found = stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "text"))["tasks"]["text"]["figures"]
    expected = bits_per_byte(model, [record["text"] for record in TEXT])
    assert found["bits_per_byte"]["value"] == pytest.approx(expected["bits_per_byte"], rel=1e-5)
    assert found["perplexity_token"]["value"] == pytest.approx(expected["perplexity"], rel=1e-5)
    assert all(row["tokens"] > 128 for row in rows(tmp_path / "out", "text"))  # more than the context


@pytest.mark.parametrize("shots", [0, 2])
def test_neither_order_nor_company_changes_a_score(model, data, shots):
    (ready,) = find_tasks([str(data / "choices.jsonl")], None, shots)
    prompts = [ready.prompts[number] for number in range(8)]
    straight = measure(model, ready.task, prompts)
    back = measure(model, ready.task, prompts[::-1])[::-1]
    single = [row for prompt in prompts for row in measure(model, ready.task, [prompt])]
    for one, *others in zip(straight, back, single, strict=True):
        for other in others:
            assert other["nats"] == pytest.approx(one["nats"], abs=1e-4)
            assert {**other, "nats": 0, "scores": 0} == {**one, "nats": 0, "scores": 0}


def test_alone_or_among_others_a_task_is_the_same(folder, data, tmp_path):
    every = stage.evaluate_tasks(asked(folder, data, tmp_path / "every", shots=1, seed=3))["tasks"]
    for name in OWN:
        one = stage.evaluate_tasks(asked(folder, data, tmp_path / name, name, shots=1, seed=3))["tasks"]
        assert one[name] == every[name]


def test_zero_examples_are_zero_shot(folder, data, tmp_path):
    stage.evaluate_tasks(asked(folder, data, tmp_path / "zero", "choices", shots=0, seed=1))
    stage.evaluate_tasks(asked(folder, data, tmp_path / "one", "choices", shots=1, seed=1))
    zero, one = rows(tmp_path / "zero", "choices"), rows(tmp_path / "one", "choices")
    assert [row["prompt"] for row in zero] == [record["query"] for record in CHOICES]
    assert all(a["prompt"].endswith("\n\n" + b["prompt"]) and a["nats"] != b["nats"] for a, b in zip(one, zero, strict=True))


def test_a_killed_evaluation_goes_on(folder, data, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_ITEMS", 3)
    straight = stage.evaluate_tasks(asked(folder, data, tmp_path / "straight", shots=1))
    out, real, done = tmp_path / "killed", finding.measure, []

    def counted(model, task, prompts):
        done.append(task.name)
        if len(done) in (3, 7):
            raise KeyboardInterrupt
        return real(model, task, prompts)

    monkeypatch.setattr(finding, "measure", counted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stage.evaluate_tasks(asked(folder, data, out, shots=1))
        with (out / "choices.jsonl").open("a") as file:
            file.write('{"place": "half a li')
    assert "main" not in json.loads((out / "results.json").read_text())["tasks"]["cloze"]
    assert stage.evaluate_tasks(asked(folder, data, out, shots=1))["tasks"] == straight["tasks"]
    assert len(done) == 5 * 3 + 2  # nothing that was kept was done again
    for name in OWN:
        assert (out / f"{name}.jsonl").read_bytes() == (tmp_path / "straight" / f"{name}.jsonl").read_bytes()
    done.clear()
    monkeypatch.setattr(stage, "load", None)  # not even the model is needed
    assert stage.evaluate_tasks(asked(folder, data, out, shots=1))["tasks"] == straight["tasks"] and not done


def test_a_higher_limit_goes_on(folder, data, tmp_path):
    whole = stage.evaluate_tasks(asked(folder, data, tmp_path / "whole", "choices", shots=1))["tasks"]
    few = stage.evaluate_tasks(asked(folder, data, tmp_path / "few", "choices", shots=1, limit=3))["tasks"]
    assert few["choices"]["items"] == 3 and len(rows(tmp_path / "few", "choices")) == 3
    more = stage.evaluate_tasks(asked(folder, data, tmp_path / "few", "choices", shots=1))["tasks"]["choices"]
    assert more["items"] == 8 and more["figures"]["accuracy"] == whole["choices"]["figures"]["accuracy"]
    again = stage.evaluate_tasks(asked(folder, data, tmp_path / "few", "choices", shots=1, limit=3))["tasks"]["choices"]
    assert again == few["choices"]  # of the first three, though more are kept
    assert [row["prompt"] for row in rows(tmp_path / "few", "choices")] == [
        row["prompt"] for row in rows(tmp_path / "whole", "choices")
    ]


@pytest.mark.parametrize(("changes", "said"), [
    ({"seed": 1}, "seed was 0, now 1"),
    ({"shots": 2}, "shots was 1, now 2"),
])  # fmt: skip
def test_other_settings_want_another_folder(folder, data, tmp_path, changes, said):
    stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices", shots=1))
    with pytest.raises(GenusError, match=f"choices was begun otherwise \\({said}\\); name another --out"):
        stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices", **{"shots": 1, **changes}))


def test_changed_files_are_named(folder, data, tmp_path):
    stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices"))
    write_records(data / "choices.jsonl", CHOICES[:5])
    with pytest.raises(GenusError, match=r"files.choices.jsonl was \w{64}, now \w{64}"):
        stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices"))
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "choices.jsonl").write_text("{}\n")
    with pytest.raises(GenusError, match="is of no evaluation that"):
        stage.evaluate_tasks(asked(folder, data, tmp_path / "new", "choices"))


def test_a_long_context_is_cut_and_counted_and_the_completion_is_whole(model, data, tmp_path):
    long = {**CHOICES[0], "query": "the people of these states " * 40 + "shall have"}
    write_records(data / "choices.jsonl", [*CHOICES, long])
    free = {"context": "".join(f"no law {n} shall be made " for n in range(40)), "answers": ["x"]}
    write_records(data / "free.jsonl", [*FREE, free])
    ready, said = find_tasks([str(data / f"{name}.jsonl") for name in ("choices", "free")], None)
    *short, row = measure(model, ready.task, [ready.prompts[number] for number in range(9)])
    pairs = [(long["query"], " " + choice) for choice in long["choices"]]
    lengths = [len(each.request.context) + len(each.request.completion) for each in encode_pairs(model.tokenizer, pairs)]
    assert row["cut"] == max(lengths) - 129 and not any(each["cut"] for each in short)
    assert row["tokens"] == [len(model.tokenizer.encode(completion)) for _, completion in pairs]
    *short, row = measure(model, replace(said.task, most=9), [said.prompts[number] for number in range(9)])
    ids = model.tokenizer.encode(free["context"].rstrip())
    assert row["cut"] == len(ids) - (128 - 9) and not any(each["cut"] for each in short)
    said = model.tokenizer.decode(model.generate(ids[9 - 128 :], 9, temperature=0, return_tokens=True))
    assert row["said"] == said.partition("\n")[0]


def test_what_is_wrong_is_said_before_the_model_loads(folder, data, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "load", None)
    write_records(data / "bad.jsonl", [*CHOICES, {**CHOICES[0], "gold": 3}])
    with pytest.raises(GenusError, match=r"bad.jsonl, line 9: gold is 3"):
        stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices", "bad"))
    (data / "nothing.toml").write_text('kind = "choice"\nfile = "choices.jsonl"\ncompletion = ""\n')
    with pytest.raises(GenusError, match=r"choices.jsonl, line 1: what should be said, '', is no token"):
        stage.evaluate_tasks(replace(asked(folder, data, tmp_path / "out"), tasks=(str(data / "nothing.toml"),)))
    for changes, said in (
        ({"limit": 0}, "limit = 0"),
        ({"shots": -1}, "shots = -1"),
        ({"shots": 8}, "choices.jsonl, line 1: 8 examples"),
    ):
        with pytest.raises(GenusError, match=said):
            stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices", **changes))
    with pytest.raises(GenusError, match=r"holds no model; name the folder that has config.json"):
        stage.evaluate_tasks(asked(data, data, tmp_path / "out", "choices"))
    assert not (tmp_path / "out").exists()


def test_beams_find_what_is_likelier(model, data):
    (ready,) = find_tasks([str(data / "free.jsonl")], None)
    prompts = [ready.prompts[number] for number in range(8)]
    narrow = replace(ready.task, most=4, stop=("zzz",))
    total = {}
    for beams in (1, 4):
        found = measure(model, replace(narrow, beams=beams), prompts)
        total[beams] = [alone(model, prompt.contexts[0], row["said"]) for prompt, row in zip(prompts, found, strict=True)]
    assert sum(total[4]) > sum(total[1])


def test_the_table(folder, data, tmp_path):
    found = stage.table(stage.evaluate_tasks(asked(folder, data, tmp_path / "out", "choices", "text", limit=4)))
    assert [row[:4] for row in found] == [
        ("task", "measure", "shots", "items"), ("choices", "accuracy", "0", "4"),
        ("text", "bits_per_byte", "0", "4")]  # fmt: skip
