"""Budgets are filled, never passed, by the same documents whatever their order."""

import random

import pyarrow as pa
import pytest

from genus.core.errors import GenusError
from genus.data.steps.budgets import ROOTS, ROOTS_CODE_FILES, over_budget, roots_limits

Row = tuple[str, str, int]


def table(rows: list[Row]) -> pa.Table:
    ids, languages, sizes = zip(*rows, strict=True)
    return pa.table({"id": list(ids), "language": list(languages), "bytes": pa.array(sizes, pa.int64())})


def rows(count: int = 300) -> list[Row]:
    draw = random.Random(0)
    return [
        (f"d{i}", draw.choice(["en", "en-GB", "fr", "sw", "", "code/python"]), draw.randrange(1, 100)) for i in range(count)
    ]


def dropped(given: list[Row], limits: dict[str, int], seed: int = 0) -> list[str]:
    return over_budget(table(given), limits, seed)["id"].to_pylist()


def test_a_budget_is_filled_and_never_passed() -> None:
    given = rows()
    limits = {"en": 2000, "fr": 10**6, "code": 500, "sw": 0}
    out = over_budget(table(given), limits).to_pylist()
    gone = {row["id"] for row in out}
    kept: dict[str, int] = {}
    for name, language, size in given:
        if name not in gone:
            kept[language.split("-")[0].split("/")[0]] = kept.get(language.split("-")[0].split("/")[0], 0) + size
    assert 1900 < kept["en"] <= 2000
    assert 400 < kept["code"] <= 500
    assert "sw" not in kept
    assert kept["fr"] == sum(size for _, language, size in given if language == "fr")
    assert kept[""] == sum(size for _, language, size in given if language == "")
    assert {row["reason"] for row in out} == {"budget: en is full", "budget: code is full", "budget: sw is full"}
    total = sum(size for _, language, size in given if language.startswith("en"))
    assert f"of {total:,} bytes, at most 2,000" in {row["detail"] for row in out}


def test_order_and_chunks_change_nothing_and_the_seed_does() -> None:
    given, limits = rows(), {"en": 2000, "code": 500}
    one = over_budget(table(given), limits)
    assert over_budget(table(random.Random(1).sample(given, len(given))), limits).equals(one)
    pieces = pa.concat_tables([table(given[:7]), table(given[7:200]), table(given[200:])])
    assert over_budget(pieces, limits).equals(one)
    assert dropped(given, limits, seed=1) != one["id"].to_pylist()


def test_more_room_keeps_what_less_room_kept_of_small_documents() -> None:
    given = [row for row in rows() if row[2] < 50]
    less, more = (set(dropped(given, {"en": limit})) for limit in (800, 1500))
    assert more < less


def test_one_huge_document_does_not_block_a_language() -> None:
    given = [("huge", "en", 10**9), *((f"d{i}", "en", 10) for i in range(20))]
    assert dropped(given, {"en": 200}) == ["huge"]
    assert len(dropped(given, {"en": 100})) == 11


def test_the_longest_beginning_has_the_limit() -> None:
    given = [("a", "zh-Hant", 10), ("b", "zh", 10), ("c", "ZH-hans", 10), ("d", "zha", 10)]
    assert dropped(given, {"zh": 0}) == ["a", "b", "c"]
    assert dropped(given, {"zh": 100, "zh-Hant": 0}) == ["a"]


def test_ties_and_nothing() -> None:
    assert over_budget(table(rows()), {}).num_rows == 0
    assert over_budget(table(rows())[:0], {"en": 0}).num_rows == 0
    with pytest.raises(GenusError, match="budget of en is -1 bytes"):
        over_budget(table(rows()), {"en": -1})


def test_bloom_s_languages() -> None:
    assert (len(ROOTS) - 1, len(ROOTS_CODE_FILES)) == (46, 13)
    assert sum(ROOTS.values()) == pytest.approx(1.61e12, rel=0.01)  # the paper: 1.61 TB
    limits = roots_limits(10**9)
    assert len(limits) == 46
    shares = {"en": 0.3004, "zh": 0.162, "fr": 0.129, "es": 0.108, "code": 0.108, "pt": 0.049, "ar": 0.046, "vi": 0.027}
    assert {name: limits[name] / 1e9 for name in shares} == {
        name: pytest.approx(share, abs=1e-3) for name, share in shares.items()
    }
