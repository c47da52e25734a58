"""Experts: routed work equals a plain loop, idle ones cost nothing, the balance loss is the published one and works."""

import pytest
import torch
import torch.nn.functional as F

from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.parts.experts import ExpertMlps, Routing, balance
from genus.models.spec import Experts, Mlp
from genus.train.guard import Guard
from genus.train.loop import TrainState, train_steps
from genus.train.losses import Tokens, next_token
from genus.train.optim import make_optimizer
from genus.train.recipe import Optim


def make_part(count: int = 5, per_token: int = 2, **mlp) -> ExpertMlps:
    torch.manual_seed(0)
    part = ExpertMlps(Experts(count=count, per_token=per_token, each=Mlp(hidden=7, **mlp)), 6)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.normal_(0, 0.5)
    return part


def plain(part: ExpertMlps, x: torch.Tensor) -> torch.Tensor:
    """Every expert on every token, then mixed with zeros for those that were not picked."""
    scores = part.router(x)
    best, chosen = scores.topk(part.experts.per_token)
    share = torch.zeros_like(scores).scatter(-1, chosen, best.softmax(-1))
    up = torch.einsum("btw,ehw->bteh", x, part.up.weight) + part.up.bias
    act = F.gelu(up, approximate="tanh")
    if part.gate is not None:
        act = F.silu(torch.einsum("btw,ehw->bteh", x, part.gate.weight) + part.gate.bias) * up
    said = torch.einsum("bteh,ewh->btew", act, part.down.weight) + part.down.bias
    return (said * share[..., None]).sum(-2)


@pytest.mark.parametrize("mlp", [{}, {"gated": True, "activation": "silu"}])
@pytest.mark.parametrize("per_token", [1, 2, 5])
def test_grouped_is_the_plain_loop_with_gradients(mlp, per_token):
    part = make_part(per_token=per_token, **mlp)
    x = torch.randn(3, 8, 6, requires_grad=True)
    torch.testing.assert_close(part(x), plain(part, x), atol=1e-5, rtol=1e-5)
    weights = torch.randn(3, 8, 6)
    inputs = [x, *part.parameters()]
    ours = torch.autograd.grad((part(x) * weights).sum(), inputs)
    theirs = torch.autograd.grad((plain(part, x) * weights).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_idle_experts_are_not_run(monkeypatch):
    """Rows of matrix products that are computed: per_token for each token, however many experts there are."""
    part = make_part(count=64, per_token=2, gated=True, activation="silu")
    rows = []
    linear = F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: rows.append(len(x.flatten(0, -2))) or linear(x, *rest))
    with torch.no_grad():
        for weight in (part.up.weight, part.gate.weight, part.down.weight):
            weight[40:] = float("nan")
        part.router.bias[40:] = -1e9
        assert torch.isfinite(part(torch.randn(1, 10, 6))).all()
    assert sum(rows) == 10 + 3 * 10 * 2  # the router's ten, then up, gate and down


def test_balance_is_that_of_transformers():
    """One row and one layer, where a row is the whole batch."""
    from transformers.models.gpt_oss.modeling_gpt_oss import load_balancing_loss_func

    logits = torch.randn(11, 6, generator=torch.Generator().manual_seed(1))
    expected = load_balancing_loss_func((logits,), num_experts=6, top_k=3)
    routing = Routing(logits.softmax(-1)[None], logits.topk(3).indices[None])
    torch.testing.assert_close(balance(routing)[0][0], expected)


def test_balance_is_least_when_all_are_busy():
    even = torch.full((1, 4, 4), 0.25)
    loss, sent = balance(Routing(even, torch.arange(4)[None, :, None]))
    assert loss.item() == pytest.approx(1.0) and sent.tolist() == [[0.25] * 4]
    sure = F.one_hot(torch.zeros(1, 4, dtype=torch.long), 4).float()
    assert balance(Routing(sure, torch.zeros(1, 4, 1, dtype=torch.long)))[0].item() == pytest.approx(4.0)


