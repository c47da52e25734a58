"""DPO: it starts at ln 2, learns, and its reference is the start model."""

import pytest
import torch

from genus.align.compared import Ranked, encode_comparisons
from genus.align.dpo import _Known, _loss, _prepare, train_dpo
from genus.align.recipe import Dpo
from genus.data.comparisons import Comparison
from genus.engine.model import load
from genus.train.journal import read_journal
from genus.train.tuning import open_start
from tests.align.small import FAST, QUIET, save_small, write_comparisons


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return save_small(tmp_path_factory.mktemp("start") / "model")


def test_it_starts_at_ln_2_and_learns(start, tmp_path):
    data = write_comparisons(tmp_path / "comparisons.jsonl")
    fields = {"model": start, "out": tmp_path / "run", "comparisons": (str(data),), "held_out": (str(data),)}
    folder = train_dpo(Dpo(**fields, **QUIET, **FAST, epochs=6, batch=8, beta=0.5))
    records = read_journal(tmp_path / "run" / "metrics.jsonl")
    held_out = [record for record in records if "validation_loss" in record]
    assert held_out[0]["validation_loss"] == pytest.approx(0.693147, abs=1e-5)
    assert next(record for record in records if record.get("step") == 1 and "loss" in record)["loss"] == pytest.approx(
        0.693147, abs=1e-5
    )
    assert held_out[-1]["validation_accuracy"] == 1.0 and held_out[-1]["validation_loss"] < 0.4
    before, after = load(start), load(folder)
    assert sum(after.score("say 2", " the people")) > sum(before.score("say 2", " the people"))
    gain = [sum(m.score("say 2", " the people")) - sum(m.score("say 2", " the world")) for m in (before, after)]
    assert gain[1] > gain[0] + 1
    assert torch.isfinite(after.logits(torch.tensor([[1, 2]]))).all()


def test_the_best_answers_own_loss_is_beside(start):
    """Of two that share the first rank, the mean."""
    opened = open_start(start)
    ranking = Comparison("say 1", (" the people", " the world", " of law and order"), (1, 2, 1), "")
    (ranked,) = encode_comparisons([ranking], opened.tokenizer, 64)
    batch = _prepare([_Known(ranked, (-10.0, -12.0, -20.0))], torch.device("cpu"))
    plain, beside = (
        _loss(opened.network, Dpo(model=start, out=start, comparisons=(), nll=nll), batch).total.item() for nll in (0.0, 0.5)
    )
    likely = []
    for example in (ranked.examples[0], ranked.examples[2]):
        tokens = torch.from_numpy(example.tokens)
        logs = load(start).logits(tokens[None])[0].log_softmax(-1)[:-1].gather(1, tokens[1:, None])[:, 0]
        likely.append(logs[torch.from_numpy(example.learned[1:])].mean().item())
    assert beside - plain == pytest.approx(-0.5 * sum(likely) / 2, abs=1e-5)


def test_a_rankings_loss_is_the_mean_of_its_pairs_one_by_one(start, tmp_path):
    recipe = Dpo(model=start, out=tmp_path, comparisons=(), beta=0.3, smoothing=0.1)
    opened = open_start(start)
    rankings = [
        Comparison("say 1", (" the people", " the world", " of law", " of law and order"), (2, 1, 2, 3), ""),
        Comparison("say 2", (" with all nations", " peace"), (1, 2), ""),
    ]
    reference = (-10.0, -12.0, -9.0, -20.0), (-17.0, -8.0)
    ranked = encode_comparisons(rankings, opened.tokenizer, 64)
    known = [_Known(*each) for each in zip(ranked, reference, strict=True)]

    def loss(some):
        return _loss(opened.network, recipe, _prepare(some, torch.device("cpu")))

    singles = []
    for each in known:
        examples, ranks, _ = each.ranked
        pairs = [(i, j) for i in range(len(ranks)) for j in range(len(ranks)) if ranks[i] < ranks[j]]
        alone = [
            _Known(Ranked((examples[i], examples[j]), (1, 2), ""), (each.reference[i], each.reference[j])) for i, j in pairs
        ]
        singles.append(sum(loss([one]).total.item() for one in alone) / len(alone))
    assert [len(each.ranked.ranks) for each in known] == [4, 2]
    both = loss(known)
    assert both.total.item() == pytest.approx(sum(singles), rel=1e-5) and both.weight == 2
