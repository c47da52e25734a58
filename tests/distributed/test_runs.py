"""Whole runs over ranks, beside the run of one process: curves, checkpoints, resuming on another number of ranks, faults.

Losses of runs that add up in another order agree within 2e-5, as those of one process cut into other micro-batches.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genus.models.weights import load_model
from genus.train.export import export
from genus.train.journal import read_journal
from tests.distributed.conftest import run_jobs
from tests.distributed.worker import recipe_of, train

pytestmark = pytest.mark.xdist_group("distributed")

TWO, FOUR = {"shard": 2}, {"shard": 2, "tensor": 2}
DROPOUT = {"dropout": 0.1}
MIXTURE = {"weights": {"speeches": 1, "laws": 2, "notes": 0.5}}


def job(name: str, parallel: dict, **more: object) -> dict:
    world = parallel.get("shard", 1) * parallel.get("tensor", 1) * parallel.get("replicate", 1)
    return {"name": name, "kind": "train", "parallel": parallel, "world": world, **more}


def losses(run: Path, key: str = "loss") -> list[float]:
    return [record[key] for record in read_journal(run / "metrics.jsonl") if key in record]


@pytest.fixture(scope="module")
def home(tiny_shards: Path, mixed_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: `one` by this process, the others by up to four."""
    home = tmp_path_factory.mktemp("runs")
    shared = {"shards": str(tiny_shards), "recipe": {"every": {"validate": 4, "sample": 8, "checkpoint": 4}}}
    one = {**job("one", {}), "out": str(home / "one"), **shared}
    train(one)
    muon = {"recipe": {**shared["recipe"], "optim": {"kind": "muon"}}, "model": {"family": "modern"}}
    train({**one, **muon, "out": str(home / "muon")})
    mixed = {"recipe": {**shared["recipe"], "mixture": MIXTURE}, "shards": str(mixed_shards)}
    train({**one, **mixed, "out": str(home / "mixed")})
    jobs = [
        job("mixed-two", TWO, **mixed),
        job("mixed-one-to-four", {"replicate": 2, "shard": 2}, copied=str(home / "mixed"), step=4, **mixed),
        job("muon-four", FOUR, **muon),
        job("two", TWO),
        job("four", FOUR),
        job("cut", TWO, recipe={"micro_batch": 1}),
        job("dropped", {**FOUR, "checkpointing": "full"}, model=DROPOUT),
        job("kept", FOUR, model=DROPOUT),
        job("stopped", TWO, signal=1),
        job("full", TWO, no_room=1),
        job("bf16", TWO, recipe={"precision": "bf16"}),
        job("one-to-two", TWO, copied=str(home / "one"), step=4),
        job("one-to-four", {"replicate": 2, "shard": 2}, copied=str(home / "one"), step=4),
        job("four-to-two", {"tensor": 2}, copied=str(home / "four"), step=4),
        job("dropped-again", {**FOUR, "checkpointing": "full"}, model=DROPOUT, copied=str(home / "dropped"), step=4),
        job("broken", TWO, copied=str(home / "two"), step=8),  # its newest checkpoint then gets a flipped byte
    ]
    found = run_jobs(home / "jobs", [finish(each, home, shared) for each in jobs])
    (home / "found.json").write_text(json.dumps(found))
    train({**one, "out": str(home / "four-to-one"), "copied": str(home / "four"), "step": 4})
    return home


def finish(each: dict, home: Path, shared: dict) -> dict:
    recipe = {**shared["recipe"], **each.get("recipe", {})}
    return {**shared, **each, "recipe": recipe, "out": str(home / each["name"])}


@pytest.mark.parametrize("name", ["two", "four", "cut", "one-to-two", "one-to-four", "four-to-two", "four-to-one"])
def test_the_curve_is_that_of_one_process(home, name):
    assert len(losses(home / name)) == 8
    assert losses(home / name) == pytest.approx(losses(home / "one"), rel=2e-5)
    assert losses(home / name, "gradient_norm") == pytest.approx(losses(home / "one", "gradient_norm"), rel=2e-4)
    assert losses(home / name, "validation_loss") == pytest.approx(losses(home / "one", "validation_loss"), rel=2e-5)
    weights, expected = (load_file(home / run / "model/model.safetensors") for run in (name, "one"))
    for key, tensor in expected.items():
        torch.testing.assert_close(weights[key], tensor, atol=2e-4, rtol=0)


def test_muon_turns_whole_matrices_of_which_each_rank_holds_a_part(home):
    assert losses(home / "muon-four") == pytest.approx(losses(home / "muon"), rel=2e-5)
    assert losses(home / "muon")[-1] < losses(home / "muon")[0] - 0.1


@pytest.mark.parametrize("name", ["mixed-two", "mixed-one-to-four"])
def test_a_mixture_is_read_once_by_all_ranks_together_also_by_more_of_them(home, name):
    assert losses(home / name) == pytest.approx(losses(home / "mixed"), rel=2e-5)
    assert losses(home / name, "validation_loss") == pytest.approx(losses(home / "mixed", "validation_loss"), rel=2e-5)
    assert losses(home / name, "mixture") == losses(home / "mixed", "mixture")
    assert losses(home / name, "mixture")[-1]["rows"] == 64


