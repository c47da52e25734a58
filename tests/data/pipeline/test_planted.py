"""What is planted in 2,100 real documents is found: copies, near copies, texts of an evaluation set, personal data.

Which document belongs to which is stored when it is planted. Overlaps and runs of words are measured here once more, with
sets of words in Python.
"""

import json
import random
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from real_documents import passages, write_jsonl

from genus.data.corpus import Corpus, documents, make_corpus
from genus.data.pipeline.runner import Runner

Grams = set[tuple[str, ...]]
PLAIN, NEAR, COPIES, TAINTED, PERSONAL = 2000, 700, 200, 150, 150
PRIVATE = {  # each is nobody's: made for examples, or drawn here
    "anna.berg+news@mail.example.org": "<EMAIL>",
    "+44 20 7946 0958": "<PHONE>",
    "(212) 555-0147": "<PHONE>",
    "4111 1111 1111 1111": "<CARD>",
    "GB82 WEST 1234 5698 7654 32": "<IBAN>",
    "078-05-1120": "<SSN>",
    "2001:4860:4860::8888": "<IP>",
    "AKIAIOSFODNN7EXAMPLE": "<SECRET>",
    "ghp_" + "aB3dE6gH9j" * 4: "<SECRET>",
}


def words(text: str) -> list[str]:
    """In lower case, between white space, without punctuation, symbols and control characters."""
    kept = (
        c if c.isspace() or (unicodedata.category(c)[0] not in "PS" and unicodedata.category(c) != "Cf") else ""
        for c in text
    )
    return "".join(kept).lower().split()


def runs(text: str, size: int) -> Grams:
    found = words(text)
    return {tuple(found[i : i + size]) for i in range(max(1, len(found) - size + 1))}


def jaccard(one: str, two: str) -> float:
    first, second = runs(one, 5), runs(two, 5)
    return len(first & second) / len(first | second)


def left_in(out: Path) -> dict[str, str]:
    return {each.id: each.text for split in ("train", "validation") for each in documents(out, split)}


def dropped_in(out: Path, reason: str) -> dict[str, str]:
    """Why, by id."""
    import pyarrow.parquet as pq

    rows = [row for path in sorted((out / "dropped").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row["detail"] for row in rows if row["reason"] == reason}


@pytest.fixture(scope="module")
def plain() -> list[str]:
    """Real texts, of which no two overlap."""
    return passages(PLAIN + 100, 900)


@pytest.fixture
def recipe(tmp_path: Path) -> Corpus:
    return Corpus(source=str(tmp_path / "source"), out=tmp_path / "out", partitions=3, runner=Runner(processes=1))


def make(recipe: Corpus, texts: dict[str, str], seed: int) -> None:
    """The corpus of the texts, in a random order."""
    records = [{"id": id, "text": text} for id, text in texts.items()]
    random.Random(seed).shuffle(records)
    write_jsonl(Path(recipe.source), records, files=5)
    make_corpus(recipe)


def edited(text: str, changes: int, draw: random.Random) -> str:
    """With so many words replaced."""
    pieces = text.split(" ")
    for at in draw.sample(range(len(pieces)), changes):
        pieces[at] = f"edit{draw.randrange(10**6)}"
    return " ".join(pieces)


def test_exact_copies_are_all_found_and_nothing_else(plain: list[str], recipe: Corpus) -> None:
    texts = {f"d{i:04}": text for i, text in enumerate(plain)}
    pairs = {f"e{i:04}": f"d{i:04}" for i in range(COPIES)}
    make(replace(recipe, steps=("exact",)), texts | {copy: texts[of] for copy, of in pairs.items()}, seed=1)
    assert dropped_in(recipe.out, "duplicate") == {copy: f"same text as {of}" for copy, of in pairs.items()}
    assert left_in(recipe.out) == texts


def test_near_copies_are_found_and_others_stay(plain: list[str], recipe: Corpus) -> None:
    draw = random.Random(2)
    texts = {f"d{i:04}": text for i, text in enumerate(plain)}
    pairs = {f"e{i:04}": f"d{i:04}" for i in range(NEAR)}
    texts |= {copy: edited(texts[of], draw.randrange(1, 8), draw) for copy, of in pairs.items()}
    make(replace(recipe, steps=("exact", "fuzzy")), texts, seed=2)
    told = dropped_in(recipe.out, "near copy")
    overlap = {copy: jaccard(texts[copy], texts[of]) for copy, of in pairs.items()}
    for low, high, least in ((0.9, 1.01, 0.99), (0.8, 0.9, 0.95)):
        planted = [copy for copy, value in overlap.items() if low <= value < high]
        assert len(planted) > 100
        assert sum(copy in told for copy in planted) >= least * len(planted)
    kept = {id: detail.rpartition(" ")[2] for id, detail in told.items()}
    right = [jaccard(texts[id], texts[of]) >= 0.8 - 0.05 for id, of in kept.items()]
    assert sum(right) >= 0.99 * len(right) > 200
    assert set(kept.values()) <= left_in(recipe.out).keys() and kept.items() <= pairs.items()


def test_runs_of_13_words_of_an_evaluation_set_are_all_cut_out(plain: list[str], recipe: Corpus, tmp_path: Path) -> None:
    draw = random.Random(3)
    examples = [text for text in plain[PLAIN:] if len(words(text)) > 40]
    texts = {f"d{i:04}": text for i, text in enumerate(plain[:PLAIN])}
    for i in range(TAINTED):
        source = draw.choice(examples).split()
        at = draw.randrange(len(source) - 16)
        run, last = [], at
        while len(words(" ".join(run))) < 13:  # dashes are no words
            run.append(source[last])
            last += 1
        said = " ".join(run).upper() if i % 2 else ",  ".join(run)
        half = texts[f"d{i:04}"].index(" ", 400)
        texts[f"d{i:04}"] = f"{texts[f'd{i:04}'][:half]} {said} {texts[f'd{i:04}'][half:]}"
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text("".join(json.dumps({"question": text}) + "\n" for text in examples))
    looked_for = set[tuple[str, ...]]().union(*(runs(text, 13) for text in examples))
    tainted = {id for id, text in texts.items() if runs(text, 13) & looked_for}
    assert {f"d{i:04}" for i in range(TAINTED)} <= tainted
    make(
        replace(recipe, steps=("decontaminate",), decontaminate=replace(recipe.decontaminate, tasks=(quiz,))), texts, seed=3
    )
    left = left_in(recipe.out)
    assert not [id for id, text in left.items() if runs(text, 13) & looked_for]
    whole = texts.keys() - tainted
    assert {id: left[id] for id in whole} == {id: texts[id] for id in whole}
    assert all(text in texts[id.partition("#cut")[0]] for id, text in left.items())


def test_personal_data_is_gone_and_all_other_text_as_it_was(plain: list[str], recipe: Corpus) -> None:
    draw = random.Random(4)
    texts = {f"d{i:04}": text for i, text in enumerate(plain)}
    expected = dict(texts)
    for i in range(PERSONAL):
        given, mark = draw.choice(list(PRIVATE.items()))
        id, half = f"d{i:04}", texts[f"d{i:04}"].index(" ", draw.randrange(800))
        texts[id], expected[id] = (f"{texts[id][:half]} {said}, {texts[id][half:]}" for said in (given, mark))
    make(replace(recipe, steps=("personal",)), texts, seed=4)
    assert left_in(recipe.out) == expected
