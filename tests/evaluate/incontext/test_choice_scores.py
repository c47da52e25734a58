"""The papers' scores on cases worked by hand."""

import math

import numpy as np
import pytest

from genus.evaluate.incontext.measures import (
    best,
    bleu,
    bleu_counts,
    choice_scores,
    final_number,
    plain_words,
    said_well,
    word_f1,
)
from genus.evaluate.incontext.summary import summary
from genus.evaluate.incontext.task import Task

CHOICE = Task(name="c", kind="choice", file="")


def test_each_rule_by_hand_chooses_another():
    nats, tokens, sizes, alone = [-4.0, -6.0, -7.5, -9.0], [2, 4, 5, 5], [4, 5, 8, 8], [-1.0, -3.5, -4.0, -8.0]
    scores = choice_scores(nats, tokens, sizes, alone)
    assert scores["sum"] == nats
    assert scores["per_token"] == [-2.0, -1.5, -1.5, -1.8]
    assert scores["per_byte"] == [-1.0, -1.2, -0.9375, -1.125]
    assert scores["unconditional"] == [-3.0, -2.5, -3.5, -1.0]
    assert {rule: best(each) for rule, each in scores.items()} == {
        "sum": 0, "per_token": 1, "per_byte": 2, "unconditional": 3}  # fmt: skip
    assert "unconditional" not in choice_scores(nats, tokens, sizes)


def test_words_and_their_f1():
    assert plain_words("The  cat's, A hat!") == ["cats", "hat"]
    assert word_f1("the black cat", ["a black dog and cat"]) == pytest.approx(2 * 2 / (2 + 4))
    assert word_f1("cat cat", ["cat"]) == pytest.approx(2 / 3)  # each word counts as often as both have it
    assert word_f1("hat", ["cat", "hat"]) == 1.0
    assert word_f1("", ["the"]) == 1.0 and word_f1("x", ["the"]) == 0.0


@pytest.mark.parametrize(("text", "number"), [
    ("so 5 + 3 = 8\n#### 1,234.50 and 7", 1234.5),
    ("it is -3, or rather -4.", -4.0),
    ("#### none", None),
    ("no number", None),
])  # fmt: skip
def test_the_number_of_a_solution(text, number):
    assert final_number(text) == number


def test_what_is_kept_of_an_answer():
    assert said_well("exact", " -5 ", [" -5"]) == {"exact": True}
    assert said_well("exact", "5", [" -5"]) == {"exact": False}  # a sign is no punctuation here
    assert said_well("f1", "The Cat.", ["cat"]) == {"exact": True, "f1": 1.0}
    assert said_well("number", "= 3\n#### 72", ["... #### 72"]) == {"number": 72.0, "exact": True}
    assert said_well("number", "I do not know", ["#### 72"]) == {"number": None, "exact": False}


def test_bleu_of_a_corpus_is_sacrebleus():
    from sacrebleu.metrics import BLEU

    pairs = [
        ("the cat sat on the mat today", "the cat sat on the mat"),
        ("he left at dawn for the town", "he left early at dawn for town"),
    ]
    counts = [bleu_counts(said, [right]) for said, right in pairs]
    assert counts[0] == [6, 5, 4, 3, 7, 6, 5, 4, 7, 6]
    expected = BLEU().corpus_score([said for said, _ in pairs], [[right for _, right in pairs]]).score
    assert bleu(np.sum(counts, 0)) == pytest.approx(expected)
    rows = [{"bleu": each} for each in counts]
    found = summary(Task(name="b", kind="free", file="", measure="bleu"), rows)["figures"]["bleu"]
    low, high = found["bootstrap"]
    assert found["value"] == pytest.approx(expected) and low <= expected <= high


def test_a_summary_by_hand():
    rows = [
        {"right": right, "gold": 0, "by_rule": {"sum": 0, "per_token": int(not right)}, "cut": cut, "merged": False}
        for right, cut in ((True, 0), (True, 3), (False, 0), (False, 1))
    ]
    found = summary(CHOICE, rows, seed=1)
    assert (found["main"], found["items"], found["cut"], found["merged"]) == ("accuracy", 4, 2, 0)
    figures = found["figures"]
    assert figures["accuracy"]["value"] == 0.5 and figures["accuracy_sum"]["value"] == 1.0
    assert figures["accuracy"]["wilson"] == pytest.approx([0.15003899, 0.84996101])  # Wilson 1927, of 2 of 4
    assert figures["accuracy"]["bootstrap"] == [0.0, 1.0]
    assert summary(CHOICE, rows, seed=1) == found


def test_texts_and_cloze_by_hand():
    rows = [{"nats": -8.0, "bytes": 4, "words": 2, "tokens": 4}, {"nats": -4.0, "bytes": 8, "words": 1, "tokens": 2}]
    figures = summary(Task(name="t", kind="text", file=""), rows)["figures"]
    assert figures["bits_per_byte"]["value"] == pytest.approx(1 / math.log(2))
    assert figures["perplexity_word"]["value"] == pytest.approx(math.exp(4))
    assert figures["perplexity_token"]["value"] == pytest.approx(math.exp(2))
    cloze = [{"nats": -1.0, "right": True}, {"nats": -3.0, "right": False}]
    figures = summary(Task(name="z", kind="cloze", file=""), cloze)["figures"]
    assert figures["accuracy"]["value"] == 0.5 and figures["perplexity"]["value"] == pytest.approx(math.exp(2))


def test_labels_have_f1_too():
    task = Task(name="l", kind="choice", file="", labels={"0": "no", "1": "yes"})
    rows = [{"right": a == b, "choice": a, "gold": b, "by_rule": {"sum": a}} for a, b in ((1, 1), (1, 0), (0, 1), (1, 1))]
    assert summary(task, rows)["figures"]["f1"]["value"] == pytest.approx(4 / 6)
