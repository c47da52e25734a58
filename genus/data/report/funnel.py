"""How many documents, bytes and words came to each step, and where they went: nothing may be missing.

Not for how that is shown: see page.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from genus.core.errors import GenusError
from genus.data.pipeline.tally import Amount, total

__all__ = ["check_drops", "check_kept", "funnel", "reasons"]

Row = dict[str, Any]


def funnel(tally: Mapping[str, Any], steps: Sequence[str]) -> list[Row]:
    """A row for each of `steps`, which are in the order in which they were done: `in`, `changed`, `kept` and `dropped`, each
    [documents, bytes, words], and the same for each source.

    Raises GenusError where a source's documents, bytes or words that came to a step, with what it changed, are not those
    that went on and those that it dropped, or not all that went on came to the next step.
    """
    rows = [_row(step, tally.get(step, {})) for step in steps]
    for row in rows:
        for source, told in row["sources"].items():
            came, went = total([told["in"], told["changed"]]), total([told["kept"], told["dropped"]])
            _equal(came, went, f"step {row['step']}, source {source}: in and changed against kept and dropped")
    for before, after in pairwise(rows):
        for source in before["sources"].keys() | after["sources"].keys():
            went, came = _of(before, source, "kept"), _of(after, source, "in")
            _equal(went, came, f"source {source}: kept by {before['step']} against in to {after['step']}")
    return rows


def _row(step: str, told: Mapping[str, Any]) -> Row:
    drops = [(key.split("\t")[0], size) for key, size in told.get("dropped", {}).items()]
    names = {name for way in ("in", "changed", "kept") for name in told.get(way, {})} | {name for name, _ in drops}
    sources = {
        name: {way: list(told.get(way, {}).get(name, Amount())) for way in ("in", "changed", "kept")}
        | {"dropped": list(total(size for source, size in drops if source == name))}
        for name in sorted(names)
    }
    ways = {way: list(total(each[way] for each in sources.values())) for way in ("in", "changed", "kept", "dropped")}
    return {"step": step, **ways, "sources": sources}


def _of(row: Row, source: str, way: str) -> Amount:
    return Amount(*row["sources"].get(source, {}).get(way, ()))


def reasons(tally: Mapping[str, Any], steps: Sequence[str]) -> list[Row]:
    """Why documents were dropped: step, reason, and [documents, bytes, words] of each source."""
    found: dict[tuple[int, str], dict[str, list[int]]] = {}
    for place, step in enumerate(steps):
        for key, size in sorted(tally.get(step, {}).get("dropped", {}).items()):
            source, reason = key.split("\t")
            found.setdefault((place, reason), {})[source] = size
    return [{"step": steps[place], "reason": reason, "sources": of} for (place, reason), of in sorted(found.items())]


def check_drops(rows: Sequence[Row], dropped: Any) -> None:
    """Raises GenusError where the reasons' counts are not those of the Arrow table of the dropped."""
    groups = dropped.group_by(["step", "reason", "collection"])
    groups = groups.aggregate([([], "count_all"), ("bytes", "sum"), ("words", "sum")])
    listed = {
        (row["step"], row["reason"], row["collection"]): (row["count_all"], row["bytes_sum"], row["words_sum"])
        for row in groups.to_pylist()
    }
    for row in rows:
        for source, size in row["sources"].items():
            found = listed.pop((row["step"], row["reason"], source), ())
            what = f"step {row['step']}, source {source}, {row['reason']}"
            _equal(Amount(*size), Amount(*found), f"{what}: counted against listed")
    if listed:
        raise GenusError(_defect(f"{next(iter(listed))} is listed as dropped and was not counted"))


def check_kept(rows: Sequence[Row], kept: Iterable[Amount], written: Mapping[str, Amount], tails: bool) -> None:
    """Raises GenusError where what the last step kept is not what is left, or not what was written to the splits. `tails`: a
    document may be in both of them, cut in two."""
    last = Amount(*rows[-1]["kept"])
    _equal(last, total(kept), "what the last step kept against what is left")
    out = total(written.values())
    documents = written["train"].documents if tails else out.documents
    _equal(last[:2], (documents, out.bytes), "what the last step kept against what was written")


def _equal(one: Sequence[int], other: Sequence[int], what: str) -> None:
    if tuple(one) != tuple(other):
        raise GenusError(_defect(f"{what}: {tuple(one)} and {tuple(other)} documents, bytes and words differ"))


def _defect(sentence: str) -> str:
    return f"{sentence}; not every document is accounted for, which is a defect of Genus: please report it"
