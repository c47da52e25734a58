"""The tokenizer stage: learned from training text only, and honest about what the corpus allows."""

from dataclasses import replace
from pathlib import Path

import pytest
from small_corpus import Made

from genus.core.errors import GenusError
from genus.data.corpus import documents
from genus.data.vocabulary import make_tokenizer
from genus.tokenizers.bytelevel import train
from genus.tokenizers.tokenizer import Tokenizer


def test_it_is_learned_from_the_training_documents_alone(made: Made) -> None:
    train_texts, held_out = ([each.text for each in documents(made.corpus.out, s)] for s in ("train", "validation"))
    written = Tokenizer.load(made.tokenizer.out)
    assert written.sha256 == train(iter(train_texts), 300).sha256
    assert written.sha256 != train(iter(train_texts + held_out), 300).sha256
    names = sorted(path.name for path in made.tokenizer.out.iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize(("vocab", "message"), [(257, "at least 258"), (50_000, r"at most \d+")])
def test_a_vocabulary_that_cannot_be_is_refused(made: Made, tmp_path: Path, vocab: int, message: str) -> None:
    with pytest.raises(GenusError, match=message):
        make_tokenizer(replace(made.tokenizer, out=tmp_path / "t", vocab=vocab))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_corpus_or_a_model_folder_as_out_is_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(GenusError, match=r"manifest\.json is missing"):
        make_tokenizer(replace(made.tokenizer, corpus=tmp_path / "none", out=tmp_path / "t"))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_text("weights")
    with pytest.raises(GenusError, match=r"model\.safetensors, which this stage did not make"):
        make_tokenizer(replace(made.tokenizer, out=tmp_path / "model"))
