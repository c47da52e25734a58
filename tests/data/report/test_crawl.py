"""`genus corpus plan`: arithmetic by hand, from a report that is written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from genus.cli import main as cli
from genus.core.errors import GenusError
from genus.data.corpus import Corpus, make_corpus
from genus.data.pipeline.overall import HELD
from genus.data.report.crawl import Crawl, outlook
from genus.data.report.facts import FORMAT, read_report


@pytest.fixture
def report() -> dict[str, Any]:
    """A sample of 1 GB in 100,000 documents, of which 50,000 and 2 GB of text stay."""
    passes = [
        {"name": "reading", "tasks": 4, "seconds": 90.0, "cpu": 100.0, "peak": 1},
        {"name": "exact", "tasks": 0, "seconds": 5.0, "cpu": 4.0, "peak": 1},
        {"name": "quality classifier", "tasks": 0, "seconds": 2.0, "cpu": 2.0, "peak": 1},
        {"name": "writing", "tasks": 4, "seconds": 20.0, "cpu": 10.0, "peak": 1},
    ]
    made = {"passes": passes, "work_bytes": 3e9, "out_bytes": 1e9, "dropped_bytes": 10_000_000}
    return {
        "format": FORMAT,
        "inputs": {"web": {"bytes": 600_000_000}, "books": {"bytes": 400_000_000}},
        "funnel": [{"in": [100_000, 0, 0]}, {"kept": [50_000, 2_000_000_000, 0]}],
        "clusters": {},
        "made": made,
    }


def test_by_hand(report: dict[str, Any]) -> None:
    found = outlook(report, Crawl(bytes=1e12, machines=2, cores=10, price=4.0))
    assert found.times == 1000 and found.documents == 1e8
    assert found.kept_documents == 5e7 and found.kept_bytes == 2e12
    reading, exact, quality, writing = found.passes
    assert reading.core_hours == pytest.approx(100 * 1000 / 3600)  # CPU seconds, more than those that passed
    assert reading.hours == pytest.approx(reading.core_hours / 20)
    assert writing.core_hours == pytest.approx(20 * 1000 / 3600)  # seconds that passed, more than the CPU's
    sweeps = 1e8 / HELD + 1
    assert exact.core_hours == exact.hours == pytest.approx(5 * 1000 * sweeps / 3600)
    assert quality.hours == pytest.approx(2 * 1000 / 3600)
    assert found.hours == pytest.approx(sum(each.hours for each in found.passes))
    assert found.cost == pytest.approx(found.hours * 2 * 4)
    assert found.disk == 4e12
    assert found.memory == pytest.approx((140 * 50_000 + 2 * 10_000_000) * 1000)


def test_several_corpora_have_fewer_documents_each_and_a_machine_each(report: dict[str, Any]) -> None:
    one, many = (outlook(report, Crawl(bytes=1e12, machines=4, corpora=corpora)) for corpora in (1, 10))
    assert many.memory == pytest.approx(one.memory / 10)
    sweeps = 1e7 / HELD + 1
    assert many.passes[1].core_hours == pytest.approx(5 * 1000 * sweeps / 3600)
    assert many.passes[1].hours == pytest.approx(many.passes[1].core_hours * 3 / 10)  # 4 and 4 and 2 at once
    assert many.passes[0] == one.passes[0]


def warned(report: dict[str, Any]) -> list[str]:
    return outlook(report, Crawl(bytes=1e9)).warnings


def test_what_does_not_fit_or_is_badly_known_is_said(report: dict[str, Any]) -> None:
    found = outlook(report, Crawl(bytes=45e12, machines=100))
    need = -(-found.memory // 256e9)
    assert any(f"cut the crawl into {need:,.0f} corpora" in each for each in found.warnings)
    assert any("one process works while other cores wait" in each for each in found.warnings)
    cut = outlook(report, Crawl(bytes=45e12, machines=100, corpora=int(need)))
    assert not any("GB for a corpus" in each for each in cut.warnings)
    assert not warned(report)
    report["made"]["passes"][2] |= {"seconds": 0.9, "cpu": 0.9}
    assert any("badly known, and likely less than said: quality classifier." in each for each in warned(report))
    report["clusters"] = {"fuzzy": {}}
    assert any("near copies take more" in each for each in warned(report))


@pytest.mark.parametrize(("documents", "seconds"), [(999, 100.0), (100_000, 0.1)])
def test_too_small_a_sample_is_refused(report: dict[str, Any], documents: int, seconds: float) -> None:
    report["funnel"][0]["in"][0] = documents
    for each in report["made"]["passes"]:
        each |= {"seconds": seconds / 4, "cpu": 0.0}
    with pytest.raises(GenusError, match="too little to know rates by; make a corpus of one with 1,000 and 10 s"):
        outlook(report, Crawl(bytes=1e12))


def test_less_than_the_sample_and_no_machines_are_refused(report: dict[str, Any]) -> None:
    with pytest.raises(GenusError, match="fewer than the sample's 1,000,000,000"):
        outlook(report, Crawl(bytes=1e8))
    for wrong in ({"machines": 0}, {"price": -1.0}, {"memory": float("nan")}, {"bytes": float("inf")}):
        with pytest.raises(GenusError, match=f"{next(iter(wrong))} .* is not a number above 0"):
            Crawl(**({"bytes": 1e12} | wrong))


def test_a_report_that_was_made_has_what_is_needed(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {n} of a text with some words in it." for n in range(100))
    (tmp_path / "a.txt").write_text(text)
    make_corpus(Corpus(source=str(tmp_path / "a.txt"), out=tmp_path / "out"))
    report = read_report(tmp_path / "out")
    report["funnel"][0]["in"][0] = 1000
    report["made"]["passes"][0]["seconds"] = 10.0
    found = outlook(report, Crawl(bytes=1e9))
    assert found.times == pytest.approx(1e9 / len(text)) and found.disk > found.kept_bytes / 10
    assert [each.name for each in found.passes] == ["reading", "ids", "exact", "holding out", "writing"]


def test_the_command(report: dict[str, Any], tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(json.dumps(report))
    for arguments in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["genus", "corpus", "plan", str(tmp_path), "--bytes", "1e12", *arguments])
        with pytest.raises(SystemExit, match="0"):
            cli.main()
    text, _, line = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    assert json.loads(line)["disk"] == 4e12 and len(json.loads(line)["passes"]) == 4
    assert "at 3.00 for a machine and hour" in text and "1 TB as stored" in text
