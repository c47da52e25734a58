"""Coverage against sums by hand, and the figure that it has on WiCE."""

import json
import math

import pytest

from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.verify.opening import open_verifier
from genus.retrieve.verify.words import WordCounts, common_words, count_corpus, count_words
from tests.retrieve.memory_corpus import MemoryCorpus, passage


def test_idf_by_hand():
    counts = count_words(["a cat sat", "a dog sat sat", "a bird"])
    assert (counts.passages, counts.holding["sat"], counts.holding["a"]) == (3, 2, 3)
    assert counts.idf("sat") == pytest.approx(math.log(1 + 1.5 / 2.5))
    assert counts.idf("unheard") == pytest.approx(math.log(1 + 3.5 / 0.5))
    assert counts.idf("a") == pytest.approx(math.log(1 + 0.5 / 3.5))


def test_coverage_is_the_share_of_the_idf():
    counts = WordCounts(10, {"the": 10, "cat": 2, "sat": 4})
    the, cat, sat = (counts.idf(word) for word in ("the", "cat", "sat"))
    scores = Coverage(counts).scores("The cat SAT, sat.", ["the cat slept", "Sat the Cat?", "", "no word of it"])
    assert scores == pytest.approx([(the + cat) / (the + cat + sat), 1, 0, 0])


def test_no_passages_no_words_and_many_words():
    judge = open_verifier()
    assert judge.scores("A claim.", []) == []
    assert judge.scores("... !", ["anything", ""]) == [0, 0]
    assert judge.scores("word " * 200_000, ["word"]) == [1]


def test_without_a_corpus_common_words_weigh_little():
    assert len(common_words().holding) == 500
    assert [round(common_words().idf(word)) for word in ("the", "congress", "zebra")] == [0, 1, 11]
    of, zebra = Coverage().scores("the of and zebra", ["the of and", "zebra"])
    assert of < 0.05 and zebra > 0.95


def test_counts_of_an_index():
    corpus = MemoryCorpus([passage("one", "red red fox"), passage("two", "red hen"), passage("three", "blue hen")])
    assert count_corpus(corpus).holding == {"red": 2, "fox": 1, "hen": 2, "blue": 1}
    assert count_corpus(corpus, most=1).passages == 1


def test_verdicts_are_those_of_the_thresholds():
    thresholds = open_verifier().thresholds
    said = [thresholds.verdict(score) for score in (0.9, thresholds.supported, thresholds.partial, 0.1)]
    assert said == ["supported", "supported", "partial", "not supported"]


def test_auroc_on_wice(shared_data):
    """Counts of all its passages of 100 words; a page scores as its best. 0.763."""
    from sklearn.metrics import roc_auc_score

    claims = [json.loads(line) for line in (shared_data / "wice/claim_dev.jsonl").read_text("utf-8").splitlines()]
    pages = [" ".join(claim["evidence"]).split() for claim in claims]
    cut = [[" ".join(page[first : first + 100]) for first in range(0, len(page), 100)] for page in pages]
    judge = Coverage(count_words(text for page in cut for text in page))
    scores = [max(judge.scores(claim["claim"], page)) for claim, page in zip(claims, cut, strict=True)]
    supported = [claim["label"] == "supported" for claim in claims]
    assert roc_auc_score(supported, scores) == pytest.approx(0.763, abs=1.5e-3)
