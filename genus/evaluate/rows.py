"""Records of published data sets as they come, in JSON, JSONL, CSV and TSV, and which of them are taken."""

import csv
import io
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from genus.core.errors import GenusError
from genus.data.records import Record, read_all

__all__ = ["chosen", "field_of", "find_files", "read_rows"]


def read_rows(path: Path, fields: Sequence[str] = ()) -> list[Record]:
    """All records of a file; CSV may have commas or semicolons.

    Raises GenusError for a file that cannot be read, has no records, or has one without one of `fields`.
    """
    table = path.suffix.lower() in (".csv", ".tsv")
    rows = list(_table(path)) if table else read_all(path, lambda record: [record])
    if not rows:
        raise GenusError(f"{path} holds no records; name another file")
    for row in rows:
        if missing := [name for name in fields if name not in row.fields]:
            raise GenusError(f"{row.place} has no field {missing[0]!r}; it needs {', '.join(fields)}")
    return rows


def field_of(record: Record, name: str, kind: type) -> Any:
    """A field that must be of a kind and hold something."""
    value = record.fields.get(name)
    if not isinstance(value, kind) or not value:
        raise record.wrong(name, f"is no {kind.__name__} with something in it; correct it, or take the record out")
    return value


def chosen(items: Sequence[Any], limit: int | None, seed: int) -> list[Any]:
    """`limit` of the items, drawn by the seed and in their order; all of them where there is no limit."""
    if limit is None or limit >= len(items):
        return list(items)
    if limit < 1:
        raise GenusError(f"limit = {limit} leaves nothing to measure; choose 1 or more, or leave it out")
    return [items[place] for place in sorted(random.Random(seed).sample(range(len(items)), limit))]


def find_files(data: Path, names: Sequence[str]) -> list[Path]:
    """`data` itself, if it is a file, or the files in it, at any depth, that fit one of the patterns. Raises GenusError."""
    if data.is_file():
        return [data]
    files = sorted({path for name in names for path in data.rglob(name) if path.is_file()})
    if not files:
        raise GenusError(f"{data} holds no {' or '.join(names)}; name the file, or a folder that holds it")
    return files


def _table(path: Path) -> Iterator[Record]:
    try:
        text = path.read_text("utf-8-sig")
        names = text.partition("\n")[0]
        tabs = path.suffix.lower() == ".tsv"
        delimiter = "\t" if tabs else max(",;", key=names.count)
        # in published TSV files a quote is a character like others
        quoting: Literal[0, 3] = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
        for each in reader:
            fields = {name: value for name, value in each.items() if name and value is not None}
            yield Record(fields, f"{path}, line {reader.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GenusError(f"{path} cannot be read ({error}); name a whole UTF-8 table") from error
