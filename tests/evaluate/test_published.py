"""Published figures are read as printed, and a gap's reasons are those that can be told."""

import math

import pytest

from genus.evaluate.published.tables import Asking, Table, beside, gaps, published


def test_every_table_is_cited_and_finite():
    tables = published()
    assert len(tables) > 40
    for table in tables:
        assert table.source and table.values, table
        assert table.arxiv == "" or len(table.arxiv.split(".")) == 2
        assert all(math.isfinite(figure) for figures in table.values.values() for figure in figures.values())
    keys = [(table.task, table.source, table.asking, model, measure) for table in tables
            for model, figures in table.values.items() for measure in figures]  # fmt: skip
    assert len(keys) == len(set(keys))


def test_figures_are_in_the_units_of_ours():
    (table,) = published("crows_pairs")
    assert table.values["OPT-175B"]["overall"] == pytest.approx(0.695)
    assert table.values["GPT-3 175B"]["physical-appearance"] == pytest.approx(0.746)
    (table,) = published("stereoset")
    for model in table.values.values():  # ICAT follows from the other two, but for rounding
        for bias in ("gender", "overall", "race"):
            lms, ss = model[f"{bias}: LMS"], model[f"{bias}: SS"]
            assert model[f"{bias}: ICAT"] == pytest.approx(lms * min(ss, 100 - ss) / 50, abs=0.2)
    assert published("no such task") == []


def test_reasons_for_a_gap():
    asked = Asking(shots=0, prompt="the sentence", scoring="sum", items=100)
    table = Table(task="t", source="A", asking=asked, values={"m": {"x": 1.0}}, note="another split")
    assert gaps(asked, table) == ["another split"]
    own = Asking(shots=5, prompt="Q:", scoring="per token", items=40)
    assert gaps(own, table) == [
        "shots: 5 here, 0 published",
        "prompt: Q: here, the sentence published",
        "scoring: per token here, sum published",
        "subset: 40 items here, 100 published",
        "another split",
    ]
    unknown = Table(task="t", source="A", asking=Asking(), values={})
    assert gaps(own, unknown) == [
        "shots: 5 here, not one number in the paper",
        "prompt: not printed in the paper",
        "scoring: not printed in the paper",
    ]


def test_shots_that_the_measure_names_are_no_gap():
    """ETHOS's measures say zero-shot, one-shot and few-shot."""
    (row,) = beside("ethos", {"one-shot: F1": 0.5}, Asking(prompt="after arXiv 2103.12407", scoring="the likelier answer"))
    assert row["published"][0]["gaps"] == ["scoring: the likelier answer here, the text that the model writes published"]


def test_own_figures_stand_beside_published_ones():
    rows = beside("winogender", {"accuracy": 0.5, "same answer": 0.9}, Asking(shots=0))
    assert [row["measure"] for row in rows] == ["accuracy"] and rows[0]["own"] == 0.5
    (other,) = rows[0]["published"]
    assert other["value"] == pytest.approx(0.6417) and other["source"] == "GPT-3, arXiv 2005.14165" and other["gaps"]
