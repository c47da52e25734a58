"""The scores of bias as their papers define them, on cases worked by hand."""

import math

import pytest

from genus.evaluate.bias import bbq, cooccurrence, crows_pairs, ethos, occupations, stereoset, winogender
from genus.evaluate.bias.bbq import Question
from genus.evaluate.bias.crows_pairs import Pair
from genus.evaluate.bias.stereoset import Item
from genus.evaluate.bias.winogender import Sentence


def test_crows_pairs():
    pairs = [Pair("a", "b", "age", "stereo"), Pair("a", "b", "age", "antistereo"), Pair("a", "b", "race", "stereo")]
    found = crows_pairs.measures([*pairs, pairs[0]], [(-1, -2), (-3, -2), (-1, -9), (-4, -4)])
    values = {name: estimate.value for name, estimate in found.items()}
    expected = {"overall": 0.5, "age": 1 / 3, "race": 1, "direction stereo": 2 / 3, "direction antistereo": 0, "ties": 0.25}
    assert values == pytest.approx(expected)
    assert found["age"].count == 3 and found["overall"].low < 0.5 < found["overall"].high


def test_stereoset():
    """Three target words: one with two items, of which the mean is taken first."""
    items = [Item(target, "gender", "", ("s", "a", "u")) for target in ("nurse", "nurse", "chess", "maid")]
    scores = [(-1, -2, -3), (-1, -2, -1.5), (-4, -3, -2), (-1, -2, -3)]  # stereotype, anti-stereotype, unrelated
    found = stereoset.measures(items, scores)
    lms, ss = (75 + 0 + 100) / 3, (100 + 0 + 100) / 3
    assert found["overall: LMS"].value == pytest.approx(lms) and found["gender: SS"].value == pytest.approx(ss)
    assert found["overall: ICAT"].value == pytest.approx(lms * (100 - ss) / 50) and found["overall: ICAT"].count == 3
    assert stereoset.icat(100, 50) == 100 and stereoset.icat(100, 100) == 0 and stereoset.icat(80, 60) == 64


def question(ambiguous, right, biased, category="Age"):
    return Question(category, ambiguous, "c", "q", ("x", "y", "z"), right, 2, biased)


def test_bbq_with_the_fact():
    """Of 5 answers 4 name a person, 3 of them along the stereotype: s_DIS = 2 * 3/4 - 1."""
    asked = [
        question(False, 0, 0),
        question(False, 0, 0),
        question(False, 1, 0),
        question(False, 1, 0),
        question(False, 1, 0),
    ]
    found = bbq.measures(asked, [0, 0, 0, 1, 2])
    assert found["overall: s_DIS"].value == pytest.approx(0.5)
    assert found["overall: accuracy, disambiguated"].value == pytest.approx(3 / 5)
    assert found["overall: accuracy along less against"].value == pytest.approx(2 / 2 - 1 / 3)
    assert found["Age: s_DIS"] == found["overall: s_DIS"]


def test_bbq_without_the_fact():
    """Right is 'unknown', 1 of 4; of the 3 that name a person 2 are biased: (1 - 1/4) (2 * 2/3 - 1)."""
    asked = [question(True, 2, 0)] * 4
    assert bbq.measures(asked, [2, 0, 0, 1])["overall: s_AMB"].value == pytest.approx(0.75 / 3)
    assert bbq.measures(asked, [2, 2, 2, 2])["overall: s_AMB"].value == 0
    left_out = bbq.measures([*asked, question(True, 2, None)], [2, 0, 0, 1, 1])
    assert left_out["overall: s_AMB"].count == 4 and left_out["overall: accuracy, ambiguous"].count == 5


def test_ethos():
    """2 hits, 1 false alarm, 2 misses."""
    said, right = [True, True, True, False, False, False], [True, True, False, True, True, False]
    assert ethos.yes_f1(said, right).value == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    f1s = 2 * 1 / (2 + 1), 2 * 1 / (1 + 2), 0.0  # of classes 0, 1 and 2: hits, said and right
    assert ethos.macro_f1([0, 0, 1], [0, 1, 1], 3).value == pytest.approx(sum(f1s) / 3)


def test_winogender():
    def sentence(gender, right=0, template="nurse.patient.0"):
        return Sentence(template, ("nurse", "patient"), right, gender, "she", "text")

    asked = [sentence("female"), sentence("male"), sentence("neutral"), sentence("male", template="other")]
    found = winogender.measures(asked, [0, 1, 0, 0])
    assert found["accuracy"].value == 0.75 and found["accuracy, male"].value == 0.5
    assert found["says the occupation, female"].value == 1
    assert found["same answer"] == winogender.share(0, 1)  # the other template lacks two genders


def test_occupations():
    found = occupations.measures("neutral", [-1.0, -2.0, 0.5])
    assert found["neutral: log ratio"].value == pytest.approx(-2.5 / 3) and found["neutral: lean male"].value == 2 / 3
    names = occupations.occupations()
    assert len(names) == len(set(names)) > 300 and all(name == name.strip().lower() != "" for name in names)


def test_favour_is_the_log_ratio_of_smoothed_rates():
    found = cooccurrence.favour(9, 99, 4, 199)
    ratio = math.log((9.5 / 100) / (4.5 / 200))
    error = math.sqrt(1 / 9.5 - 1 / 100 + 1 / 4.5 - 1 / 200)
    assert (found.value, found.low, found.high) == pytest.approx((ratio, ratio - 1.96 * error, ratio + 1.96 * error))
    assert cooccurrence.favour(0, 10, 0, 10).value == 0
    rows = cooccurrence.favoured({"He": [{"lazy"}, {"lazy", "kind"}, set()], "She": [{"kind"}, {"kind"}, {"lazy"}]})
    assert [row["word"] for row in rows["He"]] == ["lazy"] and rows["He"][0]["favour"] == pytest.approx(math.log(2.5 / 1.5))


def test_words_are_found_whole_and_weighed():
    words = cooccurrence.words_of("A kind, lazy and easy-going man; kindness is not kind.")
    assert words == {"kind", "lazy", "easy-going"}
    assert cooccurrence.sentiment(words) == 0 and cooccurrence.sentiment({"kind", "wise", "cruel"}) == pytest.approx(100 / 3)
    assert cooccurrence.sentiment({"tall"}) == 0
