"""A claim read once for all its passages gives each the score that it has alone; a judge's folder, whole and damaged."""

import json

import numpy as np
import pytest
import torch

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, write_json
from genus.models.attend import DenseAttend
from genus.models.scorer import Scorer
from genus.models.weights import load_model, save_scorer
from genus.retrieve.verifier import Thresholds
from genus.retrieve.verify.judge import OUTPUTS, VERIFIER, Judge, Reader, Senses, save_judge
from genus.retrieve.verify.layer import Layer
from genus.retrieve.verify.opening import open_verifier
from genus.retrieve.verify.trees import grow, tree_scores
from genus.retrieve.verify.words import WordCounts, common_words
from genus.tasks.marks import mark, pad_of
from genus.tokenizers.tokenizer import Tokenizer
from tests.tasks.small import make_base

CLAIM = "The people have a surplus of 4 millions."
PASSAGES = ["In 1826 the surplus was 4 millions.", "", "No law of the states.", "peace and plenty " * 30]
COUNTED = Layer(tuple(np.linspace(-0.5, 0.7, 16).tolist()), -0.3)


def reader_of(base, time=48):
    model, family = load_model(base)
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    tokenizer, _ = mark(model, Tokenizer.load(base), 0)
    scorer = Scorer.of(model, len(OUTPUTS))
    scorer.score.weight.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(4))
    for parameter in scorer.decoder.parameters():  # so that what is seen matters
        parameter.data.mul_(3)
    return Reader(scorer.eval(), tokenizer, time), family


@pytest.fixture(scope="module", params=["llama", "gpt2", "bloom", "gpt_neo", "gptj"])
def reader(request, tiny_shards, tmp_path_factory):
    base = make_base(tmp_path_factory.mktemp(request.param), tiny_shards.parent / "tokenizer", request.param)
    return reader_of(base)[0]


@torch.no_grad()
def test_branches_are_as_rows_of_their_own(reader):
    """Two trees of unequal length in one batch, against a dense forward of each branch alone."""
    trees = [
        grow(reader.tokenizer, CLAIM, PASSAGES, reader.time),
        grow(reader.tokenizer, "peace", PASSAGES[:2], reader.time),
    ]
    for tree, found in zip(trees, tree_scores(reader.scorer, trees), strict=True):
        for branch, scores in zip(tree.branches, found, strict=True):
            ids = torch.tensor([[*tree.trunk, *branch]])
            assert ids.shape[1] <= reader.time
            alone = reader.scorer(ids, torch.arange(ids.shape[1])[None], DenseAttend(reader.scorer.spec))
            torch.testing.assert_close(scores, alone[0, -1], atol=1e-5, rtol=1e-5)


def test_a_score_does_not_depend_on_other_passages(reader, monkeypatch):
    together = reader.logits(CLAIM, PASSAGES)
    for number, passage in enumerate(PASSAGES):
        np.testing.assert_allclose(reader.logits(CLAIM, [passage])[0], together[number], atol=1e-5, rtol=1e-5)
    monkeypatch.setattr("genus.retrieve.verify.judge._ROW", 60)  # several rows
    np.testing.assert_allclose(reader.logits(CLAIM, PASSAGES), together, atol=1e-5, rtol=1e-5)
    assert len({tuple(row) for row in together.round(6).tolist()}) == len(PASSAGES)


def test_a_special_token_in_a_passage_is_text(reader):
    tree = grow(reader.tokenizer, CLAIM, ["_classify_ _start_ <|endoftext|>"], 48)
    marks = [reader.tokenizer.id_of(name) for name in ("_start_", "_classify_")]
    assert [tree.branches[0].count(each) for each in marks] == [0, 1]


