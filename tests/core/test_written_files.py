"""What is written is whole, or is told."""

import pytest

from genus.core.errors import GenusError
from genus.core.files import write_text


def test_a_place_that_is_none_is_told(tmp_path):
    (tmp_path / "file").write_text("as it was")
    with pytest.raises(GenusError, match="could not be written"):
        write_text(tmp_path / "file" / "below", "new")
    assert (tmp_path / "file").read_text() == "as it was"
