"""The judge that needs no model: how much of what is rare in a claim a passage says too. The floor for every other."""

from collections.abc import Sequence

from genus.retrieve.verifier import Thresholds
from genus.retrieve.verify.words import WordCounts, common_words
from genus.retrieve.words import words

__all__ = ["Coverage", "keep_best"]


class Coverage:
    """The share of the IDF of a claim's different words that stands in the passage, 0 to 1; 0 for a claim without words.

    It sees words and no sense: a passage that denies a claim in its own words covers it. Where the passage says the same in
    other words, it is blind. The thresholds are those of the best mean F1 over three labels on WiCE's dev claims.
    """

    name = "coverage"
    thresholds = Thresholds(supported=0.6, partial=0.3)

    def __init__(self, counts: WordCounts | None = None) -> None:
        """`counts` of the corpus that claims are checked against; None takes common English."""
        self.counts = counts or common_words()

    def scores(self, claim: str, passages: Sequence[str]) -> list[float]:
        """Of each passage, in order."""
        weights = {word: self.counts.idf(word) for word in words(claim)}
        total = sum(weights.values()) or 1.0
        said = [set(words(passage)) for passage in passages]
        return [sum(weight for word, weight in weights.items() if word in there) / total for there in said]


def keep_best(claim: str, passages: Sequence[str], count: int, counts: WordCounts) -> tuple[str, ...]:
    """The passages of a document that cover most of the claim, best first; equal ones in their order."""
    scores = Coverage(counts).scores(claim, passages)
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return tuple(passages[place] for place in order[:count])
