"""What happened to documents, counted: enough for a report, small enough to keep, the same in whatever order it came."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Amount", "Tally", "amount", "merged", "total"]

_WAYS = ("in", "changed", "kept", "dropped", "measured")
_BINS = 40  # of a number from 0 to 1
_STEPS = 4  # bins between a number and its double, for others


class Amount(NamedTuple):
    """Documents, and the UTF-8 bytes and words of their texts; a word is what stands between white space."""

    documents: int = 0
    bytes: int = 0
    words: int = 0

    def __sub__(self, other: "Amount") -> "Amount":
        """How much more it is than the other, number by number."""
        return Amount(*map(int.__sub__, self, other))


def amount(text: str) -> Amount:
    """Of one document."""
    return Amount(1, len(text.encode()), len(text.split()))


def total(amounts: Iterable[Sequence[int]]) -> Amount:
    """Of all together."""
    return Amount(*map(sum, zip(Amount(), *amounts, strict=True)))


class Tally:
    """Counts by step. `told` is a JSON object; `merged` adds such objects up."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}

    def entered(self, step: str, source: str, size: Amount) -> None:
        """A document came to a step."""
        self._add(step, "in", source, size)

    def changed(self, step: str, source: str, size: Amount) -> None:
        """What the step made of a document that goes on is so much more, or less, than what came."""
        if any(size):
            self._add(step, "changed", source, size)

    def kept(self, step: str, source: str, size: Amount) -> None:
        """A document goes on; `size` is of its text as it is now."""
        self._add(step, "kept", source, size)

    def dropped(self, step: str, source: str, reason: str, size: Amount) -> None:
        """A document goes no further."""
        self._add(step, "dropped", f"{source}\t{reason}", size)

    def measured(self, step: str, numbers: Mapping[str, float], kept: bool) -> None:
        """Numbers that a step told of a document, and whether that goes on: bins count all, and those that do."""
        found = self._of(step)["measured"]
        for name, value in numbers.items():
            bins = found.setdefault(name, {"sum": 0.0, "bins": {}})
            bins["sum"] += value
            counts = bins["bins"].setdefault(_bin(value), [0, 0])
            counts[0] += 1
            counts[1] += kept

    def spent(self, step: str, seconds: float) -> None:
        """Time that a step took."""
        self._of(step)["seconds"] += seconds

    def told(self) -> dict[str, Any]:
        """All of it, as JSON can say it."""
        return self.steps

    def _of(self, step: str) -> dict[str, Any]:
        if step not in self.steps:
            self.steps[step] = {way: {} for way in _WAYS} | {"seconds": 0.0}
        return self.steps[step]

    def _add(self, step: str, way: str, key: str, size: Amount) -> None:
        counts = self._of(step)[way].setdefault(key, [0, 0, 0])
        for place, number in enumerate(size):
            counts[place] += number


def merged(told: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One object of many: numbers add up, lists number by number."""
    total: dict[str, Any] = {}
    for each in told:
        _merge(total, each)
    return total


def _merge(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping):
            _merge(total.setdefault(key, {}), value)
        elif isinstance(value, list):
            total[key] = [a + b for a, b in zip(total.get(key, [0] * len(value)), value, strict=True)]
        else:
            total[key] = total.get(key, 0) + value


def _bin(value: float) -> str:
    """The left edge of the bin of a number: fortieths up to 1, then quarters of a doubling."""
    if value <= 1:
        return f"{math.floor(value * _BINS) / _BINS:.3f}"
    return f"{2 ** (math.floor(math.log2(value) * _STEPS) / _STEPS):.4g}"
