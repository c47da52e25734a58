"""Contamination planted in documents, and cuts worked by hand."""

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.decontaminate import Cut, Decontaminate, Grams, count_documents, cut, make_grams, summary
from genus.data.steps.task_files import TaskSet, read_tasks

CONFIG = Decontaminate()
SENTENCE = "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May!"
VARIANT = "natalia SOLD clips to 48 of her friends\nin April and then -- she sold half-as many in may"


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


def filler(characters: int, seed: int = 0) -> str:
    """Text of exactly so many characters, and of no evaluation set."""
    rng = random.Random(seed)
    text = " ".join(f"f{rng.randrange(10**6)}" for _ in range(characters // 6 + 9))
    return text[:characters]


def sets(*texts: str, name: str = "gsm8k") -> list[TaskSet]:
    return [TaskSet(name, [[text] for text in texts])]


def cut_all(documents: dict[str, str], grams: Grams, config: Decontaminate = CONFIG) -> dict[str, Cut]:
    """Both passes, over two parts."""
    texts = list(documents.values())
    found = [count_documents(column(part), grams) for part in (texts[::2], texts[1::2])]
    total = sum(part.documents for part in found)
    return {id: cut(Document(id, text, "test"), grams, total, config) for id, text in documents.items()}


def test_a_shared_run_goes_with_200_characters_on_each_side() -> None:
    before, after = filler(1000), filler(700, 1)
    grams = make_grams(sets(SENTENCE), CONFIG)
    assert (grams.sets[0].words, grams.sets[0].grams) == (13, 7)  # 19 words
    made = cut_all({"d": f"{before} {SENTENCE} {after}"}, grams)["d"]
    first, second = made.pieces
    assert (first.id, second.id) == ("d#cut1", "d#cut2")
    assert first.text == before[: 1000 + 1 - 200]
    assert second.text == after[200 - 2 :]  # the mark at the sentence's end belongs to no word
    assert first.meta == second.meta == {"cut from": "d"}
    assert made.measured == {"n-grams of gsm8k": 7, "pieces": 2, "characters removed": 1702 + len(SENTENCE) - 801 - 502}
    assert made.detail == f'n-grams: 7 of gsm8k; the first "{" ".join(SENTENCE.split()[:13])}"'.replace(',"', '"')


def test_case_punctuation_and_spaces_do_not_hide_it() -> None:
    grams = make_grams(sets(SENTENCE), CONFIG)
    found = cut_all(
        {"same": VARIANT.replace("half-as", "half as"), "other": "12 words of it: " + " ".join(SENTENCE.split()[3:15])},
        grams,
    )
    assert found["same"].reason == "contaminated: nothing left"
    assert found["same"].measured["n-grams of gsm8k"] == 7
    assert found["other"].pieces[0].id == "other" and not found["other"].measured


def test_all_planted_runs_are_found() -> None:
    """One run of exactly 13 words of some example in each of 500 documents; 500 more have 12 words, which is none."""
    rng = random.Random(0)
    examples = [" ".join(f"w{rng.randrange(5000)}" for _ in range(rng.randrange(20, 60))) for _ in range(300)]
    grams = make_grams(sets(*examples), CONFIG)
    documents = {}
    for i in range(1000):
        words = rng.choice(examples).split()
        at = rng.randrange(len(words) - 13)
        planted = " ".join(words[at : at + 13 - i % 2])
        documents[f"d{i}"] = f"{filler(rng.randrange(600), i)} {planted} {filler(rng.randrange(600), -i)}"
    found = cut_all(documents, grams)
    assert [bool(made.measured) for made in found.values()] == [True, False] * 500
    hit = count_documents(column(list(documents.values())), grams).rows
    assert hit.tolist() == list(range(0, 1000, 2))


def test_what_stays_is_the_document_but_for_the_cut() -> None:
    """Pieces and what was removed are the text again, in order."""
    text = f"é中 {filler(450)} {SENTENCE} {filler(900, 1)} {SENTENCE} {filler(100, 2)}"
    made = cut_all({"d": text}, make_grams(sets(SENTENCE), CONFIG))["d"]
    assert [text.count(piece.text) for piece in made.pieces] == [1, 1]
    assert made.measured["characters removed"] == len(text) - sum(len(piece.text) for piece in made.pieces)
    assert made.measured["pieces"] == 2  # the last 100 characters are within the 200


def test_short_pieces_go_and_a_single_one_keeps_the_id() -> None:
    grams = make_grams(sets(SENTENCE), CONFIG)
    (piece,) = cut_all({"d": f"{filler(399)} {SENTENCE} {filler(397, 1)}"}, grams)["d"].pieces
    assert (piece.id, piece.text) == ("d", filler(399)[:200])
    made = cut_all({"d": f"{filler(398)} {SENTENCE} {filler(397, 1)}"}, grams)["d"]
    assert (made.pieces, made.reason, made.measured["pieces"]) == ((), "contaminated: nothing left", 2)


@pytest.mark.parametrize(("runs", "dropped"), [(9, False), (10, True)])
def test_a_document_of_more_than_ten_pieces_is_dropped(runs: int, dropped: bool) -> None:
    text = "".join(f"{filler(500, i)} {SENTENCE} " for i in range(runs)) + filler(500, 99)
    made = cut_all({"d": text}, make_grams(sets(SENTENCE), CONFIG))["d"]
    assert made.measured["pieces"] == runs + 1
    assert (made.reason == "contaminated: too many pieces") == dropped == (not made.pieces)
    assert not dropped or made.detail.startswith("11 pieces, at most 10; n-grams: 7 of gsm8k")


@pytest.mark.parametrize(("count", "ignored"), [(10, False), (11, True)])
def test_runs_of_words_in_more_than_ten_documents_are_common(count: int, ignored: bool) -> None:
    grams = make_grams(sets(SENTENCE), CONFIG)
    documents = {f"d{i}": f"{filler(500, i)} {SENTENCE} {SENTENCE}" for i in range(count)}  # twice in one is one document
    found = cut_all(documents, grams)
    assert all(bool(made.measured) != ignored for made in found.values())
    total = count_documents(column(list(documents.values())), grams).documents
    assert total.tolist() == [count] * 7
    assert summary(grams, total, CONFIG)[0]["too_common"] == (7 if ignored else 0)


def test_the_words_of_a_set_follow_its_short_examples() -> None:
    """The 5th percentile of the longest text of each example, from 8 to 13."""
    texts = [" ".join(f"{letter}{i}" for i in range(words)) for letter, words in zip("abc", (9, 8, 30), strict=True)]
    of = {words: make_grams(sets(*[texts[0]] * 4, *[texts[2]] * words), CONFIG).sets[0].words for words in (0, 20, 200)}
    assert of == {0: 9, 20: 9, 200: 13}
    short = make_grams(sets("too short", texts[1], texts[2]), CONFIG).sets[0]
    assert (short.words, short.too_short, short.grams) == (8, 1, 1 + 23)
    pairs = make_grams([TaskSet("pairs", [["yes", texts[0]], ["no", texts[0]]])], CONFIG).sets[0]
    assert (pairs.words, pairs.examples, pairs.grams) == (9, 2, 1)


def test_counts_by_set() -> None:
    shared = " ".join(f"s{i}" for i in range(14))
    eight = " ".join(f"e{i}" for i in range(8))
    grams = make_grams([*sets(shared, name="a"), *sets(SENTENCE, shared, name="b"), *sets(eight, name="c")], CONFIG)
    assert grams.sizes.tolist() == [8, 13]
    made = cut_all({"d": f"{filler(500)} {shared} {filler(500, 1)} {eight}"}, grams)["d"]
    assert {name: count for name, count in made.measured.items() if name.startswith("n-")} == {
        "n-grams of a": 2,
        "n-grams of b": 2,
        "n-grams of c": 1,
    }
    found = summary(grams, count_documents(column([shared]), grams).documents, CONFIG)
    assert [(row["name"], row["grams"], row["found"]) for row in found] == [("a", 2, 2), ("b", 7 + 2, 2), ("c", 1, 0)]


def test_an_untouched_document_is_itself() -> None:
    document = Document("d", "\r\n some text \n", "test")
    grams = make_grams(sets(SENTENCE), CONFIG)
    none = make_grams([], CONFIG)
    assert cut(document, grams, np.zeros(7, np.int64), CONFIG).pieces[0] is document
    assert cut(document, none, np.zeros(0, np.int64), CONFIG).pieces[0] is document
    assert count_documents(column(["", SENTENCE]), none).rows.tolist() == []
    assert summary(none, np.zeros(0, np.int64), CONFIG) == []


def test_a_published_set_planted_in_documents(shared_data: Path) -> None:
    tasks = read_tasks(shared_data / "gsm8k" / "train.jsonl")
    grams = make_grams(tasks, CONFIG)
    questions = [max(example, key=len) for example in tasks[0].examples]
    documents = {f"d{i}": f"{filler(500, i)} {question} {filler(500, -i)}" for i, question in enumerate(questions[:200])}
    found = cut_all(documents, grams)
    assert sum(bool(made.measured) for made in found.values()) == 200 - grams_missing(questions[:200], grams)
    clean = cut_all({f"c{i}": filler(2000, i) for i in range(100)}, grams)
    assert not any(made.measured for made in clean.values())


def grams_missing(texts: list[str], grams: Grams) -> int:
    """Examples too short for any run of words."""
    return sum(len(text.split()) < grams.sets[0].words for text in texts)


@pytest.mark.parametrize(
    "wrong", [{"fewest": 14}, {"words": 0}, {"around": -1}, {"pieces": 0}, {"shortest": 0}, {"common": -1}]
)
def test_wrong_recipes_are_named(wrong: dict) -> None:
    with pytest.raises(GenusError, match=r"decontaminate\..* is not"):
        Decontaminate(**wrong)