def test_the_curve_falls(home):
    """The comparisons above would hold for a loop that does nothing."""
    assert losses(home / "one")[-1] < losses(home / "one")[0] - 0.1


def test_bf16_is_near(home):
    assert losses(home / "bf16") == pytest.approx(losses(home / "one"), rel=5e-3)
    assert losses(home / "bf16") != pytest.approx(losses(home / "one"), rel=2e-5)


def test_straight_is_stopped_and_resumed_bit_for_bit(home):
    """On the same layout, dropout and the recomputing of activations included: every file of every rank."""
    straight, resumed = (home / name / "checkpoints/step-8" for name in ("dropped", "dropped-again"))
    names = sorted(path.name for path in straight.glob("*.safetensors"))
    assert len(names) == 8
    for name in names:
        assert (straight / name).read_bytes() == (resumed / name).read_bytes(), name
    assert losses(home / "dropped") == losses(home / "dropped-again")


def test_recomputed_activations_change_no_bit(home):
    assert losses(home / "kept") == losses(home / "dropped")
    assert losses(home / "kept") != pytest.approx(losses(home / "four"), rel=1e-4)  # dropout is on


def test_ranks_draw_their_own_dropout(home):
    states = [
        load_file(home / f"kept/checkpoints/step-8/optimizer-{rank:05d}-of-00004.safetensors")["random/cpu"]
        for rank in range(1, 5)
    ]
    assert not any(torch.equal(states[0], other) for other in states[1:])


def test_a_signal_to_any_rank_stops_all(home):
    found = json.loads((home / "found.json").read_text())["stopped"]
    assert {rank["error"] for rank in found} == {"Stopped: saved at step 3 of 8; the same command goes on from there"}
    assert (home / "stopped/checkpoints/step-3/sha256.json").is_file()


def test_a_rank_that_cannot_write_is_no_torn_checkpoint(home):
    """Checkpoints are written in a thread: its error is raised on every rank, and nothing half-written has appeared."""
    found = json.loads((home / "found.json").read_text())["full"]
    assert found[1]["error"] == "GenusError: no room"
    assert "could not be written by every rank" in found[0]["error"]
    assert list((home / "full/checkpoints").glob("step-*")) == []


def test_a_broken_part_falls_back_and_is_made_again(home):
    """The newest checkpoint of the finished run has a flipped byte in one rank's file."""
    for name in ("two", "broken"):
        assert (home / name / "checkpoints/step-8/sha256.json").is_file()
    for path in (home / "two/checkpoints/step-8").glob("*.safetensors"):
        assert path.read_bytes() == (home / "broken/checkpoints/step-8" / path.name).read_bytes()


def test_each_rank_writes_its_part_once(home):
    """Of two copies only one writes; all parts together are the model and no more."""
    for name, files in (("two", 2), ("four", 4), ("one-to-four", 4)):
        parts = [load_file(path) for path in sorted((home / name / "checkpoints/step-8").glob("model-*.safetensors"))]
        assert len(parts) == files
        whole = load_file(home / "one/checkpoints/step-8/model.safetensors")
        assert sum(t.numel() for part in parts for t in part.values()) == sum(t.numel() for t in whole.values())


def test_only_the_first_rank_writes_down(home):
    assert [record["step"] for record in read_journal(home / "four/metrics.jsonl") if "loss" in record] == list(range(1, 9))
    logbook = (home / "four/logbook.md").read_text()
    assert logbook.count(" start\n") == 1
    assert "processes: 4: replicate 1 x shard 2 x tensor 2" in logbook
    assert logbook.count("checkpoint: step-8 in ") == 1


def test_a_sample_is_of_the_whole_model(home):
    texts = [json.loads(line)["text"] for line in (home / "four/samples.jsonl").read_text().splitlines()]
    whole = load_file(home / "one/checkpoints/step-8/model.safetensors")
    assert texts == [str(sum(tensor.numel() for tensor in whole.values()))] * 2


def test_a_sharded_checkpoint_is_exported_with_the_same_logits(home, tiny_shards):
    from transformers import AutoModelForCausalLM

    settings = {"shards": str(tiny_shards), "out": str(home / "four"), "parallel": FOUR, "recipe": {}}
    folder = export(recipe_of(settings), step=4)
    ours, _ = load_model(folder)
    alone, _ = load_model(export(recipe_of({**settings, "out": str(home / "one")}), step=4))
    ids = torch.arange(1, 17)[None]
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        from genus.models.attend import DenseAttend

        logits = [model(ids, torch.arange(16)[None], DenseAttend(model.spec)) for model in (ours, alone)]
        torch.testing.assert_close(theirs(ids).logits, logits[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits[0], logits[1], atol=1e-3, rtol=0)
