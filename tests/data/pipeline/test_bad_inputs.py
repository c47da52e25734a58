"""Bad records and files of every kind, through the whole command: each is named and counted, and the rest is kept."""

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from real_documents import passages, write_jsonl, write_recipe

from genus.core.files import read_json
from genus.data.corpus import documents

GOOD = 60
STEPS = ("extract", "repair", "exact", "fuzzy", "paragraphs", "personal")


def genus_corpus(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "genus.cli.main", "corpus", *map(str, arguments), "--quiet"]
    return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)


def page(number: int, length: int | None = None) -> bytes:
    """A record of a web archive; `length` where it lies about it."""
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + f"This is page {number}. ".encode() * 20 + b"</p>"
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:page{number}>\r\nContent-Type: application/http\r\n"
    )
    return f"{head}Content-Length: {length or len(http)}\r\n\r\n".encode() + http + b"\r\n\r\n"


def zstandard(raw: bytes) -> bytes:
    return pa.compress(raw, codec="zstd", asbytes=True)


def lines(*names: str) -> bytes:
    return b"".join(json.dumps({"id": name, "text": f"The text of {name} says little."}).encode() + b"\n" for name in names)


def damaged(raw: bytes) -> bytes:
    """With its middle overwritten."""
    return raw[: len(raw) // 2] + b"\xff" * 40 + raw[len(raw) // 2 + 40 :]


def long_line(path: Path, size: int) -> None:
    """A good line, a line of so many bytes that takes no room on the disk, and a good one."""
    with path.open("wb") as file:
        file.write(lines("before"))
        file.seek(size, os.SEEK_CUR)
        file.write(b"\n" + lines("behind"))


def bomb(size: int) -> bytes:
    """Zeros; one member after another, so that it is quickly made."""
    return gzip.compress(bytes(2**24)) * (size // 2**24)


def table(rows: int) -> bytes:
    """In row groups of 10, each page with a check of its own."""
    sink = pa.BufferOutputStream()
    made = pa.table({"text": [f"Row {i}. {zlib.crc32(b'%d' % i)} is its number." for i in range(rows)]})
    pq.write_table(made, sink, row_group_size=10, compression="zstd", write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def make_bad(folder: Path) -> None:
    """Every kind of bad input under a name that says what it is."""
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(lines(*(f"gz{i}" for i in range(2000))))[:-400])
    (folder / "cut.jsonl.zst").write_bytes(zstandard(lines(*(f"zst{i}" for i in range(4000))))[:-400])
    (folder / "damaged.parquet").write_bytes(damaged(table(40)))
    (folder / "no.parquet").write_bytes(b"PAR1 and no more")
    (folder / "lies.warc").write_bytes(page(1) + page(2, length=10**6) + page(3))
    (folder / "damaged.warc.gz").write_bytes(
        gzip.compress(page(4)) + damaged(gzip.compress(page(5))) + gzip.compress(page(6))
    )
    (folder / "bad.jsonl").write_bytes(
        b'{"id": "a1", "text": \n{"id": "a2"}\n[]\n\xff\xfe\n{"text": 3}\n' + lines("good line")
    )
    (folder / "bad.json").write_bytes(b'[{"id": "j1", "text": "One value, whole."}, {"id": "j2", "te')
    long_line(folder / "long.jsonl", 2**30)
    (folder / "nul.txt").write_bytes(b"before\0behind")
    (folder / "latin.txt").write_bytes("naïve café".encode("latin-1"))
    (folder / "mixed.txt").write_bytes("naïve".encode() + "café".encode("latin-1"))
    (folder / "utf16.txt").write_bytes("text".encode("utf-16"))
    (folder / "empty.txt").write_bytes(b"")
    (folder / "nested.html").write_text("<div>" * 100_000 + "deep" + "</div>" * 100_000)
    (folder / "bomb.txt.gz").write_bytes(bomb(2**29))
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / "loop").symlink_to(folder)
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "away.txt").symlink_to("/etc/passwd")
    (folder / "none").mkdir()


