"""Routes that must agree: dense = fast = paged; a batch = its singles; packed = separate; generation = the naive loop."""

import itertools

import pytest
import torch

from genus.core.errors import GenusError
from genus.engine.attending import SdpaStore
from genus.engine.engine import Engine
from genus.engine.paged import PagedReader
from genus.engine.pages import Cache
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.engine.schedule import Limits
from genus.engine.score import token_log_probs
from genus.models.attend import DenseAttend, FastAttend
from genus.models.families import FAMILIES, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import Init, initialise

CONTEXT = 24


def make_model(family: str, context: int = CONTEXT) -> LanguageModel:
    """Small, with windows shorter than the text, and random in every number: sinks and biases start at 0 otherwise."""
    shape = {"width": 24, "depth": 3, "heads": 6, "kv_heads": 2 if family in ("llama", "gpt_oss") else None}
    if family == "strided":
        spec = spec_of("gpt3", vocab=50, context=context, **shape, window=4, stride=5)
    elif family == "palm":
        spec = spec_of(family, vocab=50, context=context, **shape, head_dim=8)
    else:
        spec = spec_of(family, vocab=50, context=context, **shape, window=7)
    model = LanguageModel(spec).eval()
    initialise(model, Init(matrix=0.3, residual=0.3, embed=0.5, position=0.5), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and "norm" not in name:
                scale = 1.0 if name.endswith("sinks") else 0.1
                parameter.copy_(scale * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


@pytest.fixture(scope="module", params=[*FAMILIES, "strided"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return make_model(request.param)


def full_logits(model: LanguageModel, tokens: torch.Tensor, attend=DenseAttend) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens, torch.arange(tokens.shape[1]).expand_as(tokens), attend(model.spec))


def some_tokens(rows: int, time: int) -> torch.Tensor:
    return torch.randint(50, (rows, time), generator=torch.Generator().manual_seed(5))


def test_dense_is_fast(model):
    tokens = some_tokens(3, CONTEXT)
    torch.testing.assert_close(full_logits(model, tokens), full_logits(model, tokens, FastAttend), atol=1e-5, rtol=1e-5)


def make_engine(model: LanguageModel, reader: type[PagedReader] = PagedReader, **limits: int) -> Engine:
    return Engine(reader(model, tokens=512), limits=Limits(**{"beside": 1, **limits}))


class SdpaReader(PagedReader):
    """Reads as where there are no kernels of ours: with PyTorch's, and the network as it is."""

    page = 4

    def __init__(self, network: LanguageModel, tokens: int) -> None:
        super().__init__(network, tokens)
        places, count = self.store.places, tokens // self.page
        self.network, self.cache = network, Cache(self.page, self.cache.windows, [count] * len(self.cache.windows))
        self.store = SdpaStore(network.spec, places, count, self.page, network.decoder.embed.weight)


def generated(model: LanguageModel, prompt: list[int], max_tokens: int, sampling: Sampling) -> list[int]:
    request = Request(prompt=tuple(prompt), max_tokens=max_tokens, sampling=sampling)
    return [token for event in make_engine(model).stream(request) for token in event.tokens]


@pytest.mark.parametrize("reader", [PagedReader, SdpaReader])
@pytest.mark.parametrize("piece", [1, 5, 7, 64])
def test_paged_is_full(model, reader, piece):
    """Whatever pieces a text is read in."""
    tokens = some_tokens(2, 21)
    engine = make_engine(model, reader, budget=piece, most=1)
    expected = full_logits(model, tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    for row, scores in zip(tokens.tolist(), expected, strict=True):
        torch.testing.assert_close(token_log_probs(engine, [row])[0], scores, atol=1e-5, rtol=1e-5)


def test_greedy_generation_is_the_naive_loop(model):
    prompt = some_tokens(1, 4)[0].tolist()
    naive = list(prompt)
    for _ in range(CONTEXT - 4):
        naive.append(int(full_logits(model, torch.tensor([naive]))[0, -1].argmax()))
    assert generated(model, prompt, CONTEXT - 4, Sampling(temperature=0)) == naive[4:]
    assert len(set(naive[4:])) > 2  # a model stuck on one token would agree with anything


def test_a_batch_is_its_singles(model):
    tokens = some_tokens(4, 10)
    singles = torch.cat([full_logits(model, row[None], FastAttend) for row in tokens])
    torch.testing.assert_close(full_logits(model, tokens, FastAttend), singles, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attend", [DenseAttend, FastAttend])
def test_packed_is_separate(model, attend):
    """Two documents in one row, masked, against each on its own."""
    one, two = some_tokens(2, 9)
    packed = torch.cat((one, two))[None]
    positions = torch.arange(9).repeat(2)[None]
    documents = torch.arange(2).repeat_interleave(9)[None]
    with torch.no_grad():
        together = model(packed, positions, attend(model.spec, documents))[0]
    apart = torch.cat((full_logits(model, one[None])[0], full_logits(model, two[None])[0]))
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [2, 5, CONTEXT, CONTEXT + 1, CONTEXT + 2, 3 * CONTEXT + 5])
def test_scores_are_log_softmax_of_windows(model, length):
    """Every token once; after the first window each has at least half a context before it."""
    text = some_tokens(1, length)[0].tolist()
    expected = []
    start, scored = 0, 0
    while scored < length - 1:
        end = min(start + CONTEXT, length - 1)
        log_probs = full_logits(model, torch.tensor([text[start:end]]))[0].log_softmax(-1)
        expected += [float(log_probs[i - start, text[i + 1]]) for i in range(scored, end)]
        scored, start = end, end - CONTEXT // 2
    assert token_log_probs(make_engine(model), [text])[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_scores_of_many_texts_are_those_of_each(model):
    texts = [some_tokens(1, length)[0].tolist() for length in (3, 60, 7, 25, 2)]
    alone = [token_log_probs(make_engine(model), [text])[0] for text in texts]
    for one, other in zip(token_log_probs(make_engine(model), texts), alone, strict=True):
        assert torch.equal(one, other)


def test_a_seed_repeats_and_none_does_not(model):
    def text(seed: int | None) -> list[int]:
        return generated(model, [1, 2], 20, Sampling(seed=seed))

    assert text(7) == text(7)
    assert len({tuple(text(seed)) for seed in (7, 8, None, None)}) == 4


def test_generation_leaves_global_randomness_alone(model):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    generated(model, [1], 5, Sampling(seed=1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("prompt, max_tokens, match", [
    ([], 1, "empty"), ([50], 1, r"prompt\[0\] = 50"), ([1, -1], 1, r"prompt\[1\] = -1"), ([True], 1, "True"),
    ([1], CONTEXT, "do not fit"), ([1], 0, "max_tokens = 0"), ([1] * (CONTEXT + 1), 1, "do not fit"),
])  # fmt: skip
def test_f05_f06_bad_prompts_are_refused_at_once(model, prompt, max_tokens, match):
    with pytest.raises(GenusError, match=match):
        make_engine(model).add(Request(prompt=tuple(prompt), max_tokens=max_tokens))


def test_families_differ():
    """Same shape, same random draw: were one family another's code, the tests above would prove it twice."""
    outputs = [full_logits(make_model(name), some_tokens(1, 8)) for name in FAMILIES]
    for one, other in itertools.combinations(outputs, 2):
        assert not torch.allclose(one, other, atol=1e-2)
