"""Web archives, written by fastwarc itself: pages and their addresses; damage costs one record."""

import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from fastwarc.warc import WarcRecord, WarcRecordType, conversion, request, resource, response

from genus.data.sources import Document, Dropped, read
from genus.data.sources.limits import Limits

COUNT = 6


def record(number: int, kind: WarcRecordType = response, **changes: bytes) -> bytes:
    """One record as fastwarc writes it. Changes: the headers and body of the HTTP response."""
    made = WarcRecord()
    made.init_headers(record_type=kind, record_urn=b"uuid:00000000-0000-4000-8000-%012d" % number)
    made.headers["WARC-Target-URI"] = f"https://example.org/{number}"
    made.headers["WARC-Date"] = f"2021-03-0{number}T00:00:00Z"
    body = changes.get("body", b"<p>page %d</p>" % number)
    if kind in (response, request):
        made.headers["Content-Type"] = "application/http; msgtype=response"
        head = changes.get("head", b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8")
        body = head + b"\r\n\r\n" + body
    else:
        made.headers["Content-Type"] = changes.get("head", b"text/plain").decode()
    made.set_bytes_content(body)
    made.write(stream := io.BytesIO())
    return stream.getvalue()


def joined(records: list[bytes]) -> bytes:
    return b"".join(records)


def members(records: list[bytes]) -> bytes:
    return b"".join(map(gzip.compress, records))


def one_member(records: list[bytes]) -> bytes:
    return gzip.compress(joined(records))


FORMS: dict[str, tuple[str, Callable[[list[bytes]], bytes]]] = {
    "plain": ("x.warc", joined),
    "members": ("x.warc.gz", members),
    "one member": ("x.warc.gz", one_member),
}


def found(path: Path, raw: bytes) -> tuple[list[str], list[tuple[str, str]]]:
    """Last digits of the ids of documents, and reason and detail of what is dropped, from a folder with `raw` in it."""
    path.write_bytes(raw)
    (path.parent / "other.txt").write_text("read too")
    items = list(read(str(path.parent)))
    documents = [item.id[-1] if item.id != "other.txt" else "other" for item in items if isinstance(item, Document)]
    return documents, [(item.reason, item.detail) for item in items if isinstance(item, Dropped)]


@pytest.mark.parametrize("form", FORMS)
def test_responses_are_documents(tmp_path: Path, form: str) -> None:
    name, pack = FORMS[form]
    (tmp_path / name).write_bytes(pack([record(1, request), record(2), record(3)]))
    assert list(read(str(tmp_path / name))) == [
        Document(
            f"00000000-0000-4000-8000-{number:012}",
            f"<p>page {number}</p>",
            name,
            date=f"2021-03-0{number}T00:00:00Z",
            meta={"url": f"https://example.org/{number}", "format": "html"},
        )
        for number in (2, 3)
    ]


def test_wet_and_resources_and_bodies_in_codings(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html"
    records = [
        record(1, conversion, body="plain é".encode()),
        record(2, resource, head=b"text/html", body=b"<p>saved</p>"),
        record(3, head=head + b"\r\nContent-Encoding: gzip", body=gzip.compress(b"<p>zipped</p>")),
        record(4, head=head + b"\r\nTransfer-Encoding: chunked", body=b"4\r\n<p>c\r\n3\r\nut.\r\n0\r\n\r\n"),
        record(5, head=head + b"; charset=koi8-r", body="<p>мир</p>".encode("koi8-r")),
        record(6, head=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain", body=b"words\r\n"),
    ]
    (tmp_path / "x.warc.wet.gz").write_bytes(members(records))
    documents = [item for item in read(str(tmp_path)) if isinstance(item, Document)]
    texts = ["plain é", "<p>saved</p>", "<p>zipped</p>", "<p>cut.", "<p>мир</p>", "words\n"]
    assert [document.text for document in documents] == texts
    assert [document.meta.get("format", "") for document in documents] == ["", "html", "html", "html", "html", ""]


def test_what_is_no_page_is_dropped_with_its_address(tmp_path: Path) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: "
    raw = members(
        [
            record(1),
            record(2, head=b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html"),
            record(3, head=head + b"image/png", body=b"\x89PNG"),
            record(4, head=head + b"text/html", body=b""),
            record(5, head=head + b"text/html\r\nContent-Encoding: gzip", body=b"not gzip"),
            record(6, head=b"no HTTP at all"),
        ]
    )
    documents, dropped = found(tmp_path / "x.warc.gz", raw)
    assert documents == ["other", "1"]
    assert [reason for reason, _ in dropped] == ["not a page", "other format", "empty", "broken record", "not a page"]
    assert [detail for _, detail in dropped][:2] == [
        "HTTP status 404: https://example.org/2",
        "image/png: https://example.org/3",
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [b"Content-Length: 9", b"Content-Length: 1", b"Content-Length: x", b"Content-Lengt: "])
def test_a_wrong_length_costs_one_record(tmp_path: Path, form: str, length: bytes) -> None:
    name, pack = FORMS[form]
    records = [record(number) for number in range(1, COUNT)]
    assert records[2].count(b"Content-Length: ") == 1
    before, after = records[2].split(b"Content-Length: ")
    records[2] = before + length + (after[1:] if length[-1:] == b"1" else after)
    documents, dropped = found(tmp_path / name, pack(records))
    assert documents == ["other", "1", "2", "4", "5"]
    assert dropped == [("broken record", "its length is wrong or missing")]


def test_a_length_of_terabytes_costs_one_record(tmp_path: Path) -> None:
    records = [record(number) for number in range(1, COUNT)]
    records[2] = records[2].replace(b"Content-Length: ", b"Content-Length: 9999999999")
    documents, dropped = found(tmp_path / "x.warc", joined(records))
    assert documents == ["other", "1", "2", "4", "5"]
    assert [reason for reason, _ in dropped] == ["too long"]


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_damaged_member_costs_one_record(tmp_path: Path, size: int) -> None:
    body = b"".join(b"%d " % (i * 7919 % 104729) for i in range(size))
    packed = [gzip.compress(record(number, body=body)) for number in range(1, COUNT)]
    middle = len(packed[2]) // 2
    packed[2] = packed[2][:middle] + b"\xff" * 30 + packed[2][middle + 30 :]
    documents, dropped = found(tmp_path / "x.warc.gz", b"".join(packed))
    assert documents == ["other", "1", "2", "4", "5"]
    start = len(packed[0]) + len(packed[1])
    assert [(reason, detail.partition(":")[0]) for reason, detail in dropped] == [
        ("broken record", f"gzip member at offset {start}")
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_archive_gives_what_is_whole(tmp_path: Path, form: str) -> None:
    name, pack = FORMS[form]
    raw = pack([record(number) for number in range(1, COUNT)])
    documents, dropped = found(tmp_path / name, raw[:-30])
    assert documents[:4] == ["other", "1", "2", "3"]
    assert "5" not in documents
    assert [reason for reason, _ in dropped] == ["broken record"]
    (tmp_path / name).write_bytes(b"")
    assert found(tmp_path / name, b"") == (["other"], [])


@pytest.mark.parametrize("raw", [b"<html>not an archive</html>\n" * 5000, bytes(200_000), b"WARC/1.0\r\n\r\n", b"\r\n\r\n"])
def test_what_is_no_archive_is_named(tmp_path: Path, raw: bytes) -> None:
    documents, dropped = found(tmp_path / "x.warc", raw)
    assert documents == ["other"]
    assert [reason for reason, _ in dropped] == ["broken record"] * bool(raw.strip())


def test_bombs_are_dropped_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "RECORD", 2**18)
    monkeypatch.setattr(Limits, "PIECE", 2**18)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html"
    records = [
        record(1),
        record(2, body=b"x" * 2**22),  # longer than a record may be
        record(3, head=head + b"\r\nContent-Encoding: gzip", body=gzip.compress(bytes(2**24))),  # a bomb within
        record(4),
    ]
    raw = members(records)
    del records
    tracemalloc.start()
    documents, dropped = found(tmp_path / "x.warc.gz", raw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert documents == ["other", "1", "4"]
    assert [reason for reason, _ in dropped] == ["too long", "too long"]
    assert peak < 3 * 2**20


def test_a_member_that_expands_without_end_ends_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "SLACK", 2**20)
    raw = members([record(1), record(2)]) + gzip.compress(bytes(2**24))
    documents, dropped = found(tmp_path / "x.warc.gz", raw)
    assert documents == ["other", "1", "2"]
    assert [reason for reason, _ in dropped] == ["expands too much"]


def test_a_page_that_the_crawler_cut_is_kept_to_its_last_character(tmp_path: Path) -> None:
    whole = record(1, body="<p>мир".encode()[:-1])
    cut = whole.replace(b"WARC-Date:", b"WARC-Truncated: length\r\nWARC-Date:")
    (tmp_path / "x.warc").write_bytes(whole + cut)
    items = list(read(str(tmp_path)))
    assert [getattr(item, "reason", "") for item in items] == ["mixed encodings", ""]
    assert isinstance(items[1], Document)
    assert items[1].text == "<p>ми"
    assert items[1].meta["truncated"] == "length"
