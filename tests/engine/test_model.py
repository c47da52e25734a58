"""The Python interface: load, generate, score, save."""

import math
import re

import pytest
import torch

import genus
from genus.core.errors import GenusError
from genus.engine.grammar import Grammar
from genus.engine.model import Model
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.tokenizers.bytelevel import train
from tests.train.tiny import WORDS


@pytest.fixture(scope="module")
def model() -> Model:
    tokenizer = train(iter(WORDS * 4), vocab=300)
    spec = spec_of("gpt2", vocab=300, context=32, width=24, depth=2, heads=3)
    network = LanguageModel(spec)
    initialise(network, family_named("gpt2").init(spec), seed=0)
    return Model(network, family_named("gpt2"), tokenizer)


def test_save_and_load_give_the_same_logits(model, tmp_path):
    model.save(tmp_path / "model")
    again = genus.load(tmp_path / "model")
    ids = torch.arange(12)[None]
    assert torch.equal(model.logits(ids), again.logits(ids))
    assert again.tokenizer.sha256 == model.tokenizer.sha256
    assert again.spec == model.spec


def test_a_run_folder_is_its_model(model, tmp_path):
    model.save(tmp_path / "run" / "model")
    assert genus.load(tmp_path / "run").spec == model.spec


def test_stream_is_generate(model):
    text = model.generate("the people", max_tokens=20, temperature=0.9, top_p=0.95, seed=1)
    assert text == model.generate("the people", max_tokens=20, temperature=0.9, top_p=0.95, seed=1)
    sampling = genus.engine.sampling.Sampling(temperature=0.9, top_p=0.95, seed=1)
    assert text == "".join(model.stream("the people", 20, sampling))


@pytest.mark.parametrize("stop", ["e", " th", "of "])
def test_a_stop_string_cuts_the_same_text(model, stop):
    options = {"max_tokens": 25, "seed": 4, "ignore_eos": True, "allowed": tuple(range(40, 290))}
    whole = model.generate("the people", **options)
    cut = model.generate("the people", **options, stop=(stop, "never there"))
    assert cut == whole.partition(stop)[0]
    tokens = model.generate("the people", **options, stop=(stop, "never there"), return_tokens=True)
    assert stop in model.tokenizer.decode(tokens) or cut == whole
    assert stop not in model.tokenizer.decode(tokens[:-1])  # the last one completes it


def test_a_grammar_holds(model):
    for seed in range(5):
        text = model.generate("the people", max_tokens=20, seed=seed, grammar=Grammar("regex", "[a-c]{3} (peace|war)"))
        assert re.fullmatch("[a-c]{3} (peace|war)", text)


def test_token_ids_in_and_out(model):
    ids = model.generate([17, 4, 9], max_tokens=16, temperature=0, ignore_eos=True, return_tokens=True)
    assert len(ids) == 16


def test_score_is_log_softmax_given_the_prompt(model):
    whole = [model.tokenizer.end_of_text, *model.tokenizer.encode("the people of these states")]
    log_probs = model.logits(torch.tensor([whole]))[0].log_softmax(-1)
    start = 1 + len(model.tokenizer.encode("the people"))
    expected = [float(log_probs[i - 1, whole[i]]) for i in range(start, len(whole))]
    assert model.score("the people", " of these states") == pytest.approx(expected, abs=1e-5)


def test_score_of_everything_sums_to_one(model):
    """Over all single tokens after a prompt: probabilities, not just numbers."""
    ids = [model.tokenizer.end_of_text, 5]
    total = sum(math.exp(float(model.score_tokens([[*ids, token]])[0][-1])) for token in range(300))
    assert total == pytest.approx(1, abs=1e-4)


def test_f06_a_prompt_longer_than_the_context(model):
    with pytest.raises(GenusError, match="do not fit the context of 32"):
        model.generate("the people of these states " * 20)


def test_f17_special_tokens_in_a_prompt_are_plain_text(model):
    assert model.tokenizer.end_of_text not in model.prompt_ids("<|endoftext|>")


def test_bf16_is_near(model, tmp_path):
    model.save(tmp_path / "model")
    half = genus.load(tmp_path / "model", weights="bf16")
    ids = torch.arange(12)[None]
    difference = (half.logits(ids) - model.logits(ids)).abs().max()
    assert 0 < difference < 0.05
    with pytest.raises(GenusError, match="fp32, bf16"):
        genus.load(tmp_path / "model", weights="int3")


def test_without_a_tokenizer(model, tmp_path):
    bare = Model(model.network, model.family)
    bare.save(tmp_path / "bare")
    with pytest.raises(GenusError, match=r"tokenizer\.json"):
        genus.load(tmp_path / "bare").generate("text")
