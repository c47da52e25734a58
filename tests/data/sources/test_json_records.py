"""Records of JSON in lines, lists and alone: what json.loads finds in the whole file, found piece by piece."""

import gzip
import json
import random
import tracemalloc
from pathlib import Path
from typing import BinaryIO

import pyarrow
import pytest

from genus.data.sources import Document, Dropped, read
from genus.data.sources.jsonl import _Values
from genus.data.sources.limits import Limits

RECORDS = [{"text": f'text {i} é 😀 \\ " ] , }}' + "x" * (i * 37 % 500), "n": i} for i in range(700)]


class Cut:
    """A file that gives few bytes at a time."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.size = file, size

    def read(self, size: int) -> bytes:
        return self.file.read(self.size)


def texts(path: Path) -> list[str]:
    return [item.text for item in read(str(path)) if isinstance(item, Document)]


def dropped(path: Path) -> list[tuple[str, str]]:
    return [(item.id, item.reason) for item in read(str(path)) if isinstance(item, Dropped)]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "json", "json.gz"])
def test_lines_compressed_or_not_are_the_same(tmp_path: Path, suffix: str) -> None:
    raw = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
    packed = {"gz": gzip.compress, "zst": lambda raw: pyarrow.compress(raw, codec="zstd", asbytes=True)}
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(packed.get(suffix.rpartition(".")[2], bytes)(raw))
    found = list(read(str(path)))
    assert found == [
        Document(f"x.{suffix}#{i}", record["text"], f"x.{suffix}", meta={"n": str(record["n"])})
        for i, record in enumerate(RECORDS, 1)
    ]


def test_a_cut_gzip_gives_the_lines_before_the_cut(tmp_path: Path) -> None:
    raw = gzip.compress("".join(json.dumps(record) + "\n" for record in RECORDS).encode())
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(raw[: len(raw) // 2])
    found = texts(path)
    assert 100 < len(found) < 700
    assert found == [record["text"] for record in RECORDS[: len(found)]]
    assert dropped(path) == [("x.jsonl.gz", "broken file")]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_list_is_its_values(tmp_path: Path, indent: int | None, mark: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(mark + json.dumps(RECORDS, indent=indent, ensure_ascii=False).encode())
    assert texts(path) == [record["text"] for record in RECORDS]


def test_values_are_those_of_a_whole_parse_however_they_are_cut(tmp_path: Path) -> None:
    draw, path = random.Random(0), tmp_path / "x.json"
    leaves = [12, 0.5, -3e7, "a]b", "é\n", None, True, [], {}, {"text": "x", "meta": [1, {"y": 2}]}]
    for _ in range(30):
        values = draw.choices(leaves, k=draw.randrange(6))
        raw = json.dumps(values, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 1])).encode()
        for cut in (1, 2, 3, len(raw)):
            path.write_bytes(raw)
            with path.open("rb") as file:
                small = _Values(file)
                small.file = Cut(file, cut)  # type: ignore[assignment]
                assert list(small) == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "kept", "reasons"),
    [
        (b'{\n "text": "alone"\n}\n', ["alone"], []),
        (b'{"name": "a",\n "version": 1}', [], ["missing text field"]),
        (b'[{"text": "a"}, {"text": 5}, {"text": "b"}]', ["a", "b"], ["missing text field"]),
        (b'[{"text": "a"}, {"text": nonsense}, {"text": "b"}]', ["a"], ["bad JSON file"]),
        (b'[{"text": "a"}, {"text": "b"}', ["a", "b"], ["bad JSON file"]),
        (b'[{"text": "a"} {"text": "b"}]', ["a"], ["bad JSON file"]),
        (b'[{"text": "a"}, "\xff"]', [], ["invalid UTF-8"]),
        (b'{"text": "a"}\n{"text": \n{"text": "b"}\n', ["a", "b"], ["bad JSON line"]),
        (b"[" * 100_000, [], ["bad JSON file"]),
        (b'{"text": "a", "meta": {"set": "Pile-CC", "deep": [1]}}', ["a"], []),
    ],
)
def test_json_of_many_forms(tmp_path: Path, raw: bytes, kept: list[str], reasons: list[str]) -> None:
    (tmp_path / "x.json").write_bytes(raw)
    (tmp_path / "y.txt").write_text("other")
    assert texts(tmp_path) == [*kept, "other"]
    assert [reason for _, reason in dropped(tmp_path)] == reasons


def test_meta_of_an_object_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a", "meta": {"pile_set_name": "Pile-CC", "n": 1, "l": [2]}, "n": 3}')
    (document,) = read(str(tmp_path / "x.jsonl"))
    assert document == Document("x.jsonl#1", "a", "x.jsonl", meta={"pile_set_name": "Pile-CC", "n": "3"})


def test_a_line_that_is_too_long_is_dropped_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "RECORD", 1000)
    monkeypatch.setattr(Limits, "PIECE", 300)
    path = tmp_path / "x.jsonl"
    fits = json.dumps({"text": "x" * 987}) + "\n"
    assert len(fits) == 1000
    path.write_text(fits + fits.replace("x", "xx", 1) + fits + '{"text": "' + "y" * 5000)
    assert texts(path) == ["x" * 987] * 2
    assert list(read(str(path)))[1:4:2] == [
        Dropped("x.jsonl#2", "too long", "line 2: 1001 bytes, at most 1000"),
        Dropped("x.jsonl#4", "too long", "line 4: 5010 bytes, at most 1000"),
    ]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.txt", "x.html"])
def test_a_huge_file_of_one_line_takes_little_memory(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "RECORD", 2**20)
    monkeypatch.setattr(Limits, "PIECE", 2**18)
    with (tmp_path / name).open("wb") as file:
        file.write(b'{"text": "')
        file.truncate(50 * 2**20)
    (tmp_path / "z.txt").write_text("the rest")
    tracemalloc.start()
    found = list(read(str(tmp_path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9 * 2**20
    assert isinstance(found[-1], Document)
    assert {item.reason for item in found[:-1]} <= {"too long", "binary file", "bad JSON file"}  # type: ignore[union-attr]
    assert len(found) > 1


def test_text_without_line_ends_is_cut_between_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "PIECE", 25)
    text = "aé漢😀" * 100
    (tmp_path / "x.txt").write_text(text, "utf-8")
    parts = texts(tmp_path / "x.txt")
    assert "".join(parts) == text
    assert len(parts) > 10
    assert dropped(tmp_path / "x.txt") == []
