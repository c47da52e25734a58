"""What making a corpus of a crawl would take, from the report of a sample: hours, machines, disk, memory and cost.

Rates are those that were measured; how each pass grows with the documents is written here, and said with the figures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.data.pipeline.overall import HELD, HELD_PARAGRAPHS

__all__ = ["Crawl", "Needed", "Outlook", "outlook"]

_FEWEST, _SHORTEST = 1_000, 10.0  # documents and seconds of a sample
_CHOSEN = 140  # bytes of memory for each document that stays while some are held out, all of one day: by tracemalloc
# These go through the numbers of all documents once for each so many of them; of paragraphs there is about one a document.
_SWEEPS = {"ids": HELD, "exact": HELD, "fuzzy": HELD, "shared paragraphs": HELD_PARAGRAPHS}
_BRIEF = 1.0  # seconds: a shorter pass of a sample is mostly its start


@dataclass(frozen=True, kw_only=True)
class Crawl:
    """What there is to be read, and what reads it."""

    bytes: float
    """Of the sources as they are stored, compressed as the sample's are: GPT-3's crawl was 45e12."""
    machines: int = 1
    """Machines at once."""
    cores: int = 64
    """Of each machine, as fast as the one that read the sample."""
    memory: float = 256e9
    """Bytes of memory of a machine."""
    price: float = 3.0
    """Of a machine for an hour, in any currency. The default is an assumption; put in what you pay."""
    corpora: int = 1
    """Corpora that the crawl is cut into, such as one for each dump, copies being looked for within each alone."""

    def __post_init__(self) -> None:
        for name in ("bytes", "machines", "cores", "memory", "price", "corpora"):
            if not 0 < getattr(self, name) < math.inf:
                raise GenusError(f"{name} {getattr(self, name)} is not a number above 0; correct it")


class Needed(NamedTuple):
    """Of a pass: hours of one core, hours that pass, and how it grows."""

    name: str
    core_hours: float
    hours: float
    grows: str


class Outlook(NamedTuple):
    """All of it. Bytes on disk and in memory, hours that pass, and the cost of all machines for those."""

    times: float
    documents: float
    kept_documents: float
    kept_bytes: float
    passes: list[Needed]
    hours: float
    cost: float
    disk: float
    memory: float
    warnings: list[str]


def outlook(report: Mapping[str, Any], crawl: Crawl) -> Outlook:
    """Raises GenusError where the sample is too small to say anything, or larger than the crawl."""
    made, first, last = report["made"], report["funnel"][0]["in"], report["funnel"][-1]["kept"]
    stored, seconds = sum(each["bytes"] for each in report["inputs"].values()), sum(map(_seconds, made["passes"]))
    if first[0] < _FEWEST or seconds < _SHORTEST or not stored:
        raise GenusError(
            f"the sample has {first[0]:,} documents and took {seconds:.1f} s, too little to know rates by; make a corpus of "
            f"one with {_FEWEST:,} and {_SHORTEST:.0f} s at least"
        )
    if crawl.bytes < stored:
        raise GenusError(f"bytes {crawl.bytes:,.0f} are fewer than the sample's {stored:,}; give those of the whole crawl")
    times = crawl.bytes / stored
    documents = first[0] * times
    passes = [_needed(each, times, documents, crawl) for each in made["passes"]]
    memory = (_CHOSEN * last[0] + 2 * made["dropped_bytes"]) * times / crawl.corpora
    disk = (made["work_bytes"] + made["out_bytes"]) * times
    hours = sum(each.hours for each in passes)
    found = Outlook(
        times,
        documents,
        last[0] * times,
        last[1] * times,
        passes,
        hours,
        hours * crawl.machines * crawl.price,
        disk,
        memory,
        [],
    )
    return found._replace(warnings=_warnings(found, report, crawl))


def _seconds(told: Mapping[str, Any]) -> float:
    """Of one core: a task that waits for its disk holds one, and one of several threads holds those."""
    return float(max(told["seconds"], told["cpu"]))


def _needed(told: Mapping[str, Any], times: float, documents: float, crawl: Crawl) -> Needed:
    core_hours = _seconds(told) * times / 3600
    if told["tasks"]:
        return Needed(told["name"], core_hours, core_hours / (crawl.machines * crawl.cores), "with the bytes; all cores")
    grows = "with the documents; one process for a corpus"
    if told["name"] in _SWEEPS:
        sweeps = documents / crawl.corpora / _SWEEPS[told["name"]] + 1
        core_hours *= sweeps
        grows = f"with the documents, {sweeps:,.1f} times; one process for a corpus"
    # The corpora are made one after another, or a machine each.
    rounds = math.ceil(crawl.corpora / crawl.machines) / crawl.corpora
    return Needed(told["name"], core_hours, core_hours * rounds, grows)


def _warnings(found: Outlook, report: Mapping[str, Any], crawl: Crawl) -> list[str]:
    said = []
    alone = sum(each.hours for each in found.passes if "one process" in each.grows)
    if found.memory > crawl.memory:
        need = math.ceil(crawl.corpora * found.memory / crawl.memory)
        said.append(
            f"One process needs {found.memory / 1e9:,.0f} GB for a corpus and a machine has {crawl.memory / 1e9:,.0f}: cut "
            f"the crawl into {need:,} corpora or more."
        )
    if alone > found.hours / 2 and found.hours > 1:
        said.append(
            "Most of the time one process works while other cores wait: cut the crawl into more corpora, and find copies "
            "within each alone, as FineWeb did by dump (arXiv 2406.17557)."
        )
    brief = [each["name"] for each in report["made"]["passes"] if _seconds(each) < _BRIEF]
    if brief:
        said.append(f"Under {_BRIEF:.0f} s in the sample, so badly known, and likely less than said: {', '.join(brief)}.")
    if found.times > 1e6:
        said.append(f"The sample is one part in {found.times:,.0f}: what is rare in it, such as copies, is known badly.")
    if "fuzzy" in report["clusters"]:
        said.append(
            "A larger crawl has more copies for each document, so near copies take more, and less is left, than this says."
        )
    return said
