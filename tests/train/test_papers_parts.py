"""What papers trained with beside AdamW and cross-entropy: PaLM's optimizer and z-loss, against formulas written out."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from genus.core.errors import GenusError
from genus.models.families import FAMILIES, family_named, published, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.train import cross_entropy, run
from genus.train.adafactor import Adafactor
from genus.train.journal import read_journal
from genus.train.losses import next_token
from genus.train.optim import make_optimizer
from genus.train.pretrain import pretrain
from genus.train.recipe import ModelRecipe, Optim
from genus.train.shape import shape_model
from tests.train.test_learning import eight_rows
from tests.train.test_logbook import describe
from tests.train.test_trajectories import assert_same_end, losses
from tests.train.tiny import tiny_recipe


def test_vectors_move_as_in_torchs_adafactor():
    """torch factors only matrices; its rate is min(lr, 1 / sqrt(k)), which lr 0.1 meets at step 100."""
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 2, 12)) for _ in range(2))
    optimizer = Adafactor([ours], lr=0.1, beta=0.0, weight_decay=0.0)
    reference = torch.optim.Adafactor([theirs], lr=0.1, beta2_decay=-0.8, eps=(1e-15, 1e-3), d=1e9)
    draws = torch.Generator().manual_seed(0)
    for _ in range(20):
        gradient = torch.randn(12, generator=draws)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        optimizer.step()
        reference.step()
    assert float((ours - torch.linspace(-1, 2, 12)).detach().abs().max()) > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_matrices_move_by_the_papers_formula():
    """In double precision by NumPy, with momentum, the decay of lr^2, and a rate that changes."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 7))
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = Adafactor([parameter], lr=0.5, beta=0.9, weight_decay=1.0)
    weight, momentum, square = start, 0.0, 0.0
    for k in range(1, 8):
        gradient, lr = rng.normal(size=(5, 7)), 0.5 / k
        parameter.grad = torch.tensor(gradient)
        optimizer.param_groups[0]["lr"] = lr
        optimizer.step()
        decay = 1 - k**-0.8
        square = decay * square + (1 - decay) * gradient**2
        momentum = 0.9 * momentum + 0.1 * lr * math.sqrt((weight**2).mean()) * gradient / np.sqrt(square)
        weight = (1 - lr**2) * weight - momentum
    np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-6)


def test_a_parameter_of_zeros_gets_away():
    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = torch.ones(4)
    Adafactor([parameter], lr=0.1, beta=0.0).step()
    assert parameter.detach().tolist() == pytest.approx([-1e-4] * 4)  # a share 0.1 of at least 1e-3


def test_what_rests_is_left_alone():
    parameter = torch.nn.Parameter(torch.ones(4))
    optimizer = Adafactor([parameter], lr=0.1)
    optimizer.step()
    assert parameter.detach().tolist() == [1.0] * 4
    assert not optimizer.state


def test_the_recipe_chooses_it_and_only_matrices_decay():
    model = LanguageModel(spec_of("palm", vocab=40, context=16, width=32, depth=1, heads=4))
    optimizer = make_optimizer(model, Optim(kind="adafactor", lr=0.01, betas=(0.8, 0.95), weight_decay=1.0))
    assert isinstance(optimizer, Adafactor)
    assert [(group["weight_decay"], group["beta"]) for group in optimizer.param_groups] == [(1.0, 0.8), (0.0, 0.8)]
    assert {parameter.dim() for parameter in optimizer.param_groups[0]["params"]} == {2}


def test_adafactor_resumes_bit_for_bit(tiny_shards, tmp_path, monkeypatch):
    """With z-loss, so that both are in the run; the checkpoint of step 5 is the place to go on from."""
    monkeypatch.setattr(run, "describe", describe)
    optim = Optim(kind="adafactor", lr=0.3, weight_decay=1.0)
    straight = tiny_recipe(tiny_shards, tmp_path / "straight", steps=10, optim=optim, z_loss=1e-3)
    pretrain(straight)
    assert losses(straight.out)[-1] < losses(straight.out)[0] - 0.1
    assert all(record["z_loss"] > 0 for record in read_journal(straight.out / "metrics.jsonl") if "loss" in record)
    resumed = replace(straight, out=tmp_path / "resumed")
    shutil.copytree(straight.out, resumed.out)
    shutil.rmtree(resumed.out / "checkpoints" / "step-10")
    shutil.rmtree(resumed.out / "model")
    pretrain(resumed)
    assert_same_end(straight.out, resumed.out, step=10)


@pytest.mark.parametrize("rows", [7, 10**6])  # in chunks, and in one
def test_z_loss_by_its_formula(monkeypatch, rows):
    """Gradients are those of both, the sum is cross-entropy alone."""
    from genus.models.attend import FastAttend

    monkeypatch.setattr(cross_entropy, "_CPU_ROWS", rows)
    spec = spec_of("gpt2", vocab=40, context=16, width=32, depth=2, heads=4)
    models = [LanguageModel(spec) for _ in range(2)]
    for model in models:
        initialise(model, family_named("gpt2").init(spec), seed=0)
    batch = eight_rows()
    scored = next_token(models[0], batch, z_loss=0.3)
    scored.total.backward()
    hidden = models[1].decoder(batch.tokens, batch.positions, FastAttend(spec))
    logits = models[1].logits(hidden)
    plain = -logits.log_softmax(-1).gather(-1, batch.targets[..., None]).sum()
    added = 0.3 * logits.exp().sum(-1).log().square().sum()
    (plain + added).backward()
    assert float(scored.total.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    assert float(scored.stats["z_loss"]) == pytest.approx(float(added.detach()), rel=1e-5)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-4)
    assert "z_loss" not in next_token(models[0], batch).stats


def test_a_size_by_name_is_the_published_spec():
    for family in map(family_named, FAMILIES):
        for size, spec in family.sizes.items():
            assert shape_model(ModelRecipe(size=size)) == (published(size)[0], spec)
            assert published(size)[0].name == family.name


def test_of_a_size_vocabulary_context_and_dropout_may_differ():
    _, spec = shape_model(ModelRecipe(size="opt-350m", vocab=300, context=64, dropout=0.1, width=1024), vocab=300)
    assert (spec.vocab, spec.context, spec.dropout) == (300, 64, 0.1)
    assert replace(spec, vocab=50272, context=2048, dropout=0.0) == family_named("opt").sizes["opt-350m"]


def test_without_a_size_the_vocabulary_is_the_texts():
    assert shape_model(ModelRecipe(width=24, heads=2), vocab=300)[1].vocab == 300
    assert shape_model(ModelRecipe(width=24, heads=2, vocab=320), vocab=300)[1].vocab == 320


@pytest.mark.parametrize(
    "fields, complaint",
    [
        ({"size": "gpt2", "width": 1024}, "model.width = 1024, but gpt2 has 768"),
        ({"size": "gpt2", "family": "llama"}, "model.family = llama, but gpt2 has gpt2"),
        ({"size": "gpt2", "window": 128}, "model.window = 128 is nothing that gpt2 has"),
        ({"size": "gpt3-small", "window": 128}, "but gpt3-small has 256"),
        ({"size": "gpt3-smal"}, "did you mean gpt3-small"),
        ({"size": "gpt2", "vocab": 200}, "200 rows is too small for 300 tokens; set model.vocab = 300"),
        ({"width": 24, "heads": 2, "vocab": 200}, "200 rows is too small"),
    ],
)
def test_what_contradicts_is_refused(fields, complaint):
    with pytest.raises(GenusError, match=complaint):
        shape_model(ModelRecipe(**fields), vocab=300)