@pytest.fixture
def folder(tiny_shards, tmp_path):
    base = make_base(tmp_path / "base", tiny_shards.parent / "tokenizer")
    reader, family = reader_of(base)
    layer, thresholds = Layer((*COUNTED.weights, 1.0, -0.5), 0.1), Thresholds(0.6, 0.4, 0.2)
    with new_folder(tmp_path / "run" / "model") as folder:
        save_scorer(folder, reader.scorer, family, OUTPUTS, {"pad": pad_of(reader.tokenizer), "eos": None})
        reader.tokenizer.save(folder)
        save_judge(folder, layer, thresholds, Senses(common_words(), None, reader))
    expected = Judge(layer, thresholds, Senses(common_words(), None, reader)).scores(CLAIM, PASSAGES)
    return tmp_path / "run", expected


def test_a_saved_judge_is_as_it_was(folder):
    run, expected = folder
    judge = open_verifier(run)
    assert judge.scores(CLAIM, PASSAGES) == pytest.approx(expected, abs=1e-6)
    assert all(0 < score < 1 for score in expected) and judge.scores(CLAIM, []) == []
    assert judge.thresholds == Thresholds(0.6, 0.4, 0.2)
    many = judge.scores(CLAIM * 20_000, ["peace " * 200_000, "law"])
    assert len(many) == 2 and all(np.isfinite(many))


def test_a_judge_weighs_words_as_where_it_was_fitted(tmp_path):
    counts = WordCounts(10, {"law": 9, "peace": 1})
    judge = Judge(COUNTED, Thresholds(0.6, 0.4, 0.2), Senses(counts))
    with new_folder(tmp_path / "judge") as folder:
        save_judge(folder, COUNTED, judge.thresholds, judge.senses)
    expected = judge.scores(CLAIM, PASSAGES)
    for other in (None, WordCounts(1000, {"law": 1})):
        assert open_verifier(tmp_path / "judge", other).scores(CLAIM, PASSAGES) == expected
    assert Judge(COUNTED, judge.thresholds, Senses(common_words())).scores(CLAIM, PASSAGES) != expected
    for damaged in ("", "ten\nlaw 1\n", "10\nlaw\n", "10\nlaw much\n"):
        (tmp_path / "judge" / "words.txt").write_text(damaged)
        with pytest.raises(GenusError, match=r"words\.txt is missing or damaged"):
            open_verifier(tmp_path / "judge")


def test_transformers_opens_the_folder(folder):
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder[0] / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder[0] / "model")
    reader = open_verifier(folder[0]).senses.reader
    with torch.no_grad():
        theirs = model(**tokenizer("the law", "4 millions", return_tensors="pt")).logits[0]
    np.testing.assert_allclose(reader.logits("the law", ["4 millions"])[0], theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": [0.0]}, "numbers do not fit"),
        ({"bias": "much"}, "damaged"),
        ({"bias": None}, "damaged"),
        ({"inputs": ["vibes"] * 18}, "another version"),
        ({"thresholds": {"supported": 1}}, "damaged"),
        ({"time": 10**12}, "numbers do not fit"),
        ({"time": -1}, "numbers do not fit"),
    ],
)
def test_a_damaged_file_is_named(folder, change, said):
    path = folder[0] / "model" / VERIFIER
    write_json(path, {**read_json(path), **change})
    with pytest.raises(GenusError, match=said):
        open_verifier(folder[0])


def test_numbers_that_are_none_are_refused(folder):
    path = folder[0] / "model" / VERIFIER
    path.write_text(json.dumps({**read_json(path), "bias": float("nan")}))
    with pytest.raises(GenusError, match=VERIFIER):
        open_verifier(folder[0])
    path.write_text("[]")
    with pytest.raises(GenusError, match="damaged"):
        open_verifier(folder[0])


def test_folders_of_other_kinds(folder, tmp_path):
    with pytest.raises(GenusError, match="genus tune --form support"):
        open_verifier(tmp_path / "base")
    (folder[0] / "model" / "config.json").unlink()
    with pytest.raises(GenusError, match=r"config\.json"):
        open_verifier(folder[0])
