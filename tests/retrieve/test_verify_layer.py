"""The layer against scikit-learn and planted passages, folds that leak nothing, calibration, thresholds, counting."""

import numpy as np
import pytest

from genus.core.errors import GenusError
from genus.retrieve.metrics import auroc
from genus.retrieve.verify.features import FEATURES, features
from genus.retrieve.verify.fitting import (
    best_logits,
    check_enough,
    choose_thresholds,
    cross_fitted,
    fit_calibrated,
    folds_of,
    groups_of,
    shares,
)
from genus.retrieve.verify.layer import fit_layer, fit_platt
from genus.retrieve.verify.measuring import measure
from genus.retrieve.verify.words import WordCounts


def planted(count=200, passages=4, inputs=5, seed=0):
    """One passage of each document, known by a high first input, says by its second whether the document supports."""
    draw = np.random.default_rng(seed)
    documents = draw.normal(size=(count, passages, inputs))
    supported = draw.random(count) < 0.4
    place = draw.integers(0, passages, count)
    documents[np.arange(count), place, 0] += 4
    documents[np.arange(count), place, 1] += np.where(supported, 3, -3)
    return list(documents), supported, place


def test_layer_is_ridge_logistic_regression():
    linear = pytest.importorskip("sklearn.linear_model")
    documents, supported, _ = planted(passages=1)
    table = np.concatenate(documents)
    scaled = (table - table.mean(0)) / (table.std(0) + 1e-9)
    theirs = linear.LogisticRegression(C=1.0, tol=1e-8).fit(scaled, supported)
    layer = fit_layer(documents, supported)
    np.testing.assert_allclose(layer.logits(table), theirs.decision_function(scaled), atol=1e-4)


def test_layer_finds_the_passage_that_says_it():
    documents, supported, place = planted()
    layer = fit_layer(documents, supported)
    chosen = np.array([int(layer.logits(document).argmax()) for document in documents])
    assert (chosen[supported] == place[supported]).mean() > 0.9
    assert auroc(best_logits(layer, documents), supported) > 0.95


def test_platt_finds_slope_and_bias():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=20_000) * 2
    said = draw.random(20_000) < shares(truth)
    assert fit_platt(((truth - 0.5) / 3).tolist(), said) == pytest.approx((3, 0.5), rel=0.1, abs=0.1)
    slope, _ = fit_platt([-1.0, 1.0], [False, True])
    assert 0 < slope < 2  # told apart completely, and yet finite


def test_groups_hang_together_and_folds_keep_them_whole():
    assert len(set(groups_of([("a",), ("b",), ("a", "c"), ("c", "b"), ("d",)]))) == 2
    groups = [number // 3 for number in range(60)]
    folds = folds_of(groups, seed=1)
    assert all(len({*folds[first : first + 3]}) == 1 for first in range(0, 60, 3))
    assert np.bincount(folds).tolist() == [12] * 5
    assert folds.tolist() != folds_of(groups, seed=2).tolist()


def test_nothing_leaks_between_folds():
    """Labels that only a group's own noise tells: who sees the group knows, who does not must guess."""
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(50), 4)
    supported = np.repeat(draw.random(50) < 0.5, 4)
    documents = [row[None] for row in np.repeat(draw.normal(size=(50, 40)), 4, axis=0)]
    assert auroc(cross_fitted(documents, supported, list(range(200))), supported) > 0.95
    assert auroc(cross_fitted(documents, supported, groups.tolist()), supported) < 0.75


def test_calibrated_scores_are_shares():
    documents, supported, _ = planted(count=400, seed=1)
    flipped = supported ^ (np.random.default_rng(2).random(400) < 0.2)  # nobody can be surer than four in five
    layer, logits = fit_calibrated(documents, flipped, list(range(400)))
    sure = shares(best_logits(layer, documents)) > 0.5
    assert shares(logits)[sure].mean() == pytest.approx(flipped[sure].mean(), abs=0.07)


def test_too_few_labels_are_named():
    with pytest.raises(GenusError, match="19 held-out documents support their claim and 21 do not; bring 20 of each"):
        check_enough([True] * 19 + [False] * 21, list(range(40)))
    for groups in ([0] * 40, [0] * 20 + [1] * 20, [0] * 21 + list(range(1, 20))):
        with pytest.raises(GenusError, match="hang together"):
            check_enough([True, False] * 20, groups)


@pytest.mark.parametrize("groups", [list(range(40)), [number // 2 for number in range(40)], [0] * 20 + [1] * 10 + [2] * 10])
@pytest.mark.parametrize("supported", [[True] * 20 + [False] * 20, [True, False] * 20])
def test_what_is_enough_can_be_measured(supported, groups):
    documents, _, _ = planted(count=40)
    check_enough(supported, groups)
    fit_calibrated(documents, supported, groups)
    found = measure(documents, documents, [2 * each for each in supported], groups)
    assert found["documents"] == 40


def test_thresholds_are_where_labels_part():
    scores = np.linspace(0, 1, 300)
    labels = [0] * 90 + [1] * 120 + [2] * 90
    found = choose_thresholds(scores, labels, np.linspace(-1, 0.2, 101))
    assert (found.partial, found.supported) == pytest.approx((0.3, 0.7), abs=0.02)
    assert found.margin == pytest.approx(0.14)
    assert choose_thresholds(scores, labels, [-0.9] * 10).margin == 0.05


def test_measured_beside_coverage():
    documents, supported, _ = planted()
    labels, neighbours = np.where(supported, 2, 0).tolist(), [document[:2] - 4 for document in documents]
    found = measure(documents, neighbours, labels, list(range(200)))
    assert found["judge"]["auroc"]["value"] > 0.9
    assert found["coverage"]["auroc"]["value"] < 0.7
    assert found["difference"]["low"] > 0.2
    assert found["judge"]["preference"]["value"] > 0.8
    with pytest.raises(GenusError, match="hang together"):
        measure(documents, neighbours, labels, [0] * 150 + list(range(50)))


def test_what_is_counted():
    counts = WordCounts(10, {"the": 10, "in": 9, "was": 9})
    claim = "In 1,000 days the mayor Olga Berg built three bridges, in Oslo."
    passage = "A bridge was building: 3 of them took 1000 days. The mayor is called Berg."
    row = dict(zip(FEATURES, features(claim, [passage, ""], counts)[0], strict=True))
    assert row["number_coverage"] == 1 and row["numbers_missing"] == 0 and not row["no_numbers"]
    assert row["name_coverage"] == pytest.approx(1 / 3) and row["names_missing"] == 2  # Olga, Oslo
    assert row["word_coverage"] == pytest.approx(4 / 12)  # days, the, mayor, berg; 1,000 is two words
    assert row["pair_coverage"] == pytest.approx(2 / 12)  # days the, the mayor
    assert row["coverage"] < row["stem_coverage"] < 1
    assert row["commas"] == 2
    empty = dict(zip(FEATURES, features(claim, [""], counts)[0], strict=True))
    assert empty["coverage"] == empty["number_coverage"] == empty["name_coverage"] == 0
    assert np.isfinite(features("", ["", "a"], counts)).all() and features(claim, [], counts).shape == (0, len(FEATURES))
