"""The order of what a search found: by score, and where two are equal by id, so that every store gives the same one."""

from collections.abc import Callable, Sequence

from genus.retrieve.passage import Hit, Passage

__all__ = ["DIGITS", "Scored", "hits", "untied"]

DIGITS = 5  # of scores that are compared: what lies below is the rounding of sums in another order
_TIED = 64  # times the count that is asked for: a longer tie is cut where the store cuts it

Scored = tuple[Passage, float]


def hits(found: Sequence[Scored], count: int) -> list[Hit]:
    """The `count` best of passages with scores."""
    ordered = sorted(found, key=lambda pair: (-round(pair[1], DIGITS), pair[0].id))
    return [Hit(passage, float(score)) for passage, score in ordered[:count]]


def untied(fetch: Callable[[int], Sequence[Scored]], count: int) -> Sequence[Scored]:
    """At least the `count` best of a store that orders equal ones as it likes: fetched on until the last tie is whole."""
    limit = count + 1
    while True:
        found = fetch(limit)
        scores = sorted((round(score, DIGITS) for _, score in found), reverse=True)
        if len(found) < limit or limit > _TIED * count or scores[-1] < scores[count - 1]:
            return found
        limit *= 4
