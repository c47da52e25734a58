"""Records of published data sets as they come: JSON, JSONL, CSV and TSV. Errors name the file, the line and the field."""

import csv
import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.errors import GenusError

__all__ = ["Row", "chosen", "find_files", "read_rows"]


class Row(NamedTuple):
    """A record, and where it stands."""

    where: str
    fields: dict[str, Any]

    def get(self, name: str, kind: type = str) -> Any:
        """A field. Raises GenusError where it is missing, of another kind, or empty."""
        value = self.fields.get(name)
        if not isinstance(value, kind) or value in ("", [], {}):
            asked = {str: "text", dict: "object", list: "list", int: "whole number"}[kind]
            raise GenusError(f"{self.where} has no {asked} in its field {name!r}; correct it, or take the record out")
        return value


def read_rows(path: Path, fields: Sequence[str] = ()) -> list[Row]:
    """All records of a file. JSON is a list of objects; CSV may have commas, semicolons or tabs.

    Raises GenusError for a file that cannot be read, has no records, or has one without one of `fields`.
    """
    readers = {".json": _json, ".jsonl": _jsonl, ".csv": _table, ".tsv": _table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise GenusError(f"{path} is not one of {', '.join(readers)}; name a file of records")
    try:
        rows = list(reader(path, path.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError, csv.Error, RecursionError) as error:
        raise GenusError(f"{path} cannot be read ({error}); name a whole UTF-8 file") from error
    if not rows:
        raise GenusError(f"{path} holds no records; name another file")
    for row in rows:
        if missing := [name for name in fields if name not in row.fields]:
            raise GenusError(f"{row.where} has no field {missing[0]!r}; it needs {', '.join(fields)}")
    return rows


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


def _json(path: Path, text: str) -> Iterator[Row]:
    value = _parsed(text, str(path))
    if not isinstance(value, list):
        raise GenusError(f"{path} is not a list of objects; give it as one")
    for number, each in enumerate(value, 1):
        yield _row(each, f"{path}, record {number}")


def _jsonl(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield _row(_parsed(line, where), where)


def _table(path: Path, text: str) -> Iterator[Row]:
    names = text.partition("\n")[0]
    tabs = path.suffix.lower() == ".tsv"
    delimiter = "\t" if tabs else max(",;", key=names.count)
    quoting = csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL  # in published TSV files a quote is a character like others
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    for each in reader:
        fields = {name: value for name, value in each.items() if name and value is not None}
        yield _row(fields, f"{path}, line {reader.line_num}")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise GenusError(f"{where} is not JSON ({error}); correct it") from error


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise GenusError(f"{where} is not an object; give each record as one")
    return Row(where, value)
