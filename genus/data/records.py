"""Records of JSON files, with the place of each for the errors about it. What the records mean is known to their readers.

.jsonl has one on each line, .json a list of them; both may be gzipped (.gz).
"""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from genus.core.errors import GenusError
from genus.core.files import unique_keys
from genus.core.progress import say

__all__ = ["Noted", "Record", "Wrong", "read_all"]

Wrong = Literal["refuse", "skip"]
"""What a record that cannot be used leads to: an error, or one line about all that were left out."""
Noted = Wrong | list[str]
"""The same, or a list that gets what is wrong with each such record."""
T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """A JSON object and where it stands, such as "chats.jsonl, line 3"."""

    fields: Mapping[str, Any]
    place: str

    def text(self, field: str, default: str | None = None) -> str:
        """A field that must be a text with more than blanks. An absent or empty one is `default`, where that is given."""
        value = self.fields.get(field)
        if default is not None and value in (None, ""):
            return default
        return self.check_text(field, value)

    def check_text(self, field: str, value: Any) -> str:
        """`value`, which stands at `field`, if it is a text with more than blanks."""
        if value is None:
            raise self.wrong(field, "is missing; give a text")
        if not isinstance(value, str):
            raise self.wrong(field, f"is {type(value).__name__}, not a text; give a text")
        if not value.strip():
            raise self.wrong(field, "is empty; write it, or take the record out")
        return value

    def wrong(self, field: str, what: str) -> GenusError:
        """An error about one field."""
        return GenusError(f"{self.place}: {field} {what}")


def read_all(path: Path, read: Callable[[Record], list[T]], wrong: Noted = "refuse") -> list[T]:
    """What `read` makes of each record of a file, in order. Raises GenusError for the first that it refuses: see Noted.

    A file that is no JSON, or in which nothing can be used, is refused in any case.
    """
    found: list[T] = []
    skipped: list[str] = []
    total = 0
    for record in _records(path):
        total += 1
        try:
            found += read(record)
        except GenusError as error:
            if wrong == "refuse":
                raise
            skipped.append(str(error))
    if isinstance(wrong, list):
        wrong += skipped
        return found
    if skipped and found:
        say(f"{path}: {len(skipped):,} of {total:,} records were left out; the first: {skipped[0]}")
    if not found:
        raise GenusError(f"{path} holds no record that can be used{': ' + skipped[0] if skipped else '; name another file'}")
    return found


def _records(path: Path) -> Iterator[Record]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            if path.name.removesuffix(".gz").endswith(".json"):
                values = json.load(file, object_pairs_hook=unique_keys)
                if not isinstance(values, list):
                    raise GenusError(f"{path} is JSON but no list of records; give [{{...}}, ...], or .jsonl")
                yield from (_record(value, f"{path}, record {number}") for number, value in enumerate(values, 1))
            else:
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield _line(line, f"{path}, line {number}")
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror or error}); name a .jsonl or .json file") from error
    except (ValueError, RecursionError, EOFError) as error:  # not JSON, not UTF-8, cut short
        raise GenusError(
            f"{path} is not whole JSON ({error}); give .jsonl with one record a line, or a .json list"
        ) from error


def _line(line: str, place: str) -> Record:
    try:
        return _record(json.loads(line, object_pairs_hook=unique_keys), place)
    except (ValueError, RecursionError) as error:
        raise GenusError(f"{place} is not JSON ({error}); correct it") from error


def _record(value: Any, place: str) -> Record:
    if not isinstance(value, dict):
        raise GenusError(f'{place} is {type(value).__name__}, not an object of fields; give {{"messages": [...]}}')
    return Record(value, place)
