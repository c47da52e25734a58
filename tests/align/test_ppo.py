"""PPO: ratios of exactly 1 at first, no text equals plain PPO, exact resume between rollouts, rewards that rise."""

import json
import shutil

import pytest
import torch

from genus.align import ppo
from genus.align.experience import batches
from genus.align.log_probs import answer_log_probs
from genus.align.losses import clipped_policy_loss
from genus.align.monitor import Monitor
from genus.align.ppo import open_ppo, train_ppo
from genus.align.recipe import Ppo
from genus.core.errors import GenusError
from genus.core.files import write_json
from genus.data.shards import ShardsRecipe, make_shards
from genus.train.journal import read_journal
from genus.train.recipe import Every, Optim
from tests.align.small import QUIET, make_home

ROLLOUT = {"batch": 8, "minibatch": 4, "micro_batch": 2, "answer_tokens": 8}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("ppo"), "model", epochs=12)


def recipe(home, out, **changes):
    fields = {"model": home / "model", "reward": home / "reward", "prompts": (str(home / "prompts.jsonl"),), "out": out}
    every = Every(validate=2, sample=0, checkpoint=1)
    return Ppo(**{**fields, **QUIET, **ROLLOUT, "every": every, "episodes": 32, **changes})


def test_the_first_ratios_are_exactly_1(home, tmp_path, monkeypatch):
    seen = []

    def spy(model, chosen, lesson):
        said = answer_log_probs(model["policy"], lesson.tokens, chosen.temperature)
        seen.append((said.log_probs.detach() - lesson.old, (lesson.old - lesson.reference).abs().max()))
        return plain(model, chosen, lesson)

    plain = ppo._loss
    monkeypatch.setattr(ppo, "_loss", spy)
    train_ppo(recipe(home, tmp_path / "run", inner_epochs=2, episodes=8))
    first = seen[:2]  # the two micro-batches of the first minibatch
    assert all(torch.equal(ratio, torch.zeros_like(ratio)) for ratio, _ in first)
    assert all(float(kl) == 0 for _, kl in first)
    assert not torch.equal(seen[2][0], torch.zeros_like(seen[2][0]))  # the policy has moved


def test_at_ratio_1_the_loss_is_minus_the_advantage():
    old = torch.tensor([-1.0, -2.0])
    losses, held = clipped_policy_loss(old, old, torch.tensor([0.5, -0.25]), 0.2)
    assert losses.tolist() == [-0.5, 0.25] and not held.any()


def test_without_weight_the_text_changes_nothing(home, tmp_path, tiny_shards):
    same = train_ppo(recipe(home, tmp_path / "plain"))
    zero = train_ppo(recipe(home, tmp_path / "zero", ptx=tiny_shards, ptx_weight=0.0))
    assert (same / "model.safetensors").read_bytes() == (zero / "model.safetensors").read_bytes()


def test_text_may_be_of_shards_by_source(home, tmp_path, mixed_shards):
    """All of it in one stream, each row once, whatever its source."""
    corpus = mixed_shards.parent / "corpus"
    apart = ShardsRecipe(corpus=corpus, tokenizer=home / "model", out=tmp_path / "shards", by="collection")
    tokens = make_shards(apart)["splits"]["train"]["tokens"]
    text = open_ppo(recipe(home, tmp_path / "run", ptx=apart.out))[0].text
    assert len(text.stream) == tokens and len({text.row(0, i).tobytes() for i in range(len(text))}) == tokens // 64 - 1
    train_ppo(recipe(home, tmp_path / "run", ptx=apart.out, episodes=8))
    steps = [each for each in read_journal(tmp_path / "run" / "metrics.jsonl") if "loss" in each]
    assert len(steps) == 2 and all(each["ptx_loss"] > 0 for each in steps)


