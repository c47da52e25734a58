"""Which dropped documents the report shows, and how their texts and those of the copies that stay begin.

A hash of the seed and the id chooses, so they are the same however the work was cut up.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genus.data.pipeline.parts import EXCERPT
from genus.data.steps.columns import luck

if TYPE_CHECKING:
    from genus.data.pipeline.overall import Facts, Gone

__all__ = ["SAMPLES", "Chosen", "evidence"]

SAMPLES = 20
"""Of each reason of each step."""


class Chosen:
    """Some rows of each group, those of the smallest hashes of (seed, id), whatever the order that they come in."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.groups: dict[Any, list[tuple[int, str, str, Any]]] = {}

    def add(self, group: Any, id: str, detail: str, row: Any) -> None:
        """A row; of those that are chosen, `row` is kept."""
        found = self.groups.setdefault(group, [])
        found.append((luck(self.seed, id), id, detail, row))
        if len(found) >= 50 * SAMPLES:
            self._cut(found)

    def rows(self) -> dict[Any, list[Any]]:
        """The chosen of each group, in the order of groups and hashes."""
        for found in self.groups.values():
            self._cut(found)
        return {group: [row for *_, row in self.groups[group]] for group in sorted(self.groups)}

    def _cut(self, found: list[tuple[int, str, str, Any]]) -> None:
        found.sort(key=lambda each: each[:3])
        del found[SAMPLES:]


def evidence(facts: "Facts", gone: "Gone", ids: Sequence[str], seed: int) -> tuple[list[str], dict[str, str]]:
    """How the texts of those begin that a step over all documents drops, "" where they are not shown; and of copies that
    stay, by id. `ids`: of `gone`, in its order."""
    chosen = Chosen(seed)
    for row, (id, reason, detail) in enumerate(zip(ids, gone.reasons, gone.details, strict=True)):
        chosen.add(reason, id, detail, row)
    rows = sorted(row for found in chosen.rows().values() for row in found)
    excerpts = [""] * len(ids)
    for row, text in zip(rows, _beginnings(facts, gone.places[rows], ["text"]), strict=True):
        excerpts[row] = text["text"]
    places = facts.find({gone.kept[row] for row in rows} - {""})
    kept = _beginnings(facts, np.setdiff1d(places, gone.places), ["id", "text"])
    return excerpts, {each["id"]: each["text"] for each in kept}


def _beginnings(facts: "Facts", places: Any, columns: list[str]) -> Iterable[dict[str, str]]:
    rows: list[dict[str, str]] = facts.take(places, columns, "text").to_pylist()
    return [{**row, "text": row["text"][:EXCERPT]} for row in rows]
