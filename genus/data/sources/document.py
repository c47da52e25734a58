"""What a source gives: documents, and what was found but cannot be used. Not for how either is read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Document", "Dropped", "Found", "is_date", "sound"]

_ISO_DATE = re.compile(r"\d{4}(-\d\d(-\d\d.*)?)?", re.DOTALL)


@dataclass(frozen=True)
class Document:
    """One text and where it is from. `date` is ISO 8601 or "", `language` a BCP 47 tag or ""; unknown is always ""."""

    id: str
    text: str
    source: str
    licence: str = ""
    date: str = ""
    language: str = ""
    meta: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """UTF-8 bytes of the text."""
        return len(self.text.encode())


@dataclass(frozen=True)
class Dropped:
    """Something found in a source that is not used: `reason` is one of a few fixed phrases, `detail` says where."""

    id: str
    reason: str
    detail: str


Found = Iterator[Document | Dropped]


def is_date(text: str) -> bool:
    """Whether it sorts as ISO 8601 dates do: a year, a month or a day first."""
    return _ISO_DATE.fullmatch(text) is not None


def sound(text: str) -> str:
    """The text with ? for every half of a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
