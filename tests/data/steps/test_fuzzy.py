"""Near copies planted with known Jaccard indices, and small sets where every pair can be tried."""

import random
from itertools import combinations, pairwise

import numpy as np
import pyarrow as pa
import pytest

from genus.core.errors import GenusError
from genus.data.steps.fuzzy import Candidates, Fuzzy, Shingles, candidates, chance, settle, shingles, signatures

Dropped = dict[str, tuple[str, float]]  # id -> the id that stays, and the Jaccard index


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def run(
    documents: dict[str, str], config: Fuzzy, parts: int = 1, ranges: int = 1, priority: tuple[str, ...] = ()
) -> Dropped:
    """All steps over so many parts. Documents of `priority` come before the others."""
    ids, texts = list(documents), list(documents.values())
    cuts = np.linspace(0, len(ids), parts + 1).astype(int)
    signed = [signatures(column(texts[a:b]), config) for a, b in pairwise(cuts)]
    found = candidates(signed, ranges)
    sets = shingles(column([texts[i] for i in found.documents]), config)
    priorities = np.array([ids[i] not in priority for i in found.documents], np.int64)
    table = settle(found, sets, column([ids[i] for i in found.documents]), priorities, config)
    assert [ids[i] for i in table["document"].to_pylist()] == table["id"].to_pylist()
    kept = zip(table["kept"].to_pylist(), table["jaccard"].to_pylist(), strict=True)
    return dict(zip(table["id"].to_pylist(), kept, strict=True))


def jaccard(one: str, two: str, size: int = 5) -> float:
    """Of the sets of tuples of words, without a hash. For texts whose words are lower-case letters and digits."""
    first, second = (
        {tuple(words[i : i + size]) for i in range(max(1, len(words) - size + 1))} for words in (one.split(), two.split())
    )
    return len(first & second) / len(first | second)


def text(chance: random.Random, words: int = 300) -> list[str]:
    return [f"w{chance.randrange(20_000)}" for _ in range(words)]


def replaced(words: list[str], count: int) -> str:
    """The text with so many words replaced, far enough apart that each breaks 5 shingles of its own."""
    changed = list(words)
    for i in range(count):
        changed[10 + 20 * i] = f"new{i}"
    return " ".join(changed)


@pytest.fixture(scope="module")
def planted() -> tuple[dict[str, str], list[tuple[str, str, float]]]:
    """2,000 documents: 1,000 and a copy of each with 0 to 9 words replaced; and the pairs with their Jaccard indices."""
    chance = random.Random(0)
    documents: dict[str, str] = {}
    pairs = []
    for i in range(1000):
        words = text(chance)
        documents[f"a{i:04}"], documents[f"b{i:04}"] = " ".join(words), replaced(words, i % 10)
        pairs.append((f"a{i:04}", f"b{i:04}", jaccard(" ".join(words), replaced(words, i % 10))))
    assert pairs[3][2] == pytest.approx((296 - 15) / (296 + 15))
    return documents, pairs


def test_planted_copies_are_found_and_named(planted) -> None:
    documents, pairs = planted
    dropped = run(documents, Fuzzy())
    near, good, other = ([(a, b) for a, b, j in pairs if low <= j < high] for low, high in ((0.9, 2), (0.8, 0.9), (0, 0.8)))
    assert (len(near), len(good), len(other)) == (400, 300, 300)
    assert sum(b in dropped for _, b in near) >= 0.99 * len(near)
    assert sum(b in dropped for _, b in good) >= 0.95 * len(good)
    assert not any(b in dropped for _, b in other)
    exact = {b: (a, pytest.approx(j)) for a, b, j in pairs}
    assert all(dropped[b] == exact[b] for b in dropped)  # the right copy stays, measured without a hash


