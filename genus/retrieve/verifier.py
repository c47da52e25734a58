"""Whether a passage bears a claim out: what every judge of it gives. Not for how one judges, or is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Thresholds", "Verdict", "Verifier"]

Verdict = Literal["supported", "partial", "not supported"]


@dataclass(frozen=True)
class Thresholds:
    """Scores from which a claim counts as supported, and as partly so; chosen on labelled claims, kept with the judge.

    One source is called better than another where its score is higher by `margin`.
    """

    supported: float
    partial: float
    margin: float = 0.1

    def verdict(self, score: float) -> Verdict:
        """What a score says."""
        if score >= self.supported:
            return "supported"
        return "partial" if score >= self.partial else "not supported"


class Verifier(Protocol):
    """Scores passages as support of a claim: 0 to 1, calibrated where it was; a document's score is its best passage's."""

    name: str
    thresholds: Thresholds

    def scores(self, claim: str, passages: Sequence[str]) -> list[float]:
        """Of each passage, in order; a passage's score does not depend on the others."""
