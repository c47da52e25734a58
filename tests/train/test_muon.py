"""Muon against a singular value decomposition, AdamW and a step worked out by hand."""

import torch

from genus.models.families import spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import Init, initialise
from genus.train.muon import Muon, orthogonalise
from genus.train.optim import make_optimizer
from genus.train.recipe import Optim


def some(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_directions_stay_and_singular_values_come_near_one():
    for shape in ((3, 8, 8), (2, 6, 20), (2, 20, 6)):
        x = some(*shape)
        u, _, v = torch.linalg.svd(x, full_matrices=False)
        turned = orthogonalise(x)
        found = u.mT @ turned @ v.mT  # diagonal where the directions are those of x
        values = found.diagonal(dim1=-2, dim2=-1)
        torch.testing.assert_close(found, torch.diag_embed(values), atol=1e-4, rtol=0)
        assert values.min() > 0.6 and values.max() < 1.3


def test_two_steps_by_hand():
    start, gradients = some(4, 6), [some(4, 6, seed=1), some(4, 6, seed=2)]
    parameter = torch.nn.Parameter(start.clone())
    optimizer = Muon([{"params": [parameter], "orthogonal": True, "weight_decay": 0.5}], lr=0.1, fused=True)
    expected, momentum = start.clone(), torch.zeros(4, 6)
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 0.2 * 6**0.5 * orthogonalise(0.95 * momentum + 0.05 * gradient)
        torch.testing.assert_close(parameter.detach(), expected)


def model_and_gradients():
    model = LanguageModel(spec_of("modern", vocab=31, context=8, width=16, depth=2, heads=2))
    initialise(model, Init(matrix=0.1, residual=0.1, embed=0.1), 0)
    for i, parameter in enumerate(model.parameters()):
        parameter.grad = some(*parameter.shape, seed=i)
    return model


def test_the_rest_is_adamw():
    """Tables, gains and the head move as AdamW moves them; only the matrices of the blocks do not."""
    ours, theirs = model_and_gradients(), model_and_gradients()
    make_optimizer(ours, Optim(kind="muon")).step()
    make_optimizer(theirs, Optim(kind="adamw")).step()
    apart = {
        name
        for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True)
        if not torch.equal(mine, other)
    }
    parts = ("attention.q", "attention.k", "attention.v", "attention.out", "mlp.up", "mlp.down")
    assert apart == {f"decoder.blocks.{layer}.{part}.weight" for layer in range(2) for part in parts}


def test_biases_and_routers_are_adamws_and_experts_are_turned_one_by_one():
    model = LanguageModel(
        spec_of("gpt_oss", vocab=31, context=8, width=16, depth=1, heads=2, experts=4, per_token=2, hidden=8, window=4)
    )
    turned = {
        id(parameter)
        for group in make_optimizer(model, Optim(kind="muon")).param_groups
        for parameter in group["params"]
        if group["orthogonal"]
    }
    names = {name for name, parameter in model.named_parameters() if id(parameter) in turned}
    block = "decoder.blocks.0"
    assert names == {
        *(f"{block}.attention.{part}.weight" for part in ("q", "k", "v", "out")),
        *(f"{block}.mlp.{part}.weight" for part in ("up", "gate", "down")),
    }
    x = some(4, 8, 16)
    torch.testing.assert_close(orthogonalise(x)[2], orthogonalise(x[2]))


def test_a_refused_step_changes_no_weight_and_poisons_no_momentum():
    """As on an accelerator: the decision is a tensor, and the gradient is not finite."""
    parameter = torch.nn.Parameter(some(4, 6))
    optimizer = Muon([{"params": [parameter], "orthogonal": True}], lr=0.1, fused=True)
    parameter.grad = some(4, 6, seed=1)
    optimizer.step()
    before = parameter.detach().clone(), optimizer.state[parameter]["momentum"].clone()
    optimizer.found_inf = torch.tensor(1.0)
    parameter.grad = torch.full((4, 6), torch.nan)
    optimizer.step()
    assert torch.equal(parameter, before[0])
    torch.testing.assert_close(optimizer.state[parameter]["momentum"], before[1])
