"""What a task is made of: records of a file, made one uniform form. Not how a model reads them (prompts.py)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from genus.core.errors import GenusError
from genus.data.records import Record
from genus.evaluate.incontext.task import Task

__all__ = ["Example", "example_of", "fill"]

_FIELD = re.compile(r"\{(\w+)(?:\|(\w+))?\}")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One item: texts to fill templates with, and what may follow. `gold` counts `choices`; `answers` are all right."""

    place: str
    fields: Mapping[str, str]
    choices: tuple[str, ...] = ()
    gold: int = 0
    answers: tuple[str, ...] = ()


def example_of(record: Record, task: Task) -> Example:
    """The example that a record is, for a task. Raises GenusError naming the record's place and the field."""
    record = Record(
        {**record.fields, **{name: _word(record, name, words) for name, words in task.words.items()}}, record.place
    )
    fields = {name: str(value) for name, value in record.fields.items() if isinstance(value, str | int | float)}
    choices: tuple[str, ...] = ()
    gold, answers = 0, choices
    if task.labels:
        choices, gold = tuple(task.labels.values()), _label(record, task)
    elif task.kind in ("choice", "partial"):
        choices = _choices(record, task)
        gold = _gold(record, task, len(choices))
    else:
        answers = (record.text("text"),) if task.kind == "text" else _answers(record, task)
    found = Example(place=record.place, fields=fields, choices=choices, gold=gold, answers=answers)
    for template in (task.context, task.completion):
        fill(template, found, choices[0] if choices else answers[0] if answers else "")
    return found


def fill(template: str, example: Example, said: str) -> str:
    """A template with an example's fields in it; {choice} and {answer} are `said`. Raises GenusError for a missing one."""

    def value(match: re.Match[str]) -> str:
        name, filtered = match[1], match[2]
        text = said if name in ("choice", "answer") else example.fields.get(name)
        if text is None:
            has = ", ".join(sorted(example.fields)) or "nothing"
            raise GenusError(
                f"{example.place}: the task's template wants {{{name}}}, and the record has {has}; name one of these"
            )
        if filtered and filtered not in _FILTERS:
            raise GenusError(f"{{{name}|{filtered}}} asks for an unknown filter; choose of {', '.join(_FILTERS)}")
        return _FILTERS[filtered](text) if filtered else text

    return _FIELD.sub(value, template)


def _word(record: Record, name: str, words: Mapping[str, str]) -> str:
    value = str(record.fields.get(name))
    if value not in words:
        raise record.wrong(name, f"is {value[:60]!r}, none of {', '.join(words)}; correct it")
    return words[value]


def _label(record: Record, task: Task) -> int:
    value, names = str(record.fields.get(task.gold)), list(task.labels)
    if value not in names:
        raise record.wrong(task.gold, f"is {value[:60]!r}, none of the labels {', '.join(names)}; correct it")
    return names.index(value)


def _choices(record: Record, task: Task) -> tuple[str, ...]:
    if len(task.choices) > 1:
        return tuple(record.text(name) for name in task.choices)
    (name,) = task.choices
    value = record.fields.get(name)
    if not isinstance(value, list) or len(value) < 2:
        raise record.wrong(name, 'is not a list of two or more texts; give one such as ["a", "b"]')
    return tuple(record.check_text(f"{name}[{number}]", text) for number, text in enumerate(value))


def _gold(record: Record, task: Task, count: int) -> int:
    if not task.gold:
        return 0  # the first is right, as in pairs of a good sentence and a bad one
    value = record.fields.get(task.gold)
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
        raise record.wrong(task.gold, f"is {value!r}, the number of no choice; give 0 to {count - 1}")
    return number


def _answers(record: Record, task: Task) -> tuple[str, ...]:
    value = record.fields.get(task.answer)
    if isinstance(value, list) and value:
        return tuple(record.check_text(f"{task.answer}[{number}]", text) for number, text in enumerate(value))
    return (str(value) if isinstance(value, int | float) else record.check_text(task.answer, value),)


def _lower_first(text: str) -> str:
    """A sentence as the end of another: "He left." is "he left."; I stays."""
    return text if re.match(r"I\b", text) else text[:1].lower() + text[1:]


def _unstop(text: str) -> str:
    return text.strip().rstrip(".。!?")


def _plain_wikitext(text: str) -> str:
    """WikiText as people write it, from its tokens: 1 @,@ 000 is 1,000."""
    for pattern, by in _WIKITEXT:
        text = re.sub(pattern, by, text)
    return text


_WIKITEXT = (
    (r" @([-,.])@ ", r"\1"),
    (r" ([,.;:!?%)\]])(?=\s|$)", r"\1"),
    (r"([(\[]) ", r"\1"),
    (r'" ([^"\n]*?) "', r'"\1"'),
    (r" '(?=s\b|t\b|re\b|ve\b|ll\b|d\b|m\b)", "'"),
    (r"(?m)^ ", ""),
)
_FILTERS: dict[str, Callable[[str], str]] = {
    "strip": str.strip,
    "unstop": _unstop,
    "lower_first": _lower_first,
    "wikitext": _plain_wikitext,
}
