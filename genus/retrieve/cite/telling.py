"""What was found about a document's citations, as JSON and as a page. Not for a terminal, whose lines the command writes."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from genus.core.page import grid, page, section, small
from genus.retrieve.cite.check import Checked, Finding, Judged
from genus.retrieve.cite.doubts import MEANING
from genus.retrieve.corpus import Corpus
from genus.retrieve.passage import Passage

__all__ = ["NO_BETTER", "cited_page", "counted", "told", "told_judged"]

NO_BETTER = "no better source found"
_NAMED = ("id", "document", "title", "url", "date", "start", "end", "sha256", "text")
_SHOWN = 500  # claims on a page beside the weakest tenth; all are in the JSON


def counted(findings: Sequence[Finding]) -> dict[str, int]:
    """How many citations there are of each verdict."""
    names = ("supported", "partial", "not supported", "circular", "not in the index")
    found = Counter[str](source.verdict for finding in findings for source in finding.sources)
    return {name: found[name] for name in names}


def told(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Each claim as JSON, with its sources and what bears it out in them."""
    return [
        {
            "number": finding.claim.number,
            "claim": finding.claim.text,
            "sources": [_told_source(source) for source in finding.sources],
            "weakest": finding.weakest,
            "better": told_judged(finding.better) if finding.better else None,
        }
        for finding in findings
    ]


def _told_source(source: Checked) -> dict[str, Any]:
    named = {"url": source.reference.url, "label": source.reference.label}
    return named | (told_judged(source.best) if source.best else {}) | {"verdict": source.verdict}


def told_judged(judged: Judged) -> dict[str, Any]:
    """A passage that was judged, as JSON."""
    return {
        "verdict": judged.verdict,
        "score": round(judged.score, 4),
        "doubt": MEANING.get(judged.doubt, ""),
        "passage": {name: getattr(judged.passage, name) for name in _NAMED},
    }


def cited_page(title: str, findings: Sequence[Finding], problems: Sequence[str], corpus: Corpus) -> str:
    """A page on the citations of a document: the weakest tenth first, each claim beside its sources."""
    counts = counted(findings)
    weakest = sorted((each for each in findings if each.weakest), key=lambda each: each.best.score if each.best else 0.0)
    others = [finding for finding in findings if not finding.weakest and finding.best]
    missing = [finding for finding in findings if not finding.best]
    beside = _Beside(corpus)
    left = f"{len(others) - _SHOWN:,} claims more are in the JSON alone." if len(others) > _SHOWN else ""
    sections = [
        section("All citations", grid(("verdict", "citations"), [(name, f"{count:,}") for name, count in counts.items()])),
        section("The weakest tenth", _table(weakest, beside)),
        section("The others", "".join(_folded(each, beside) for each in others[:_SHOWN]) + (small(left) if left else "")),
        section("Claims whose sources are not in the index", "".join(_folded(each, beside) for each in missing[:_SHOWN])),
        section("Citations that lead nowhere", "".join(f"<p>{escape(problem)}</p>" for problem in problems[:_SHOWN])),
    ]
    cited, absent = sum(counts.values()), counts["not in the index"]
    summary = (
        f"{len(findings):,} claims cite {cited:,} sources, of which {cited - absent:,} are in the index. "
        "A score is the judge's, 0 to 1. Nothing was fetched: what is shown is what the index holds."
    )
    return page(f"The citations of {title}", summary, sections)


class _Beside:
    """Looks up what stands before and after a passage in its document."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus

    def html(self, passage: Passage) -> str:
        """The passage, marked, between its neighbours."""
        names = {step: f"{passage.document}:{passage.number + step}" for step in (-1, 1)}
        near = {each.id: each.text for each in self._corpus.get(list(names.values()))}
        before, after = (escape(near.get(names[step], "")) for step in (-1, 1))
        return f"<blockquote>{before} <mark>{escape(passage.text)}</mark> {after}</blockquote>"


def _table(findings: Sequence[Finding], beside: _Beside) -> str:
    """Claims with what their sources say beside them."""
    rows = [(escape(f"{finding.claim.number}. {finding.claim.text}"), _sources(finding, beside)) for finding in findings]
    return grid(("claim", "source"), rows, left=2, plain=(0, 1)) if rows else ""


def _folded(finding: Finding, beside: _Beside) -> str:
    """A claim that shows its sources when it is opened."""
    said = f"{finding.claim.number}. {finding.claim.text}"
    return f"<details><summary>{escape(said)}</summary>{_sources(finding, beside)}</details>"


def _sources(finding: Finding, beside: _Beside) -> str:
    """What a claim cites, and what is better."""
    parts = []
    for source in finding.sources:
        cited = escape(f"{source.reference.url or source.reference.label}: {source.verdict}")
        parts.append(f"<p>{cited}{_judged(source.best, beside) if source.best else '</p>'}")
    if finding.better:
        parts.append(f"<p><b>better: {finding.better.verdict}</b>{_judged(finding.better, beside)}")
    elif finding.weakest:
        parts.append(small(NO_BETTER))
    return "".join(parts)


def _judged(judged: Judged, beside: _Beside) -> str:
    """The score and the place, in escaped words, since addresses are shown and are no links; then the passage."""
    passage = judged.passage
    doubt = f"; {MEANING[judged.doubt]}" if judged.doubt else ""
    where = f"{passage.title} ({passage.id}, characters {passage.start:,} to {passage.end:,})"
    return f"{escape(f', {judged.score:.2f}, in {where}{doubt}')}</p>{beside.html(passage)}"
