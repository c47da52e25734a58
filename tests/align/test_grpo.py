"""GRPO: advantages within groups, sums that a program checks, and answers that become what is rewarded."""

import math
import re

import pytest
import torch

from genus.align import grpo
from genus.align.grpo import group_advantages, train_grpo
from genus.align.log_probs import answer_log_probs
from genus.align.recipe import Grpo
from genus.core.errors import GenusError
from genus.tasks.arithmetic import KINDS, Problem, is_right, problem
from genus.train.journal import read_journal
from genus.train.recipe import Every, Optim
from tests.align.small import QUIET, save_small


def test_an_answer_is_compared_with_its_group():
    found = group_advantages(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]), 4)
    deviation = math.sqrt(3) / 4
    assert found.tolist() == pytest.approx([0.75 / deviation] + [-0.25 / deviation] * 3 + [0.0] * 4, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_right_by_another_way_of_adding(kind):
    words = {"plus": "+", "minus": "-", "times": "*"}
    for number in range(20):
        asked, answer = problem(kind, number)
        found = asked.removeprefix("Q: What is ").removesuffix("?\nA:")
        one, sign, other = re.fullmatch(r"(\d+) ?(plus|minus|times|[-+*]) ?(.+)", found).groups()
        sign = words.get(sign, sign)
        if other.startswith("("):
            two, inner, three = re.fullmatch(r"\((\d)([-+*])(\d)\)", other).groups()
            other = {"+": int(two) + int(three), "-": int(two) - int(three), "*": int(two) * int(three)}[inner]
        expected = {"+": int(one) + int(other), "-": int(one) - int(other), "*": int(one) * int(other)}[sign]
        assert int(answer) == expected and is_right(Problem(asked, answer), f"{answer}.")
        assert problem(kind, number) == (asked, answer) != problem(kind, number + 1)
    with pytest.raises(GenusError, match="no kind of sum"):
        problem("add9", 0)


def test_only_the_first_number_counts():
    asked = Problem("Q", " 12")
    assert is_right(asked, " 12") and is_right(asked, "12 or 13")
    assert not any(is_right(asked, said) for said in (" 13 or 12", "", " twelve", " 121", "it is 12"))


def test_what_is_rewarded_becomes_likelier(tmp_path, monkeypatch):
    monkeypatch.setattr(grpo, "is_right", lambda problem, said: bool(re.match(r"[a-m ]", said)))
    start = save_small(tmp_path / "start")
    fields = {
        "batch": 32,
        "group": 8,
        "minibatch": 32,
        "micro_batch": 32,
        "answer_tokens": 4,
        "held_out": 8,
        "episodes": 640,
    }
    quiet = {**QUIET, "every": Every(validate=20, sample=0, checkpoint=20), "optim": Optim(lr=1e-2, weight_decay=0.0)}
    train_grpo(Grpo(model=start, out=tmp_path / "run", **fields, **quiet))
    rewards = [each["reward"] for each in read_journal(tmp_path / "run" / "metrics.jsonl") if "reward" in each]
    assert len(rewards) == 20 and sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.2


def test_the_first_ratios_are_exactly_1(tmp_path, monkeypatch):
    seen, plain = [], grpo._loss

    def spy(network, recipe, lesson):
        said = answer_log_probs(network, lesson.tokens, recipe.temperature)
        seen.append(said.log_probs.detach() - lesson.old)
        return plain(network, recipe, lesson)

    monkeypatch.setattr(grpo, "_loss", spy)
    sizes = {"batch": 16, "group": 4, "minibatch": 8, "micro_batch": 4, "answer_tokens": 8, "held_out": 4, "episodes": 16}
    optim = Optim(lr=1e-2, weight_decay=0.0)
    train_grpo(Grpo(model=save_small(tmp_path / "start"), out=tmp_path / "run", **sizes, **{**QUIET, "optim": optim}))
    assert len(seen) == 4 and all(torch.equal(ratio, torch.zeros_like(ratio)) for ratio in seen[:2])
