"""Records of a task from files with named columns: JSONL, CSV and TSV. Errors name the file, the line and the field."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import unique_keys
from genus.tasks.forms import Form, Record

__all__ = ["json_lines", "read_records"]

_LONGEST = 16 * 2**20  # characters of a cell; Python's own limit of 131,072 is below a long context


def read_records(path: Path, form: Form) -> list[Record]:
    """All records of a file, in order. In CSV and TSV, answers are a JSON list in their cell.

    Raises GenusError naming what is wrong with the file, or with the first line that is.
    """
    readers = {".jsonl": json_lines, ".csv": _table, ".tsv": _table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise GenusError(f"{path} is not a .jsonl, .csv or .tsv file; convert it to one of these")
    try:
        found = [form.record(values, where) for where, values in reader(path)]
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name a file of records") from error
    except UnicodeDecodeError as error:
        raise GenusError(f"{path} is not UTF-8 (byte {error.start} of a block); save it as UTF-8") from error
    if not found:
        raise GenusError(f"{path} holds no records; give it lines with {', '.join((*form.fields, 'label'))}")
    return found


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSONL file, each with its place for messages. Raises GenusError naming a line that is none."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}, line {number}"
            if not line.strip():
                continue
            try:
                values = json.loads(line, object_pairs_hook=unique_keys)
            except (ValueError, RecursionError) as error:
                raise GenusError(f"{where} is not JSON ({error}); give one object a line") from error
            if not isinstance(values, dict):
                raise GenusError(f"{where} is not a JSON object; give one object a line")
            yield where, values


def _table(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(_LONGEST)
    tabs = path.suffix.lower() == ".tsv"
    # in published TSV files a quote is a character like others
    options: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {"strict": True}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, **options)
        try:
            names = next(rows, [])
            if len(set(names)) < len(names):
                raise GenusError(f"{path}, line 1 names a column twice ({', '.join(names)[:80]}); give each its own name")
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if not row:
                    continue
                if len(row) != len(names):
                    raise GenusError(f"{where} has {len(row)} columns, the first line {len(names)}; correct the line")
                values: dict[str, Any] = dict(zip(names, row, strict=True))
                if "answers" in values:
                    values["answers"] = _listed(values["answers"])
                yield where, values
        except csv.Error as error:
            raise GenusError(f"{path}, line {rows.line_num} cannot be read ({error}); correct the line") from error


def _listed(cell: str) -> Any:
    """The list that a cell holds as JSON, or else the cell, which a form refuses."""
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
