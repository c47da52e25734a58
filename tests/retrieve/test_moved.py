"""An index that moves onto one that is there already: it goes on where it stopped, and mixes nothing."""

import pytest

from genus.core.errors import GenusError
from genus.retrieve.opening import open_corpus
from genus.retrieve.rows import moved
from tests.retrieve.memory_corpus import passage
from tests.retrieve.test_corpus_contract import ENDINGS, FACTS, encoded, filled, place, some


@pytest.mark.parametrize("store", ENDINGS)
def test_what_the_source_no_longer_has_does_not_stay_in_the_target(store, tmp_path):
    with place("lance", tmp_path) as first, place(store, tmp_path / "other") as second:
        source, target = filled(first, some(20)), filled(second, some(5))
        assert moved(source, target) == 20  # a move that was killed goes on
        changed = passage("doc3", "said otherwise")
        source.add([changed], encoded([changed]))
        assert moved(source, target) == len(target) == 20
        assert target.get(["doc3:0"]) == [changed]
        newer = passage("doc4", "said otherwise")
        source.add([newer], encoded([newer]))
        source.delete(["doc7"])
        with pytest.raises(GenusError, match="which would stay in it; name a new place"):
            moved(source, target)
        assert target.get(["doc4:0", "doc7:0"]) == [some(20)[4], some(20)[7]]


def test_an_index_moves_to_one_of_the_same_encoder_under_another_name(tmp_path):
    with place("lance", tmp_path) as first:
        target = open_corpus(str(tmp_path / "other"), {**FACTS, "name": "/moved/to"})
        assert moved(filled(first, some(3)), target) == 3
