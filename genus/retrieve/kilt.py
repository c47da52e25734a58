"""KILT's files of questions and answers with their provenance (Petroni et al. 2021, arXiv 2009.02252), one to a line.

Examples stay as they were said, with fields that are not KILT's: what is read and written is the same.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Required, TypedDict, cast

from genus.core.errors import GenusError
from genus.core.files import write_text
from genus.data.records import Record, read_all
from genus.retrieve.passage import Hit

__all__ = ["Example", "Output", "Provenance", "pages", "provenance", "read_kilt", "write_kilt"]


class Provenance(TypedDict, total=False):
    """A span of a page; `wikipedia_id` names the page, and paragraphs and characters count from 0."""

    wikipedia_id: Required[str]
    title: str
    section: str
    start_paragraph_id: int
    start_character: int
    end_paragraph_id: int
    end_character: int
    bleu_score: float
    meta: dict[str, Any]


class Output(TypedDict, total=False):
    """An answer, its evidence, or both. Every item of `provenance` is needed for it."""

    answer: str
    provenance: list[Provenance]


class Example(TypedDict, total=False):
    """One question, claim or sentence. A file of questions alone has no output."""

    id: Required[str]
    input: Required[str]
    output: list[Output]
    meta: dict[str, Any]


_COUNTS = ("start_paragraph_id", "start_character", "end_paragraph_id", "end_character")


def read_kilt(path: Path) -> list[Example]:
    """All examples of a file. Raises GenusError naming file, line and field of the first that is not KILT's."""
    return read_all(path, lambda record: [_example(record)])


def write_kilt(path: Path, examples: Iterable[Example]) -> None:
    """Write a file, whole or not at all. Raises GenusError for a number that JSON has no word for."""
    try:
        lines = [json.dumps(example, allow_nan=False) for example in examples]
    except ValueError as error:
        raise GenusError(f"{path}: an example cannot be written as JSON ({error})") from error
    write_text(path, "".join(f"{line}\n" for line in lines))


def pages(example: Example) -> frozenset[str]:
    """The pages that bear an answer out."""
    return frozenset(span["wikipedia_id"] for output in example.get("output", []) for span in output.get("provenance", []))


def provenance(hits: Sequence[Hit]) -> list[Provenance]:
    """Passages that were found, in KILT's terms: the document is the page, of one paragraph, with the text's offsets."""
    return [
        {
            "wikipedia_id": hit.passage.document,
            "title": hit.passage.title,
            "start_paragraph_id": 0,
            "start_character": hit.passage.start,
            "end_paragraph_id": 0,
            "end_character": hit.passage.end,
            "meta": {"passage": hit.passage.id, "sha256": hit.passage.sha256, "score": hit.score},
        }
        for hit in hits
    ]


def _example(record: Record) -> Example:
    record.text("id")
    record.text("input")
    for number, output in enumerate(_list(record, record.fields, "output", "")):
        place = f"output[{number}]"
        _expect(record, isinstance(output, dict), place, "an object")
        _optional(record, output.get("answer"), f"{place}.answer", _is_text, "a text")
        for index, span in enumerate(_list(record, output, "provenance", f"{place}.")):
            _span(record, span, f"{place}.provenance[{index}]")
    return cast(Example, record.fields)


def _span(record: Record, span: Any, place: str) -> None:
    _expect(record, isinstance(span, dict), place, "an object")
    record.check_text(f"{place}.wikipedia_id", span.get("wikipedia_id"))
    for name in ("title", "section"):
        _optional(record, span.get(name), f"{place}.{name}", _is_text, "a text")
    for name in _COUNTS:
        _optional(record, span.get(name), f"{place}.{name}", _is_count, "a count from 0")
    _optional(record, span.get("bleu_score"), f"{place}.bleu_score", _is_number, "a finite number")
    _optional(record, span.get("meta"), f"{place}.meta", lambda value: isinstance(value, dict), "an object")


def _list(record: Record, fields: Any, name: str, place: str) -> list[Any]:
    """A list that may be absent."""
    value = fields.get(name, [])
    _expect(record, isinstance(value, list), f"{place}{name}", "a list")
    return cast(list[Any], value)


def _optional(record: Record, value: Any, place: str, fits: Callable[[Any], bool], what: str) -> None:
    """A field that may be absent or null."""
    _expect(record, value is None or fits(value), place, what)


def _expect(record: Record, right: bool, place: str, what: str) -> None:
    if not right:
        raise record.wrong(place, f"is not {what}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))
