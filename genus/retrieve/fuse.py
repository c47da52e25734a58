"""One ranking of several, made outside of the stores so that all give the same one.

`blended` adds scores, and is what search by words and by meaning uses; `fused` adds reciprocal ranks, for scores of which
nothing is known. On Climate-FEVER's claims (bench/retrieval.py) the cited article is first for 0.56 by the former with equal
weights, 0.54 by the latter, 0.52 by meaning alone: ranks throw away by how much BM25 prefers what it prefers.
"""

from collections.abc import Sequence

from genus.retrieve.passage import Hit, Passage
from genus.retrieve.ranking import hits

__all__ = ["blended", "fused"]

_RANK = 60  # the paper's k: how little the first places weigh more than the next
_ALIKE = 1e-5  # scores that lie within it do not differ


def blended(lists: Sequence[Sequence[Hit]], pool: int, count: int) -> list[Hit]:
    """The `count` best by the sum of their scores in each list, scaled so that its best has 1 and its last 0 (min-max).

    So a store may scale its scores as it likes. A list with less than `pool` passages holds all there are: there 0 is 0.
    """
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for found in filter(None, lists):
        best, last = found[0].score, found[-1].score
        low = last if len(found) >= pool else min(last, 0.0)
        for passage, score in found:
            passages[passage.id] = passage
            scaled = (score - low) / (best - low) if best - low > _ALIKE else 1.0
            scores[passage.id] = scores.get(passage.id, 0.0) + scaled
    return hits([(passages[name], score) for name, score in scores.items()], count)


def fused(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """All that were found, by the sum of 1 / (60 + rank), the reciprocal ranks of Cormack, Clarke and Buettcher (2009).

    Equal sums are ordered by id, so that every store gives one order.
    """
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for found in lists:
        for rank, hit in enumerate(found, 1):
            passages[hit.passage.id] = hit.passage
            scores[hit.passage.id] = scores.get(hit.passage.id, 0.0) + 1 / (_RANK + rank)
    return [Hit(passages[name], scores[name]) for name in sorted(scores, key=lambda name: (-scores[name], name))]
