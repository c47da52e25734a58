"""The tasks that a person asks for, with their records read and all that can be wrong with them found."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import sha256
from genus.core.recipe import as_dict
from genus.data.records import Record
from genus.engine.model import Model
from genus.evaluate.incontext.example import Example, example_of
from genus.evaluate.incontext.measuring import measure
from genus.evaluate.incontext.prompts import Prompts
from genus.evaluate.incontext.readers import read_records
from genus.evaluate.incontext.summary import Row, summary
from genus.evaluate.incontext.task import Task, known_tasks, read_task
from genus.evaluate.programs.humaneval import PROBLEM, Asked, Programs
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Ready", "find_tasks", "guess_task"]

_OWN: dict[tuple[str, ...], dict[str, object]] = {  # by the fields of a person's own records
    ("query", "choices", "gold"): {"kind": "choice", "context": "{query}", "completion": " {choice|strip}"},
    ("context_options", "continuation", "gold"): {
        "kind": "partial",
        "choices": ("context_options",),
        "context": "{choice}",
        "completion": " {continuation|strip}",
    },
    ("sentence_good", "sentence_bad"): {
        "kind": "choice",
        "choices": ("sentence_good", "sentence_bad"),
        "gold": "",
        "context": "",
        "completion": "{choice}",
        "rule": "sum",
    },
    ("context", "completion"): {"kind": "cloze", "answer": "completion"},
    ("context", "continuation"): {"kind": "cloze", "answer": "continuation"},
    ("context", "answers"): {"kind": "free", "answer": "answers", "measure": "f1"},
    ("question", "answer"): {"kind": "free", "context": "Question: {question}\nAnswer:", "measure": "f1"},
    ("text",): {"kind": "text", "context": "{text}"},
}
_RECORDS = (".jsonl", ".json", ".gz")


@dataclass(frozen=True)
class Ready:
    """A task with its prompts, and the SHA-256 of each file that it was read from."""

    task: Task
    prompts: Prompts
    files: dict[str, str]

    @property
    def name(self) -> str:
        """The task's."""
        return self.task.name

    @property
    def settings(self) -> dict[str, Any]:
        """What its rows depend on, but for the model and the seed."""
        return {"task": as_dict(self.task), "files": self.files, "shots": self.prompts.shots}

    def __len__(self) -> int:
        return len(self.prompts)

    def measure(self, model: Model, places: range) -> list[Row]:
        """A row for each of these items."""
        return measure(model, self.task, [self.prompts[place] for place in places])

    def summary(self, rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
        """The figures of these rows."""
        return summary(self.task, rows, seed)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise GenusError naming the record of which a completion is no token."""
        if self.task.kind not in ("free", "text"):
            said = [(item.place, each) for item in self.prompts.items for each in self.prompts.completions(item)]
            for (place, each), ids in zip(said, tokenizer.encode_batch([each for _, each in said]), strict=True):
                if not ids:
                    raise GenusError(
                        f"{place}: what should be said, {each!r}, is no token of this tokenizer; use other words"
                    )


def find_tasks(
    names: Sequence[str], data: Path | None, shots: int = 0, seed: int = 0, asked: Asked | None = None
) -> list[Ready | Programs]:
    """Of each name: a task that comes along, a task's .toml, or records of one's own (.jsonl). `asked` is for programs.

    Raises GenusError naming the file, and the line, of what is wrong.
    """
    found: dict[str, Ready | Programs] = {}
    for name in names:
        for each in _found(name, data, shots, seed, asked or Asked()):
            if each.name in found:
                raise GenusError(f"two tasks are called {each.name}; rename the file of one, or leave one out")
            found[each.name] = each
    return list(found.values())


def guess_task(path: Path, record: Record) -> Task:
    """The task that a file is whose records look like this one. Raises GenusError where they look like none."""
    for names, values in _OWN.items():
        if record.fields.keys() >= set(names):
            context = {} if "context" in values else {"context": "{context}"}
            completion = {} if "completion" in values else {"completion": " {answer|strip}"}
            return Task(name=path.stem, file=str(path.absolute()), **{**context, **completion, **values})  # type: ignore[arg-type]
    forms = "; ".join(", ".join(names) for names in (*_OWN, PROBLEM))
    raise GenusError(f"{record.place} has the fields {', '.join(record.fields)}; give it those of one of: {forms}")


def _found(name: str, data: Path | None, shots: int, seed: int, asked: Asked) -> Iterator[Ready | Programs]:
    path = Path(name)
    if path.suffix in _RECORDS and read_records(path, "json")[0].fields.keys() >= set(PROBLEM):
        yield Programs.read(path, asked)
        return
    for task, folder in _named(name, data):
        yield from (_ready(each, folder, shots, seed) for each in _globbed(task, folder))


def _named(name: str, data: Path | None) -> list[tuple[Task, Path]]:
    path = Path(name)
    if path.suffix in _RECORDS:
        return [(guess_task(path, read_records(path, "json")[0]), path.parent)]
    if path.suffix == ".toml":
        return [(task, data or path.parent) for task in read_task(path)]
    known = known_tasks()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        guess = f" (perhaps {near[0]})" if near else ""
        files = ", ".join(each for each in known if "-" not in each)
        raise GenusError(f"{name} is no task{guess}; name a .toml or .jsonl file, or choose of {files}")
    if data is None:
        raise GenusError(f"the task {name} reads {known[name][0].file}; name the folder that holds it with --data")
    return [(task, data) for task in known[name]]


def _globbed(task: Task, folder: Path) -> list[Task]:
    if "*" not in task.file:
        return [task]
    paths = sorted(path for path in folder.glob(task.file) if path.is_file())
    if not paths:
        raise GenusError(f"task {task.name}: {folder} holds no {task.file}; put the files there, or name another --data")
    names = {path: f"{task.name}-{path.name.split('.')[0]}" for path in paths}
    return [replace(task, name=names[path], file=str(path.relative_to(folder))) for path in paths]


def _ready(task: Task, folder: Path, shots: int, seed: int) -> Ready:
    path = folder / task.file
    pool = folder / task.examples if task.examples and shots else path
    if not path.is_file():
        raise GenusError(f"task {task.name}: {path} is missing; put the file there, or name another folder with --data")
    items = _examples(path, task, seed)
    others = items if pool == path else _examples(pool, task, seed)
    return Ready(task, Prompts(task, items, others, shots, seed), {each.name: sha256(each) for each in {path, pool}})


def _examples(path: Path, task: Task, seed: int) -> list[Example]:
    return [example_of(record, task) for record in read_records(path, task.form, seed)]