def make_model(coefficient: float) -> LanguageModel:
    from dataclasses import replace

    spec = spec_of("gpt_oss", vocab=40, context=16, width=24, depth=2, heads=4, experts=6, per_token=2, window=8)
    model = LanguageModel(replace(spec, mlp=replace(spec.mlp, balance=coefficient)))
    initialise(model, family_named("gpt_oss").init(model.spec), seed=0)
    return model.train()


def some_rows(rows: int) -> Tokens:
    text = torch.randint(40, (rows, 17), generator=torch.Generator().manual_seed(0))
    return Tokens(text[:, :-1], text[:, 1:], torch.arange(16).expand(rows, -1))


def cut(batch: Tokens, size: int) -> list[Tokens]:
    pieces = zip(*(part.split(size) for part in batch[:3]), strict=True)
    return [Tokens(*piece) for piece in pieces]


def test_how_a_step_is_cut_does_not_matter():
    """The balance loss too is a sum over rows: 1 x 8 = 8 x 1, in loss, stats and update."""
    found = []
    for size in (8, 1, 2):
        model = make_model(0.5)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        state = TrainState(model, optimizer, Guard())
        (step,) = train_steps(state, [cut(some_rows(8), size)], lambda b, m=model: next_token(m, b), lambda _: 0.1, 0.0)
        found.append((step, [parameter.detach().clone() for parameter in model.parameters()]))
    for step, parameters in found[1:]:
        assert step.loss == pytest.approx(found[0][0].loss, rel=1e-6)
        for name, value in found[0][0].stats.items():
            torch.testing.assert_close(step.stats[name], value, atol=1e-6, rtol=1e-5)
        for one, other in zip(parameters, found[0][1], strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_stats_by_hand():
    model = make_model(0.5)
    batch = some_rows(4)
    scored = next_token(model, batch)
    routings = [block.mlp.routing for block in model.decoder.blocks]
    losses = [float(balance(routing)[0].detach().mean()) for routing in routings]
    assert float(scored.stats["balance"]) / scored.weight == pytest.approx(0.5 * sum(losses) / 2, rel=1e-5)
    counts = torch.stack([routing.chosen.flatten().bincount(minlength=6) for routing in routings])
    torch.testing.assert_close(scored.stats["expert_load"] / scored.weight, counts / (4 * 16 * 2 / 6))
    entropy = torch.stack([torch.distributions.Categorical(probs=r.probabilities).entropy().mean() for r in routings])
    assert float(scored.stats["router_entropy"]) / scored.weight == pytest.approx(float(entropy.detach().mean()), rel=1e-5)
    quiet = next_token(model.eval(), batch)
    assert not quiet.stats
    assert float(scored.total.detach() - scored.stats["balance"]) == pytest.approx(float(quiet.total.detach()), rel=1e-6)


def test_balance_evens_out_a_lopsided_router():
    """From a router that sends everything to two experts, training with the loss brings the others in."""
    loads = {}
    for coefficient in (0.0, 0.5):
        model = make_model(coefficient)
        with torch.no_grad():
            for block in model.decoder.blocks:
                block.mlp.router.bias[:2] = 1.0
        state = TrainState(model, make_optimizer(model, Optim(lr=1e-2, weight_decay=0.0)), Guard())
        steps = train_steps(state, [[some_rows(8)]] * 80, lambda b, m=model: next_token(m, b), lambda _: 1e-2, 1.0)
        loads[coefficient] = [(float(s.stats["expert_load"].min()), float(s.stats["expert_load"].max())) for s in steps]
    assert loads[0.5][0][1] > 2.5  # three is all that an expert can get
    assert loads[0.5][-1][0] > 0.5 and loads[0.5][-1][1] < 1.6
    assert loads[0.0][-1][0] < loads[0.5][-1][0]
