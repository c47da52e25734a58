"""Files of every kind, damaged at random: reading ends, raises nothing, and leaves the files beside it alone."""

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genus.data.sources import Document, read

WORDS = [f"text {i} é мир 漢字 " * (i % 7 + 1) for i in range(40)]
LINES = "".join(json.dumps({"text": text, "n": 1, "meta": {"a": "b"}}, ensure_ascii=False) + "\n" for text in WORDS).encode()
HTML = f"<html><head><meta charset=utf-8></head><p>{'<p>'.join(WORDS)}</html>".encode()


def warc(compress: Callable[[bytes], bytes]) -> bytes:
    records = []
    for number, text in enumerate(WORDS):
        body = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n{number}".encode()
        body += gzip.compress(text.encode(), mtime=0)
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://e.org/{number}\r\n"
        head += f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
        records.append(compress(head.encode() + body + b"\r\n\r\n"))
    return b"".join(records)


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": WORDS, "n": range(len(WORDS))}), sink, row_group_size=10)
    return bytes(sink.getvalue().to_pybytes())


GOOD = {
    "x.txt": "".join(WORDS).encode(),
    "x.jsonl": LINES,
    "x.jsonl.gz": gzip.compress(LINES, mtime=0),
    "x.jsonl.zst": bytes(pa.compress(LINES, codec="zstd", asbytes=True)),
    "x.json": json.dumps([json.loads(line) for line in LINES.splitlines()]).encode(),
    "x.parquet": parquet(),
    "x.html": HTML,
    "x.warc": warc(bytes),
    "x.warc.gz": warc(lambda raw: gzip.compress(raw, mtime=0)),
}


def damaged(raw: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.randrange(1, 4)):
        start, size = draw.randrange(len(raw)), draw.choice([1, 2, 8, 50])
        other = draw.choice([b"", draw.randbytes(size), bytes(size), b"\r\n", raw[start : start + size] * 2, b"99999999"])
        raw = (raw[:start] + other + raw[start + size :]) if draw.random() < 0.9 else raw[: start + 1]
    return raw


@pytest.mark.parametrize("name", GOOD)
def test_random_damage_is_survived(tmp_path: Path, name: str) -> None:
    draw = random.Random(name)
    (tmp_path / "y.txt").write_text("beside it")
    for _ in range(60):
        raw = damaged(GOOD[name], draw)
        (tmp_path / name).write_bytes(raw)
        found = list(read(str(tmp_path)))
        assert found[-1] == Document("y.txt", "beside it", f"{tmp_path.name}/y.txt"), raw
        assert all(item.text.encode() for item in found if isinstance(item, Document)), raw
        assert len(found) > 1, raw
