"""The corpus stage: what is written is what was read, split once, and every change to it is noticed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_corpus import Made, prose

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.data.corpus import Corpus, check_corpus, documents, make_corpus
from genus.data.sources import read


def test_documents_come_back_as_read_with_the_newest_held_out(made: Made, records: list[dict[str, Any]]) -> None:
    train, validation = (list(documents(made.corpus.out, split)) for split in ("train", "validation"))
    every = {document.id: document for document in read(made.corpus.source)}
    assert [document.id for document in train + validation] != []
    assert {document.id: document for document in train + validation} == every
    order = [record["id"] for record in records]
    assert [document.id for document in train] == [name for name in order if name in {each.id for each in train}]
    assert max(document.date for document in train) < min(document.date for document in validation)
    manifest = check_corpus(made.corpus.out)
    for split, each in (("train", train), ("validation", validation)):
        counts = manifest["splits"][split]
        assert counts["documents"] == len(each) == sum(file["documents"] for file in counts["files"])
        assert counts["bytes"] == sum(len(document.text.encode()) for document in each)
        assert manifest["dates"][split] == [min(x.date for x in each), max(x.date for x in each)]
    share = manifest["splits"]["validation"]["bytes"] / sum(len(record["text"].encode()) for record in records)
    assert 0.1 <= share < 0.2


def test_parquet_columns_are_those_of_the_design(made: Made) -> None:
    table = pq.read_table(made.corpus.out / "documents" / "train-00000.parquet")
    assert table.column_names == ["id", "text", "source", "licence", "date", "language", "meta"]
    assert dict(table["meta"][0].as_py()) == {"year": "1900"}


def test_the_same_source_gives_the_same_corpus_and_small_parts_the_same_documents(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = make_corpus(replace(made.corpus, out=tmp_path / "again"))
    assert again == read_json(made.corpus.out / "manifest.json")
    monkeypatch.setattr("genus.data.pipeline.parts._PART", 5000)
    monkeypatch.setattr("genus.data.pipeline.writing._GROUP", 700)
    parts = make_corpus(replace(made.corpus, out=tmp_path / "parts"))
    files = parts["splits"]["train"]["files"]
    assert len(files) > 2
    assert files[1]["name"] == "documents/train-00001.parquet"
    assert list(documents(tmp_path / "parts", "train")) == list(documents(made.corpus.out, "train"))
    assert pq.ParquetFile(tmp_path / "parts" / files[0]["name"]).num_row_groups > 1


def test_repeats_and_unusable_files_are_dropped_listed_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "source", tmp_path / "corpus"
    source.mkdir()
    for i in range(25):
        (source / f"{i:02d}.txt").write_text(prose(i, 60))
    (source / "copy.txt").write_text(prose(3, 60))
    (source / "binary.txt").write_bytes(b"\x00\x01")
    manifest = make_corpus(Corpus(source=str(source), out=out, held_out=0.1))
    assert manifest["dropped"] == {"binary file": 1, "duplicate": 1}
    rows = pq.read_table(out / "dropped" / "dropped.parquet").to_pylist()
    assert [(row["id"], row["reason"]) for row in rows] == [("binary.txt", "binary file"), ("copy.txt", "duplicate")]
    assert rows[1]["detail"] == "same text as 03.txt"
    texts = [document.text for split in ("train", "validation") for document in documents(out, split)]
    assert sorted(texts) == sorted(prose(i, 60) for i in range(25))
    told = capsys.readouterr().err
    assert "warning: dropped 1 binary file, 1 duplicate" in told
    card = (out / "data_card.md").read_text()
    assert "- duplicate: 1" in card
    assert "hash of seed 0" in card


def test_a_single_file_gives_its_tail(tmp_path: Path) -> None:
    text = prose(1, 2000)
    (tmp_path / "book.txt").write_text(text)
    make_corpus(Corpus(source=str(tmp_path / "book.txt"), out=tmp_path / "corpus"))
    (train,), (validation,) = (list(documents(tmp_path / "corpus", split)) for split in ("train", "validation"))
    assert train.text + validation.text == text
    assert (train.id, validation.id) == ("book.txt", "book.txt#tail")
    assert 0.05 <= len(validation.text) / len(text) < 0.1


@pytest.mark.parametrize(
    ("text", "message"), [("short text", "give at least 2,001 bytes"), ("x" * 5000, "no paragraph, line or word")]
)
def test_too_little_to_split_is_an_error_and_leaves_nothing(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(GenusError, match=message):
        make_corpus(Corpus(source=str(tmp_path / "a.txt"), out=tmp_path / "corpus"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("share", [0, 0.5, -1, float("nan")])
def test_held_out_must_be_a_share(tmp_path: Path, share: float) -> None:
    with pytest.raises(GenusError, match="held_out"):
        make_corpus(Corpus(out=tmp_path / "corpus", held_out=share))


def test_someone_elses_folder_is_never_replaced(made: Made, tmp_path: Path) -> None:
    (tmp_path / "thesis.md").write_text("years of work")
    with pytest.raises(GenusError, match=r"thesis\.md, which this stage did not make"):
        make_corpus(replace(made.corpus, out=tmp_path))
    with pytest.raises(GenusError, match="is a file"):
        make_corpus(replace(made.corpus, out=tmp_path / "thesis.md"))
    with pytest.raises(GenusError, match="name a new folder"):
        make_corpus(replace(made.corpus, out=Path()))
    with pytest.raises(GenusError, match="lie in each other"):
        make_corpus(Corpus(source=str(tmp_path), out=tmp_path / "corpus"))
    assert (tmp_path / "thesis.md").read_text() == "years of work"


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("harm", "message"), [(_flip, "has changed since"), (Path.unlink, "is missing")], ids=["flipped", "missing"]
)
def test_a_changed_corpus_is_named(made: Made, tmp_path: Path, harm: Callable[[Path], None], message: str) -> None:
    make_corpus(replace(made.corpus, out=tmp_path / "corpus"))
    harm(tmp_path / "corpus" / "documents" / "validation-00000.parquet")
    with pytest.raises(GenusError, match=rf"validation-00000\.parquet {message}"):
        check_corpus(tmp_path / "corpus")


def test_a_cut_or_absent_corpus_is_named(made: Made, tmp_path: Path) -> None:
    make_corpus(replace(made.corpus, out=tmp_path / "corpus"))
    file = tmp_path / "corpus" / "documents" / "train-00000.parquet"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(GenusError, match=r"train-00000\.parquet cannot be read"):
        list(documents(tmp_path / "corpus", "train"))
    with pytest.raises(GenusError, match=r"manifest\.json is missing"):
        list(documents(tmp_path / "nowhere", "train"))
    (tmp_path / "corpus" / "manifest.json").write_text('{"format": "other"}')
    with pytest.raises(GenusError, match="not a corpus of format genus-corpus-1"):
        check_corpus(tmp_path / "corpus")
