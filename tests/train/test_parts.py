"""Parts that only some families have, through a whole pretraining run: experts and windows."""

import pytest

from genus.core.errors import GenusError
from genus.models.weights import load_model
from genus.train.journal import read_journal
from genus.train.pretrain import pretrain
from genus.train.recipe import ModelRecipe
from tests.train.tiny import tiny_recipe

SHAPE = {"context": 32, "width": 24, "depth": 2, "heads": 4}


def test_experts_train_from_scratch_and_say_what_their_routers_do(tiny_shards, tmp_path):
    model = ModelRecipe(family="gpt_oss", experts=4, per_token=2, window=8, **SHAPE)
    folder = pretrain(tiny_recipe(tiny_shards, tmp_path, steps=12, model=model))
    lines = [line for line in read_journal(tmp_path / "metrics.jsonl") if "loss" in line]
    assert len(lines) == 12 and lines[-1]["loss"] < lines[0]["loss"]
    for line in lines:
        assert 0 <= line["expert_load_least"] <= 1 <= line["expert_load_most"] <= 2  # of 4 experts, 2 a token
        assert 0 < line["router_entropy"] < 1.3863  # ln 4
        assert 0.002 <= round(line["balance"], 4) < 0.004  # 0.001 times from 2 to 4
    spec = load_model(folder)[0].spec
    assert (spec.mlp.count, spec.mlp.per_token, spec.attention.windows) == (4, 2, (8, None))


def test_a_sparse_transformer_trains(tiny_shards, tmp_path):
    model = ModelRecipe(family="gpt3", window=4, stride=4, **SHAPE)
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=12, model=model, mask_documents=True))
    losses = [line["loss"] for line in read_journal(tmp_path / "metrics.jsonl") if "loss" in line]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("family, part", [
    ("llama", {"window": 4}), ("gpt_neo", {"stride": 4}), ("gpt2", {"experts": 4}), ("opt", {"per_token": 1}),
])  # fmt: skip
def test_what_a_family_has_not_is_refused(tiny_shards, tmp_path, family, part):
    (name,) = part
    with pytest.raises(GenusError, match=rf"model.{name} = . is nothing that {family} has"):
        pretrain(tiny_recipe(tiny_shards, tmp_path / "run", model=ModelRecipe(family=family, **SHAPE, **part)))
    assert not (tmp_path / "run").exists()
