"""A task as data: where its records are, how they are shown to a model, and how what it says is scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from genus.core.errors import GenusError
from genus.core.recipe import read_recipe

__all__ = ["Kind", "Measure", "Rule", "Task", "known_tasks", "read_task"]

Kind = Literal["choice", "partial", "cloze", "free", "text"]
Rule = Literal["sum", "per_token", "per_byte", "unconditional"]
Measure = Literal["exact", "f1", "bleu", "number"]
_TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True, kw_only=True)
class Task:
    """Templates name a record's fields: {query}; {choice} or {answer} is what may follow. A filter changes a field:
    {choice|lower_first}.

    - choice: the likeliest of several completions, by a rule;
    - partial: the likeliest context of one completion (Winograd form; the contexts are the choices);
    - cloze: whether the completion is what the model would say;
    - free: what the model says, measured against the answers;
    - text: how likely the field `text` is; `context` may filter it.
    """

    name: str
    kind: Kind
    file: str
    """Of records, below the folder of data. A * makes a task of each file that there is."""
    form: str = "json"
    """How the file is read: see readers.py."""
    about: str = ""
    """What is asked, and the paper."""
    examples: str = ""
    """The file that the K examples are drawn from; else it is the same, and an item is never shown itself."""
    instruction: str = ""
    """Stands before everything."""
    context: str = "{query}"
    completion: str = " {choice}"
    separator: str = "\n\n"
    """Between examples."""
    choices: tuple[str, ...] = ("choices",)
    """The field with the list of them, or the fields with one each."""
    gold: str = "gold"
    """The field with the number of the right choice, or the label; "" where the first is right."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of each label the word that a model is to say: these are the choices."""
    answer: str = "answer"
    """The field with the right completion, or a list of them."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of a field, by its value, what stands for it in templates."""
    rule: Rule = "per_token"
    unconditional: str = "Answer:"
    """The context of the rule of that name: log p(completion | context) - log p(completion | this)."""
    measure: Measure = "exact"
    """Of what is said."""
    stop: tuple[str, ...] = ("\n",)
    most: int = 64
    """Tokens to say at most."""
    beams: int = 1
    """Beginnings to keep; 1 takes the likeliest token each time."""
    length_penalty: float = 0.6
    """Of beams, as GNMT's (arXiv 1609.08144, equation 14)."""

    def __post_init__(self) -> None:
        known = {"kind": Kind, "rule": Rule, "measure": Measure}
        for name, literal in known.items():
            if getattr(self, name) not in get_args(literal):
                raise GenusError(
                    f"task {self.name}: {name} = {getattr(self, name)!r} is unknown; choose {', '.join(get_args(literal))}"
                )
        if "{choice" in {"choice": self.context, "partial": self.completion}.get(self.kind, ""):
            raise GenusError(
                f"task {self.name}: the choices of a {self.kind} task differ on the other side; move {{choice}} there"
            )
        if self.most < 1 or self.beams < 1:
            raise GenusError(f"task {self.name}: most = {self.most} and beams = {self.beams} must be at least 1")


def known_tasks() -> dict[str, list[Task]]:
    """The tasks that come along, by the names that --tasks takes: a file's, which may be of several, and each one's."""
    found: dict[str, list[Task]] = {}
    for path in sorted(_TASKS.glob("*.toml")):
        tasks = read_task(path)
        found[path.stem] = tasks
        found |= {task.name: [task] for task in tasks}
    return found


def read_task(path: Path) -> list[Task]:
    """The task of a TOML file, or each of its variants. Raises GenusError naming the file and the field."""
    values = read_recipe(path)
    variants = values.pop("variants", {})
    if not isinstance(variants, dict) or not all(isinstance(each, dict) for each in variants.values()):
        raise GenusError(f"{path}: variants must be tables, such as [variants.it]")
    if not variants:
        return [_task(path, path.stem, values)]
    return [_task(path, f"{path.stem}-{name}", values | changes) for name, changes in variants.items()]


def _task(path: Path, name: str, values: dict[str, Any]) -> Task:
    types = {each.name: each.type for each in fields(Task) if each.name != "name"}
    for key, value in values.items():
        if key not in types:
            raise GenusError(f"{path}: {key} is no field of a task; there are {', '.join(types)}")
        default = getattr(Task, key, "" if key in ("kind", "file") else {})
        kind: Any = (
            (list, tuple) if isinstance(default, tuple) else (int, float) if key == "length_penalty" else type(default)
        )
        if not isinstance(value, kind) or isinstance(value, bool):
            raise GenusError(f"{path}: {key} = {value!r} is of the wrong kind; it is a {types[key]}")
    for key in ("kind", "file"):
        if key not in values:
            raise GenusError(f"{path}: {key} is missing; give it")
    listed: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Task(name=name, **listed)
