"""The texts of evaluation sets, from task files of any fields: what decontaminate.py looks for. Not for running a task.

Every string of a record is a text, at any depth; labels and ids are too short to be found anywhere. A .jsonl file has a
record on each line, .json a list of them (or an object with such lists), .csv and .tsv one in each row, text files one in
each line. All but text files may be gzipped (.gz).
"""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.errors import GenusError

__all__ = ["TaskSet", "read_tasks", "strings_of"]


class TaskSet(NamedTuple):
    """An evaluation set: the texts of each of its records."""

    name: str
    examples: list[list[str]]


def read_tasks(path: Path) -> list[TaskSet]:
    """The set of a file, or those of a folder, one for each file. Names are of folder and file, such as gsm8k/train.

    Text files of a folder are left out, since they tell of the others; name those that are sets themselves. Raises
    GenusError for a file that cannot be read whole, as what is not read is not found.
    """
    if path.is_file():
        return [TaskSet(_name(path, path.absolute().parent), _examples(path))]
    files = [file for file in sorted(path.rglob("*")) if _suffix(file) in _READERS and file.is_file()]
    if not files:
        raise GenusError(f"{path} holds no evaluation set; name a file or folder of: {', '.join([*_READERS, *_LINES])}")
    return [TaskSet(_name(file, path.absolute()), _examples(file)) for file in files]


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _name(path: Path, folder: Path) -> str:
    within = path.absolute().relative_to(folder.parent)
    return within.with_name(Path(path.name.removesuffix(".gz")).stem).as_posix()


def _examples(path: Path) -> list[list[str]]:
    suffix = _suffix(path)
    if suffix not in (*_READERS, *_LINES):
        raise GenusError(f"{path} is not a task file; its name must end in one of: {', '.join([*_READERS, *_LINES])}")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.name.lower().endswith(".gz") else path.read_bytes()
        text = raw.decode("utf-8-sig")
        examples = [list(strings_of(record)) for record in _READERS.get(suffix, str.splitlines)(text)]
    except (OSError, EOFError, ValueError, csv.Error, RecursionError) as error:
        raise GenusError(f"{path} cannot be read as {suffix} ({error}); mend it, or take it out of the tasks") from error
    if not any(texts for texts in examples):
        raise GenusError(f"{path} holds no text; name another file")
    return [texts for texts in examples if texts]


def strings_of(value: Any) -> Iterator[str]:
    """Every string in a JSON value, but for the keys of objects."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if value.strip():
                yield value
        elif isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)


def _json(text: str) -> list[Any]:
    value = json.loads(text)
    return value if isinstance(value, list) else _lists(value) or [value]


def _lists(value: Any) -> list[Any]:
    """The items of the lists of objects in an object, also in objects that are its fields."""
    if isinstance(value, list):
        return value if value and all(isinstance(item, dict) for item in value) else []
    return [item for field in value.values() for item in _lists(field)] if isinstance(value, dict) else []


def _jsonl(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error


def _csv(text: str) -> Iterator[list[str]]:
    """The row of names too, which is too short to matter. The delimiter is what that row has most of."""
    names = text.partition("\n")[0]
    delimiter = max(",;\t", key=names.count)
    yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


_READERS: dict[str, Any] = {".csv": _csv, ".json": _json, ".jsonl": _jsonl, ".tsv": _csv}
_LINES = (".dev", ".devtest", ".md", ".test", ".txt")
