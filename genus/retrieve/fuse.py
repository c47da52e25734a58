"""One ranking of several, by reciprocal ranks (Cormack, Clarke and Buettcher 2009): scores of unlike kinds never mix."""

from collections.abc import Sequence

from genus.retrieve.passage import Hit, Passage

__all__ = ["fused"]

_RANK = 60  # the paper's k: how little the first places weigh more than the next


def fused(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """All that were found, by the sum of 1 / (60 + rank); equal sums by id, so that every store gives one order."""
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for hits in lists:
        for rank, hit in enumerate(hits, 1):
            passages[hit.passage.id] = hit.passage
            scores[hit.passage.id] = scores.get(hit.passage.id, 0.0) + 1 / (_RANK + rank)
    return [Hit(passages[name], scores[name]) for name in sorted(scores, key=lambda name: (-scores[name], name))]
