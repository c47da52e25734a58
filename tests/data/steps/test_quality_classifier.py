"""The classifier is the same whatever order its texts come in, and documents are kept as often as GPT-3's formula says."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps import quality as module
from genus.data.steps.quality import Quality, QualityModel, _accuracy, keeps, load_quality, train_quality

FINE = "the senate considered treaty commerce nation measures liberty public treasury union peace".split()  # noqa: SIM905
POOR = "click here buy cheap now free shipping login cookies subscribe deal offer".split()  # noqa: SIM905
BOTH = "and of a to in is that it was for on are".split()  # noqa: SIM905


def texts(words: list[str], count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words + BOTH, k=40)) for _ in range(count)]


GOOD, RAW = texts(FINE, 120, 1), texts(POOR, 150, 2)


@pytest.fixture(scope="module")
def model() -> QualityModel:
    return train_quality(GOOD, RAW)


def test_good_and_raw_are_told_apart(model: QualityModel) -> None:
    score = model.score()
    assert np.mean([score(text) for text in texts(FINE, 30, 3)]) > 0.6
    assert np.mean([score(text) for text in texts(POOR, 30, 4)]) < 0.4
    assert score("") == pytest.approx(1 / (1 + math.exp(-model.bias)), abs=1e-4)
    held = model.facts["held_out"]
    assert (held["texts"], held["accuracy"]) == (27, 1.0)
    assert (held["low"], held["high"]) == (
        pytest.approx(27 / (27 + 1.959964**2)),
        pytest.approx(1.0),
    )  # Wilson's interval of n out of n
    half = _accuracy(5, 10)
    assert (half["low"], half["high"]) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert (model.facts["good_texts"], model.facts["raw_texts"]) == (120, 150)


def test_scores_are_those_of_scikit_learn(model: QualityModel) -> None:
    from sklearn.linear_model import LogisticRegression

    other = LogisticRegression()
    other.coef_, other.intercept_ = model.weights[None].astype(float), np.array([model.bias])
    other.classes_ = np.array([0, 1])
    some = GOOD[:5] + RAW[:5]
    theirs = other.predict_proba(module._vectorizer().transform(some))[:, 1]
    assert [model.score()(text) for text in some] == pytest.approx(list(theirs), abs=1e-4)


def test_order_and_repeats_change_nothing(model: QualityModel) -> None:
    shuffled = random.Random(5).sample(GOOD, len(GOOD)) + GOOD[:7]
    again = train_quality(iter(shuffled), reversed(RAW))
    assert (again.weights == model.weights).all()
    assert (again.bias, again.facts) == (model.bias, model.facts)


def test_only_some_texts_are_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 50)
    everything = module._choose(GOOD, 0)
    assert everything == sorted(everything)[:50]
    assert everything == module._choose(reversed(GOOD), 0) != module._choose(GOOD, 1)
    assert len(everything) == 50
    assert {text for _, text in everything} <= set(GOOD)


def test_a_saved_model_is_the_same(model: QualityModel, tmp_path: Path) -> None:
    model.save(tmp_path / "quality")
    loaded = load_quality(tmp_path / "quality")
    assert (loaded.weights == model.weights).all()
    assert (loaded.bias, loaded.facts) == (model.bias, model.facts)
    assert {path.suffix for path in (tmp_path / "quality").iterdir()} == {".json", ".safetensors"}
    (tmp_path / "quality" / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(GenusError, match="train the quality model again"):
        load_quality(tmp_path / "quality")
    (tmp_path / "quality" / "quality.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(GenusError, match="not a quality model"):
        load_quality(tmp_path / "quality")


@pytest.mark.parametrize(
    ("good", "raw", "why"), [([], RAW, "good texts"), (GOOD, ["x"] * 99, "raw texts"), (RAW, RAW, "the same")]
)
def test_one_class_is_refused(good: list[str], raw: list[str], why: str) -> None:
    with pytest.raises(GenusError, match=why):
        train_quality(good, raw)


@pytest.mark.parametrize("alpha", [3.0, 9.0])
@pytest.mark.parametrize("score", [0.0, 0.5, 0.9, 0.99, 1.0])
def test_documents_are_kept_as_often_as_the_formula_says(score: float, alpha: float) -> None:
    count = 20_000
    kept = sum(keeps(score, f"document {i}", alpha, seed=1) for i in range(count))
    chance = (2 - score) ** -alpha
    assert abs(kept - count * chance) <= 4 * math.sqrt(count * chance * (1 - chance)) + 1e-9


def test_luck_is_by_seed_and_id_as_numpy_draws_it() -> None:
    pareto = np.random.default_rng(0).pareto(9, 100_000)
    ours = np.array([keeps(0.9, str(i)) for i in range(20_000)]).mean()
    assert ours == pytest.approx((pareto > 0.1).mean(), abs=0.015)
    assert [keeps(0.9, str(i), seed=1) for i in range(99)] != [keeps(0.9, str(i), seed=2) for i in range(99)]
    higher = [all(keeps(s, str(i)) <= keeps(s + 0.1, str(i)) for s in (0.0, 0.3, 0.6, 0.9)) for i in range(999)]
    assert all(higher)


def documents(words: list[str], source: str) -> Iterator[Document]:
    return (
        Document(f"{source}/{i}", text, source, meta={"collection": source}) for i, text in enumerate(texts(words, 60, 7))
    )


def test_the_step_drops_low_scores_and_keeps_good_sources(model: QualityModel, tmp_path: Path) -> None:
    model.save(tmp_path / "quality")
    step = Quality(model=tmp_path / "quality").open(("books",))
    poor = [step(document) for document in documents(POOR, "crawl")]
    assert sum(fate.document is None for fate in poor) > 50
    assert {fate.reason for fate in poor if fate.document is None} == {"low quality"}
    assert all(0 < fate.measured["quality"] < 0.5 for fate in poor)
    assert all(step(document).document is document for document in documents(POOR, "books"))
    code = Document("c", "click here", "crawl", meta={"code": "c"})
    assert step(code).document is code
    with pytest.raises(GenusError, match="not above 0"):
        Quality(model=tmp_path / "quality", alpha=0).open()
    with pytest.raises(GenusError, match="no model"):
        Quality().open()
