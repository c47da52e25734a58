"""Measures of retrieval and citation: worked by hand, against scikit-learn, and whole under ties and weights."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from genus.retrieve.metrics import (
    answer_in_context,
    auprc,
    auroc,
    calibration_error,
    cited,
    flagged,
    ndcg,
    precision,
    preference_accuracy,
    success,
    top_precision,
)

FOUND = ["a", "b", "c", "d"]


def test_success_is_of_the_first_few():
    assert [success(FOUND, {"c", "x"}, count) for count in (1, 2, 3, 100)] == [0, 0, 1, 1]
    assert success([], {"a"}, 5) == success(FOUND, set(), 5) == 0


def test_precision_counts_empty_places():
    assert precision(FOUND, {"a", "c"}) == 1 and precision(FOUND, {"b"}) == 0
    assert precision(FOUND, {"a", "c"}, 3) == pytest.approx(2 / 3)
    assert precision(["a"], {"a"}, 5) == pytest.approx(1 / 5)


def test_ndcg_by_hand_and_by_scikit_learn():
    gains = {"b": 3.0, "d": 1.0, "x": 2.0}  # x was not found
    best = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg(FOUND, gains, 10) == pytest.approx((3 / math.log2(3) + 1 / math.log2(5)) / best)
    assert ndcg(FOUND, gains, 2) == pytest.approx((3 / math.log2(3)) / (3 + 2 / math.log2(3)))
    assert ndcg(["b", "x", "d"], gains, 10) == 1 and ndcg(FOUND, {}, 10) == ndcg([], gains, 10) == 0
    drawn = np.random.default_rng(0)
    for _ in range(20):
        names = [f"{number}" for number in range(12)]
        values = drawn.integers(0, 4, 12)
        said = ndcg(names, dict(zip(names, map(float, values), strict=True)), 7)
        assert said == pytest.approx(ndcg_score([values], [np.arange(12, 0, -1)], k=7))


def test_an_answer_is_in_context_as_words_in_a_row():
    passages = ["In 1803, the U.S. bought Louisiana.", "Nothing here."]
    assert answer_in_context(["The U.S. bought"], passages) == 1
    assert answer_in_context(["bought U.S."], passages) == answer_in_context(["Louisi"], passages) == 0
    assert answer_in_context(["bought louisiana nothing"], passages) == 0  # not over two passages
    assert answer_in_context(["the", ""], passages) == answer_in_context([], passages) == 0  # nothing but an article
    assert answer_in_context(["France", "LOUISIANA!"], passages) == 1


def test_auroc_and_auprc_by_hand():
    scores, positive = [0.9, 0.5, 0.5, 0.1], [True, True, False, False]
    assert auroc(scores, positive) == pytest.approx((2 + 1 + 0.5) / 4)
    assert auprc(scores, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert np.isnan(auroc(scores, [True] * 4)) and np.isnan(auprc(scores, [False] * 4))
    assert auroc([1] * 4, positive) == auprc([1] * 4, positive) == 0.5


@pytest.mark.parametrize("levels", [3, 10, 10**6])
def test_auroc_and_auprc_are_scikit_learns(levels):
    drawn = np.random.default_rng(levels)
    for count in (2, 7, 100):
        scores = drawn.integers(0, levels, count) / levels
        positive = drawn.random(count) < 0.3 + 0.4 * scores
        positive[:2] = True, False
        weights = drawn.integers(0, 4, (5, count)) + np.eye(1, count)[0] + np.eye(1, count, 1)[0]
        assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
        assert auprc(scores, positive) == pytest.approx(average_precision_score(positive, scores))
        by_row = [roc_auc_score(positive, scores, sample_weight=row) for row in weights]
        assert auroc(scores, positive, weights).tolist() == pytest.approx(by_row)
        by_row = [average_precision_score(positive, scores, sample_weight=row) for row in weights]
        assert auprc(scores, positive, weights).tolist() == pytest.approx(by_row)


FIGURES = {
    "auroc": auroc,
    "auprc": auprc,
    "top": lambda scores, positive, weights=None: top_precision(scores, positive, 0.3, weights),
    "calibration": lambda scores, positive, weights=None: calibration_error(scores, positive, 4, weights),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
def test_order_changes_nothing_and_weights_are_copies(figure):
    drawn = np.random.default_rng(3)
    scores, positive = drawn.integers(0, 6, 40) / 5, drawn.random(40) < 0.5
    weights = drawn.integers(0, 3, 40)
    order = drawn.permutation(40)
    assert figure(scores[order], positive[order]) == pytest.approx(figure(scores, positive))
    copies = np.repeat(np.arange(40), weights)
    assert figure(scores, positive, weights) == pytest.approx(figure(scores[copies], positive[copies]))


def test_precision_among_the_top():
    positive = [True, False, True, False, False, False, False, False, False, False]
    scores = [0.9, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert top_precision(scores, positive) == 0.5  # one of two equals
    assert top_precision(scores, positive, 0.2) == 0.5
    assert top_precision(scores, positive, 0.3) == top_precision(scores, positive, 0.21) == pytest.approx(2 / 3)
    assert top_precision([1.0, 0.5], [True, False], 0.01) == 1  # at least one
    assert top_precision([0.5] * 10, positive) == pytest.approx(0.2)  # nothing is flagged before the rest


def test_calibration_by_hand():
    probabilities, outcomes = [0.1, 0.3, 0.6, 0.8], [False, True, True, True]
    assert calibration_error(probabilities, outcomes, 2) == pytest.approx((abs(0.2 - 0.5) + abs(0.7 - 1)) / 2)
    assert calibration_error(probabilities, outcomes, 1) == pytest.approx(abs(0.45 - 0.75))
    # 3 items in 2 bins: the middle one counts half in each
    assert calibration_error([0.0, 0.5, 1.0], [False, True, True], 2) == pytest.approx((0.25 + 0.25) / 3)
    assert calibration_error([0.25] * 4, [True, False, False, False], 3) == pytest.approx(0)


def test_preferences_count_equal_ones_half():
    assert preference_accuracy([(2, 1), (1, 2), (3, 1), (1, 1)]) == 2.5 / 4
    assert preference_accuracy([(2, 1), (1, 2)], np.array([[3, 1], [0, 2]])).tolist() == [0.75, 0]


def test_flagged_citations_are_those_with_little_support():
    drawn = np.random.default_rng(5)
    failed = drawn.random(300) < 0.3
    support = drawn.normal(0, 1, 300) - 1.5 * failed
    documents = [f"d{number // 3}" for number in range(300)]
    found = flagged(support.tolist(), failed.tolist(), documents)
    assert found.auroc.value == pytest.approx(roc_auc_score(failed, -support)) and found.auroc.value > 0.75
    assert found.auprc.value == pytest.approx(average_precision_score(failed, -support))
    weakest = np.argsort(support)[:30]
    assert found.top_precision.value == pytest.approx(failed[weakest].mean())
    for each in (found.auroc, found.auprc, found.top_precision):
        assert each.low < each.value < each.high and each.count == 100


def test_documents_are_what_intervals_draw():
    """Ten copies of each citation say nothing new: grouped the interval stays, and of different documents it shrinks."""
    drawn = np.random.default_rng(6)
    failed = drawn.random(60) < 0.4
    support = drawn.normal(0, 1, 60) - failed
    names = [f"{number}" for number in range(60)]
    once = flagged(support.tolist(), failed.tolist(), names).auroc
    copies = np.repeat(support, 10).tolist(), np.repeat(failed, 10).tolist()
    grouped = flagged(*copies, np.repeat(names, 10).tolist()).auroc
    apart = flagged(*copies, [f"{number}" for number in range(600)]).auroc
    width = [each.high - each.low for each in (once, grouped, apart)]
    assert width[1] == pytest.approx(width[0], rel=0.15) and width[2] < 0.5 * width[0]


def supports(sentence: str, text: str) -> bool:
    return set(sentence.split()) <= set(text.split())


def test_citations_by_alce():
    sentences = [
        ("a b", ["a b", "a c"]),  # supported; the second says nothing that the first does not
        ("a b", ["a", "b"]),  # only together: both are needed
        ("a b", ["a b", "b a"]),  # each alone: both are precise
        ("a b", ["a", "c"]),  # not supported
        ("a b", []),  # nothing cited
    ]
    found = cited(sentences, supports)
    assert found.recall.value == pytest.approx(3 / 5) and found.recall.count == 5
    assert found.precision.value == pytest.approx((1 + 2 + 2 + 0) / 8)
    assert found.precision.low < found.precision.value < found.precision.high
    nothing = cited([("a", [])], supports)
    assert nothing.recall.value == 0 and nothing.precision.value is None
    assert cited([], supports).recall.value is None
