"""Repeated paragraphs, against counts of them by hand and by a dictionary."""

import random
from collections import defaultdict

import pyarrow as pa
import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.paragraphs import Paragraphs, Repeated, hash_paragraphs, remove, repeated
from genus.data.steps.step import Fate

NOTICE = "All rights reserved. No part of this may be copied."
OWN = "This paragraph is of one document alone, number {}."


def run(documents: dict[str, str], config: Paragraphs, parts: int = 1, first: tuple[str, ...] = ()) -> dict[str, Fate]:
    """The fate of each; those of `first` come before others."""
    items = list(documents.items())
    tables = [_table(dict(items[part::parts]), config, first) for part in range(parts)]
    gone = repeated(tables, config, pieces=parts)
    return {id: remove(Document(id, text, "test"), gone, config) for id, text in items}


def _table(documents: dict[str, str], config: Paragraphs, first: tuple[str, ...]) -> pa.Table:
    ids, texts = pa.array(documents.keys(), pa.large_string()), pa.array(documents.values(), pa.large_string())
    return hash_paragraphs(ids, texts, pa.array([int(id not in first) for id in documents], pa.int8()), config)


def texts(fates: dict[str, Fate]) -> dict[str, str | None]:
    return {id: fate.document.text if fate.document else None for id, fate in fates.items()}


def test_a_repeated_paragraph_stays_in_the_first_document_alone() -> None:
    config = Paragraphs(least=20)
    made = {id: f"{OWN.format(id)}\n\n{NOTICE}\n \n\nshort\n\nend {id}" for id in "cab"}
    found = run(made, config)
    assert texts(found) == {"a": made["a"]} | {id: f"{OWN.format(id)}\n\nshort\n\nend {id}" for id in "bc"}
    assert found["b"].measured == {"repeated paragraphs": 1, "characters removed": len(NOTICE)}
    assert found["a"] == Fate(Document("a", made["a"], "test"))
    assert texts(run(made, config, first=("c",)))["c"] == made["c"]


def test_how_many_may_share_one() -> None:
    made = {id: f"{NOTICE}\n\n{id}" for id in "abc"}
    assert texts(run(made, Paragraphs(least=20, most=3))) == made
    assert texts(run(made, Paragraphs(least=20, most=2))) == {"a": made["a"], "b": "b", "c": "c"}
    assert texts(run(made, Paragraphs(least=len(NOTICE) + 1))) == made


def test_a_document_of_nothing_else_is_dropped() -> None:
    fate = run({"a": NOTICE, "b": f"\n\n{NOTICE}\n\n{NOTICE}\n\n"}, Paragraphs(least=20))["b"]
    assert (fate.document, fate.reason) == (None, "only repeated paragraphs")
    assert fate.detail == f'2, the first "{NOTICE}"'
    assert fate.measured["repeated paragraphs"] == 2


def test_repeats_within_one_document_are_not_meant() -> None:
    made = {"a": f"{NOTICE}\n\n{NOTICE}", "b": "else"}
    assert texts(run(made, Paragraphs(least=20))) == made


def test_lines() -> None:
    made = {"a": f"{NOTICE}\nx\n\n", "b": f"one\n  {NOTICE}\ntwo\n\nthree"}
    assert texts(run(made, Paragraphs(unit="lines", least=20))) == {"a": made["a"], "b": "one\ntwo\n\nthree"}
    assert texts(run(made, Paragraphs(least=20))) == made


@pytest.mark.parametrize("parts", [2, 8])
def test_any_order_and_parts(parts: int) -> None:
    chance = random.Random(0)
    pool = [f"{i} " + "words of this paragraph " * 2 for i in range(60)]
    made = {f"d{i}": "\n\n".join(chance.sample(pool, 4)) for i in range(100)}
    holders = defaultdict(list)
    for id in sorted(made):
        for paragraph in made[id].split("\n\n"):
            holders[paragraph].append(id)
    expected = {id: "\n\n".join(p for p in text.split("\n\n") if holders[p][0] == id) for id, text in made.items()}
    shuffled = dict(random.Random(1).sample(list(made.items()), len(made)))
    found = texts(run(shuffled, Paragraphs(least=20), parts))
    assert {id: text or "" for id, text in found.items()} == expected
    assert found == texts(run(made, Paragraphs(least=20)))


def test_counts_of_documents() -> None:
    config = Paragraphs(least=20)
    gone = repeated([_table({"a": NOTICE, "b": NOTICE, "c": OWN}, config, ())], config)
    assert gone.documents.tolist() == [2]
    assert len(repeated([], config).hashes) == 0


def test_nothing_repeated_changes_nothing() -> None:
    document = Document("a", "\n\n x \r\n\n\n y \n", "test")
    empty = Repeated(*(column[:0] for column in repeated([], Paragraphs())))
    assert remove(document, empty, Paragraphs(least=1)).document is document


@pytest.mark.parametrize("wrong", [{"unit": "words"}, {"least": 0}, {"most": 0}])
def test_wrong_recipes_are_named(wrong: dict) -> None:
    with pytest.raises(GenusError, match=f"paragraphs.{next(iter(wrong))} {next(iter(wrong.values()))} is not"):
        Paragraphs(**wrong)
