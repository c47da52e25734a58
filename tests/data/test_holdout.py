"""The hold-out rules, against what they promise: enough, never more than half, nothing in both splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.data.holdout import Facts, choose
from genus.data.sources import Document

lists = st.lists(st.tuples(st.integers(1, 10_000), st.sampled_from(["", "1990", "1991-05", "2000-01-01"])), min_size=1)


@given(lists, st.floats(0.01, 0.49), st.integers(0, 3))
def test_held_out_bytes_reach_the_share_and_stay_below_half(sizes: list[tuple[int, str]], share: float, seed: int) -> None:
    facts = [Facts(f"d{i}", date, size) for i, (size, date) in enumerate(sizes)]
    total = sum(fact.size for fact in facts)
    if total * share < 100:
        with pytest.raises(GenusError, match="give at least"):
            choose(facts, share, seed)
        return
    rule = choose(facts, share, seed)
    if rule.key is None:
        assert rule.words.startswith("the tail")
        return
    held = 0
    for fact in facts:
        (split, _), *others = rule.split(Document(fact.id, "x", "s", date=fact.date))
        assert not others
        held += fact.size * (split == "validation")
    assert total * share <= held <= total / 2


def test_dated_documents_hold_out_the_newest() -> None:
    facts = [Facts(f"d{i}", f"{2000 + i}", 1000) for i in range(10)]
    rule = choose(facts, 0.15, 0)
    assert rule.words == "the newest documents, from 2008 on"
    splits = [split for fact in facts for split, _ in rule.split(Document(fact.id, "x", "s", date=fact.date))]
    assert splits == ["train"] * 8 + ["validation"] * 2


def test_one_document_without_a_date_means_a_choice_by_hash_that_follows_the_seed() -> None:
    facts = [Facts(f"d{i}", f"{2000 + i}" if i else "", 1000) for i in range(40)]

    def held(seed: int) -> set[str]:
        rule = choose(facts, 0.2, seed)
        assert f"seed {seed}" in rule.words
        pairs = [(fact.id, split) for fact in facts for split, _ in rule.split(Document(fact.id, "x", "s"))]
        return {name for name, split in pairs if split == "validation"}

    assert len(held(0)) == len(held(1)) == 8
    assert held(0) == held(0) != held(1)


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        ("a" * 60 + "\n\n" + "b" * 20 + "\n" + "c" * 20, "b" * 20 + "\n" + "c" * 20),  # paragraph before line
        ("a" * 60 + "\n" + "b b " * 10, "b b " * 10),  # line before word
        ("word " * 20, "word " * 2),
        ("x" * 100, ""),
        ("\n" * 90 + "x" * 10, ""),  # nothing but blank before the boundary: not a document
    ],
)
def test_tail_is_cut_at_the_best_boundary_and_joins_to_the_document(text: str, tail: str) -> None:
    rule = choose([Facts("d", "", 5000)], 0.1, 0)
    parts = dict(rule.split(Document("d", text, "s")))
    assert parts["train"].text + (parts["validation"].text if tail else "") == text
    assert ("validation" in parts) == bool(tail)
    if tail:
        assert (parts["validation"].id, parts["validation"].text) == ("d#tail", tail)
