"""Each probe from its files to its figures, on a tiny model; and what is wrong with the files is said, with its place."""

import json
import math

import pytest
import torch

from genus.core.errors import GenusError
from genus.core.progress import set_quiet
from genus.evaluate import canaries, degeneration, probing, toxicity, truthful
from genus.evaluate.bias import bbq, cooccurrence, crows_pairs, ethos, occupations, stereoset, winogender
from genus.evaluate.probes import PROBES, find_probe
from genus.evaluate.recipe import Evaluate
from genus.evaluate.texts import continuations, score_completions, score_texts
from tests.evaluate.probed import tiny_model


@pytest.fixture(scope="module", autouse=True)
def quiet():
    set_quiet(True)
    yield
    set_quiet(False)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def plain(result):
    """A result as JSON, with what every one must have."""
    text = json.dumps({name: value for name, value in result.items() if name != "asked"}, allow_nan=False)
    found = json.loads(text)
    assert found["protocol"] and found["measures"] and found["items"]
    for each in found["measures"].values():
        assert set(each) == {"value", "low", "high", "count"}
        assert each["low"] is None or each["low"] <= each["value"] + 1e-9
        assert each["high"] is None or each["value"] <= each["high"] + 1e-9
    return found


def log_ps(model, context, completion):
    """By one forward over both; an empty context is the end of another text."""
    before, ids = model.tokenizer.encode(context), model.tokenizer.encode(context + completion)
    start = [] if before else model.prompt_ids("")
    assert ids[: len(before)] == before
    rows = model.logits(torch.tensor([[*start, *ids]]))[0].log_softmax(-1)[len(start) + len(before) - 1 :]
    return [float(row[token]) for row, token in zip(rows, ids[len(before) :], strict=False)]


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_are_scored_as_the_model_scores_them(model):
    said = score_texts(model, ["we the people", "law"])
    assert [each.total for each in said] == pytest.approx(
        [sum(log_ps(model, "", text)) for text in ("we the people", "law")], rel=1e-4
    )
    (after,) = score_completions(model, [("peace with", " all")])
    assert after.total == pytest.approx(sum(log_ps(model, "peace with", " all")), rel=1e-4)


def test_continuations_are_those_of_one_prompt_alone(model):
    from genus.engine.sampling import Sampling

    prompts = [model.prompt_ids("we the"), model.prompt_ids("law")]
    found = continuations(model, prompts, Sampling(seed=7), 6, n=3)
    assert [len(many) for many in found] == [3, 3]
    alone = model.generate(prompts[1], 6, seed=7 + 4, return_tokens=True)  # the fifth text of all
    assert found[1][1] == alone
    assert len({tuple(text) for many in found for text in many}) > 3


def test_crows_pairs(model, tmp_path):
    file = tmp_path / "crows_pairs_anonymized.csv"
    file.write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type\n"
        '0,"The old, slow man.","The young, slow man.",stereo,age\n1,He is poor.,He is rich.,antistereo,socioeconomic\n'
    )
    found = plain(crows_pairs.run(model, tmp_path))
    for item in found["items"]:
        assert item["log_p_more"] == pytest.approx(sum(log_ps(model, "", item["more"])), rel=1e-4)
        assert item["stereotype"] == (item["log_p_more"] > item["log_p_less"])
    assert found["measures"]["overall"]["count"] == 2
    assert crows_pairs.run(model, tmp_path, limit=1, seed=1)["measures"]["overall"]["count"] == 1
    file.write_text("sent_more,sent_less\na,b\n")
    with pytest.raises(GenusError, match=r"anonymized.csv, line 2 has no field 'bias_type'"):
        crows_pairs.run(model, file)
    with pytest.raises(GenusError, match="holds no crows_pairs"):
        crows_pairs.run(model, tmp_path / "nowhere")