@pytest.mark.parametrize(("parts", "ranges"), [(2, 1), (8, 3)])
def test_any_order_and_parts_give_the_same(planted, parts: int, ranges: int) -> None:
    documents = dict(list(planted[0].items())[:300])
    shuffled = dict(random.Random(parts).sample(list(documents.items()), len(documents)))
    assert run(shuffled, Fuzzy(), parts, ranges) == run(documents, Fuzzy())


def test_chances_are_those_of_the_formula() -> None:
    """1,500 pairs at a Jaccard index of 0.687, where about 0.83 of them should meet: within four standard deviations."""
    rng = random.Random(1)
    words = [text(rng) for _ in range(1500)]
    one, two = (signatures(column([replaced(w, count) for w in words]), Fuzzy()) for count in (0, 11))
    expected = chance(jaccard(replaced(words[0], 0), replaced(words[0], 11)), Fuzzy())
    assert 0.8 < expected < 0.86
    share = (one == two).any(axis=0).mean()
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 1500) ** 0.5
    rows = (one == two).mean()  # of bands: s^6
    assert abs(rows - 0.687**6) < 4 * (0.687**6 / (1500 * 16)) ** 0.5


def test_the_chances_of_the_docstring() -> None:
    assert Fuzzy.__doc__ is not None
    header, values = (line.split()[1:] for line in Fuzzy.__doc__.splitlines() if line.strip().startswith(("s ", "chance ")))
    for s, value in zip(header, values, strict=True):
        assert chance(float(s), Fuzzy()) == pytest.approx(float(value), abs=0.5 * 10 ** -len(value.split(".")[1]))


def greedy(documents: dict[str, str], threshold: float, size: int) -> Dropped:
    """In order of ids, each against all kept before it."""
    kept: list[str] = []
    dropped: Dropped = {}
    for id in sorted(documents):
        near = [(other, jaccard(documents[id], documents[other], size)) for other in kept]
        if (first := next((pair for pair in near if pair[1] >= threshold), None)) is None:
            kept.append(id)
        else:
            dropped[id] = first
    return dropped


@pytest.mark.parametrize("seed", range(4))
def test_against_every_pair_of_a_small_set(seed: int) -> None:
    """Chains of edits, where a copy of a copy may be no copy; so many bands of one row that every near pair meets."""
    rng = random.Random(seed)
    texts = [[f"w{rng.randrange(9)}" for _ in range(30)] for _ in range(3)]
    for _ in range(60):
        edited = list(rng.choice(texts))
        edited[rng.randrange(30)] = f"w{rng.randrange(9)}"
        texts.append(edited)
    documents = {f"d{i:02}": " ".join(words) for i, words in enumerate(texts)}
    config = Fuzzy(threshold=0.7, words=2, bands=128, rows=1)
    found, expected = run(documents, config), greedy(documents, 0.7, 2)
    assert found.keys() == expected.keys()
    assert all(found[id] == (kept, pytest.approx(j)) for id, (kept, j) in expected.items())
    assert 40 < len(found) < 63 - 2


def test_no_two_kept_documents_are_near(planted) -> None:
    rng = random.Random(2)
    words = text(rng)
    documents = {}
    for i in range(80):
        words = list(words)
        words[rng.randrange(300)] = f"edit{i}"
        documents[f"d{i:02}"] = " ".join(words)
    dropped = run(documents, Fuzzy())
    kept = [documents[id] for id in documents if id not in dropped]
    assert 5 < len(kept) < 40
    near = sum(jaccard(one, two) >= 0.8 for one, two in combinations(kept, 2))
    assert near <= 1  # the chance of each such pair is below 0.008
    assert all(kept not in dropped for kept, _ in dropped.values())


def test_the_first_by_priority_stays() -> None:
    documents = {"a": "one two three four five six", "b": "One, two three -- FOUR five six!", "c": "one two"}
    assert run(documents, Fuzzy()) == {"b": ("a", 1.0)}
    assert run(documents, Fuzzy(), priority=("b",)) == {"a": ("b", 1.0)}
    assert run(documents, Fuzzy(plain=True)) == {}


