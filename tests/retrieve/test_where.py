"""Conditions as people write them: read into the tree, and errors that show the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.retrieve.filters import All, AnyOf, Filter, Is, Not, Range
from genus.retrieve.where import read_where

EN, DATE = Is("language", ("en",)), Range("date", first="1900")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("language=en", EN),
        ("language = en,de", Is("language", ("en", "de"))),
        ("source!=a/b.md", Not(Is("source", ("a/b.md",)))),
        ("date>=1900", DATE),
        ("date<=1999-12-31", Range("date", last="1999-12-31")),
        ("title='A, B = (C)' and language=en", All((Is("title", ("A, B = (C)",)), EN))),
        ('title="it\'s"', Is("title", ("it's",))),
        ("url=http://x.org/a?b#c", Is("url", ("http://x.org/a?b#c",))),
        ("language=en and date>=1900 or title=x", AnyOf((All((EN, DATE)), Is("title", ("x",))))),
        ("language=en and (date>=1900 or title=x)", All((EN, AnyOf((DATE, Is("title", ("x",))))))),
        ("not language=en and date>=1900", All((Not(EN), DATE))),
        ("not (language=en or date>=1900)", Not(AnyOf((EN, DATE)))),
        ("title=not", Is("title", ("not",))),
        ("title=''", Is("title", ("",))),
        ('title="\' OR 1=1 --"', Is("title", ("' OR 1=1 --",))),
    ],
)
def test_conditions_are_read(text: str, meant: Filter):
    assert read_where(text) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "its end, at character 1, is no field"),
        ("colour=red", "'colour=red', at character 1, is no field; the fields are document, title"),
        ("language", "its end, at character 9, should be one of ="),
        ("language=", "its end, at character 10, should be a value"),
        ("language=en,", "at character 13, should be a value"),
        ("date>1900", "'>1900', at character 5, should be one of = != >= <="),
        ("language=en date>=1", "'date>=1', at character 13, comes after the end"),
        ("(language=en", r"its end, at character 13, should be \)"),
        ("title=a and", "its end, at character 12, is no field"),
        ('title="a', "at character 7, cannot be read"),
        ("not " * 20 + "title=a", "lies more than 8 conditions deep"),
    ],
)
def test_errors_show_the_place(text: str, said: str):
    with pytest.raises(GenusError, match=said):
        read_where(text)


@given(st.text(alphabet="ab=<>!,()'\" \nandorort\0é", max_size=60))
def test_any_text_is_read_or_refused(text: str):
    try:
        read_where(f"title={text}")
    except GenusError as error:
        assert "at character" in str(error)


@given(st.text(max_size=30).filter(lambda text: '"' not in text))
def test_any_value_can_be_quoted(value: str):
    assert read_where(f'title="{value}"') == Is("title", (value,))
