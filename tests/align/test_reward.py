"""Reward models: they learn, resume exactly, know their zero point, and are not trusted before they pass."""

import json

import pytest
import torch

from genus.align.compared import Ranked, encode_comparisons, split_by_prompt
from genus.align.encoding import encode_answer
from genus.align.feedback import Feedback
from genus.align.gate import measure_gate
from genus.align.rankings import Task
from genus.align.recipe import Reward
from genus.align.reward import train_reward
from genus.align.scoring import score_examples
from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.data.comparisons import Comparison, Demonstration
from genus.data.encoding import encode_prompt
from genus.models.weights import load_scorer
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.journal import read_journal
from tests.align.said import said
from tests.align.small import FAST, QUIET, save_small, write_comparisons


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("start") / "model")


def recipe(start, tmp_path, **changes):
    data = write_comparisons(tmp_path / "comparisons.jsonl")
    fields = {"model": start, "out": tmp_path / "run", "comparisons": (str(data),), "held_out": (str(data),), "batch": 4}
    return Reward(**{**fields, **QUIET, **FAST, "epochs": 12, **changes})


def test_it_learns_what_was_ranked(start, tmp_path):
    folder = train_reward(recipe(start, tmp_path))
    assert read_journal(tmp_path / "run" / "metrics.jsonl")[0]["validation_loss"] == pytest.approx(0.6931, abs=1e-4)
    gate = read_json(tmp_path / "run" / "gate.json")
    assert gate["accuracy"] == 1.0 and gate["passed"] and (gate["prompts"], gate["pairs"]) == (8, 24)
    scorer, _, labels = load_scorer(folder)
    tokenizer = Tokenizer.load(folder)
    assert labels == ("reward",)
    ranked = encode_comparisons([Comparison("say 3", (" the people", " the world"), (1, 2))], tokenizer, 64)
    people, world = score_examples(scorer, ranked[0].examples)
    assert people > world + 1
    assert abs(float(people)) < 0.5  # the best answers have mean 0


def test_transformers_finds_the_token_that_ends_the_answer(start, tmp_path):
    from transformers import AutoModelForSequenceClassification

    folder = train_reward(recipe(start, tmp_path, epochs=2))
    scorer, _, _ = load_scorer(folder)
    tokenizer = Tokenizer.load(folder)
    texts = [
        [*encode_prompt(tokenizer, "say 3"), *encode_answer(tokenizer, "say 3", answer)] for answer in (" the", " law of")
    ]
    theirs = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    pad, most = theirs.config.pad_token_id, max(map(len, texts))
    ids = torch.tensor([text + [pad] * (most - len(text)) for text in texts])
    with torch.no_grad():
        found = theirs(ids, attention_mask=(ids != pad).long()).logits[:, 0] + scorer.shift
    ranked = encode_comparisons([Comparison("say 3", (" the", " law of"), (1, 2))], tokenizer, 64)
    torch.testing.assert_close(found, score_examples(scorer, ranked[0].examples), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_resumed_run_is_the_straight_one(start, tmp_path, rank):
    from genus.core.errors import Stopped
    from genus.train import run
    from genus.train.tune_recipe import Lora

    changes = {"dropout": 0.1, "epochs": 4, "lora": Lora(rank=rank)}
    straight = train_reward(recipe(start, tmp_path, out=tmp_path / "straight", **changes))
    patch = pytest.MonkeyPatch()
    with patch.context() as during:  # told to stop after the fourth step
        during.setattr(run._Run, "_note", lambda self, step, spent: told(step.number))

        def told(number):
            if number == 4:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGTERM)
            return ""

        with pytest.raises(Stopped):
            train_reward(recipe(start, tmp_path, out=tmp_path / "cut", **changes))
    cut = train_reward(recipe(start, tmp_path, out=tmp_path / "cut", **changes))
    assert (cut / "model.safetensors").read_bytes() == (straight / "model.safetensors").read_bytes()


def test_a_prompt_is_wholly_held_out_or_not():
    comparisons = [Comparison(f"p{number % 40}", ("a", "b"), (1, 2), f"labeller {number}") for number in range(120)]
    learned, held_out = split_by_prompt(comparisons, 0.3, seed=1)
    assert len(learned) + len(held_out) == 120 and len(held_out) > 12
    assert not {each.prompt for each in learned} & {each.prompt for each in held_out}


def test_what_cannot_be_learned_from_is_named(start, tmp_path):
    tied = tmp_path / "tied.jsonl"
    tied.write_text(json.dumps({"prompt": "a", "answers": ["b", "c"], "ranks": [1, 1]}) + "\n")
    with pytest.raises(GenusError, match="0 are longer than 64 tokens and 1 are all ties"):
        train_reward(recipe(start, tmp_path, comparisons=(str(tied),)))
    with pytest.raises(GenusError, match="none is held out"):
        train_reward(recipe(start, tmp_path, held_out=(), share=0.0))


def ranked(lengths, ranks, labeller=""):
    from genus.align.encoding import answer_example

    return Ranked(tuple(answer_example([1], [2] * length) for length in lengths), ranks, labeller)


def test_the_gate_counts():
    found = measure_gate(
        [ranked((3, 2, 1), (1, 2, 3), "ann"), ranked((1, 5), (1, 2), "bob")],
        [torch.tensor([2.0, 3.0, 1.0]), torch.tensor([0.0, 0.0])],
    )
    assert found.accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.length_accuracy == pytest.approx((1 + 0) / 2)
    assert found.by_labeller == pytest.approx({"ann": 2 / 3, "bob": 0.5})
    assert (found.prompts, found.pairs, found.passed) == (2, 4, False)
    # surenesses: 0.731 wrong; 0.731 and 0.881 right; 0.5 half right
    assert found.calibration_error == pytest.approx((abs(2 * 0.7311 - 1) + abs(0.8808 - 1) + 0) / 4, abs=1e-3)


def test_it_learns_from_people_without_a_file_between(start, tmp_path):
    feedback = Feedback.open(tmp_path / "feedback.db", new=True)
    feedback.add_tasks([Task(f"say {number}", (" the people", " the world", " of law")) for number in range(8)])
    for task in feedback.task_ids():
        feedback.save(said(task, (1, 3, 2), "anna"))
        feedback.save(said(task, (1, 2, 2), "ben"))
    feedback.demonstrate(Demonstration("say 3", " the people", "anna"))
    feedback.close()
    store = str(tmp_path / "feedback.db")
    chosen = recipe(start, tmp_path, comparisons=(store,), held_out=(store,), demonstrations=(store,))
    folder = train_reward(chosen)
    gate = read_json(folder / "gate.json")
    assert set(gate["by_labeller"]) == {"anna", "ben"} and gate["pairs"] == 8 * (3 + 2)
    assert gate["accuracy"] > 0.9 and gate["passed"]
    scorer, _, _ = load_scorer(folder)
    ranked = encode_comparisons([Comparison("say 3", (" the people", " of law"), (1, 2))], Tokenizer.load(folder), 64)
    assert float(score_examples(scorer, ranked[0].examples)[0]) == pytest.approx(0.0, abs=1e-5)  # the one demonstration
