"""On a CPU a request gets the same bits whatever else there is: alone, in any batch, in pieces, after shared pages, started
over. For every family, with windows, strides, ALiBi, sinks and experts; and for every weight format."""

import pytest
import torch

from genus.engine.engine import Engine
from genus.engine.paged import PagedReader
from genus.engine.request import Request, TokenScore
from genus.engine.sampling import Sampling
from genus.engine.schedule import Limits
from genus.models.families import FAMILIES
from tests.engine.test_routes import make_model

PAGE = 32


@pytest.fixture(scope="module", params=[*FAMILIES, "strided"])
def network(request):
    return make_model(request.param, context=80)


def asked(seed: int, length: int, **fields) -> Request:
    draw = torch.Generator().manual_seed(seed)
    prompt = tuple(torch.randint(50, (length,), generator=draw).tolist())
    return Request(prompt=prompt, max_tokens=min(24, 80 - length), sampling=Sampling(seed=seed), log_probs=3, **fields)


def engine_of(network, tokens=64 * PAGE, sharing=True, guesses=0, form=None, **limits) -> Engine:
    return Engine(PagedReader(network, tokens, PAGE, sharing, form), limits=Limits(**limits), guesses=guesses)


def heard(engine: Engine, requests) -> list[tuple[TokenScore, ...]]:
    """Tokens and log-probabilities, to the bit, of requests that run together."""
    said: dict[int, list[TokenScore]] = {engine.add(request): [] for request in requests}
    while not engine.idle:
        for event in engine.step():
            assert not event.error
            said[event.request] += [*event.prompt_scores, *event.scores]
    assert engine.at_rest
    return [tuple(scores) for scores in said.values()]


REQUESTS = [asked(1, 50), asked(2, 20), asked(3, 33, echo=True), asked(4, 70), asked(5, 64)]


@pytest.fixture(scope="module")
def alone(network):
    return [heard(engine_of(network, sharing=False), [request])[0] for request in REQUESTS]


def test_in_a_batch(network, alone):
    assert heard(engine_of(network), REQUESTS) == alone


def test_in_pieces_beside_others(network, alone):
    assert heard(engine_of(network, budget=7, beside=5, most=5), REQUESTS) == alone


def test_after_shared_pages(network, alone):
    engine = engine_of(network)
    for _ in range(2):
        assert heard(engine, REQUESTS[::-1]) == alone[::-1]


def test_started_over(network, alone):
    engine = engine_of(network, tokens=6 * PAGE, optimistic=True)
    assert heard(engine, REQUESTS) == alone
    assert engine.scheduler.preempted > 0


def test_with_guesses(network, alone):
    assert heard(engine_of(network, guesses=4), REQUESTS) == alone


def test_the_bits_are_those_of_the_model(network, alone):
    """Near the plain forward, which sums in another order."""
    request, scores = REQUESTS[2], alone[2]
    tokens = torch.tensor([[score.token for score in scores]])
    with torch.no_grad():
        from genus.models.attend import FastAttend

        logits = network(tokens, torch.arange(tokens.shape[1])[None], FastAttend(network.spec))
    expected = logits[0, :-1].log_softmax(-1).gather(-1, tokens[0, 1:, None])[:, 0]
    found = torch.tensor([score.log_prob for score in scores[1:]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert len(request.prompt) < tokens.shape[1]


@pytest.mark.parametrize("form", ["bf16", "int8", "int4"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gpt_oss"])
def test_in_every_weight_format(family, form):
    network = make_model(family, context=80)
    alone = [heard(engine_of(network, sharing=False, form=form), [request])[0] for request in REQUESTS]
    engine = engine_of(network, form=form, guesses=2, budget=11, beside=3, most=4)
    for _ in range(2):
        assert heard(engine, REQUESTS) == alone
    assert alone != [heard(engine_of(network, sharing=False), [request])[0] for request in REQUESTS]


@pytest.mark.parametrize("family", ["gptj", "gpt_neox", "llama"])  # whose heads have tables of their own
def test_a_broken_text_leaves_nothing_behind(family):
    """Pages that held what is no number are used again by others, who see nothing of it."""
    network = make_model(family, context=80)
    with torch.no_grad():
        network.decoder.embed.weight[49] = float("nan")
    sampling = Sampling(seed=1, allowed=tuple(range(49)))
    request = Request(prompt=tuple(range(40)), max_tokens=20, sampling=sampling, log_probs=1)
    engine = engine_of(network, tokens=3 * PAGE)
    alone = heard(engine_of(network), [request])
    for _ in range(2):
        said = list(engine.stream(Request(prompt=(*range(20), *[49] * 45), max_tokens=2)))
        assert "not finite" in said[-1].error
        engine.forget()
        assert heard(engine, [request]) == alone
