"""`genus plan --passages`: what an index of so many would take, in words."""

import json
from typing import TYPE_CHECKING

from genus.cli.tables import aligned
from genus.core.errors import GenusError
from genus.core.progress import say

if TYPE_CHECKING:
    from genus.plan.recipe import Plan
    from genus.retrieve.plan import Needs, Sample

__all__ = ["plan_passages"]

_COLUMNS = 110


def plan_passages(count: float, place: str, config: "Plan", as_json: bool) -> None:
    """Measure a sample and print what `count` passages like it take. Raises GenusError for what nobody said."""
    from genus.retrieve.plan import needs, sampled

    if not place:
        raise GenusError("nobody says what the passages are like; add --sample, a folder of documents or an index")
    if not 1 <= count <= 1e15:
        raise GenusError(f"--passages {count} is not from 1 to 1e15; correct it")
    say(f"measuring {place}: a minute or so")
    sample = sampled(place)
    found = needs(sample, count, config.count or 1, config.price)
    if as_json:
        print(json.dumps({"sample": sample._asdict(), **found._asdict()}))
        return
    print(_text(place, sample, found, config.count or 1))


def _text(place: str, sample: "Sample", found: "Needs", machines: int) -> str:
    from genus.models.diagram import labelled

    facts = {
        "sample": f"{place}: {sample.passages:,} passages of {sample.documents:,} documents, measured here and now",
        "passages": f"{found.passages:,.0f}, of {found.documents:,.0f} documents, {_size(found.text)} of text",
        "disk": f"{_size(found.disk)}, and {_size(found.making)} while it is compacted",
        "memory": f"{_size(found.memory)} to search with all that a query looks at in memory; indexing holds "
        f"{_size(found.indexing)} on the documents",
        "encoding": f"{found.hours:,.3g} hours of {machines:,} machine{'s' * (machines > 1)} as this one, "
        f"{sample.rate:,.0f} passages/s each",
        "query": f"at most {_time(found.words)} by words and about {_time(found.meaning)} by meaning, on one machine "
        "as this one",
    }
    if found.cost is not None and found.cost_query is not None:
        facts["cost"] = f"{found.cost:,.2f} to encode all, {found.cost_query:.2g} a query by both"
    else:
        facts["cost"] = "say what a machine's hour costs, with --price"
    rows = [
        ("of a passage, measured", ""),
        ("bytes of text", f"{sample.text:,.0f}"),
        ("bytes on disk", f"{sample.disk:,.0f}"),
        ("of them the index of words", f"{sample.words_disk:,.0f}"),
        ("nanoseconds more for a query by words", f"{1e9 * sample.growth:,.1f}"),
        ("nanoseconds to compare its vector, in memory", f"{1e9 * sample.compare:,.0f}"),
        ("and in an index of many", f"{1e9 * sample.near_growth:,.0f}"),
    ]
    return "\n".join([*labelled(facts, _COLUMNS), "", *aligned(rows), *(["", *found.warnings] if found.warnings else [])])


def _size(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.3g} {unit}"
    return f"{count / 1e3:,.3g} kB"


def _time(seconds: float) -> str:
    return f"{seconds:,.3g} s" if seconds >= 1 else f"{1000 * seconds:,.3g} ms"
