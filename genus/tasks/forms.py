"""The four forms of GPT-1's tasks (2018, section 3.3, figure 1): which texts a record has, and how they stand in sequences.

One form is for every data set of its kind: SST-2, CoLA and TREC are classification; RTE, CB and MNLI entailment; MRPC, QQP
and STS-B similarity; RACE and Story Cloze choice. How files become records is records.py's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from genus.core.errors import GenusError

__all__ = ["FORMS", "Form", "Record", "form_named"]


class Record(NamedTuple):
    """One example: its texts in the order of the form's fields, and what is right of it, as the file says it.

    Of a choice `label` is the right answer's number, from 0. `where` is for messages: the file and line.
    """

    texts: tuple[str, ...]
    label: str = ""
    answers: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True)
class Form:
    """`fields` are texts that a record must have, `optional` those that it may have after them.

    A form with `answers` has a list of them, of which one is right; the others have a label of the whole record.
    """

    name: str
    fields: tuple[str, ...]
    optional: tuple[str, ...] = ()
    answers: bool = False
    both_orders: bool = False

    def record(self, values: Mapping[str, Any], where: str, labelled: bool = True) -> Record:
        """A record from named values. Raises GenusError naming `where` and the field that is missing or no text."""
        texts = [_text(values, name, where) for name in self.fields]
        texts += [_text(values, name, where) if values.get(name) else "" for name in self.optional]
        answers = _answers(values.get("answers"), where) if self.answers else ()
        label = _label(values, answers, where) if labelled else ""
        return Record(tuple(texts), label, answers, where)

    def sequences(self, record: Record) -> list[tuple[str, ...]]:
        """The texts of each sequence of a record; between them stands the delimiter."""
        if self.answers:
            told = " ".join(text for text in record.texts if text)
            return [(told, answer) for answer in record.answers]
        return [record.texts, record.texts[::-1]] if self.both_orders else [record.texts]


FORMS = {
    form.name: form
    for form in (
        Form("classification", ("text",)),
        Form("entailment", ("premise", "hypothesis")),
        Form("similarity", ("first", "second"), both_orders=True),
        Form("choice", ("context",), ("question",), answers=True),
    )
}


def form_named(name: str) -> Form:
    """The form of that name. Raises GenusError with the names there are."""
    if name not in FORMS:
        raise GenusError(f"{name} is no form of a task; choose one of {', '.join(FORMS)}")
    return FORMS[name]


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    if name not in values:
        there = ", ".join(str(key) for key in values) or "none"
        raise GenusError(f"{where}: the field {name} is missing (there are: {there}); name the fields as the form does")
    value = values[name]
    if not isinstance(value, str) or not value.strip():
        raise GenusError(f"{where}: {name} = {str(value)[:60]!r} is not a text; give one that is not empty")
    return value


def _answers(value: Any, where: str) -> tuple[str, ...]:
    good = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1
    if not good or not all(isinstance(answer, str) and answer.strip() for answer in value):
        raise GenusError(f'{where}: answers = {str(value)[:60]!r} is not a list of two or more texts, such as ["a", "b"]')
    return tuple(value)


def _label(values: Mapping[str, Any], answers: tuple[str, ...], where: str) -> str:
    value = values.get("label")
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise GenusError(f"{where}: label = {str(value)[:60]!r} is neither a name nor a number; give each record its label")
    label = str(value).strip()
    if answers and label in answers:
        return str(answers.index(label))
    if answers and label not in {str(number) for number in range(len(answers))}:
        last = len(answers) - 1
        raise GenusError(
            f"{where}: label = {label[:60]!r} is none of the answers; give its number, 0 to {last}, or its text"
        )
    return label
