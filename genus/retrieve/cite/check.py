"""Whether what a document cites bears it out: each citation judged, and better sources for the weakest tenth."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genus.core.errors import GenusError
from genus.retrieve.cite.claims import Claim, Reference, Written, claims_of
from genus.retrieve.cite.doubts import Doubt, Doubts
from genus.retrieve.cite.resolve import Resolved, resolve
from genus.retrieve.encoder import Encoder
from genus.retrieve.filters import Is, Not
from genus.retrieve.passage import Passage
from genus.retrieve.search import Search
from genus.retrieve.verifier import Verdict, Verifier
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.verify.words import WordCounts

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Checked", "Finding", "Judge", "Judged", "check"]

_READ = 8  # passages of a cited source that are judged: its nearest to the claim
_TRIED = 30  # passages of the whole index that are judged where a better source is looked for
_BATCH = 64  # claims that are encoded at once
_WEAKEST = 10  # one in so many is listed

Update = Callable[[float, str], None]


@dataclass(frozen=True)
class Judged:
    """A passage, and what is to be thought of it as a claim's support."""

    passage: Passage
    score: float
    verdict: Verdict
    doubt: Doubt = ""


@dataclass(frozen=True)
class Checked:
    """A cited source and its best passage; "circular" where that is a copy of the checked document, or that itself."""

    reference: Reference
    verdict: Verdict | Literal["circular", "not in the index"]
    best: Judged | None = None

    @property
    def score(self) -> float:
        """The judge's, 0 to 1; a circular source bears nothing out."""
        return 0.0 if self.best is None or self.verdict == "circular" else self.best.score


@dataclass
class Finding:
    """A claim and its sources; of one of the weakest tenth, also a better source where there is one."""

    claim: Claim
    sources: tuple[Checked, ...]
    weakest: bool = False
    better: Judged | None = None

    @property
    def best(self) -> Checked | None:
        """The strongest of its sources that are in the index."""
        return max((source for source in self.sources if source.best), key=lambda source: source.score, default=None)


class Judge:
    """A judge of support, and the doubts that no judge of single passages can have."""

    def __init__(self, verifier: Verifier, counts: WordCounts, document: str = "") -> None:
        """`document` is the text that is checked, of which sources may be copies."""
        self.verifier = verifier
        self._doubts = Doubts(counts, document)
        self._coverage = Coverage(counts)

    def judged(self, claim: str, passages: Sequence[Passage]) -> list[Judged]:
        """The passages, best first; those with the same score in the order they came in."""
        scores = self.verifier.scores(claim, [passage.text for passage in passages])
        verdict = self.verifier.thresholds.verdict
        found = [
            Judged(passage, score, verdict(score), self._doubts.of(claim, passage.text))
            for passage, score in zip(passages, scores, strict=True)
        ]
        return sorted(found, key=lambda each: -each.score)

    def best(self, claim: str, passages: Sequence[Passage]) -> Judged:
        """The best passage of a source, which has one at least; of a long one, of those with most of the claim's words."""
        if len(passages) > _TRIED:
            shares = self._coverage.scores(claim, [passage.text for passage in passages])
            order = sorted(range(len(passages)), key=lambda place: -shares[place])
            passages = [passages[place] for place in order[:_TRIED]]
        return self.judged(claim, passages)[0]

    def better(self, claim: str, passages: Sequence[Passage], than: float) -> Judged | None:
        """The best passage that bears a claim out by more than a score and the judge's margin; none that is in doubt.

        Of a document that holds a copy of the checked one, no passage is taken.
        """
        found = self.judged(claim, passages)
        copies = {each.passage.document for each in found if each.doubt == "copied"}
        sound = (each for each in found if not each.doubt and each.passage.document not in copies)
        best = next(sound, None)
        enough = best and best.verdict != "not supported" and best.score >= than + self.verifier.thresholds.margin
        return best if enough else None


def check(written: Written, search: Search, judge: Judge, update: Update = lambda _done, _note: None) -> list[Finding]:
    """Judge every citation of a document against an index, in order.

    `update` is told how many claims are done, of `len(claims_of(written))`. Raises GenusError where nothing is cited.
    """
    claims = claims_of(written)
    if not claims:
        raise GenusError("no citations were found: no sentence has a link to another site, or a note that names a source")
    ahead = _Ahead(search.encoder)
    checking = _Checking(Search(search.corpus, ahead), judge, written.title)
    resolved = resolve(search.corpus, (reference for claim in claims for reference in claim.references))
    findings: list[Finding] = []
    for batch in _batches(claims):
        ahead.prepare([checking.query(claim) for claim in batch])
        for claim in batch:
            findings.append(Finding(claim, tuple(checking.cited(claim, each, resolved) for each in claim.references)))
            update(len(findings), "")
    for batch in _batches(_weakest(findings)):
        ahead.prepare([checking.query(finding.claim) for finding in batch])
        for finding in batch:
            finding.weakest, finding.better = True, checking.better(finding, resolved)
    return findings


def _weakest(findings: Sequence[Finding]) -> list[Finding]:
    """A tenth of those with a source in the index, the weakest first."""
    scored = [(finding.best.score, finding.claim.number, finding) for finding in findings if finding.best]
    return [finding for _, _, finding in sorted(scored, key=lambda each: each[:2])[: math.ceil(len(scored) / _WEAKEST)]]


def _batches(items: Sequence) -> Iterator[Sequence]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


class _Checking:
    """Looks up what a document of one title cites."""

    def __init__(self, search: Search, judge: Judge, title: str) -> None:
        self._search, self._judge, self._title = search, judge, title

    def query(self, claim: Claim) -> str:
        """What is searched for: "He was born in 1843" is found by the title of the page that says so."""
        return f"{self._title}. {claim.text}" if self._title else claim.text

    def cited(self, claim: Claim, reference: Reference, resolved: Resolved) -> Checked:
        documents = resolved.documents(reference)
        hits = self._search.find(self.query(claim), _READ, where=Is("document", documents)) if documents else []
        if not hits:
            return Checked(reference, "not in the index")
        best, *_ = self._judge.judged(claim.text, [hit.passage for hit in hits])
        return Checked(reference, "circular" if best.doubt == "copied" else best.verdict, best)

    def better(self, finding: Finding, resolved: Resolved) -> Judged | None:
        cited = {document for source in finding.sources for document in resolved.documents(source.reference)}
        hits = self._search.find(self.query(finding.claim), _TRIED, where=Not(Is("document", tuple(sorted(cited)))))
        than = finding.best.score if finding.best else 0.0
        return self._judge.better(finding.claim.text, [hit.passage for hit in hits], than)


class _Ahead:
    """An encoder that has encoded the next queries together, which takes less time than one by one."""

    def __init__(self, encoder: Encoder) -> None:
        self.name, self.sha256, self.width = encoder.name, encoder.sha256, encoder.width
        self._encoder = encoder
        self._made: dict[str, np.ndarray] = {}

    def prepare(self, texts: Sequence[str]) -> None:
        """Encode these, and forget those before."""
        self._made = dict(zip(texts, self._encoder.encode(texts), strict=True))

    def encode(self, texts: Sequence[str]) -> "np.ndarray":
        import numpy as np

        return np.stack([self._made[text] for text in texts])
