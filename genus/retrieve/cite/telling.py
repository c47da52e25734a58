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
    weakest = [finding for finding in findings if finding.weakest]
    others = [finding for finding in findings if not finding.weakest and finding.best]
    missing = [finding for finding in findings if not finding.best]
    beside = _Beside(corpus)
    left = f"{len(others) - _SHOWN:,} claims more are in the JSON alone." if len(others) > _SHOWN else ""
    sections = [
        section("All citations", grid(("verdict", "citations"), [(name, f"{count:,}") for name, count in counts.items()])),
        section("The weakest tenth", "".join(_claim(finding, beside, True) for finding in weakest)),
        section(
            "The others",
            "".join(_claim(finding, beside, False) for finding in others[:_SHOWN]) + (small(left) if left else ""),
        ),
        section(
            "Claims whose sources are not in the index", "".join(_claim(each, beside, False) for each in missing[:_SHOWN])
        ),
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


def _claim(finding: Finding, beside: _Beside, opened: bool) -> str:
    """A claim, its sources beneath it, and what is better."""
    parts = [_source(source, beside) for source in finding.sources]
    if finding.better:
        parts.append(f"<p><b>better: {_judged(finding.better)}</b></p>{beside.html(finding.better.passage)}")
    elif finding.weakest:
        parts.append(small(NO_BETTER))
    best = finding.best
    head = f"{finding.claim.number}. {finding.claim.text}" + (f" ({best.verdict}, {best.score:.2f})" if best else "")
    return f"<details{' open' if opened else ''}><summary>{escape(head)}</summary>{''.join(parts)}</details>"


def _source(source: Checked, beside: _Beside) -> str:
    cited = escape(source.reference.url or source.reference.label)
    if source.best is None:
        return f"<p>{cited}: not in the index</p>"
    said = f"<p>{cited}: {source.verdict}, {source.score:.2f}, in {_judged(source.best)}</p>"
    return said + beside.html(source.best.passage)


def _judged(judged: Judged) -> str:
    """Where it is, in escaped words: addresses are shown, and are no links."""
    passage = judged.passage
    doubt = f"; {MEANING[judged.doubt]}" if judged.doubt else ""
    where = f"{passage.title} ({passage.id}, characters {passage.start:,} to {passage.end:,})"
    return escape(f"{where}, {judged.verdict} by {judged.score:.2f}{doubt}")
