"""Mixtures: which share of what a model reads comes from which source, as weights or as epochs, and what became of it.

The source of every row is a pure function of its number, so that the position of a run stays one number. Not for rows
(loader.py), nor for choosing documents: what a corpus holds of a source is all of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from genus.core.errors import GenusError

__all__ = ["PUBLISHED", "Mix", "Part", "Published", "Shares", "in_words", "share_out", "wanted"]

Kind = Literal["weights", "epochs"]


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Which share of the rows each source gets: a published table, weights, or epochs. Sources are those of the shards."""

    table: Literal["own", "gpt3", "llama", "pile"] = "own"
    """A published mixture, whose names the sources must have; weights or epochs below change single values of it."""
    weights: dict[str, float] = field(default_factory=dict)
    """The share of each source, in any unit, such as weights.web = 2; 0 leaves a source out."""
    epochs: dict[str, float] = field(default_factory=dict)
    """In place of weights: how often each source is read in one epoch of the mixture; 0 leaves it out."""


class Part(NamedTuple):
    """A source as a paper prints it. Where `weight` (per cent) and `epochs` do not follow from each other, both stand."""

    size: float
    weight: float
    epochs: float


@dataclass(frozen=True)
class Published:
    """A mixture of the lineage. `kind` is what defines it; the other column of its parts is what the paper says of it."""

    title: str
    kind: Kind
    unit: str
    parts: dict[str, Part]

    @property
    def values(self) -> dict[str, float]:
        """What `kind` says of each source."""
        return {name: part.weight if self.kind == "weights" else part.epochs for name, part in self.parts.items()}


