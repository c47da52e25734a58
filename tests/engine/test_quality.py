"""What weight formats cost, and that it is told."""

import math

import pytest
import torch

import genus
from genus.core.errors import GenusError
from genus.engine import quality
from genus.engine.model import Model
from genus.engine.packed import PackedModel
from genus.models.attend import FastAttend
from genus.models.families import family_named
from genus.tokenizers.bytelevel import train
from tests.engine.test_routes import make_model, some_tokens
from tests.train.tiny import WORDS


def log_probs(model, ids):
    with torch.no_grad():
        row = torch.tensor([ids])
        return model(row, torch.arange(len(ids))[None], FastAttend(model.spec))[0].log_softmax(-1)


def test_it_is_the_formula():
    """Over two windows, of which the second is shorter."""
    network, ids = make_model("llama"), some_tokens(1, 20)[0].tolist()
    packed = PackedModel(network, "int4")
    found = quality.measure(network, packed, ids, window=12)
    exact, rounded, divergence = [], [], []
    for part in (ids[:12], ids[12:]):
        right, ours = (log_probs(model, part)[:-1] for model in (network, packed))
        places = torch.arange(len(part) - 1), torch.tensor(part[1:])
        exact += right[places].tolist()
        rounded += ours[places].tolist()
        divergence += (right.exp() * (right - ours)).sum(-1).tolist()
    assert found.tokens == 18
    assert found.exact == pytest.approx(math.exp(-sum(exact) / 18), rel=1e-4)
    assert found.rounded == pytest.approx(math.exp(-sum(rounded) / 18), rel=1e-4)
    assert found.divergence == pytest.approx(sum(divergence) / 18, rel=1e-3)
    assert found.change == pytest.approx(found.rounded / found.exact - 1)


def test_fewer_bits_cost_more():
    network, ids = make_model("gpt2"), some_tokens(1, 300)[0].tolist()
    costs = [
        quality.measure(network, PackedModel(network, form), ids).divergence for form in ("fp32", "bf16", "int8", "int4")
    ]
    assert abs(costs[0]) < 1e-6
    assert costs[0] < costs[1] < costs[2] < costs[3]


def test_a_text_of_one_token_is_refused():
    network = make_model("gpt2")
    with pytest.raises(GenusError, match="less than two tokens"):
        quality.measure(network, PackedModel(network), [1])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tokenizer = train(iter(WORDS * 4), vocab=300)
    network = make_model("gpt2")
    wider = type(network)(network.spec.__class__(**{**vars(network.spec), "vocab": 300}))
    Model(wider, family_named("gpt2"), tokenizer).save(tmp_path / "model")
    return tmp_path / "model"


def test_it_is_measured_once_for_these_files(folder, capsys, monkeypatch):
    model = genus.load(folder, weights="int8")
    quality.tell(model, folder)
    first = capsys.readouterr().err.splitlines()[-1]
    assert first.startswith("int8, 27% of fp32's bytes: perplexity ")
    monkeypatch.setattr(Model, "quality", lambda *_: pytest.fail("it was measured again"))
    quality.tell(model, folder)
    assert capsys.readouterr().err.splitlines() == [first]
    (folder / "model.safetensors").touch()
    with pytest.raises(pytest.fail.Exception, match="measured again"):
        quality.tell(model, folder)


def test_fp32_costs_nothing_and_says_nothing(folder, capsys):
    quality.tell(genus.load(folder), folder)
    assert capsys.readouterr().err == ""


def test_what_cannot_be_kept_is_measured_again(folder, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "config.json"))  # a file, no folder
    quality.tell(genus.load(folder, weights="int4"), folder)
    assert "int4, 16% of fp32's bytes" in capsys.readouterr().err


def test_everything_is_read_in_the_format_that_was_asked_for(folder):
    exact, rounded = genus.load(folder), genus.load(folder, weights="int4")
    ids = torch.arange(12)[None]
    assert not torch.equal(exact.logits(ids), rounded.logits(ids))
    assert not torch.equal(exact.embed(["the people"]), rounded.embed(["the people"]))
    ours = rounded.score_tokens([ids[0].tolist()])[0]
    expected = rounded.logits(ids)[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    rounded.save(folder.parent / "copy")  # in full
    assert torch.equal(genus.load(folder.parent / "copy").logits(ids), exact.logits(ids))


def test_an_unknown_format_is_refused(folder):
    with pytest.raises(GenusError, match=r"weights = 'int7'.*fp32, bf16, int8, int4"):
        genus.load(folder, weights="int7")
