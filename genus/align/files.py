"""Files in and out of the feedback store: tasks and prompts as JSON lines, rankings as JSON lines or a table."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from genus.align.feedback import Feedback
from genus.align.records import FLAGS, Record, Task, check_prompt, check_task, check_text, digest_of
from genus.core.errors import GenusError
from genus.core.files import unique_keys, write_text
from genus.data.comparisons import Prompt

__all__ = ["export", "read_prompts", "read_tasks"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # a table program would run a cell that starts so
Read = TypeVar("Read")


def read_tasks(path: Path) -> list[Task]:
    """Lines {"prompt": …, "answers": […]}, with "sources" if known. Raises GenusError naming the line and the field."""

    def read(said: dict[str, Any]) -> Task:
        answers, sources = (_texts(name, said.get(name, [])) for name in ("answers", "sources"))
        task = Task(_prompt(said), answers, sources)
        check_task(task)
        return task

    return _lines(path, read, lambda task: task.digest)


def read_prompts(path: Path) -> list[Prompt]:
    """Lines {"prompt": …}. Raises GenusError naming the line and the field."""
    return _lines(path, lambda said: check_prompt(_prompt(said)), digest_of)


def export(feedback: Feedback, path: Path) -> tuple[int, Path | None]:
    """Write the submitted rankings as .jsonl or .csv; demonstrations, if there are any, as JSON lines beside them.

    Gives how many rankings there are, and the file of demonstrations.
    """
    told = feedback.submitted()
    if path.suffix == ".jsonl":
        write_text(path, "".join(_json(_said(task, record)) for task, record in told))
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


def _lines(path: Path, read: Callable[[dict[str, Any]], Read], digest: Callable[[Read], str]) -> list[Read]:
    """Every line, read; a blank one is none. Raises GenusError for the first that is wrong or stands there twice."""
    found: list[Read] = []
    seen: dict[str, int] = {}
    for number, line in _numbered(path):
        try:
            said = json.loads(line, object_pairs_hook=unique_keys)
            if not isinstance(said, dict):
                raise GenusError('it is not an object; write {"prompt": …}')
            each = read(said)
        except (ValueError, RecursionError) as error:
            raise GenusError(f"{path}: line {number}: it is not JSON ({str(error)[:100]}); correct it") from None
        except GenusError as error:
            raise GenusError(f"{path}: line {number}: {error}") from None
        if (first := seen.setdefault(digest(each), number)) != number:
            raise GenusError(f"{path}: line {number} says the same as line {first}; take one out")
        found.append(each)
    if not found:
        raise GenusError(f"{path} holds no line; write one JSON object a line")
    return found


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name a file of JSON lines") from None
    for number, line in enumerate(text.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            if line.strip():
                yield number, line.decode()
        except UnicodeDecodeError:
            raise GenusError(f"{path}: line {number} is not UTF-8; save the file as UTF-8") from None


def _prompt(said: dict[str, Any]) -> Any:
    if "prompt" not in said:
        raise GenusError("prompt is missing; give a text or a list of messages")
    return said["prompt"]


def _texts(name: str, said: Any) -> tuple[str, ...]:
    if not isinstance(said, list):
        raise GenusError(f"{name} is not a list; give a list of texts")
    return tuple(check_text(f"{name}[{number}]", each, empty=name == "sources") for number, each in enumerate(said))


def _json(said: dict[str, Any]) -> str:
    return json.dumps(said, ensure_ascii=False, allow_nan=False) + "\n"


def _said(task: Task, record: Record) -> dict[str, Any]:
    names = ("ranks", "labeller", "overall", "flags", "comment", "seconds", "guideline", "created")
    told = {name: getattr(record, name) for name in names}
    return {
        "prompt": task.prompt,
        "answers": task.answers,
        **told,
        "sources": task.sources,
        "kind": task.kind,
        "task": task.id,
    }


def _table(told: list[tuple[Task, Record]]) -> str:
    """One row for each answer of each ranking."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\r\n")  # RFC 4180
    names = ["task", "kind", "labeller", "prompt", "answer", "source", "rank", "overall", *FLAGS, "comment", "seconds"]
    table.writerow([*names, "guideline", "created"])
    for task, record in told:
        prompt = task.prompt if isinstance(task.prompt, str) else json.dumps(task.prompt, ensure_ascii=False)
        for place, (text, source) in enumerate(zip(task.answers, task.sources, strict=True)):
            flags = [int(flag in record.flags[place]) for flag in FLAGS]
            row = [task.id, task.kind, record.labeller, prompt, text, source, record.ranks[place], record.overall[place]]
            table.writerow(map(_cell, [*row, *flags, record.comment, record.seconds, record.guideline, record.created]))
    return file.getvalue()


def _cell(value: Any) -> Any:
    """A text that would be taken for a formula gets an apostrophe before it, with which it is a text to such programs."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