class Shares:
    """Who gets each of the rows 0, 1, 2, ...: every beginning of them holds each source at its share, as nearly as can be.

    Of the first n rows the heaviest source has its share, rounded; of the others, the next heaviest has its share among
    them, rounded; and so on (the idea of the `mix` of grain, in order of weight and rounded to nearest). So each count
    grows by 0 or 1 a row, and the j-th heaviest source is never further from its target than (1 + 1 + 1/2 + ... +
    1/(j-1)) / 2 rows: below 2.4 for each of The Pile's 22, whatever n is. Of several ranks one may see other shares than
    the next; all together see these.
    """

    def __init__(self, weights: Mapping[str, Fraction], available: Mapping[str, int], epoch: int) -> None:
        """`weights` in any unit, `available` rows in an epoch of each source, `epoch` those in one of the mixture."""
        self.names = sorted((name for name in weights if weights[name]), key=lambda name: (-weights[name], name))
        self.left_out = sorted(name for name in weights if not weights[name])
        self.available = [available[name] for name in self.names]
        self.epoch = epoch
        whole = math.lcm(*(weights[name].denominator for name in self.names))
        parts = [int(weights[name] * whole) for name in self.names]
        self._parts = [part // math.gcd(*parts) for part in parts]
        self._rests = [sum(self._parts[i:]) for i in range(len(parts))]  # of the sources from the i-th on

    def place(self, number: int) -> tuple[int, int]:
        """The source (a place in `names`) of a row, and how many rows before it are of that source too."""
        before, after = number, number + 1
        for source, (part, rest) in enumerate(zip(self._parts, self._rests, strict=True)):
            count, then = _rounded(before, part, rest), _rounded(after, part, rest)
            if then > count:
                return source, count
            before, after = before - count, after - then
        raise AssertionError("the last source takes every row that is left")

    def counts(self, number: int) -> list[int]:
        """How many of the first `number` rows each source has, in the order of `names`."""
        found = []
        for part, rest in zip(self._parts, self._rests, strict=True):
            found.append(_rounded(number, part, rest))
            number -= found[-1]
        return found

    def report(self, stop: int, start: int = 0, context: int = 1) -> dict[str, Any]:
        """Target against achieved, as JSON values, over rows `start` to `stop` of `context` tokens each."""
        sources = {}
        for source, name in enumerate(self.names):
            rows = self.counts(stop)[source] - self.counts(start)[source]
            sources[name] = {
                "target": self._parts[source] / self._rests[0],
                "achieved": rows / max(1, stop - start),
                "rows": rows,
                "tokens": rows * context,
                "epochs": rows / self.available[source],
            }
        worst = max(abs(each["achieved"] - each["target"]) for each in sources.values())
        return {"rows": stop - start, "sources": sources, "left_out": self.left_out, "largest_difference": worst}


def share_out(mix: Mix, available: Mapping[str, int]) -> Shares:
    """The shares of sources that have so many rows (or tokens, for a plan) each.

    Raises GenusError naming the source when one has no value or an unfit one, or a value is for a source that is missing.
    """
    kind, values = wanted(mix, available)
    if kind == "weights":
        weights = {name: Fraction(str(value)) for name, value in values.items()}
        return Shares(weights, available, sum(available[name] for name in values if values[name]))
    weights = {name: Fraction(str(value)) * available[name] for name, value in values.items()}
    return Shares(weights, available, max(1, round(sum(weights.values()))))


def wanted(mix: Mix, names: Iterable[str]) -> tuple[Kind, dict[str, float]]:
    """What a mixture says of each source. Raises GenusError as `share_out`."""
    names = list(names)
    table = PUBLISHED.get(mix.table)
    if mix.weights and mix.epochs:
        raise GenusError("mixture has weights and epochs; give one of them")
    kind: Kind = "epochs" if mix.epochs else "weights" if mix.weights else table.kind if table else "weights"
    if table and kind != table.kind:
        raise GenusError(f"mixture has {kind}, but the table {mix.table} is of {table.kind}; give {table.kind}")
    values = (table.values if table else {}) | (mix.epochs if kind == "epochs" else mix.weights)
    known = ", ".join(names)
    for name, value in values.items():
        if not 0 <= value < math.inf:
            raise GenusError(f"mixture.{kind}.{name} is {value}, not a number of at least 0; 0 leaves a source out")
        if value and name not in names:
            raise GenusError(f"mixture.{kind}.{name}: there is no source {name}; the sources are {known}")
    for name in names:
        if name not in values:
            raise GenusError(f"mixture.{kind} says nothing of the source {name}; give it a number, 0 to leave it out")
    if not any(values[name] for name in names):
        raise GenusError(f"mixture.{kind} is 0 for every source ({known}); give one of them more")
    return kind, {name: values[name] for name in names}


def in_words(report: Mapping[str, Any]) -> str:
    """What `Shares.report` gives, as one line for people."""
    each = [
        f"{name} {found['achieved']:.2%} (target {found['target']:.2%}), {found['epochs']:.2f} epochs"
        for name, found in report["sources"].items()
    ]
    left_out = [f"left out: {', '.join(report['left_out'])}"] if report["left_out"] else []
    return f"{report['rows']:,} rows: {'; '.join(each + left_out)}"


def _rounded(count: int, part: int, rest: int) -> int:
    return (2 * count * part + rest) // (2 * rest)


PUBLISHED = {
    "gpt3": Published(
        # Its weights come to 101 by rounding, and the epochs of WebText2 and Wikipedia do not follow from the table.
        "GPT-3, 300 billion tokens (arXiv 2005.14165, table 2.2)",
        "weights",
        "billion tokens",
        {
            "common_crawl": Part(410, 60, 0.44),
            "webtext2": Part(19, 22, 2.9),
            "books1": Part(12, 8, 1.9),
            "books2": Part(55, 8, 0.43),
            "wikipedia": Part(3, 3, 3.4),
        },
    ),
    "llama": Published(
        # Sizes are on disk, so the epochs, which are of tokens, do not follow from them.
        "LLaMA, 1.4 trillion tokens (arXiv 2302.13971, table 1)",
        "weights",
        "GB on disk",
        {
            "common_crawl": Part(3300, 67.0, 1.10),
            "c4": Part(783, 15.0, 1.06),
            "github": Part(328, 4.5, 0.64),
            "wikipedia": Part(83, 4.5, 2.45),
            "books": Part(85, 4.5, 2.23),
            "arxiv": Part(92, 2.5, 1.06),
            "stackexchange": Part(78, 2.0, 1.03),
        },
    ),
    "pile": Published(
        "The Pile (arXiv 2101.00027, table 1)",
        "epochs",
        "GiB of text",
        {
            "pile_cc": Part(227.12, 18.11, 1.0),
            "pubmed_central": Part(90.27, 14.40, 2.0),
            "books3": Part(100.96, 12.07, 1.5),
            "openwebtext2": Part(62.77, 10.01, 2.0),
            "arxiv": Part(56.21, 8.96, 2.0),
            "github": Part(95.16, 7.59, 1.0),
            "freelaw": Part(51.15, 6.12, 1.5),
            "stackexchange": Part(32.20, 5.13, 2.0),
            "uspto": Part(22.90, 3.65, 2.0),
            "pubmed_abstracts": Part(19.26, 3.07, 2.0),
            "gutenberg": Part(10.88, 2.17, 2.5),
            "opensubtitles": Part(12.98, 1.55, 1.5),
            "wikipedia": Part(6.38, 1.53, 3.0),
            "dm_mathematics": Part(7.75, 1.24, 2.0),
            "ubuntu_irc": Part(5.52, 0.88, 2.0),
            "bookcorpus2": Part(6.30, 0.75, 1.5),
            "europarl": Part(4.59, 0.73, 2.0),
            "hackernews": Part(3.90, 0.62, 2.0),
            "youtubesubtitles": Part(3.73, 0.60, 2.0),
            "philpapers": Part(2.38, 0.38, 2.0),
            "nih_exporter": Part(1.89, 0.30, 2.0),
            "enron": Part(0.88, 0.14, 2.0),
        },
    ),
}