def test_a_resumed_run_is_the_straight_one(home, tmp_path):
    changes = {"kl_target": 0.5, "average": 0.5, "inner_epochs": 2}
    train_ppo(recipe(home, tmp_path / "straight", **changes))
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "straight", cut)
    shutil.rmtree(cut / "model")
    newest = max((cut / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    shutil.rmtree(newest)  # as if it had been killed in the last rollout
    assert train_ppo(recipe(home, cut, **changes)) == cut / "model"
    for name in ("model/model.safetensors", "metrics.jsonl"):
        if name.endswith("jsonl"):
            ours, theirs = (read_journal(tmp_path / run / name) for run in ("straight", "cut"))
            keep = ("step", "loss", "reward", "kl", "kl_penalty")
            assert [[each.get(key) for key in keep] for each in ours] == [[each.get(key) for key in keep] for each in theirs]
        else:
            assert (cut / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_the_reward_rises(home, tmp_path, monkeypatch):
    def small_numbers(scorer, examples):  # the share of an answer's tokens below 100, of 300
        return torch.tensor([float((each.tokens[each.learned] < 100).mean()) for each in examples])

    monkeypatch.setattr(ppo, "score_examples", small_numbers)
    changes = {"episodes": 640, "batch": 16, "minibatch": 8, "micro_batch": 8, "optim": Optim(lr=1e-2, weight_decay=0.0)}
    every = Every(validate=40, sample=0, checkpoint=40)
    train_ppo(recipe(home, tmp_path / "run", **changes, share=0.5, every=every))
    records = read_journal(tmp_path / "run" / "metrics.jsonl")
    rewards = [each["reward"] for each in records if "reward" in each][1::2]  # of each rollout, in deviations at the start
    assert sum(rewards[-6:]) / 6 > sum(rewards[:6]) / 6 + 1
    held_out = [each["validation_kl"] for each in records if "validation_kl" in each]
    assert held_out[0] == 0.0 != held_out[-1]


def test_every_episode_is_in_one_minibatch_of_each_epoch():
    for epoch in (0, 1, 2):
        found = batches(12, 4, seed=3, rollout=5, epoch=epoch)
        assert [len(each) for each in found] == [4, 4, 4] and {number for each in found for number in each} == set(range(12))
    assert batches(12, 4, 3, 5, 1) != batches(12, 4, 3, 5, 2)


def test_a_reward_model_that_did_not_pass_is_not_used(home, tmp_path):
    shutil.copytree(home / "reward" / "model", tmp_path / "reward")
    write_json(tmp_path / "reward" / "gate.json", {"passed": False})
    with pytest.raises(GenusError, match="did not pass its gate"):
        train_ppo(recipe(home, tmp_path / "run", reward=tmp_path / "reward"))
    train_ppo(recipe(home, tmp_path / "run", reward=tmp_path / "reward", untrusted=True, episodes=8))


def test_a_reward_model_with_another_tokenizer_is_refused(home, tmp_path):
    shutil.copytree(home / "reward" / "model", tmp_path / "reward")
    path = tmp_path / "reward" / "tokenizer.json"
    said = json.loads(path.read_text())
    said["added_tokens"][0]["content"] = "<other>"
    path.write_text(json.dumps(said))
    with pytest.raises(GenusError, match="another tokenizer"):
        train_ppo(recipe(home, tmp_path / "run", reward=tmp_path / "reward"))


def test_rewards_that_are_no_numbers_stop_it(home, tmp_path, monkeypatch):
    monkeypatch.setattr(ppo, "score_examples", lambda scorer, examples: torch.full((len(examples),), torch.nan))
    with pytest.raises(GenusError, match="not finite"):
        train_ppo(recipe(home, tmp_path / "run", normalise=False, share=0.0))


def test_the_monitor_says_what_looks_like_cheating(capsys):
    figures = {"reward": 0.0, "kl": 0.0, "entropy": 3.0, "answer_tokens": 10.0, "ended": 1.0, "repetition": 0.0,
               "length_correlation": 0.1}  # fmt: skip
    monitor = Monitor()
    assert monitor.note(figures) == []
    assert monitor.note({**figures, "kl": 20.0}) == []  # nothing was gained by it
    worse = {**figures, "reward": 2.0, "kl": 12.0, "repetition": 0.5}
    found = monitor.note(worse)
    assert len(found) == 2 and all("reward hacking" in text for text in found)
    assert monitor.note(worse) == []  # said once


def test_a_run_does_not_go_on_with_another_reward_model(home, tmp_path):
    """Even where the new one has the same score head and differs within."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(home / "reward" / "model", tmp_path / "reward")
    chosen = recipe(home, tmp_path / "run", reward=tmp_path / "reward", episodes=8)
    train_ppo(chosen)
    weights = load_file(tmp_path / "reward" / "model.safetensors")
    weights["model.norm.weight"] *= 2
    save_file(weights, tmp_path / "reward" / "model.safetensors")
    with pytest.raises(GenusError, match="reward changed"):
        train_ppo(chosen)
