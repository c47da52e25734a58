"""Tiny models for the server's tests, and one running server for those that do no harm to it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.running import Running, running


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders `plain` and `chatty`."""
    from tests.serve.models import make_models

    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server; in another environment, where Genus is not installed, the one that GENUS_TEST_SERVER tells of."""
    if told := os.environ.get("GENUS_TEST_SERVER"):
        yield Running(**json.loads(told))
        return
    folders = request.getfixturevalue("model_folders")
    with running(folders, tmp_path_factory.mktemp("server") / "log") as found:
        yield found


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a tiny random model that can chat, as far as its form goes."""
    from tests.engine.tiny_chat import chat_tokenizer, tiny_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model(chat_tokenizer(tmp_path_factory.mktemp("tokenizer")), context=512).save(folder)
    return folder


@pytest.fixture(scope="session")
def chat_model(chat_folder: Path):
    from genus.engine.model import load

    return load(chat_folder)


@pytest.fixture(scope="module")
def here(chat_model, chat_folder: Path):
    """A server in this process that the tests of a module share; each must leave it idle."""
    from tests.serve.here import Here

    found = Here(chat_model, chat_folder)
    yield found
    assert found.settled()
    found.stop()
