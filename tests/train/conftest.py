"""One set of small shards for all tests of training."""

from pathlib import Path

import pytest

from tests.train.tiny import make_tiny_shards


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_shards(tmp_path_factory.mktemp("tiny"))
