"""Tasks asked of a model, item by item: what is done is kept, and a start that was killed goes on.

OUT/results.json has the figures of each task, OUT/NAME.jsonl a line for each item: the prompt, the scores, the choice.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import locked, read_json, write_json
from genus.core.progress import progress, say
from genus.core.recipe import differences
from genus.engine.model import Model, load
from genus.evaluate.found import identity
from genus.evaluate.incontext.finding import Ready, find_tasks
from genus.evaluate.incontext.summary import Row
from genus.evaluate.programs.humaneval import Asked, Programs
from genus.evaluate.recipe import Evaluate
from genus.models.weights import read_spec
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.logbook import entry

__all__ = ["evaluate_tasks", "table"]

_ITEMS = 64  # measured together, then kept


def evaluate_tasks(config: Evaluate) -> dict[str, Any]:
    """Write config.out and return its results.json. All that is wrong with the tasks is said before the model loads."""
    assert config.model is not None
    if config.limit is not None and config.limit < 1:
        raise GenusError(f"limit = {config.limit} leaves nothing to measure; choose 1 or more")
    if config.shots < 0:
        raise GenusError(f"shots = {config.shots} is below 0; choose 0 or more")
    drawn = Asked(samples=config.samples, temperature=config.temperature, seed=config.seed)
    tasks = find_tasks(config.tasks, config.data, config.shots, config.seed, drawn)
    folder = _model_folder(config.model)
    tokenizer = Tokenizer.load(folder)
    for task in tasks:
        task.check(tokenizer)
    with locked(config.out):
        stage = _Stage(config, folder)
        stage.admit(tasks)
        for task in tasks:
            stage.do(task)
        told = ", ".join(f"{name} {_told(stage.results['tasks'][name])}" for name in (each.name for each in tasks))
        entry(folder.resolve().parent, "evaluation", f"{told}, in {config.out.name}")
    return stage.results


def _model_folder(path: Path) -> Path:
    """The folder itself, or the model of a run."""
    for folder in (path, path / "model"):
        if (folder / "config.json").is_file():
            return folder
    raise GenusError(f"{path} holds no model; name the folder that has config.json and model.safetensors")


def table(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of words: a head, and one for each task that is done."""
    rows: list[tuple[str, ...]] = [("task", "measure", "shots", "items", "value", "95%")]
    for name, task in results["tasks"].items():
        if "main" in task:
            figure = task["figures"][task["main"]]
            low, high = figure.get("wilson", figure["bootstrap"])  # of 0 of 6 the bootstrap knows nothing
            interval = "" if low is None else f"{low:.3f} to {high:.3f}"  # a single item has none
            rows.append((name, task["main"], str(task["settings"]["shots"]), str(task["items"]), _number(figure), interval))
    return rows


class _Stage:
    """The folder of an evaluation, and the model once something is asked of it."""

    def __init__(self, config: Evaluate, folder: Path) -> None:
        self.config, self.folder = config, folder
        self.file = config.out / "results.json"
        self.results: dict[str, Any] = read_json(self.file) if self.file.exists() else {"tasks": {}}
        self.identity = identity(folder)
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        if self._model is None:
            self._model = load(self.folder)
        return self._model

    def admit(self, tasks: list[Ready | Programs]) -> None:
        """Take note of what is asked. Raises GenusError where a task was begun in this folder with other settings."""
        known = self.results["tasks"]
        for each in tasks:
            name, now = each.name, self._settings(each)
            before = known.get(name, {}).get("settings")
            if before is None and self._rows_file(name).exists():
                raise GenusError(f"{self._rows_file(name)} is of no evaluation that {self.file} knows; name another --out")
            if before not in (None, now):
                changed = "; ".join(differences(before, now))
                raise GenusError(f"{self.config.out}: {name} was begun otherwise ({changed}); name another --out")
        for each in tasks:
            known.setdefault(each.name, {"settings": self._settings(each)})
        size = read_spec(self.folder)[0].parameters
        self.results |= {"model": str(self.config.model), "parameters": size, "genus": version("genus")}
        write_json(self.file, self.results)

    def do(self, each: Ready | Programs) -> None:
        """Measure what is left of a task, and write its figures."""
        name, count = each.name, min(len(each), self.config.limit or len(each))
        path = self._rows_file(name)
        rows = _kept(path)
        if len(rows) < count:
            with path.open("ab") as file, progress(name, count, len(rows)) as update:
                while len(rows) < count:
                    new = each.measure(self.model, range(len(rows), min(count, len(rows) + _ITEMS)))
                    file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in new))
                    file.flush()
                    os.fsync(file.fileno())
                    rows += new
                    update(len(rows), "")
        else:
            say(f"{name}: done before")
        done = each.summary(rows[:count], self.config.seed)
        self.results["tasks"][name] = {"settings": self._settings(each), **done}
        write_json(self.file, self.results)

    def _rows_file(self, name: str) -> Path:
        return self.config.out / f"{name}.jsonl"

    def _settings(self, each: Ready | Programs) -> dict[str, Any]:
        """What the rows depend on. The limit is not among it: a higher one goes on."""
        return {**each.settings, "seed": self.config.seed, "model": self.identity}


def _kept(path: Path) -> list[Row]:
    """The rows of a file, without a last one that was half written."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise GenusError(f"{path} is damaged ({error}); name another --out") from error


def _told(task: dict[str, Any]) -> str:
    return f"{task['main']} {_number(task['figures'][task['main']])} of {task['items']:,}"


def _number(figure: dict[str, Any]) -> str:
    return f"{figure['value']:.3f}"
