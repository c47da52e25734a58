"""Files in and out of the feedback store: tasks as JSON lines, rankings as JSON lines or a table."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from genus.align.feedback import Feedback
from genus.align.rankings import FLAGS, Ranking, Task, check_task
from genus.core.errors import GenusError
from genus.core.files import write_text
from genus.data.records import Record, read_all
from genus.data.turns import prompt_of

__all__ = ["export", "read_tasks"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a table program would run a cell that starts so


def read_tasks(path: Path) -> list[Task]:
    """Records {"prompt": …, "answers": […]}, with "sources" if known. Raises GenusError naming file, line and field."""
    seen: dict[str, str] = {}

    def read(record: Record) -> list[Task]:
        answers, sources = _texts(record, "answers"), _texts(record, "sources") if "sources" in record.fields else ()
        task = Task(prompt_of(record), answers, sources)
        try:
            check_task(task)
        except GenusError as error:
            raise GenusError(f"{record.place}: {error}") from None
        if (first := seen.setdefault(task.digest, record.place)) != record.place:
            raise GenusError(f"{record.place} says the same as {first}; take one out")
        return [task]

    return read_all(path, read)


def export(feedback: Feedback, path: Path) -> tuple[int, Path | None]:
    """Write the submitted rankings as .jsonl or .csv; demonstrations, if there are any, as JSON lines beside them.

    Gives how many rankings there are, and the file of demonstrations.
    """
    told = feedback.submitted()
    if path.suffix == ".jsonl":
        write_text(path, "".join(_json(_said(task, ranking)) for task, ranking in told))
    elif path.suffix == ".csv":
        write_text(path, _table(told))
    else:
        raise GenusError(f"{path} is no .jsonl or .csv; name a file that ends so")
    written = feedback.demonstrations()
    if not written:
        return len(told), None
    beside = path.with_name(f"{path.stem}.demonstrations.jsonl")
    write_text(beside, "".join(_json(each._asdict()) for each in written))
    return len(told), beside


def _texts(record: Record, field: str) -> tuple[str, ...]:
    """What check_task then looks into."""
    values = record.fields.get(field)
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise record.wrong(field, "is no list of texts; give one")
    return tuple(values)


def _json(said: dict[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False, allow_nan=False) + "\n"


def _said(task: Task, ranking: Ranking) -> dict[str, Any]:
    names = ("ranks", "labeller", "overall", "flags", "comment", "seconds", "guideline", "created")
    told = {name: getattr(ranking, name) for name in names}
    return {
        "prompt": task.prompt,
        "answers": task.answers,
        **told,
        "sources": task.sources,
        "kind": task.kind,
        "task": task.id,
    }


def _table(told: list[tuple[Task, Ranking]]) -> str:
    """One row for each answer of each ranking."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\r\n")  # RFC 4180
    names = ["task", "kind", "labeller", "prompt", "answer", "source", "rank", "overall", *FLAGS, "comment", "seconds"]
    table.writerow([*names, "guideline", "created"])
    for task, ranking in told:
        prompt = task.prompt if isinstance(task.prompt, str) else json.dumps(task.prompt, ensure_ascii=False)
        for place, (text, source) in enumerate(zip(task.answers, task.sources, strict=True)):
            flags = [int(flag in ranking.flags[place]) for flag in FLAGS]
            row = [task.id, task.kind, ranking.labeller, prompt, text, source, ranking.ranks[place], ranking.overall[place]]
            table.writerow(map(_cell, [*row, *flags, ranking.comment, ranking.seconds, ranking.guideline, ranking.created]))
    return file.getvalue()


def _cell(value: Any) -> Any:
    """A text that would be taken for a formula gets an apostrophe before it, with which it is a text to such programs."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
