"""One server for all tests of a session that do no harm to it: `plain` and `chatty` of tests.serve.models."""

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
