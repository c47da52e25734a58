"""Scores of texts: saved as transformers' classes for them, with the same numbers."""

import pytest
import torch

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.models.attend import FastAttend
from genus.models.families import family_of
from genus.models.family import Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.scorer import Scorer
from genus.models.weights import load_scorer, save_model, save_scorer

NAMES = ("openai-gpt", "gpt2", "gpt_neo", "gptj", "gpt_neox", "opt", "bloom", "llama", "gpt_oss")


def scorer(name, outputs=3):
    family = family_of(name)
    spec = family.spec(Shape(vocab=97, context=32, width=32, depth=2, heads=4, experts=2, per_token=1, window=8))
    model = LanguageModel(spec)
    initialise(model, family.init(spec), 3)
    made = Scorer.of(model, outputs)
    torch.manual_seed(5)
    made.score.weight.data.normal_()
    return made.eval(), family


@pytest.mark.parametrize("name", NAMES)
def test_transformers_reads_the_same_scores(name, tmp_path):
    from transformers import AutoModelForSequenceClassification

    made, family = scorer(name)
    save_scorer(tmp_path, made, family, ("no", "maybe", "yes"), {"pad": 0, "eos": 1})
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert theirs.config.id2label == {0: "no", 1: "maybe", 2: "yes"}
    tokens = torch.randint(1, 97, (2, 11))
    positions = torch.arange(11).expand_as(tokens)
    with torch.no_grad():
        ours = made(tokens, positions, FastAttend(made.spec))[:, -1]
        torch.testing.assert_close(ours, theirs(tokens).logits, atol=1e-5, rtol=1e-4)
        again, _, labels = load_scorer(tmp_path)
        assert labels == ("no", "maybe", "yes")
        assert torch.equal(again(tokens, positions, FastAttend(made.spec))[:, -1], ours)


def test_a_shift_is_kept(tmp_path):
    made, family = scorer("llama", 1)
    made.shift = -1.25
    save_scorer(tmp_path, made, family, ("reward",), {"pad": 0})
    assert load_scorer(tmp_path)[0].shift == -1.25
    assert "lm_head.weight" not in str(read_json(tmp_path / "config.json"))


def test_a_language_model_is_no_scorer(tmp_path):
    family = family_of("gpt2")
    spec = family.spec(Shape(vocab=31, context=8, width=8, depth=1, heads=2))
    model = LanguageModel(spec)
    initialise(model, family.init(spec), 0)
    save_model(tmp_path, model, family)
    with pytest.raises(GenusError, match="holds no scores of texts"):
        load_scorer(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_marked_places_have_the_scores_and_gradients_of_all_places(name):
    made, _ = scorer(name)
    tokens = torch.randint(1, 97, (3, 11))
    positions, only = torch.arange(11).expand_as(tokens), torch.rand(3, 11) < 0.3
    only[0] = False  # a row of which nothing is asked
    found = []
    for some in (None, only):
        made.zero_grad()
        scores = made(tokens, positions, FastAttend(made.spec), some)
        scores = scores if some is not None else scores[only]
        scores.square().sum().backward()
        found.append([scores, *(each.grad for each in made.parameters())])
    assert found[0][0].shape == (int(only.sum()), 3)
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
