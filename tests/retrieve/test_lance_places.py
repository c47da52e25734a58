"""What a folder of an index does when it is bad, half made, or changed while it is searched."""

import pytest

from genus.core.errors import GenusError
from genus.retrieve.filters import Is
from genus.retrieve.opening import open_corpus
from tests.retrieve.memory_corpus import passage
from tests.retrieve.test_lance import FACTS, drawn, filled, ids

pytest.importorskip("lancedb")

from genus.retrieve import lance


def test_a_place_that_cannot_be_a_folder_is_told(tmp_path):
    for facts in (None, FACTS):
        with pytest.raises(GenusError, match=r"could not be used \(File name too long\); name a folder"):
            open_corpus(str(tmp_path / ("what is the best " * 20)), facts)


def test_an_index_whose_making_was_killed_is_made_by_the_same_line(tmp_path):
    filled(tmp_path / "index")
    (tmp_path / "index" / "index.json").rename(tmp_path / "index" / ".index.json.partial")
    assert len(open_corpus(str(tmp_path / "index"), FACTS)) == 0


@pytest.mark.parametrize("always", [False, True])
def test_a_filter_holds_where_rows_get_new_ids_meanwhile(tmp_path, monkeypatch, always):
    reader, writer = filled(tmp_path / "index"), open_corpus(str(tmp_path / "index"))
    vector, where, plain = drawn(1)[0], Is("document", ("doc7", "doc8")), lance._rows
    right = ids(reader.words("text", 9, where)), ids(reader.near(vector, 9, where))
    commits = iter(range(100 if always else 1))

    def rows(table, condition):
        for number in commits:  # the ids of all rows are new
            writer.add([passage(f"new{number}", "another")], drawn(1, seed=number))
            writer.delete(["doc1"])
            writer._table.optimize()
            break
        return plain(table, condition)

    monkeypatch.setattr(lance, "_rows", rows)
    assert (ids(reader.words("text", 9, where)), ids(reader.near(vector, 9, where))) == right
