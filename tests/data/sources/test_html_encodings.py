"""Pages in many encodings give the characters that were written; what cannot be known is dropped, with the place."""

import codecs
from pathlib import Path

import pytest

from genus.data.sources import Document, Dropped, read
from genus.data.sources.pages import decode_page

RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах. " * 3
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。" * 3
FRENCH = "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ça où? " * 3


def page(text: str, charset: str = "") -> str:
    meta = f'<meta charset="{charset}">' if charset else ""
    return f"<html><head>{meta}<title>x</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        (RUSSIAN, "utf-8"),
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso-2022-jp"),
        (FRENCH, "iso-8859-1"),
        (FRENCH, "windows-1252"),
        ("人人生而自由，在尊严和权利上一律平等。" * 5, "gb2312"),
    ],
)
def test_the_declared_encoding_is_used(text: str, charset: str) -> None:
    inside = page(text, charset)
    assert decode_page(inside.encode(charset), "", "x") == inside
    bare = page(text)
    assert decode_page(bare.encode(charset), charset.upper(), "x") == bare


@pytest.mark.parametrize(("text", "charset"), [(RUSSIAN, "windows-1251"), (JAPANESE, "shift_jis"), (FRENCH, "windows-1252")])
def test_an_encoding_that_nothing_declares_is_found(text: str, charset: str) -> None:
    assert decode_page(page(text).encode(charset), "", "x") == page(text)


@pytest.mark.parametrize(
    ("mark", "charset"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_decides(mark: bytes, charset: str) -> None:
    assert decode_page(mark + page(RUSSIAN, "koi8-r").encode(charset), "koi8-r", "x") == page(RUSSIAN, "koi8-r")


def test_utf8_is_believed_before_a_wrong_label() -> None:
    assert decode_page(page(RUSSIAN, "iso-8859-1").encode(), "windows-1252", "x") == page(RUSSIAN, "iso-8859-1")


@pytest.mark.parametrize(
    ("raw", "declared", "reason", "detail"),
    [
        (
            RUSSIAN.encode()[:101] + b"\xe9 and more" + RUSSIAN.encode(),
            "latin-1",
            "mixed encodings",
            "byte 0xd0 at offset 100",
        ),
        (b"caf\xe9", "utf-8", "invalid UTF-8", "byte 0xe9 at offset 3"),
        (b"abc \xff\xff\xff\xff", "shift_jis", "unknown encoding", "byte 0xff at offset 4 is not shift_jis"),
        (b"<p>\x00</p>", "", "binary file", "NUL character at 3"),
        (b" \r\n", "", "empty", "no text in it"),
    ],
)
def test_what_cannot_be_decoded_is_dropped_with_the_place(raw: bytes, declared: str, reason: str, detail: str) -> None:
    assert decode_page(raw, declared, "x") == Dropped("x", reason, detail)


@pytest.mark.parametrize("label", ["hex", "rot13", "unicode_escape", "utf-7", "idna", "x" * 40, "replacement"])
def test_a_label_of_no_encoding_of_the_web_is_not_used(label: str) -> None:
    assert decode_page(b"4142 +AEE- \\u0041 &", label, "x") == "4142 +AEE- \\u0041 &"


def test_deep_nesting_is_only_read(tmp_path: Path) -> None:
    text = "<div>" * 100_000 + "x"
    (tmp_path / "x.html").write_text(text)
    (document,) = read(str(tmp_path))
    assert document == Document("x.html", text, f"{tmp_path.name}/x.html", meta={"format": "html"})
