"""Completions of many requests at once are as likely as each alone, in every family."""

import pytest
import torch

from genus.core.errors import GenusError
from genus.evaluate import likelihood
from genus.evaluate.likelihood import Request, likelihoods
from genus.models.attend import DenseAttend
from genus.models.families import family_of
from genus.models.family import Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise

NAMES = ("openai-gpt", "gpt2", "gpt_neo", "gptj", "gpt_neox", "opt", "bloom", "llama", "gpt_oss")


def model(name="llama", context=32):
    family = family_of(name)
    spec = family.spec(Shape(vocab=97, context=context, width=32, depth=2, heads=4, experts=2, per_token=1, window=8))
    made = LanguageModel(spec)
    initialise(made, family.init(spec), 3)
    for parameter in made.parameters():  # so that answers differ
        parameter.data.mul_(4)
    return made.eval()


def requests(count=60, seed=0):
    """Some share a whole context, some its beginning, some nothing; one is the beginning of another."""
    draw = torch.Generator().manual_seed(seed)

    def ids(most):
        return tuple(torch.randint(0, 97, (int(torch.randint(1, most, (), generator=draw)),), generator=draw).tolist())

    contexts = [ids(18) for _ in range(6)]
    found = [Request(contexts[i % 6] + (ids(4) if i % 3 == 0 else ()), ids(7)) for i in range(count)]
    whole = found[0]
    return [
        *found,
        whole,
        Request(whole.context, whole.completion[:1]),
        Request(whole.context[:1], whole.context[1:] or (5,)),
    ]


@torch.no_grad()
def alone(network, request):
    tokens = torch.tensor([[*request.context, *request.completion]])[:, -network.spec.context - 1 :]
    positions = torch.arange(tokens.shape[1] - 1)[None]
    logs = network(tokens[:, :-1], positions, DenseAttend(network.spec)).float().log_softmax(-1)[0]
    logs = logs[-len(request.completion) :]
    said = torch.tensor(request.completion)
    return logs.gather(1, said[:, None])[:, 0], bool((logs.argmax(-1) == said).all())


@pytest.mark.parametrize("name", NAMES)
def test_many_are_as_each_alone(name, monkeypatch):
    monkeypatch.setattr(likelihood, "_ROW", 50)
    monkeypatch.setattr(likelihood, "_BATCH", 120)
    monkeypatch.setattr(likelihood, "_LOGITS", 97 * 7)
    network, asked = model(name), requests()
    found = likelihoods(network, asked)
    for request, said in zip(asked, found, strict=True):
        nats, greedy = alone(network, request)
        torch.testing.assert_close(torch.tensor(said.nats), nats, atol=2e-4, rtol=2e-5)
        assert said.greedy == greedy and said.cut == 0 and said.total == sum(said.nats)


def test_the_likeliest_completion_is_said_to_be_so():
    network, start = model(), (1, 2, 3)
    said = []
    for _ in range(4):
        tokens = torch.tensor([[*start, *said]])
        said.append(int(network(tokens, torch.arange(tokens.shape[1])[None], DenseAttend(network.spec))[0, -1].argmax()))
    other = (*said[:3], (said[3] + 1) % 97)
    found = likelihoods(network, [Request(start, tuple(said)), Request(start, other)])
    assert [each.greedy for each in found] == [True, False]


@pytest.mark.parametrize("row", [384, 8])  # a row makes room for what is shared, however long
def test_what_is_shared_is_read_once(row, monkeypatch):
    monkeypatch.setattr(likelihood, "_ROW", row)
    network, read = model(), []
    forward = network.decoder.forward
    monkeypatch.setattr(
        network.decoder, "forward", lambda tokens, *rest: read.append(tokens.numel()) or forward(tokens, *rest)
    )
    context = tuple(range(20))
    likelihoods(network, [Request(context, (30 + number, 1)) for number in range(5)])
    assert sum(read) == 25  # the context, and of each completion its first token


def test_a_long_context_loses_its_beginning():
    network = model(context=16)
    request = Request(tuple(range(30)), (5, 6, 7))
    (found,) = likelihoods(network, [request])
    nats, _ = alone(network, request)
    torch.testing.assert_close(torch.tensor(found.nats), nats, atol=1e-5, rtol=1e-5)
    assert found.cut == 30 - 14


def test_what_cannot_be_scored_is_said():
    network = model(context=16)
    with pytest.raises(GenusError, match="17 tokens does not fit a context of 16"):
        likelihoods(network, [Request((1,), tuple(range(17)))])
    with pytest.raises(GenusError, match="need a token"):
        likelihoods(network, [Request((1,), ())])
