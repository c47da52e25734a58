"""Exact repeats, against a dictionary over all documents at once."""

import hashlib
import random

import pyarrow as pa
import pytest

from genus.data.steps.columns import key, keys
from genus.data.steps.exact import drop_same_ids, drop_same_texts, hash_texts

Row = tuple[str, str, int]  # id, text, priority


def tables(rows: list[Row], parts: int, about: int = 0) -> list[pa.Table]:
    """The rows in so many parts, of which the last may be empty; of each two neighbours the second knows `about` more."""
    size = -(-len(rows) // parts)
    made = []
    for part in range(parts):
        mine = rows[part * size : (part + 1) * size]
        texts = pa.array([text for _, text, _ in mine], pa.large_string())
        columns = {"place": pa.array(range(part * size, part * size + len(mine)), pa.int64())}
        columns |= {"id": pa.array([id for id, _, _ in mine], pa.large_string()), "digest": hash_texts(texts)}
        columns |= {"about": pa.array([about * (i % 2) for i in range(len(mine))], pa.uint64())}
        made.append(pa.table(columns | {"priority": pa.array([priority for *_, priority in mine], pa.int8())}))
    return made


def planted() -> list[Row]:
    """500 documents, of which 200 have one to three copies of other ids and priorities."""
    chance = random.Random(0)
    rows = [(f"d{i}", f"text {i}", chance.randrange(2)) for i in range(500)]
    rows += [
        (f"c{i}-{copy}", f"text {i}", chance.randrange(2)) for i in range(200) for copy in range(chance.randrange(1, 4))
    ]
    chance.shuffle(rows)
    return rows


def expected(rows: list[Row]) -> set[tuple[str, str]]:
    first: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row[2], row[0])):
        first.setdefault(row[1], row)
    return {(id, first[text][0]) for id, text, _ in rows if first[text][0] != id}


@pytest.mark.parametrize(("parts", "pieces"), [(1, 1), (2, 5), (8, 3)])
def test_all_copies_and_nothing_else_in_any_order(parts: int, pieces: int) -> None:
    rows = planted()
    found = drop_same_texts(tables(rows, parts), pieces)
    assert [rows[place][0] for place in found["place"].to_pylist()] == found["id"].to_pylist()
    assert found["id"].to_pylist() == sorted(found["id"].to_pylist())
    assert set(zip(found["id"].to_pylist(), found["kept"].to_pylist(), strict=True)) == expected(rows)
    assert len(found) == len(rows) - 500
    random.Random(1).shuffle(rows)
    assert drop_same_texts(tables(rows, parts), pieces).select(["id", "kept"]) == found.select(["id", "kept"])


@pytest.mark.parametrize("pieces", [1, 4])
def test_of_one_id_the_smallest_digest_stays(pieces: int) -> None:
    rows: list[Row] = [("a", "one", 0), ("b", "one", 0), ("a", "two", 0), ("a", "three", 0), ("c", "x", 1), ("c", "x", 0)]
    least = min(("one", "two", "three"), key=lambda text: hashlib.blake2b(text.encode(), digest_size=16).digest())
    found = drop_same_ids(tables(rows, 2), pieces)
    stay = {place for place in range(6) if place not in found["place"].to_pylist()}
    assert [rows[place] for place in sorted(stay)] == [
        row for row in rows if row in (("b", "one", 0), ("a", least, 0), ("c", "x", 0))
    ]
    assert found["id"].to_pylist() == found["kept"].to_pylist() == ["a", "a", "c"]


def test_of_one_id_and_text_what_else_is_known_decides() -> None:
    rows: list[Row] = [("a", "one", 0), ("a", "one", 0)]
    (table,) = tables(rows, 1, about=1)
    assert drop_same_ids([table])["place"].to_pylist() == [1]
    assert drop_same_ids([table.set_column(0, "place", pa.array([1, 0]))])["place"].to_pylist() == [0]


def test_digests_are_of_the_bytes_of_sliced_and_chunked_columns() -> None:
    texts = ["", "a", "é", "a "]
    whole = pa.chunked_array([pa.array(["x", *texts[:2]]).slice(1), pa.array(texts[2:])])
    assert hash_texts(whole).to_pylist() == [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]


def test_nothing_to_drop() -> None:
    assert len(drop_same_texts([])) == len(drop_same_texts(tables([], 1), 2)) == 0
    assert len(drop_same_ids(tables([("a", "x", 0)], 3))) == 0


def test_keys_are_never_others() -> None:
    assert key("d1") == 2878387810984711164
    assert keys(pa.chunked_array([["d1", "é"]])).tolist() == [key("d1"), key("é")]
