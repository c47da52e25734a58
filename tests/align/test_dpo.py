"""DPO: it starts at ln 2, learns, and its reference is the start model."""

import pytest
import torch

from genus.align.dpo import train_dpo
from genus.align.recipe import Dpo
from genus.engine.model import load
from genus.train.journal import read_journal
from tests.align.small import FAST, QUIET, save_small, write_comparisons


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("start") / "model")


def test_it_starts_at_ln_2_and_learns(start, tmp_path):
    data = write_comparisons(tmp_path / "comparisons.jsonl")
    fields = {"model": start, "out": tmp_path / "run", "comparisons": (str(data),), "held_out": (str(data),)}
    folder = train_dpo(Dpo(**fields, **QUIET, **FAST, epochs=6, batch=8, beta=0.5))
    records = read_journal(tmp_path / "run" / "metrics.jsonl")
    held_out = [record for record in records if "validation_loss" in record]
    assert held_out[0]["validation_loss"] == pytest.approx(0.693147, abs=1e-5)
    assert next(record for record in records if record.get("step") == 1 and "loss" in record)["loss"] == pytest.approx(
        0.693147, abs=1e-5
    )
    assert held_out[-1]["validation_accuracy"] == 1.0 and held_out[-1]["validation_loss"] < 0.4
    before, after = load(start), load(folder)
    assert sum(after.score("say 2", " the people")) > sum(before.score("say 2", " the people"))
    gain = [sum(m.score("say 2", " the people")) - sum(m.score("say 2", " the world")) for m in (before, after)]
    assert gain[1] > gain[0] + 1
    assert torch.isfinite(after.logits(torch.tensor([[1, 2]]))).all()
