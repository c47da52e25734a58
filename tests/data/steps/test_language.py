"""Languages are found and chosen among; scores say how much of a text is in one."""

import socket
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.language import Language, _pieces

ENGLISH = (
    "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience. " * 20
)
FRENCH = (
    "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de conscience. "
    * 20
)

ALL = Language(keep=()).open()
KEEP = Language().open()


def document(text: str, language: str = "", **meta: str) -> Document:
    return Document("a", text, "s", language=language, meta=meta)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        (ENGLISH, "en"),
        (FRENCH, "fr"),
        ("これは日本語の文章です。" * 9, "ja"),
        (" ".join(str(i * 7919) for i in range(300)), "zxx"),
    ],
)
def test_a_language_is_found(text: str, tag: str) -> None:
    fate = ALL(document(text))
    assert fate.document is not None
    assert (fate.document.language, fate.document.text) == (tag, text)
    assert fate.measured["language_score"] > 0.9


def test_only_some_languages_are_kept() -> None:
    assert KEEP(document(ENGLISH)).document is not None
    fate = KEEP(document(FRENCH))
    assert (fate.document, fate.reason) == (None, "language: not kept")
    assert fate.detail.startswith("fr by ")
    assert fate.measured["language_score"] > 0.9


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_score_of_a_mixed_text_is_its_share(share: float) -> None:
    size = len(ENGLISH) * 4
    text = (ENGLISH * 4)[: int(size * share)] + (FRENCH * 4)[: int(size * (1 - share))]
    fate = ALL(document(text))
    assert fate.measured["language_score"] == pytest.approx(max(share, 1 - share), abs=0.13)


def test_an_unsure_text_is_dropped() -> None:
    fate = KEEP(document(ENGLISH + FRENCH[:1500]))
    assert (fate.document, fate.reason) == (None, "language: unsure")
    assert "at least 0.65" in fate.detail
    fate = Language(least=0.3).open()(document(ENGLISH + FRENCH[:1500]))
    assert fate.document is not None


def test_a_stated_language_is_believed_unless_told_not_to() -> None:
    assert KEEP(document(FRENCH, "en-GB")).document == document(FRENCH, "en-GB")
    assert KEEP(document(ENGLISH, "fr")).reason == "language: not kept"
    assert KEEP(document(ENGLISH, "eng")).reason == "language: not kept"
    assert Language(trust=False).open()(document(FRENCH, "en")).reason == "language: not kept"


def test_code_passes() -> None:
    code = document("int main() { return 0; }", code="c")
    assert KEEP(code).document is code


@pytest.mark.parametrize("text", ["", " ", "\n", "!", "\x00", "\ud800", "a" * 10**6, "\n" * 10**6])
def test_any_text_gets_a_fate(text: str) -> None:
    assert ALL(document(text)).document is not None
    assert 0 <= ALL(document(text)).measured["language_score"] <= 1


def test_pieces_cover_a_short_text_and_sample_a_long_one() -> None:
    text = " ".join(str(i) for i in range(500))
    assert "".join(_pieces(text)) == text
    many = _pieces("x" * 10**6)
    assert [len(piece) for piece in many] == [300] * 8


def test_bad_settings_are_named() -> None:
    with pytest.raises(GenusError, match='"english", which is not a BCP 47 tag'):
        Language(keep=("english",)).open()
    with pytest.raises(GenusError, match=r"65 is not between 0 and 1"):
        Language(least=65).open()


def test_no_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert Language().open()(document(ENGLISH)).document is not None


def test_real_translations_of_one_text(shared_data: Path) -> None:
    # Languages that the model does not know, some of which it takes for a sister of theirs.
    unknown = {"ak", "bm", "fon", "ny", "rn", "tn", "ts", "tw", "wo"}
    for path in sorted((shared_data / "udhr_bloom").glob("*.txt")):
        tag = {"zhs": "zh", "zht": "zh"}.get(path.stem, path.stem)
        if path.stem == "SOURCE" or tag in unknown | {"id"}:  # Indonesian is hardly told from Malay
            continue
        fate = ALL(document(path.read_text()))
        assert fate.document is not None
        assert (fate.document.language, fate.measured["language_score"] > 0.9) == (tag, True)
