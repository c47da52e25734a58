"""Which passages a search is to look at: a small tree of conditions, which each store writes in its own language."""

from dataclasses import dataclass
from typing import Literal

from genus.retrieve.passage import Passage

__all__ = ["All", "AnyOf", "Field", "Filter", "Is", "Not", "Range", "admits"]

Field = Literal["document", "title", "url", "source", "language", "date"]


@dataclass(frozen=True)
class Is:
    """The field is one of these values."""

    field: Field
    values: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """The field, compared as text, is at least `first` and at most `last`; "" is no bound. ISO 8601 dates sort as text."""

    field: Field
    first: str = ""
    last: str = ""


@dataclass(frozen=True)
class All:
    """Every one of these holds."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class AnyOf:
    """One of these holds at least."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class Not:
    """This does not hold."""

    part: "Filter"


Filter = Is | Range | All | AnyOf | Not


def admits(where: Filter, passage: Passage) -> bool:
    """Whether a passage meets the conditions: what every store's own language must agree with."""
    match where:
        case Is(field, values):
            return getattr(passage, field) in values
        case Range(field, first, last):
            value = getattr(passage, field)
            return first <= value and (not last or value <= last)
        case All(parts):
            return all(admits(part, passage) for part in parts)
        case AnyOf(parts):
            return any(admits(part, passage) for part in parts)
        case Not(part):
            return not admits(part, passage)
