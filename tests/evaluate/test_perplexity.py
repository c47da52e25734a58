"""Bits per byte against a brute-force sum: whole documents, their ends included, over UTF-8 bytes."""

import math

import pytest
import torch

from genus.engine.model import Model
from genus.evaluate.perplexity import bits_per_byte
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import Init, initialise
from genus.tokenizers.bytelevel import train
from tests.train.tiny import WORDS


@pytest.fixture(scope="module")
def model() -> Model:
    spec = spec_of("llama", vocab=300, context=64, width=24, depth=2, heads=3)
    network = LanguageModel(spec)
    initialise(network, Init(matrix=0.3, residual=0.3, embed=0.5), seed=0)
    return Model(network, family_named("llama"), train(iter(WORDS * 4), vocab=300))


def brute_force(model: Model, texts: list[str]) -> tuple[float, int]:
    """Nats and number of tokens, one document at a time, by the formula."""
    end, nats, count = model.tokenizer.end_of_text, 0.0, 0
    for text in texts:
        ids = [end, *model.tokenizer.encode(text), end]
        log_probs = model.logits(torch.tensor([ids[:-1]]))[0].double().log_softmax(-1)
        nats -= float(log_probs[torch.arange(len(ids) - 1), torch.tensor(ids[1:])].sum())
        count += len(ids) - 1
    return nats, count


def test_bits_are_the_sum_over_documents(model):
    texts = [f"{WORDS[n % 4]}, {n} naïve cafés €" for n in range(40)]  # more than a group; more bytes than characters
    nats, count = brute_force(model, texts)
    found = bits_per_byte(model, texts)
    size = sum(len(text.encode("utf-8")) for text in texts)
    assert size > sum(map(len, texts))
    assert found["bytes"] == size
    assert found["tokens"] == count
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)


def test_a_uniform_model_needs_log_vocab_a_token(model):
    spec = model.spec
    blank = LanguageModel(spec)
    initialise(blank, Init(matrix=0.0, residual=0.0, embed=0.0), seed=0)
    found = bits_per_byte(Model(blank, model.family, model.tokenizer), list(WORDS))
    assert found["bits"] / found["tokens"] == pytest.approx(math.log2(spec.vocab), rel=1e-6)
