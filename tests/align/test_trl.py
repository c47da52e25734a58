"""TRL, which tokenises, adds the end token and computes by itself, finds our losses and gradients of the same batch."""

import json
import math
from pathlib import Path

import pytest
import torch

from genus.align import dpo, reward
from genus.align.compared import encode_comparisons, find_comparisons
from genus.align.recipe import Dpo
from genus.engine.model import load
from genus.models.scorer import Scorer
from genus.models.weights import load_model, load_scorer, save_scorer
from genus.tokenizers.tokenizer import Tokenizer
from tests.align.small import save_small
from tests.train.trl_losses import trls

CPU = torch.device("cpu")
PAIRS = [  # prompt, the better answer and the worse; lengths differ within pairs and between them
    ("say 1", " the people and the law", " the world"),
    ("all of it, say 22", " peace", " nations of the world"),
    ("we", " order", " the law of the people"),
]
TWO_TOKENS = [("say 1", " the people", " all people"), ("all of it, say 22", " the world", " the union")]


def write_pairs(folder, pairs):
    path = folder / f"pairs-{len(pairs)}.jsonl"
    lines = [{"prompt": prompt, "chosen": chosen, "rejected": rejected} for prompt, chosen, rejected in pairs]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def encoded(data, tokenizer):
    return encode_comparisons(find_comparisons([str(data)]), tokenizer, 64)


def assert_same(network, scored, examples, theirs, scale=1.0):
    """In loss and gradient, of the very same tokens; `scale` times ours is theirs."""
    network.zero_grad()
    loss = scored.total / scored.weight * scale
    loss.backward()
    norm = torch.nn.utils.get_total_norm([each.grad for each in network.parameters() if each.grad is not None])
    assert sorted(example.tokens.tolist() for example in examples) == theirs["rows"]
    assert abs(theirs["loss"] - math.log(2)) > 0.02 and theirs["norm"] > 0.1  # not what a fresh model would have
    assert loss.item() == pytest.approx(theirs["loss"], abs=1e-5)
    assert norm.item() == pytest.approx(theirs["norm"], rel=1e-5)


def save_reward_model(folder, family):
    """Of random scores: of none, as training begins, every loss would be ln 2."""
    model = load(save_small(folder.parent / family, family))
    scorer = Scorer.of(model.network, 1)
    torch.manual_seed(0)
    torch.nn.init.normal_(scorer.score.weight)
    folder.mkdir()
    save_scorer(folder, scorer, model.family, ("reward",), {"pad": 0, "eos": model.tokenizer.end_of_text})
    model.tokenizer.save(folder)
    return folder


def test_the_reward_models_loss_is_trls(tmp_path):
    """TRL is told to fill rows up with our padding: by itself it takes the end token, and then reads the one before."""
    folders = [save_reward_model(tmp_path / f"{family}-reward", family) for family in ("gpt2", "llama")]
    tokenizer, data = Tokenizer.load(folders[0]), write_pairs(tmp_path, PAIRS)
    more = {"stage": "reward", "data": data, "pad_token": tokenizer.token_bytes(0).decode()}
    ranked = encoded(data, tokenizer)
    examples = [example for each in ranked for example in each.examples]
    for folder, theirs in zip(folders, trls(tmp_path / "trl", *({**more, "model": each} for each in folders)), strict=True):
        scorer, _, _ = load_scorer(folder)
        assert_same(scorer, reward._loss(scorer, reward._prepare(ranked, CPU)), examples, theirs)


def save_policy(folder, reference):
    """Far from the reference, or every loss would be ln 2."""
    model = load(reference)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save(folder)
    return folder


def test_dpos_losses_are_trls(tmp_path):
    """TRL divides an answer's log p by its length for IPO, which the paper's equation 17 does not: with answers of n tokens
    all, its loss at beta is ours at beta / n, divided by n squared. TRL smooths no sigmoid loss but that of AOT, which
    sorts a batch and so is DPO's of a single pair."""
    cases = [
        (PAIRS, {"loss_type": "sigmoid", "beta": 0.3}, {"loss": "sigmoid", "beta": 0.3}, 1.0),
        (TWO_TOKENS, {"loss_type": "ipo", "beta": 0.3}, {"loss": "ipo", "beta": 0.3 / 3}, 1 / 9),  # and the end
        (PAIRS[:1], {"loss_type": "aot", "label_smoothing": 0.2, "beta": 0.3}, {"smoothing": 0.2, "beta": 0.3}, 1.0),
        (
            PAIRS[:1],
            {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5], "beta": 0.3},
            {"beta": 0.3, "nll": 0.5},
            1.0,
        ),
    ]
    reference = save_small(tmp_path / "reference")
    policy = save_policy(tmp_path / "policy", reference)
    files = [write_pairs(tmp_path, pairs) for pairs, *_ in cases]
    given = {"stage": "dpo", "model": policy, "reference": reference}
    jobs = [{**given, "data": data, **theirs} for data, (_, theirs, *_) in zip(files, cases, strict=True)]
    for data, (_, _, fields, scale), theirs in zip(files, cases, trls(tmp_path / "trl", *jobs), strict=True):
        network, recipe = load_model(policy)[0], Dpo(model=reference, out=Path(), comparisons=(str(data),), **fields)
        known = dpo._with_reference(load_model(reference)[0], encoded(data, Tokenizer.load(policy)))
        examples = [example for each in known for example in each.ranked.examples]
        assert sum(int(example.learned.sum()) for example in examples) == theirs["counted"]
        assert_same(network, dpo._loss(network, recipe, dpo._prepare(known, CPU)), examples, theirs, scale)
