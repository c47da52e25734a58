"""What every test may use. State lives in temporary folders; nothing here opens a network."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tiny models gain nothing from threads, and tests that run side by side lose much by them. Before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def loud() -> Iterator[None]:
    """A command that a test ran with --quiet, in process, silences no later test."""
    from genus.core.progress import set_quiet

    yield
    set_quiet(False)


@pytest.fixture(scope="session")
def tiny_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of a small text, made once for all tests of training."""
    from tests.train.tiny import make_tiny_shards

    return make_tiny_shards(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def mixed_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards by source, made once for all tests of mixtures."""
    from tests.train.tiny import make_mixed_shards

    return make_mixed_shards(tmp_path_factory.mktemp("mixed"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public reference files beside the checkout; tests that need it are skipped where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"reference data is not present at {folder}")
    return folder


@pytest.fixture(scope="session")
def answer_writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model that has learned what to write from each passage of a small library."""
    from tests.retrieve.answering import hostile_search, make_writer

    return make_writer(tmp_path_factory.mktemp("models") / "writer", hostile_search())
