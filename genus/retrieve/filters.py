"""Which passages a search is to look at: a small tree of conditions, which each store writes in its own language."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from genus.core.errors import GenusError
from genus.retrieve.passage import Passage

__all__ = ["MILVUS", "SQL", "All", "AnyOf", "Dialect", "Field", "Filter", "Is", "Not", "Range", "admits", "among", "written"]

_DEPTH = 32  # of conditions in conditions: stores read them by recursion

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


@dataclass(frozen=True)
class Dialect:
    """How a store writes a text as a literal, and a list of them."""

    quoted: Callable[[str], str]
    brackets: tuple[str, str]


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _milvus(text: str) -> str:
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


SQL = Dialect(_sql, ("(", ")"))
MILVUS = Dialect(_milvus, ("[", "]"))


def among(name: str, values: Sequence[str], dialect: Dialect) -> str:
    """The condition that a column holds one of these values; every value is quoted, whatever is in it."""
    if not values:
        return f"{name} < {dialect.quoted('')}"  # never: no text sorts before the empty one
    first, last = dialect.brackets
    return f"{name} in {first}{', '.join(map(dialect.quoted, values))}{last}"


def written(where: Filter, dialect: Dialect, depth: int = _DEPTH) -> str:
    """The conditions in a store's own language. Raises GenusError where they lie too deep in one another."""
    if not depth:
        raise GenusError(f"conditions lie more than {_DEPTH} deep in one another; write them flatter")
    match where:
        case Is(field, values):
            return among(field, values, dialect)
        case Range(field, first, last):
            upto = f" and {field} <= {dialect.quoted(last)}" if last else ""
            return f"({field} >= {dialect.quoted(first)}{upto})"
        case All(parts):
            return _joined(parts, " and ", All, dialect, depth)
        case AnyOf(parts):
            return _joined(parts, " or ", AnyOf, dialect, depth)
        case Not(part):
            return f"(not {written(part, dialect, depth - 1)})"


def _joined(parts: tuple[Filter, ...], word: str, kind: type, dialect: Dialect, depth: int) -> str:
    if not parts:  # all of none hold, and not one of none
        return f"id {'>=' if kind is All else '<'} {dialect.quoted('')}"
    return "(" + word.join(written(part, dialect, depth - 1) for part in parts) + ")"