def test_many_copies_take_few_comparisons() -> None:
    """20,000 of one text: each is compared with the one that stays; every pair would be 200 million."""
    count = 20_000
    found = candidates([np.full((16, count), 7, np.uint64)])
    values = np.tile(np.arange(300, dtype=np.uint32), count)
    sets = Shingles(values, np.arange(0, 300 * count + 1, 300))
    table = settle(found, sets, column([f"{i:06}" for i in range(count)]), np.zeros(count, np.int64), Fuzzy())
    assert len(table) == count - 1
    assert set(table["kept"].to_pylist()) == {"000000"}


def test_the_most_of_a_bucket_bounds_what_is_compared() -> None:
    """Three unlike documents in one bucket, then a copy of the third: found only when a third kept one is looked at."""
    found = Candidates(np.arange(4), np.zeros(4, np.int64), np.arange(5))
    sets = Shingles(np.array([1, 2, 3, 3], np.uint32), np.arange(5))
    dropped = [len(settle(found, sets, column(list("abcd")), np.zeros(4, np.int64), Fuzzy(most=most))) for most in (2, 3)]
    assert dropped == [0, 1]


def test_texts_without_words_are_never_near() -> None:
    assert run({"a": "", "b": " \n", "c": "!?", "d": "...", "e": "x", "f": "X."}, Fuzzy()) == {"f": ("e", 1.0)}
    assert run({}, Fuzzy()) == run({"a": "x"}, Fuzzy(), parts=3) == {}
    assert len(candidates([]).documents) == 0


def test_texts_in_scripts_without_spaces() -> None:
    chinese = "".join(chr(0x4E00 + 7 * i % 5000) for i in range(300))
    other = chinese[:150] + "一" + chinese[151:]
    ((kept, found),) = run({"a": chinese, "b": other}, Fuzzy()).values()
    assert (kept, found) == ("a", pytest.approx((296 - 5) / (296 + 5)))


def mix(x: int, *steps: tuple[int, int], last: int) -> int:
    for shift, factor in steps:
        x = (x ^ x >> shift) * factor % 2**64
    return x ^ x >> last


MURMUR = ((33, 0xFF51AFD7ED558CCD), (33, 0xC4CEB9FE1A85EC53))
SPLIT = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
MULTIPLIER = 0x9E3779B97F4A7C15


def chained(values: list[int], start: int = 0) -> int:
    for value in values:
        start = (start ^ value) * MULTIPLIER % 2**64
    return mix(start, *MURMUR, last=33)


def test_signatures_are_never_others() -> None:
    """They lie in files of runs that go on. The definition once more, in Python's integers."""
    text = "The quick brown fox jumps over the lazy dog."
    words = [chained([ord(c) + 2 for c in word]) for word in text.lower().strip(".").split()]
    grams = [sum(word * MULTIPLIER ** (4 - i) for i, word in enumerate(words[at : at + 5])) for at in range(5)]
    shingled = [mix(gram % 2**64, *MURMUR, last=33) >> 32 for gram in grams]
    random32 = [mix(i * MULTIPLIER % 2**64, *SPLIT, last=31) >> 32 for i in range(1, 13)]
    least = [min((x * (a | 1) + b) % 2**32 for x in shingled) for a, b in zip(random32[:6], random32[6:], strict=True)]
    expected = [chained(least[:3], 1), chained(least[3:], 2)]
    assert signatures(column([text]), Fuzzy(bands=2, rows=3))[:, 0].tolist() == expected
    assert shingles(column([text]), Fuzzy()).values.tolist() == sorted(set(shingled))


@pytest.mark.parametrize(("field", "value"), [("threshold", 0), ("threshold", 1.1), ("bands", 0), ("rows", -1), ("most", 0)])
def test_wrong_recipes_are_named(field: str, value: float) -> None:
    with pytest.raises(GenusError, match=f"fuzzy.{field} {value} is not"):
        Fuzzy(**{field: value})