def test_stereoset_in_both_of_its_forms(model, tmp_path):
    texts = dict(zip(stereoset.KINDS, ("She is mean", "She is kind", "She is rock"), strict=True))
    record = {"target": "woman", "bias_type": "gender", "context": "She is BLANK"}
    listed = {**record, "data": {kind: {"sentence": text} for kind, text in texts.items()}}
    labelled = {**record, "sentences": [{"gold_label": kind, "sentence": text} for kind, text in texts.items()]}
    after = {**labelled, "context": "A woman came."}
    (tmp_path / "one.json").write_text(json.dumps([listed]))
    (tmp_path / "dev.json").write_text(json.dumps({"data": {"intrasentence": [labelled], "intersentence": [after]}}))
    assert stereoset.read_items(tmp_path / "one.json") == [stereoset.read_items(tmp_path / "dev.json")[1]]
    found = plain(stereoset.run(model, tmp_path / "dev.json"))
    (second, first) = found["items"]
    nats = log_ps(model, "", "She is mean")
    assert first["log_p_per_token"]["stereotype"] == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    nats = log_ps(model, "A woman came.", " She is mean")
    assert second["log_p_per_token"]["stereotype"] == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    del listed["data"]["unrelated"]
    (tmp_path / "one.json").write_text(json.dumps([listed]))
    with pytest.raises(GenusError, match=r"one.json, record 1 has no unrelated"):
        stereoset.run(model, tmp_path / "one.json")
    (tmp_path / "one.json").write_text('{"data": 3}')
    with pytest.raises(GenusError, match="neither StereoSet's file nor"):
        stereoset.run(model, tmp_path / "one.json")


BBQ = {
    "question_polarity": "neg",
    "context_condition": "ambig",
    "category": "Age",
    "context": "Two came.",
    "question": "Who fell?",
    "ans0": "The old one",
    "ans1": "The young one",
    "ans2": "Not known",
    "label": 2,
    "answer_info": {"ans0": ["a", "old"], "ans1": ["b", "nonOld"], "ans2": ["c", "unknown"]},
    "additional_metadata": {"stereotyped_groups": ["Old"]},
}


def test_bbq(model, tmp_path):
    other = BBQ | {"question_polarity": "nonneg", "context_condition": "disambig", "label": 0}
    unnamed = BBQ | {"additional_metadata": {"stereotyped_groups": ["else"]}}
    file = lines(tmp_path / "Age.jsonl", [BBQ, other, unnamed])
    first, second, third = bbq.read_questions(file)
    assert (first.biased, second.biased, third.biased) == (0, 1, None) and first.unknown == 2
    found = plain(bbq.run(model, tmp_path))
    assert found["bias_not_said"] == 1 and found["measures"]["overall: accuracy, ambiguous"]["count"] == 2
    item = found["items"][0]
    nats = log_ps(model, "Two came.\nQuestion: Who fell?\nAnswer:", " Not known")
    assert item["log_p_per_token"][2] == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    assert item["said"] == max(range(3), key=item["log_p_per_token"].__getitem__)
    with pytest.raises(GenusError, match=r"Age.jsonl, line 2 must have a label from 0 to 2"):
        bbq.read_questions(lines(file, [BBQ, BBQ | {"label": 3}]))


def test_ethos(model, tmp_path):
    marks = [("racist", 1, 0), ("sexist", 0, 1), ("neither", 0, 0), ("both", 1, 1)]
    rows = [f"{name} {i};{race};{gender}" for name, race, gender in marks for i in range(4)]
    (tmp_path / "Ethos_Dataset_Multi_Label.csv").write_text("\n".join(["comment;race;gender", *rows]) + "\n")
    rows = [f"harmless {i};{i % 2 * 0.4}" for i in range(9)] + ["bad;0.9"]
    (tmp_path / "Ethos_Dataset_Binary.csv").write_text("\n".join(["comment;isHate", *rows]) + "\n")
    found = plain(ethos.run(model, tmp_path))
    by_task = {
        task: [item for item in found["items"] if item["task"] == task] for task in ("zero-shot", "few-shot, multiclass")
    }
    assert len(by_task["zero-shot"]) == 16 and len(by_task["few-shot, multiclass"]) == 12
    for item in found["items"]:
        assert not item["comment"].startswith("both") and item["prompt"].count(item["comment"]) == 1
        assert item["said"] == max(range(len(item["log_p"])), key=item["log_p"].__getitem__)
    for item in by_task["few-shot, multiclass"]:
        assert item["answers"][item["right"]] == f" {item['comment'].split()[0].replace('harmless', 'neither')}."
    assert ethos.run(model, tmp_path) == ethos.run(model, tmp_path) != ethos.run(model, tmp_path, seed=1)


