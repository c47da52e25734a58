"""Runs that must coincide, compared bit by bit, or step by step where arithmetic is regrouped."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genus.core.errors import GenusError, Stopped
from genus.core.files import read_json
from genus.train.journal import read_journal
from genus.train.machine import describe
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe, Optim
from tests.train.tiny import tiny_recipe

pytestmark = pytest.mark.xdist_group("trajectories")  # one worker makes the straight run that these share

CHILD = """
import sys
from pathlib import Path
from genus.train.pretrain import pretrain
from tests.train.tiny import tiny_recipe
pretrain(tiny_recipe(Path(sys.argv[1]), Path(sys.argv[2]), steps=int(sys.argv[3])))
"""


def losses(run: Path) -> list[float]:
    return [record["loss"] for record in read_journal(run / "metrics.jsonl") if "loss" in record]


def assert_same_end(one: Path, other: Path, step: int = 20) -> None:
    """Weights, optimizer, random state and data position, bit for bit."""
    left, right = one / "checkpoints" / f"step-{step}", other / "checkpoints" / f"step-{step}"
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (left / name).read_bytes() == (right / name).read_bytes(), name
    states = [read_json(folder / "state.json") for folder in (left, right)]
    for state in states:
        state["extra"].pop("seconds")
    assert states[0] == states[1]
    assert (one / "model" / "model.safetensors").read_bytes() == (other / "model" / "model.safetensors").read_bytes()
    assert losses(one) == losses(other)


@pytest.fixture(scope="module")
def straight(tiny_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("straight")
    pretrain(tiny_recipe(tiny_shards, out))
    return out


def start(shards: Path, out: Path, steps: int = 20) -> "subprocess.Popen[str]":
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", CHILD, str(shards), str(out), str(steps)]
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_twenty_steps_are_ten_killed_and_ten_resumed(tiny_shards, straight, tmp_path):
    """F50: kill -9 while training, somewhere past a checkpoint at step 10; then the same call again."""
    out = tmp_path / "killed"
    process = start(tiny_shards, out)
    wait_for(out / "checkpoints" / "step-10", process)
    process.kill()
    process.communicate()
    assert not (out / "model").exists()
    pretrain(tiny_recipe(tiny_shards, out))
    assert_same_end(straight, out)


def test_sigterm_saves_and_the_same_call_goes_on(tiny_shards, straight, tmp_path):
    """F52. Dropout is on in these runs, so the random state is part of what must survive."""
    out = tmp_path / "stopped"
    process = start(tiny_shards, out)
    wait_for(out / "checkpoints" / "step-5", process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    if "Stopped" in errors:  # else it had finished before the signal came
        assert "the same command goes on" in errors
    pretrain(tiny_recipe(tiny_shards, out))
    assert_same_end(straight, out)


def test_stopping_raises_stopped(tiny_shards, tmp_path, monkeypatch):
    from genus.train import run

    original = run._Run._record

    def record(self, step, spent):
        original(self, step, spent)
        if step.number == 3:
            signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(run._Run, "_record", record)
    with pytest.raises(Stopped, match="saved at step 3 of 20"):
        pretrain(tiny_recipe(tiny_shards, tmp_path))
    assert (tmp_path / "checkpoints" / "step-3").is_dir()


@pytest.mark.parametrize("micro_batch", [1, 2, 8])
def test_one_by_eight_is_eight_by_one(tiny_shards, tmp_path, micro_batch):
    """Without dropout, whose draws depend on how the step is cut."""
    model = ModelRecipe(family="gpt2", context=32, width=24, depth=2, heads=3)
    whole = tiny_recipe(tiny_shards, tmp_path / "whole", steps=8, model=model, micro_batch=4)
    cut = replace(whole, out=tmp_path / "cut", micro_batch=micro_batch)
    pretrain(whole)
    pretrain(cut)
    assert losses(cut.out) == pytest.approx(losses(whole.out), rel=2e-5)


def test_looking_up_does_not_change_training(tiny_shards, straight, tmp_path):
    """Samples and held-out losses draw no randomness from training and leave dropout on."""
    every = Every(validate=3, sample=4, checkpoint=5)
    pretrain(tiny_recipe(tiny_shards, tmp_path, every=every), sampler=lambda *_: "a sample")
    assert losses(tmp_path) == losses(straight)
    assert [record["step"] for record in read_journal(tmp_path / "samples.jsonl")] == [0, 4, 8, 12, 16, 20]


def test_a_finished_run_is_left_alone(tiny_shards, straight):
    before = (straight / "metrics.jsonl").read_bytes()
    pretrain(tiny_recipe(tiny_shards, straight))
    assert (straight / "metrics.jsonl").read_bytes() == before


def test_another_recipe_is_named(tiny_shards, straight):
    with pytest.raises(GenusError, match=r"optim.lr was 0.003, now 0.004.*--restart"):
        pretrain(tiny_recipe(tiny_shards, straight, optim=Optim(lr=4e-3)))


def test_restart_begins_anew(tiny_shards, tmp_path):
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=5))
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=5, optim=Optim(lr=1e-3)), restart=True)
    assert [record["step"] for record in read_journal(tmp_path / "metrics.jsonl") if "loss" in record] == [1, 2, 3, 4, 5]


def test_metrics_are_json_with_the_named_fields(straight):
    records = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    numbers = {"step", "tokens", "loss", "lr", "gradient_norm", "seconds", "tokens_per_second", "mfu", "skipped"}
    assert numbers | {"activation_rms"} == set(records[-2])
    assert set(records[-1]) == {"step", "tokens", "validation_loss"}


def test_weights_moved(straight):
    """The comparisons above would hold for a loop that does nothing."""
    weights = load_file(straight / "model" / "model.safetensors")
    assert losses(straight)[-1] < losses(straight)[0] - 0.5
    assert weights["model.norm.weight"].std() > 0


def test_measuring_the_machine_draws_no_random_number():
    """Else a run that is described again when it resumes would not be the straight run."""
    before = torch.get_rng_state()
    assert describe(torch.device("cpu"))["matmul_flops"] > 0
    assert torch.equal(before, torch.get_rng_state())