NAMED = {  # the reason by which each is named at least once
    "cut.jsonl.gz": "broken file", "cut.jsonl.zst": "broken file", "damaged.parquet": "broken file",
    "no.parquet": "broken file", "lies.warc": "broken record", "damaged.warc.gz": "broken record",
    "bad.jsonl#1": "bad JSON line", "bad.jsonl#2": "missing text field", "bad.jsonl#4": "invalid UTF-8",
    "bad.json": "bad JSON file", "long.jsonl#2": "too long", "nul.txt": "binary file", "latin.txt": "invalid UTF-8",
    "mixed.txt": "invalid UTF-8", "utf16.txt": "binary file", "empty.txt": "empty",
    "nested.html": "page nested too deep", "bomb.txt.gz": "expands too much", "image.png": "other format",
    "loop": "link to a folder", "itself.txt": "unreadable", "away.txt": "link out of the folder",
}  # fmt: skip
KEPT = {"page1", "page3", "page4", "page6", "good line", "j1", "before", "behind", "gz0", "zst0", "damaged.parquet#1"}


def test_each_bad_thing_is_named_and_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    good = [{"id": f"good{i}", "text": text} for i, text in enumerate(passages(GOOD))]
    source = write_jsonl(tmp_path / "source", [*good, {"id": "good0", "text": "Another of this name."}])
    make_bad(source)
    out = tmp_path / "out"
    told = genus_corpus("--source", source, "--out", out, *(flag for step in STEPS for flag in ("--steps", step)))
    assert told.returncode == 0, told.stderr
    assert "Traceback" not in told.stderr
    dropped = pa.concat_tables(map(pq.read_table, sorted((out / "dropped").glob("*.parquet")))).to_pylist()
    reasons = {(row["id"], row["reason"]) for row in dropped}
    for name, reason in NAMED.items():
        assert any(id.startswith(name) and why == reason for id, why in reasons), (name, reasons)
    kept = [each.id for split in ("train", "validation") for each in documents(out, split)]
    assert len(kept) == len(set(kept)) and {f"good{i}" for i in range(GOOD)} | KEPT <= set(kept)
    manifest = read_json(out / "manifest.json")
    assert manifest["dropped"] == Counter(row["reason"] for row in dropped)


def test_sources_that_have_nothing(tmp_path: Path) -> None:
    """One of two sources that is empty costs nothing; where both are, it is said, and nothing is left behind."""
    (tmp_path / "none").mkdir()
    full = write_jsonl(tmp_path / "full", [{"id": f"d{i}", "text": text} for i, text in enumerate(passages(30))])
    recipe = tmp_path / "corpus.toml"
    for other, code in ((full, 0), (tmp_path / "none", 1)):
        tables = [
            f'[[sources]]\nname = "{name}"\npath = "{path}"' for name, path in (("a", tmp_path / "none"), ("b", other))
        ]
        recipe.write_text("\n".join(tables))
        told = genus_corpus(recipe, "--out", tmp_path / f"out{code}")
        assert told.returncode == code, told.stderr
    assert "no usable text" in told.stderr and told.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.toml", "full", "none", "out0"]


def test_a_classifier_of_one_class_is_refused_in_a_sentence(tmp_path: Path) -> None:
    texts = [{"id": f"d{i}", "text": text} for i, text in enumerate(passages(30))]
    recipe = write_recipe(tmp_path / "source", {"good": [{"id": "none", "text": ""}], "raw": texts}, files=1)
    told = genus_corpus(recipe, "--out", tmp_path / "out")
    assert told.returncode == 1 and not (tmp_path / "out").exists()
    assert "needs 20 different good texts and has 0; add good documents" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("flags", [("--partitions", "-1"), ("--runner.processes", "-2")])
def test_numbers_that_are_none(tmp_path: Path, flags: tuple[str, str]) -> None:
    told = genus_corpus("--source", "sotu", "--out", tmp_path / "out", *flags)
    assert told.returncode == 1 and flags[0].removeprefix("--") in told.stderr and not (tmp_path / "out").exists()