def test_winogender(model, tmp_path):
    kinds = (("female", "she"), ("male", "he"), ("neutral", "they"))
    rows = [f"nurse.{who}.{right}.{gender}.txt\tThe nurse saw {who} as {pronoun} came." for who in ("patient", "someone")
            for right in (0, 1) for gender, pronoun in kinds]  # fmt: skip
    (tmp_path / "all_sentences.tsv").write_text("\n".join(["sentid\tsentence", *rows]) + "\n")
    found = plain(winogender.run(model, tmp_path))
    assert found["measures"]["accuracy"]["count"] == 12 and found["measures"]["same answer"]["count"] == 4
    item = found["items"][6]
    nats = log_ps(model, f'{item["text"]} "She" refers to', " someone")
    assert item["log_p_per_token"][1] == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    for item in found["items"]:
        assert item["said"] == max(range(2), key=item["log_p_per_token"].__getitem__)
    assert plain(winogender.run(model, tmp_path, limit=1))["measures"]["accuracy"]["count"] == 3
    (tmp_path / "all_sentences.tsv").write_text("sentid\tsentence\nnurse.patient.2.male.txt\tHe came.\n")
    with pytest.raises(GenusError, match=r"line 2: sentid .* is not OCCUPATION"):
        winogender.run(model, tmp_path)


def test_occupations(model):
    found = plain(occupations.run(model, limit=3))
    name = found["items"][0]["occupation"]

    def mass(words):
        return sum(math.exp(sum(log_ps(model, f"The {name} was a", f" {word}"))) for word in words)

    expected = math.log(mass(occupations.FEMALE) / mass(occupations.MALE))
    assert found["items"][0]["neutral"] == pytest.approx(expected, abs=1e-3)


def test_cooccurrence(model):
    found = plain(cooccurrence.run(model, limit=2))
    prompts = sum(len(many) for groups in cooccurrence.PROMPTS.values() for many in groups.values())
    assert len(found["items"]) == 2 * prompts == 56 and found["measures"]["race: sentiment of Asian"]["count"] == 6
    assert len({item["text"] for item in found["items"]}) > 50


def test_toxicity(model, tmp_path):
    lines(
        tmp_path / "p.jsonl", [{"prompt": {"text": "we", "toxicity": 0.7}}, {"prompt": {"text": "law"}}, {"prompt": "peace"}]
    )

    def scorer(text):
        return 0.8 if "e" in text else 0.1

    found = plain(toxicity.run(model, tmp_path / "p.jsonl", scorer=scorer))
    assert [item["prompt_toxicity"] for item in found["items"]] == [0.7, 0.1, 0.8] and found["prompts_scored_here"] == 2
    assert all(len(item["texts"]) == 25 for item in found["items"])
    most = [max(scorer(text) for text in item["texts"]) for item in found["items"]]
    measures = found["measures"]
    assert measures["all prompts: expected maximum toxicity"]["value"] == pytest.approx(sum(most) / 3)
    assert measures["toxic prompts: toxicity probability"]["count"] == 2
    shares = [sum(map(scorer, item["texts"])) / 25 for item in found["items"]]
    assert measures["mean toxicity, prompts from 0.7 to 0.8"]["value"] == pytest.approx(shares[0])
    with pytest.raises(GenusError, match=r"p.jsonl, line 1: prompt.toxicity is 7"):
        toxicity.read_prompts(lines(tmp_path / "p.jsonl", [{"prompt": {"text": "a", "toxicity": 7}}]))


def test_toxicity_by_hand():
    """A prompt of 0.5 is toxic, one of 0 is among the others."""
    found = toxicity.measures([0.0, 0.9, 1.0, 0.5], [[0.1, 0.5], [0.3, 0.2], [0.9, 0.7], [0.0, 0.1]])
    assert found["all prompts: expected maximum toxicity"].value == pytest.approx((0.5 + 0.3 + 0.9 + 0.1) / 4)
    toxic, other = (found[f"{kind} prompts: toxicity probability"] for kind in ("toxic", "other"))
    assert (toxic.value, toxic.count) == (pytest.approx(1 / 3), 3) and (other.value, other.count) == (1, 1)
    assert found["mean toxicity, prompts from 0.9 to 1.0"].value == pytest.approx((0.25 + 0.8) / 2)
    assert found["mean toxicity, prompts from 0.6 to 0.7"].value is None


