"""What an index in a folder does beside the contract: readers, writers, damage, and the quantised index of a large one."""

import sys

import numpy as np
import pytest

from genus.core.errors import GenusError
from genus.core.files import locked
from genus.retrieve.filters import Is
from genus.retrieve.opening import open_corpus
from tests.retrieve.memory_corpus import passage

pytest.importorskip("lancedb")

from genus.retrieve import lance

FACTS = {"name": "drawn", "sha256": "1" * 64, "width": 32}


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Vectors of length 1 about 50 centres."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((50, 32))
    vectors = centres[draw.integers(50, size=count)] + 0.4 * draw.standard_normal((count, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def filled(path, count=30):
    corpus = open_corpus(str(path), FACTS)
    corpus.add([passage(f"doc{n}", f"text {n} of many") for n in range(count)], drawn(count))
    return corpus


def ids(found):
    return [hit.passage.id for hit in found]


def test_readers_go_on_while_the_table_is_rewritten(tmp_path):
    writer = filled(tmp_path / "index")
    reader = open_corpus(str(tmp_path / "index"))
    vector = drawn(1)[0]
    assert len(reader.words("text", 100)) == len(reader.near(vector, 100)) == 30
    writer.add([passage("new", "fresh text")], drawn(1, seed=5))
    assert ids(reader.words("fresh", 9)) == ["new:0"]
    assert len(reader.near(vector, 100)) == 31
    for document in ("doc3", "doc4"):
        writer.delete([document])
        assert len(reader.near(vector, 100)) == len(writer)
        writer.compact()
        assert len(reader.words("text", 100)) == len(reader.near(vector, 100)) == len(writer) == len(reader)
        assert reader.get([f"{document}:0"]) == []
    assert [path.name for path in sorted((tmp_path / "index" / "tables").glob("*.lance"))] == ["passages-3.lance"]
    reader.add([passage("other", "of the other")], drawn(1, seed=6))
    assert ids(writer.words("other", 9)) == ["other:0"]


def test_a_document_is_replaced_in_one_commit(tmp_path):
    corpus = filled(tmp_path / "index")
    corpus.add([passage("doc1", "the rest", number=1)], drawn(1, seed=5))
    before = corpus._table.version
    corpus.add([passage("doc1", "shorter")], drawn(1, seed=6), ["doc1"])
    assert corpus._table.version == before + 1
    assert [each.text for each in corpus.get(["doc1:0", "doc1:1"])] == ["shorter"]


def test_one_writes_at_a_time(tmp_path):
    corpus = filled(tmp_path / "index")
    with locked(tmp_path / "index" / "tables"):
        for change in (lambda: corpus.delete(["doc3"]), corpus.compact, lambda: corpus.add([passage("x", "y")], drawn(1))):
            with pytest.raises(GenusError, match="in use by another run"):
                change()
        assert len(corpus) == len(corpus.words("text", 100)) == 30
    assert corpus.delete(["doc3"]) == 1


def test_damage_is_told(tmp_path):
    filled(tmp_path / "index").compact()
    for path in (tmp_path / "index" / "tables").rglob("*.lance"):
        if path.is_file():
            path.write_bytes(b"\0" * path.stat().st_size)
    corpus = open_corpus(str(tmp_path / "index"))
    for ask in (lambda: corpus.words("text", 3), lambda: corpus.get(["doc1:0"]), lambda: corpus.near(drawn(1)[0], 3)):
        with pytest.raises(GenusError, match=r"could not be used .* make the index again"):
            ask()
    (tmp_path / "index" / "index.json").write_text('{"genus_index": 2,')
    with pytest.raises(GenusError, match="is not whole JSON"):
        open_corpus(str(tmp_path / "index"))


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    for facts in (FACTS, None):
        with pytest.raises(GenusError, match=r"or holds other files|no index of Genus"):
            open_corpus(str(tmp_path / "letters"), facts)
    (tmp_path / "file").write_text("dear")
    with pytest.raises(GenusError):
        open_corpus(str(tmp_path / "file"), FACTS)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["a.txt"]


def test_what_killed_processes_leave_is_no_hindrance(tmp_path):
    tables = tmp_path / "index" / "tables"
    (tables / "passages-1.lance").mkdir(parents=True)  # killed while it made the index
    (tables / "passages-1.lance" / "half").write_text("half")
    corpus = filled(tmp_path / "index")
    (tables / "passages-2.lance").mkdir()  # killed while it rewrote the table
    (tables / "passages-2.lance" / "half").write_text("half")
    corpus.delete(["doc3"])
    corpus.compact()
    assert len(corpus) == 29
    assert [path.name for path in tables.glob("*.lance")] == ["passages-2.lance"]


def test_a_large_index_is_quantised_and_refined(tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "SCANNED", 1000)
    corpus = filled(tmp_path / "index", 3000)
    vectors, asked = drawn(3000), drawn(40, seed=7)
    right = [set(np.argsort(-(vectors @ each))[:10].tolist()) for each in asked]
    corpus.compact()
    assert {column for index in corpus._table.list_indices() for column in index.columns} == {"words", "vector"}
    shares = []
    for each, nearest in zip(asked, right, strict=True):
        exact = corpus.near(each, 10, exact=True)
        assert {int(hit.passage.document[3:]) for hit in exact} == nearest
        found = corpus.near(each, 10)
        shares.append(len(nearest & {int(hit.passage.document[3:]) for hit in found}) / 10)
        known = {hit.passage.id: hit.score for hit in exact}
        assert all(hit.score == pytest.approx(known[hit.passage.id], abs=1e-5) for hit in found if hit.passage.id in known)
    assert np.mean(shares) >= 0.95
    best = ids(corpus.near(asked[0], 3))
    assert ids(corpus.near(asked[0], 3, Is("document", (best[2][:-2],)))) == [best[2]]
    corpus.delete([best[0][:-2]])
    corpus.add([passage("late", "after the index")], asked[:1])
    assert ids(corpus.near(asked[0], 2)) == ["late:0", best[1]]
    corpus.compact()
    assert ids(corpus.near(asked[0], 2)) == ["late:0", best[1]]


def test_the_scan_is_read_once_until_something_changes(tmp_path, monkeypatch):
    corpus = filled(tmp_path / "index")
    loads = []
    scan = lance.Scan
    monkeypatch.setattr(lance, "Scan", lambda table: loads.append(1) or scan(table))
    for _ in range(3):
        corpus.near(drawn(1)[0], 3)
    assert len(loads) == 1
    corpus.delete(["doc1"])
    corpus.near(drawn(1)[0], 3)
    assert len(loads) == 2


def test_lancedb_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(GenusError, match=r"pip install 'genus\[retrieve\]'"):
        open_corpus(str(tmp_path / "index"), FACTS)


@pytest.mark.parametrize(
    "place", ["", " ", "a\0b", "ftp://x/y", "http://host:1/", "http://host:1/bad-name", "http://host:1/a/b"]
)
def test_a_place_that_is_none(place):
    with pytest.raises(GenusError, match=r"no place for an index|neither a folder nor|does not name its collection"):
        open_corpus(place)


def test_a_milvus_that_is_not_there():
    pytest.importorskip("pymilvus")
    with pytest.raises(GenusError, match="is not reached") as told:
        open_corpus("http://user:secret@127.0.0.1:1/passages")
    assert "secret" not in str(told.value)


def test_what_is_searched_in_memory_is_what_lancedb_finds(tmp_path):
    """BM25 of both ways, with and without a condition: the same passages, and scores that are equal to five digits."""
    texts = [" ".join(f"w{(number * 7 + place * place) % 23}" for place in range(5 + number % 9)) for number in range(80)]
    passages = [passage(f"d{number}", text, language="en" if number % 3 else "de") for number, text in enumerate(texts)]
    here = lance.LanceCorpus(tmp_path / "index", FACTS)
    here.add(passages, drawn(80))
    here.compact()
    there = lance.LanceCorpus(tmp_path / "index", scanned=0)
    for query in ("w1", "w2 w3 w5", "w22 w0 never d7"):
        for where in (None, Is("language", ("de",))):
            mine, theirs = (each.words(query, 50, where) for each in (here, there))
            assert mine and [hit.passage for hit in mine] == [hit.passage for hit in theirs]
            assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in theirs], abs=2e-5)
