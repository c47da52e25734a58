"""Passages: 100 words, the last two even, offsets exact, whatever the text is."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.retrieve.chunk import ID_BYTES, check_document, passages


def cut(text: str, **meta: str) -> list:
    return list(passages(Document("d", text, "source", meta=meta)))


@pytest.mark.parametrize(
    ("words", "sizes"),
    [
        (1, [1]), (100, [100]), (101, [51, 50]), (103, [52, 51]), (200, [100, 100]), (203, [100, 52, 51]),
        (350, [100, 100, 75, 75]),
    ],
)  # fmt: skip
def test_the_last_two_passages_share_what_is_left(words, sizes):
    found = cut(" ".join(f"w{i}" for i in range(words)))
    assert [len(each.text.split()) for each in found] == sizes
    assert [each.number for each in found] == list(range(1, len(sizes) + 1))
    assert [each.id for each in found] == [f"d:{each.number}" for each in found]


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab 中日\n\t ไé\U0001f600"), max_size=3000))
def test_offsets_are_exact_and_no_word_is_lost(text):
    found = cut(text)
    assert all(text[each.start : each.end] == each.text and each.text.strip() == each.text for each in found)
    assert "".join("".join(each.text.split()) for each in found) == "".join(text.split())
    assert all(before.end <= after.start for before, after in itertools.pairwise(found))


def test_text_without_blanks_is_cut_too():
    chinese = cut("中" * 1000)
    assert {len(each.text) for each in chinese} == {200}
    assert max(len(each.text) for each in cut("x" * 100_000)) <= 6000
    assert {len(each.text) for each in cut("\u0e01" * 1000)} == {200}  # Thai
    wide = cut((("word" + " " * 500) * 90).strip())
    assert len(wide) > 1
    assert all(len(each.text) <= 6000 for each in wide)


def test_a_passage_keeps_what_its_document_says():
    document = Document("a:b", "Some words.", "origin", date="2020-01-02", language="en", meta={"url": "http://x.org/"})
    (found,) = passages(Document(**{**vars(document), "meta": {**document.meta, "title": " A\n title "}}))
    assert (found.id, found.document, found.title, found.url) == ("a:b:1", "a:b", "A title", "http://x.org/")
    assert (found.source, found.date, found.language) == ("origin", "2020-01-02", "en")


def test_facts_are_no_longer_than_any_store_takes():
    (found,) = passages(Document("d", "Some words.", "語" * 2000, date=f"2020-01-02T{'9' * 90}", language="é" * 40))
    assert (found.source, found.language, found.date) == ("語" * 1365, "é" * 32, f"2020-01-02T{'9' * 53}")


def test_the_hash_tells_titles_and_texts_apart():
    hashes = {cut(text, title=title)[0].sha256 for text in ("one", "two") for title in ("x", "y")}
    assert len(hashes) == 4
    assert cut("one", title="x")[0].sha256 in hashes


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\x1b[2Jb", "a\u2028b", "é" * (ID_BYTES // 2 + 1), "a\ud800"])
def test_a_bad_id_is_refused(name):
    with pytest.raises(GenusError, match=re.escape("document's id")):
        check_document(name)


def test_ids_as_they_occur_are_taken():
    for name in ("notes/a b.md", "ä:1#2", "x" * ID_BYTES):
        assert check_document(name) == name
