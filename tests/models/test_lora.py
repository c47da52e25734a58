"""LoRA: nothing at first, only its own matrices learn, and merged it computes the same."""

import pytest
import torch

from genus.core.errors import GenusError
from genus.models.attend import FastAttend
from genus.models.families import family_of
from genus.models.family import Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.lora import add_lora, lora_parts, merge_lora


@pytest.fixture
def model():
    family = family_of("gpt2")
    spec = family.spec(Shape(vocab=31, context=8, width=16, depth=2, heads=2))
    made = LanguageModel(spec)
    initialise(made, family.init(spec), 0)
    return made


def logits(model):
    tokens = torch.arange(8)[None]
    return model(tokens, tokens, FastAttend(model.spec))


def test_it_adds_nothing_at_first_and_merges_to_the_same(model):
    before = logits(model)
    names = [name for name, _ in model.named_parameters()]
    add_lora(model, ("q", "down"), rank=2, alpha=8.0)
    assert torch.equal(logits(model), before)
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learned == {
        f"decoder.blocks.{i}.{part}.lora_{x}" for i in (0, 1) for part in ("attention.q", "mlp.down") for x in "ab"
    }
    with torch.no_grad():
        for _, part in lora_parts(model):
            part.lora_b.normal_()
    tuned = logits(model)
    assert not torch.allclose(tuned, before)
    merge_lora(model)
    torch.testing.assert_close(logits(model), tuned, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in model.named_parameters()] == names


def test_the_scale_is_alpha_over_rank(model):
    weight = model.decoder.blocks[0].attention.q.weight.detach().clone()
    add_lora(model, ("q",), rank=4, alpha=2.0)
    part = model.decoder.blocks[0].attention.q
    part.lora_b.data.fill_(1.0)
    expected = weight + 0.5 * part.lora_a.detach().sum(0)
    torch.testing.assert_close(part.merged().weight, torch.nn.Parameter(expected))


def test_a_part_that_is_not_there_is_named(model):
    with pytest.raises(GenusError, match=r"lora.parts names gate.*'down', 'k', 'out', 'q', 'up', 'v'"):
        add_lora(model, ("q", "gate"), rank=2, alpha=1.0)