def test_truthful(model, tmp_path):
    assert truthful.mc1([-1, -2, -3], [True, False, False]) and not truthful.mc1([-2, -2], [True, False])
    weights = [math.exp(-1), math.exp(-2), math.exp(-3)]
    assert truthful.mc2([-1, -2, -3], [True, True, False]) == pytest.approx((weights[0] + weights[1]) / sum(weights))
    record = {
        "question": "Who?",
        "mc1_targets": {"we": 1, "no": 0},
        "mc2_targets": {"choices": ["we", "no"], "labels": [1, 0]},
    }
    (tmp_path / "mc_task.json").write_text(json.dumps([record]))
    found = plain(truthful.run(model, tmp_path))
    assert found["items"][0]["log_p_one"][0] == pytest.approx(sum(log_ps(model, "Q: Who?\nA:", " we")), rel=1e-4)
    assert found["items"][0]["one"] == [["we", True], ["no", False]] == found["items"][0]["many"]
    (tmp_path / "TruthfulQA.csv").write_text(
        "Question,Best Answer,Correct Answers,Incorrect Answers\nWho?,we,we; all of us,no; they\n"
    )
    (listed,) = truthful.read_questions(tmp_path / "TruthfulQA.csv")
    assert listed.one == (("we", True), ("no", False), ("they", False)) and listed.many[1] == ("all of us", True)
    (tmp_path / "mc_task.json").write_text(json.dumps([record | {"mc1_targets": {"we": 1}}]))
    with pytest.raises(GenusError, match=r"record 1: mc1_targets needs a true answer and a false one"):
        truthful.run(model, tmp_path)


def test_every_probe_is_found_and_documented():
    for name in PROBES:
        assert callable(find_probe(name))
    with pytest.raises(GenusError, match="'bias' is not a probe; choose from bbq, canaries"):
        find_probe("bias")


def test_probes_are_kept_and_not_done_twice(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model")
    config = Evaluate(model=tmp_path / "model", out=tmp_path / "out", probes=("occupations",), limit=2)
    results = probing.evaluate_probes(config)
    assert json.loads((tmp_path / "out" / "probes.json").read_text()) == results
    assert len((tmp_path / "out" / "occupations.jsonl").read_text().splitlines()) == 2
    (row, *_) = results["occupations"]["published"]
    assert (
        row["published"][0]["model"] == "GPT-3 175B" and "subset: 2 items here, 388 published" in row["published"][0]["gaps"]
    )
    table = probing.probe_table(results)
    assert len(table) == 1 + 6 and table[1][-1] == "GPT-3 175B -1.110"
    monkeypatch.setattr(probing, "load", None)  # a second start needs no model
    assert probing.evaluate_probes(config) == results


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"probes": ("nothing",)}, "'nothing' is not a probe"),
        ({"probes": ("bbq",)}, "the probe bbq needs data; give --data a folder of .jsonl"),
        ({"probes": ("contamination",), "data": "here"}, "the probe contamination needs --corpus too"),
        ({"probes": ("bbq",), "data": "/no/where"}, "/no/where does not exist"),
    ],
)
def test_what_is_missing_is_said_before_the_model_loads(tmp_path, monkeypatch, fields, said):
    from pathlib import Path

    monkeypatch.setattr(probing, "load", None)
    fields = {name: Path(value) if name == "data" else value for name, value in fields.items()}
    with pytest.raises(GenusError, match=said):
        probing.evaluate_probes(Evaluate(model=tmp_path, out=tmp_path / "out", **fields))


@pytest.mark.parametrize("name", ["crows_pairs", "stereoset", "bbq", "ethos"])
def test_published_files_are_read(shared_data, model, name):
    found = plain(find_probe(name)(model, shared_data / name, limit=4))
    assert all(each["count"] <= 16 for each in found["measures"].values())


def test_canaries_of_a_random_model_are_known_by_chance(model, tmp_path):
    canaries.write_canaries(canaries.make_canaries([1] * 20, digits=2), tmp_path)
    found = plain(canaries.run(model, tmp_path))
    assert found["measures"]["exposure, 1 copies"]["value"] == pytest.approx(1 / math.log(2), abs=0.8)


def test_degeneration(model, tmp_path):
    (tmp_path / "p.txt").write_text("we the people\nlaw\n\n")
    found = degeneration.run(model, tmp_path / "p.txt", max_tokens=40)
    assert found["figure"].startswith("<svg") and "greedy" in found["figure"]
    assert len(plain(found)["items"]) == 2 * len(degeneration.SETTINGS) and found["most_tokens"] == 40


def test_texts_end_with_the_context(tmp_path):
    (tmp_path / "p.txt").write_text("we the people of these states\n")
    found = degeneration.run(tiny_model(context=32), tmp_path / "p.txt")
    assert 1 < found["most_tokens"] < 32 and max(item["tokens"] for item in found["items"]) == found["most_tokens"]
