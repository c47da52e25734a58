"""Tiny models for the server's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from genus.engine.model import Model, load
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.tokenizer import Tokenizer
from tests.engine.test_model_chat import TEMPLATE, tiny_model
from tests.serve.here import Here
from tests.train.tiny import WORDS


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a tiny random model that can chat, as far as its form goes."""
    import tokenizers

    files = tmp_path_factory.mktemp("tokenizer")
    train_kind(iter(WORDS * 4), 300).save(files)
    backend = tokenizers.Tokenizer.from_file(str(files / "tokenizer.json"))
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.save(str(files / "tokenizer.json"))
    (files / "chat_template.jinja").write_text(TEMPLATE)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model(Tokenizer.load(files), context=512).save(folder)
    return folder


@pytest.fixture(scope="session")
def chat_model(chat_folder: Path) -> Model:
    return load(chat_folder)


@pytest.fixture(scope="module")
def here(chat_model: Model, chat_folder: Path) -> Iterator[Here]:
    """A server that the tests of a module share; each must leave it idle."""
    server = Here(chat_model, chat_folder)
    yield server
    assert server.settled()
    server.stop()
