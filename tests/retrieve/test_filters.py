"""Conditions in the languages of the stores: every text in them is quoted. What they find is part of the contract."""

import pytest

from genus.core.errors import GenusError
from genus.retrieve.filters import MILVUS, SQL, All, AnyOf, Is, Not, Range, admits, written
from tests.retrieve.memory_corpus import passage


def test_they_are_written_in_each_language():
    where = All((Is("document", ("a", "it's")), Not(AnyOf((Range("date", "2001", "2002"), Range("url", "h"))))))
    assert written(where, SQL) == (
        "(document in ('a', 'it''s') and (not ((date >= '2001' and date <= '2002') or (url >= 'h'))))"
    )
    assert written(where, MILVUS) == (
        '(document in ["a", "it\'s"] and (not ((date >= "2001" and date <= "2002") or (url >= "h"))))'
    )
    assert written(Is("title", ('say "\\n"\n',)), MILVUS) == 'title in ["say \\"\\\\n\\"\\n"]'


def test_nothing_to_choose_from():
    each = passage("d", "text")
    for where, holds in ((Is("title", ()), False), (All(()), True), (AnyOf(()), False), (Range("title"), True)):
        assert admits(where, each) is holds
    assert written(Is("title", ()), SQL) == "title < ''"
    assert written(All(()), MILVUS) == 'id >= ""'
    assert written(AnyOf(()), SQL) == "id < ''"


def test_conditions_too_deep_are_refused():
    where = Is("title", ("x",))
    for _ in range(31):
        where = Not(where)
    assert written(where, SQL).count("not") == 31
    with pytest.raises(GenusError, match="more than 32 deep"):
        written(Not(where), SQL)
