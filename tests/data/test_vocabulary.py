"""The tokenizer stage: learned from training text only, and honest about what the corpus allows."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_corpus import Made

from genus.core.errors import GenusError
from genus.data.corpus import documents
from genus.data.shards import make_shards, open_shards
from genus.data.vocabulary import make_tokenizer
from genus.tokenizers import prepare
from genus.tokenizers.bytelevel import train
from genus.tokenizers.kinds import KindName
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


@pytest.mark.parametrize(("kind", "vocab"), [("gpt1", 50), ("neox", 320), ("galactica", 310), ("llama", 320)])
def test_every_kind_becomes_shards_that_hold_the_documents(made: Made, tmp_path: Path, kind: KindName, vocab: int) -> None:
    tokenizer = replace(made.tokenizer, out=tmp_path / "tokenizer", vocab=vocab, kind=kind)
    assert make_tokenizer(tokenizer).vocab == vocab
    make_shards(replace(made.shards, tokenizer=tokenizer.out, out=tmp_path / "shards"))
    shards = open_shards(tmp_path / "shards")
    ours, stream = shards.tokenizer(), shards.stream("train")
    texts = [document.text for document in documents(made.corpus.out, "train")]
    between = {"gpt1": [49], "neox": [0], "galactica": [2], "llama": [2, 1]}[kind]  # LLaMA's documents have their <s>
    expected = [number for text in texts for number in [*between, *ours.encode(text)]]
    assert stream.read(0, len(stream)).tolist() == [*expected, shards.end_of_text]


def test_spacy_words_are_refused_before_work_where_spacy_is_missing(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    config = replace(made.tokenizer, out=tmp_path / "t", vocab=50, kind="gpt1", pretokenizer="spacy")
    with pytest.raises(GenusError, match="pip install spacy"):
        make_tokenizer(config)
    monkeypatch.setattr(prepare, "words", str.split)
    assert make_tokenizer(config).encode("The LAW") == Tokenizer.load(config.out).encode("the law")
