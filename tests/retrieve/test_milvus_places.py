"""What an index in a Milvus says of a bad place, and what it takes of a passage that is longer than its columns."""

import fcntl
from dataclasses import replace

import numpy as np
import pytest

from genus.core.errors import GenusError
from genus.retrieve.opening import open_corpus
from tests.retrieve.memory_corpus import passage
from tests.retrieve.test_corpus_contract import FACTS, encoded, filled, place

pytest.importorskip("pymilvus")

LIGATURE = "\ufdfa"  # folds to 18 letters of 33 bytes


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("http://user:secret@[::1/x", r"cannot be read; write it as http://HOST:PORT/COLLECTION"),
        ("http://user:secret/word@localhost:1/x", r"cannot be read; write it as http://HOST:PORT/COLLECTION"),
        ("http://localhost:99999/x", r"cannot be read; write it as http://HOST:PORT/COLLECTION"),
        ("http://localhost:1/x.db", "does not name its collection"),
        ("ftp://host/x.db", "neither a folder nor"),
        ("/proc/nope/x.db", r"could not be used \(No such file or directory\); name another place"),
        ("a" * 300 + ".db", r"could not be used \(File name too long\); name another place"),
    ],
)
def test_a_bad_place_is_told_in_a_sentence(bad, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenusError, match=said) as told:
        open_corpus(bad, FACTS)
    assert "secret" not in str(told.value)
    assert not [*tmp_path.iterdir()]


def test_a_plain_file_and_one_that_is_held_are_told_without_a_traceback(tmp_path, caplog, capfd):
    pytest.importorskip("milvus_lite")
    (tmp_path / "plain.db").write_text("not an index")
    for facts in (None, FACTS):
        with pytest.raises(GenusError, match="is a file, and milvus-lite keeps an index in a folder"):
            open_corpus(str(tmp_path / "plain.db"), facts)
    (tmp_path / "held.db").mkdir()
    with (tmp_path / "held.db" / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(GenusError, match="end the process that may have it open, or name another"):
            open_corpus(str(tmp_path / "held.db"), FACTS)
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_words_that_fold_to_more_than_a_column_takes_are_cut(tmp_path):
    with place("milvus", tmp_path) as at:
        long = passage("long", " ".join(["river", *[LIGATURE * 59] * 100, "stone"]))
        corpus = filled(at, [long, passage("short", "river stone")])
        assert corpus.get(["long:0"]) == [long]
        assert {hit.passage.id for hit in corpus.words("river", 5)} == {"long:0", "short:0"}
        assert [hit.passage.id for hit in corpus.words("stone", 5)] == ["short:0"]
        corpus.add([passage("short", "bank")], np.ones((1, 256), np.float32) / 16)
        corpus.compact()
        assert corpus.get(["long:0"]) == [long]


def test_a_passage_that_is_too_long_takes_nothing_out(tmp_path):
    with place("milvus", tmp_path) as at:
        corpus = filled(at, [passage("one", "river"), passage("two", "stone")])
        new = [passage("one", "bank"), replace(passage("two", "law"), language="ü" * 40)]
        with pytest.raises(GenusError, match="the language of the passage 'two:0' is longer than the 64 bytes"):
            corpus.add(new, encoded(new), ["one", "two"])
        assert len(corpus) == 2
