"""A small corpus, tokenizer and shards, made once."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_corpus import Made, prose

from genus.data.corpus import Corpus, make_corpus
from genus.data.shards import ShardsRecipe, make_shards
from genus.data.vocabulary import TokenizerRecipe, make_tokenizer


@pytest.fixture(scope="session")
def records() -> list[dict[str, Any]]:
    """Thirty dated documents, as a .jsonl source holds them."""
    return [
        {"id": f"d{i}", "text": prose(i, 40 + 7 * i), "date": f"{1900 + (7 * i) % 30}-01-02", "year": 1900 + (7 * i) % 30}
        for i in range(30)
    ]


@pytest.fixture(scope="session")
def source(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="session")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The three stages run over `source`, with shards so small that there are many."""
    root = tmp_path_factory.mktemp("made")
    corpus = Corpus(source=str(source), out=root / "corpus", held_out=0.1)
    tokenizer = TokenizerRecipe(corpus=corpus.out, out=root / "tokenizer", vocab=300)
    shards = ShardsRecipe(corpus=corpus.out, tokenizer=tokenizer.out, out=root / "shards", shard_tokens=700)
    make_corpus(corpus)
    make_tokenizer(tokenizer)
    make_shards(shards)
    return Made(corpus, tokenizer, shards)
