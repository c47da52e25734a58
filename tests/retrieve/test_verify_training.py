"""Claims in published forms, what is made that does not support them, the loss by hand, and judges made from end to end."""

import json
import math
import random

import pytest

from genus.cli.main import bind_stage
from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.models.scorer import Scorer
from genus.retrieve.verify.claims import Checked, Claim, hundreds, read_claims
from genus.retrieve.verify.negatives import Neighbours, altered
from genus.retrieve.verify.opening import open_verifier
from genus.retrieve.verify.training import Listed, listed, support_loss, train_verifier
from genus.retrieve.verify.trees import Tree, tree_scores
from genus.train.recipe import Energy
from genus.train.task_recipe import Support, TaskCourse, TaskOptim, TaskTuning
from genus.train.tune_recipe import TuneEvery
from tests.retrieve.test_verify_judge import reader_of
from tests.tasks.small import make_base

QUICK = {
    "batch": 8,
    "micro_batch": 4,
    "epochs": 12,
    "dropout": 0.0,
    "optim": TaskOptim(lr=3e-3, weight_decay=0.0),
    "schedule": TaskCourse(warmup=0.1, final=0.1),
    "every": TuneEvery(validate=0, checkpoint=50),
    "energy": Energy(count="off"),
    "tensorboard": "off",
    "form": "support",
}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_published_forms(tmp_path):
    wice = {"claim": "A.", "evidence": ["(meta data) TITLE: T", "word " * 150], "label": "partially_supported"}
    fever = {"claim": "B.", "evidences": [{"evidence": "b.", "evidence_label": "NOT_ENOUGH_INFO", "article": "X"}]}
    rows = [
        {**wice, "meta": {"claim_title": "Article"}},
        fever,
        {"premise": "c c.", "hypothesis": "C.", "label": "entailment"},
        {"claim": "D.", "passages": ["d.", " ", "e."], "document": "page"},
    ]
    first, second, third, fourth = read_claims(write(tmp_path / "claims.jsonl", rows))
    assert [len(passage.split()) for passage in first.documents[0].passages] == [100, 54]
    assert (first.documents[0].label, first.documents[0].name, first.group) == (1, "(meta data) TITLE: T", "Article")
    assert second == Claim("B.", (Checked(("b.",), 0, "X"),))
    assert third == Claim("C.", (Checked(("c c.",), 2, "c c."),))  # claims about one premise are seen to be so
    assert fourth.documents == (Checked(("d.", "e."), None, "page"),)
    assert hundreds("a " * 100) == (("a " * 100).strip(),)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"claim": "A.", "passages": ["a"], "label": "perhaps"}, "line 2.*'perhaps' is none of supported"),
        ({"claim": " ", "passages": ["a"]}, "line 2.*claim = ' ' is not a text"),
        ({"claim": "A."}, "line 2.*evidence = 'None' is not a list of texts"),
        ({"claim": "A.", "passages": [" "]}, "line 2.*not a list of texts"),
        ({"claim": "A.", "passages": [3]}, "line 2.*not a list of texts"),
        ({"claim": "A.", "evidences": ["a"]}, "line 2.*evidences is not a list of objects"),
        ({"claim": "A.", "evidences": [{"evidence_label": "SUPPORTS"}]}, "line 2.*evidence = 'None'"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, said):
    path = write(tmp_path / "claims.jsonl", [{"claim": "A.", "passages": ["a"]}, row])
    with pytest.raises(GenusError, match=said):
        read_claims(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(GenusError, match="cannot be read"):
        read_claims(tmp_path / "none.jsonl")
    with pytest.raises(GenusError, match="holds no claims"):
        read_claims(write(tmp_path / "empty.jsonl", []))


def test_what_is_altered_is_what_the_claim_says():
    claim, passage = "In 1826 Adams was in Boston.", "It rained. In 1826 John Adams was not in Boston with 12 men."
    made = {altered(claim, passage, ["so Monroe spoke."], random.Random(seed)) for seed in range(40)}
    without = {"It rained. In 1826 John Adams was in Boston with 12 men."}
    names = {passage.replace("Adams", "Monroe"), passage.replace("Boston", "Monroe")}
    assert names | without <= made and passage not in made
    years = {text.split("In ")[1][:4] for text in made - names - without}
    assert years and all(year != "1826" and abs(int(year) - 1826) <= 30 for year in years)
    assert altered("Nothing is shared", "A b c", [], random.Random(0)) is None
    assert altered("She was there", "She was there.", [], random.Random(0)) == "She was not there."
    still = "It is late. The king, as is known, died."  # a changed article leaves it true, and so does what nobody claimed
    assert all(altered("The king died", still, ["Cloud"], random.Random(seed)) is None for seed in range(9))


def test_neighbours_are_near_and_not_its_own():
    def claim(text, passage, name):
        return Claim(text, (Checked((passage,), 2, name),))

    claims = [
        claim("the harbour of Oslo", "oslo harbour", "A"),
        claim("a bridge", "oslo bridge", "B"),
        claim("ships", "harbour ships of oslo", "C"),
        claim("another of A", "oslo harbour too", "A"),
        *(claim("filler", f"filler number {number}", f"F{number}") for number in range(12)),
    ]
    assert Neighbours(claims).find(claims[0], 5) == [("harbour ships of oslo",), ("oslo bridge",)]


@pytest.fixture(scope="module")
def base(tiny_shards, tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"), tiny_shards.parent / "tokenizer", context=96)


def recipe(base, folder, rows, **changes):
    return TaskTuning(
        **{**QUICK, "model": base, "train": write(folder / "claims.jsonl", rows), "out": folder / "run", **changes}
    )


def test_a_list_is_of_own_altered_and_neighbours(base, tmp_path):
    rows = [
        {"claim": f"In 18{n} the surplus w{n // 3}", "passages": [f"In 18{n} w{n // 3}", "other", "w"], "label": "supported"}
        for n in range(10, 20)
    ]
    path = write(tmp_path / "c.jsonl", rows)
    claims, (reader, _) = read_claims(path), reader_of(base, 96)
    tuning = recipe(base, tmp_path, rows, support=Support(passages=2, negatives=3))
    found = listed(claims[3], reader, Neighbours(claims), tuning)
    assert found.labels == (2, 0, -1, -1) and found.owners == (0, 0, 1, 2, 2, 3, 3)
    assert len(found.tree.branches) == 7 and found == listed(claims[3], reader, Neighbours(claims), tuning)
    refused = claims[3]._replace(documents=(claims[3].documents[0]._replace(label=0),))
    assert listed(refused, reader, Neighbours(claims), tuning).labels == (0,)


def test_loss_by_hand(base):
    reader, _ = reader_of(base, 96)
    tree = Tree((1, 2, 3), ((4, 5), (6, 7), (8, 9), (10, 11)))
    scorer: Scorer = reader.scorer
    (scores,) = (each.detach() for each in tree_scores(scorer, [tree]))
    first, second, third = scores[:2].amax(0), scores[2], scores[3]
    loss, weight, *_ = support_loss(scorer, [Listed(tree, (0, 0, 1, 2), (1, 0, -1))])
    labelled = [math.log1p(math.exp(x)) for x in (float(first[0]), -float(first[1]), float(second[0]), float(second[1]))]
    best = -math.log(math.exp(first[1]) / sum(math.exp(each[1]) for each in (first, second, third)))
    assert weight == 1 and float(loss.detach()) == pytest.approx(sum(labelled) / 2 + best, rel=1e-4)
    cited, *_ = support_loss(scorer, [Listed(tree, (0, 0, 1, 2), (None, -1, -1))])
    assert float(cited.detach()) == pytest.approx(best, rel=1e-4)


def claims_of(count, seed):
    """A passage supports where it says the claim's year."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        year, good = draw.randint(1800, 1899), draw.random() < 0.5
        said = year if good else year + draw.choice([-1, 1]) * draw.randint(1, 9)
        label = "supported" if good else "not_supported"
        rows.append({"claim": f"in {year}", "passages": [f"in {said}"], "label": label, "document": f"{seed} {number}"})
    return rows


def test_a_judge_that_counts(tmp_path, capsys):
    rows = claims_of(120, 1)
    write(tmp_path / "claims.jsonl", rows)
    values = {"form": "support", "model": "none", "train": f"{tmp_path}/claims.jsonl", "out": f"{tmp_path}/run"}
    bind_stage("tune", {**values, "support": {"meaning": False}}, "a.toml")[0]()
    judge = open_verifier(tmp_path / "run")
    right, wrong = judge.scores("in 1850", ["in 1850", "in 1857"])
    assert right > judge.thresholds.supported > wrong
    assert read_json(tmp_path / "run/results.json")["judge"]["auroc"]["value"] > 0.95
    assert "coverage of words" in capsys.readouterr().err


def test_a_judge_that_reads(base, tmp_path):
    """It learns which word supports, and its layer is fitted to claims that it did not learn."""

    def rows(count, seed):
        words = [random.Random(f"{seed} {number}").choice(["law", "peace"]) for number in range(count)]
        return [
            {
                "claim": "the states",
                "passages": [word],
                "label": "supported" if word == "law" else "refutes",
                "document": f"{n}",
            }
            for n, word in enumerate(words)
        ]

    held_out = write(tmp_path / "held_out.jsonl", [{**row, "claim": f"the states {n}"} for n, row in enumerate(rows(80, 2))])
    tuning = recipe(base, tmp_path, rows(24, 1), held_out=held_out, support=Support(meaning=False, negatives=0))
    folder = train_verifier(tuning)
    judge = open_verifier(folder)
    law, peace = judge.senses.reader.logits("the states", ["law", "peace"])
    assert (law > 0).all() and (peace < 0).all()
    law, peace = judge.scores("the states", ["law", "peace"])
    assert law > judge.thresholds.supported > peace
    assert read_json(tmp_path / "run/results.json")["judge"]["auroc"]["value"] > 0.95
    assert read_json(tmp_path / "run/results.json")["documents"] == 80
    assert train_verifier(tuning) == folder  # done already


def test_what_cannot_be_learned_from(base, tmp_path):
    rows = claims_of(24, 1)
    with pytest.raises(GenusError, match="bring 20 of each at least"):
        train_verifier(recipe(base, tmp_path, rows))
    with pytest.raises(GenusError, match="neither labels nor documents"):
        bare = [{"claim": "alone", "passages": ["a"]}]
        train_verifier(recipe(base, tmp_path, bare, held_out=write(tmp_path / "h.jsonl", claims_of(60, 2))))
    with pytest.raises(GenusError, match="passages must be 1 to 1000"):
        Support(passages=0)
