"""Any model as an encoder: what it is known by, and an index whose model lies elsewhere now."""

import json
import shutil

import pytest

from genus.core.errors import GenusError
from genus.retrieve.hidden import Hidden
from genus.retrieve.index import make_index
from genus.retrieve.recipe import Index
from genus.retrieve.search import open_search
from tests.evaluate.probed import tiny_model


@pytest.fixture
def folder(tmp_path):
    tiny_model().save(tmp_path / "model")
    return tmp_path / "model"


def test_an_encoder_is_known_by_its_settings_too(folder):
    before = Hidden(folder).sha256
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.1}))
    assert Hidden(folder).sha256 != before


def test_what_else_lies_in_its_folder_is_not_of_it(folder, tmp_path):
    before = Hidden(folder).sha256
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.safetensors").write_bytes(b"other")
    assert Hidden(folder).sha256 == before
    (tmp_path / "run").mkdir()
    shutil.move(folder, tmp_path / "run" / "model")
    (tmp_path / "run" / "state.safetensors").write_bytes(b"other")
    assert Hidden(tmp_path / "run").sha256 == before


def test_an_index_goes_on_with_its_model_elsewhere(folder, tmp_path):
    pytest.importorskip("lancedb")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.md").write_text("Kittens sleep a lot.")
    out, later = str(tmp_path / "index"), str(tmp_path / "elsewhere")
    make_index(str(tmp_path / "notes"), Index(out=out, encoder=str(folder)))
    shutil.move(folder, later)
    with pytest.raises(GenusError, match="neither minilm nor a model folder"):
        open_search(out)
    assert make_index(str(tmp_path / "notes"), Index(out=out, encoder=later)).unchanged == 1
    assert open_search(out).find("Kittens", by="meaning")
