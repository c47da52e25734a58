"""Embeddings against transformers' hidden states, one text at a time."""

import pytest
import torch
import transformers

from genus.core.errors import GenusError
from genus.engine.embed import embed
from genus.models.families import family_named
from genus.models.weights import save_model
from tests.engine.test_routes import CONTEXT, make_model

TEXTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11], list(range(CONTEXT)), [3, 2, 1]]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_each_is_that_of_transformers_alone(tmp_path, family, pooling):
    network = make_model(family)
    save_model(tmp_path, network, family_named(family))
    theirs = transformers.AutoModel.from_pretrained(tmp_path).eval()
    found = embed(network, TEXTS, pooling)
    for text, vector in zip(TEXTS, found, strict=True):
        with torch.no_grad():
            states = theirs(torch.tensor([text])).last_hidden_state[0]
        expected = states.mean(0) if pooling == "mean" else states[-1]
        torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found[0], found[4], atol=1e-2)  # the order of tokens shows


@pytest.mark.parametrize(("texts", "words"), [
    ([[]], "empty"), ([[1], [1] * (CONTEXT + 1)], f"text 1 has {CONTEXT + 1} tokens"), ([[50]], "not a token id"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(texts, words):
    with pytest.raises(GenusError, match=words):
        embed(make_model("gpt2"), texts)
    with pytest.raises(GenusError, match="mean or last"):
        embed(make_model("gpt2"), [[1]], "max")
