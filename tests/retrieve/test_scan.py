"""A small index in memory finds what comparing all finds: BM25 by its formula, neighbours through int8 as without."""

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from genus.retrieve.postings import Postings
from genus.retrieve.rows import to_rows
from genus.retrieve.scan import Scan
from tests.retrieve.memory_corpus import passage

WIDTH = 32


def scan_of(vectors: np.ndarray) -> Scan:
    passages = [passage(f"p{(7919 * number) % len(vectors):05}", "a b") for number in range(len(vectors))]
    return Scan(to_rows(passages, vectors).append_column("_rowid", pa.array(np.arange(len(vectors), dtype=np.uint64) + 5)))


def unit(drawn: np.random.Generator, count: int) -> np.ndarray:
    vectors = drawn.standard_normal((count, WIDTH)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def nearly(drawn: np.random.Generator) -> np.ndarray:
    """3,000 vectors that int8 can hardly tell apart, and as many that are the same."""
    close = unit(drawn, 1) + 0.003 * drawn.standard_normal((3000, WIDTH)).astype(np.float32)
    return np.concatenate([close, np.repeat(unit(drawn, 30), 100, 0)])


VECTORS = {
    "unit": lambda drawn: unit(drawn, 4000),
    "of other lengths": lambda drawn: unit(drawn, 4000) * np.geomspace(1e-3, 1e3, 4000, dtype=np.float32)[:, None],
    "nothing": lambda drawn: np.zeros((2000, WIDTH), np.float32),
    "nearly the same": nearly,
}


@pytest.mark.parametrize("kind", VECTORS)
@pytest.mark.parametrize("count", [1, 10, 100, 5000])
def test_the_nearest_are_those_of_comparing_all(kind, count):
    drawn = np.random.default_rng(1)
    vectors = VECTORS[kind](drawn)
    scan = scan_of(vectors)
    for query in (*unit(drawn, 3), vectors[17], 50 * vectors[5], np.zeros(WIDTH, np.float32)):
        scores = np.round(vectors @ query, 5)
        names = [hit.passage.id for hit in scan.near(query, len(vectors))]  # all are compared in full
        expected = sorted(range(len(vectors)), key=lambda place: (-scores[place], f"p{(7919 * place) % len(vectors):05}"))
        found = scan.near(query, count)
        assert [hit.passage.id for hit in found] == names[:count]
        assert [hit.score for hit in found] == pytest.approx(scores[expected[:count]].tolist(), abs=2e-5, rel=1e-5)


def test_of_some_rows_alone():
    drawn = np.random.default_rng(2)
    vectors = unit(drawn, 3000)
    scan, query, rows = scan_of(vectors), unit(drawn, 1)[0], np.arange(5, 3005, 3, dtype=np.uint64)
    best = max(range(0, 3000, 3), key=lambda place: vectors[place] @ query)
    assert scan.near(query, 1, rows)[0].passage == scan.near(vectors[best], 1)[0].passage
    assert (
        len(scan.words(["a"], 5000, rows)) == 1000 and scan.near(query, 5, rows[:0]) == scan.words(["a"], 5, rows[:0]) == []
    )


def test_words_are_scored_by_the_formula():
    drawn = np.random.default_rng(3)
    texts = [" ".join(f"w{int(each)}" for each in drawn.zipf(1.6, size) if each < 40) for size in drawn.integers(0, 60, 200)]
    texts[7] = ""
    counts = [Counter(text.split()) for text in texts]
    mean = sum(sum(each.values()) for each in counts) / len(texts)
    query = ["w1", "w3", "w17", "w39", "never", ""]
    expected = [0.0] * len(texts)
    for word in query:
        holders = sum(word in each for each in counts)
        for place, each in enumerate(counts):
            long = 1.2 * (0.25 + 0.75 * sum(each.values()) / mean)
            rare = math.log(1 + (len(texts) - holders + 0.5) / (holders + 0.5))
            expected[place] += rare * each[word] * 2.2 / (each[word] + long) if each[word] else 0.0
    found = Postings(pa.array(texts)).scores(query[:-1])
    assert found.tolist() == pytest.approx(expected, rel=1e-5) and found.any() and found[7] == 0


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_texts_without_words(texts):
    found = Postings(pa.array(texts, pa.string())).scores(["a"])
    assert found.tolist() == [0.0] * len(texts)
