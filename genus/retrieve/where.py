"""Conditions as a person writes them: language=en and date>=1900 and not (source=a or source=b). Not for what they mean."""

import re
from typing import get_args

from genus.core.errors import GenusError
from genus.retrieve.filters import All, AnyOf, Field, Filter, Is, Not, Range

__all__ = ["read_where"]

_FIELDS = get_args(Field)
_TOKEN = re.compile(r"""\s*(?:(?P<text>"[^"]*"|'[^']*')|(?P<mark>!=|>=|<=|[=,()<>])|(?P<word>[^\s=,()<>!"']+))""")
_DEPTH = 8  # of parentheses and "not"
_HOW = "write FIELD=VALUE, FIELD!=VALUE, FIELD>=VALUE or FIELD<=VALUE, with and, or, not and ( )"


def read_where(text: str) -> Filter:
    """The conditions of `text`. A,B after = is either of them; a value with other signs stands in quotes, "" or ''.

    Raises GenusError that shows the place of what cannot be read.
    """
    tokens, at = list[tuple[str, str, int]](), 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise _wrong(text, len(text[:at]) + len(text[at:]) - len(text[at:].lstrip()), "cannot be read")
        tokens.append((str(match.lastgroup), match[match.lastgroup or 0], match.start(match.lastgroup or 0)))
        at = match.end()
    reader = _Reader(text, tokens)
    found = reader.either(0)
    if reader.left:
        raise reader.wrong("comes after the end of a condition")
    return found


class _Reader:
    """Goes through tokens once: a condition, those bound by `and`, those bound by `or`."""

    def __init__(self, text: str, tokens: list[tuple[str, str, int]]) -> None:
        self.text, self.left = text, tokens[::-1]

    def wrong(self, what: str) -> GenusError:
        """An error about the next token."""
        return _wrong(self.text, self.left[-1][2] if self.left else len(self.text), what)

    def either(self, depth: int) -> Filter:
        """Conditions with `or` between."""
        parts = [self.every(depth)]
        while self._took("or"):
            parts.append(self.every(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def every(self, depth: int) -> Filter:
        """Conditions with `and` between."""
        parts = [self.one(depth)]
        while self._took("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def one(self, depth: int) -> Filter:
        """A condition, one in parentheses, or the contrary of one."""
        if depth > _DEPTH:
            raise self.wrong(f"lies more than {_DEPTH} conditions deep")
        if self._took("not"):
            return Not(self.one(depth + 1))
        if self._took("("):
            found = self.either(depth + 1)
            if not self._took(")"):
                raise self.wrong("should be )")
            return found
        if not self.left or self.left[-1][1] not in _FIELDS:
            raise self.wrong(f"is no field; the fields are {', '.join(_FIELDS)}")
        field: Field = self.left.pop()[1]  # type: ignore[assignment]  # one of them, as was just seen
        return self._compared(field)

    def _compared(self, field: Field) -> Filter:
        if self._took("="):
            return Is(field, self._values())
        if self._took("!="):
            return Not(Is(field, self._values()))
        if self._took(">="):
            return Range(field, first=self._value())
        if self._took("<="):
            return Range(field, last=self._value())
        raise self.wrong("should be one of = != >= <=")

    def _values(self) -> tuple[str, ...]:
        values = [self._value()]
        while self._took(","):
            values.append(self._value())
        return tuple(values)

    def _value(self) -> str:
        if not self.left or self.left[-1][0] == "mark":
            raise self.wrong("should be a value")
        kind, value, _ = self.left.pop()
        return value[1:-1] if kind == "text" else value

    def _took(self, mark: str) -> bool:
        """Whether the next token is this one, which is then gone."""
        found = bool(self.left) and self.left[-1][0] != "text" and self.left[-1][1] == mark
        if found:
            self.left.pop()
        return found


def _wrong(text: str, at: int, what: str) -> GenusError:
    rest = text[at : at + 30]
    return GenusError(f"where: {f'{rest!a}' if rest else 'its end'}, at character {at + 1}, {what}; {_HOW}")
