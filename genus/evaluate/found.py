"""What was measured of a model, found in the folders of its evaluations: figures that know where they stand.

Only what was measured with the weights that the model's folder holds now counts, by SHA-256 where an evaluation keeps it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json, sha256
from genus.evaluate.published.tables import Asking, beside

__all__ = ["Figure", "evaluations", "figures_in", "identity", "pointer"]

_TELLING = ("config.json", "tokenizer.json")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a task or probe. `entry` points (RFC 6901) to the object in `file` that has it and what goes with it."""

    task: str
    measure: str
    value: float
    low: float | None
    high: float | None
    count: int | None
    shots: int | None
    file: Path
    entry: str
    items: Path
    """A line for each item, where that was kept."""
    published: Sequence[dict[str, Any]] = field(default=())
    """Of each published figure: model, value, source, gaps."""


def identity(folder: Path) -> dict[str, str]:
    """The SHA-256 of the files that decide what the model of a folder says, by their names."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix == ".safetensors" or path.name in _TELLING]
    return {path.name: sha256(path) for path in files}


def pointer(*keys: str) -> str:
    """A JSON pointer to what lies below `keys`."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def evaluations(model: Path, roots: Sequence[Path]) -> list[Figure]:
    """The figures of all results.json and probes.json below `roots` that were measured with this model, by file and name."""
    files = {file.resolve(): None for root in roots for name in _FORMS for file in sorted(root.rglob(name))}
    mine = identity(model) if files else {}
    return [
        figure
        for file in sorted(files)
        for figure, owner in _figures(file)
        if owner == mine or (isinstance(owner, Path) and _is_of(file, owner, model))
    ]


def figures_in(folder: Path) -> list[Figure]:
    """The figures of the evaluation in a folder, whatever it is of. Raises GenusError where there is none."""
    files = [folder / name for name in _FORMS if (folder / name).is_file()]
    found = [figure for file in files for figure, _ in _figures(file)]
    if not found:
        raise GenusError(f"{folder} holds no figures; name the --out of a `genus evaluate` that is done")
    return found


def _figures(file: Path) -> Iterator[tuple[Figure, Any]]:
    """Figures and whose they are: the identity of a model, or its path. Files of other things have none."""
    content = read_json(file)
    if isinstance(content, dict):
        yield from _FORMS[file.name](file, content)


def _of_tasks(file: Path, content: dict[str, Any]) -> Iterator[tuple[Figure, Any]]:
    if "lm_eval" in content:
        yield from _of_harness(file, content)
        return
    for name, task in content.get("tasks", {}).items():
        if "main" not in task:  # begun, and not done
            continue
        settings, measure = task["settings"], task["main"]
        found = task["figures"][measure]
        low, high = found.get("wilson", found["bootstrap"])
        rule = settings.get("task", {}).get("rule", "")
        own = Asking(shots=settings.get("shots"), scoring=rule, items=task["items"])
        rows = beside(name, {measure: found["value"]}, own)
        figure = Figure(
            task=name,
            measure=measure,
            value=found["value"],
            low=low,
            high=high,
            count=task["items"],
            shots=settings.get("shots"),
            file=file,
            entry=pointer("tasks", name),
            items=file.parent / f"{name}.jsonl",
            published=rows[0]["published"] if rows else (),
        )
        yield figure, settings["model"]


def _of_harness(file: Path, content: dict[str, Any]) -> Iterator[tuple[Figure, Any]]:
    for name, measures in content["tasks"].items():
        for key, value in measures.items():
            measure, _, way = key.partition(",")
            if way and isinstance(value, int | float) and not measure.endswith("_stderr"):
                figure = Figure(
                    task=name,
                    measure=measure,
                    value=value,
                    low=None,
                    high=None,
                    count=None,
                    shots=None,
                    file=file,
                    entry=pointer("tasks", name),
                    items=file.parent / f"{name}.jsonl",
                )
                yield figure, Path(content["model"])


def _of_probes(file: Path, content: dict[str, Any]) -> Iterator[tuple[Figure, Any]]:
    for name, probe in content.items():
        others = {row["measure"]: row["published"] for row in probe.get("published", ())}
        for measure, found in probe["measures"].items():
            if found["value"] is not None:
                figure = Figure(
                    task=name,
                    measure=measure,
                    value=found["value"],
                    low=found["low"],
                    high=found["high"],
                    count=found["count"],
                    shots=None,
                    file=file,
                    entry=pointer(name, "measures", measure),
                    items=file.parent / f"{name}.jsonl",
                    published=others.get(measure, ()),
                )
                yield figure, probe["settings"]["model"]


def _is_of(file: Path, owner: Path, model: Path) -> bool:
    """Whether an evaluation that keeps a path alone is of this model and not of one that was here before."""
    same = model.resolve() in (owner.resolve(), (owner / "model").resolve())
    return same and file.stat().st_mtime >= max(path.stat().st_mtime for path in model.glob("*.safetensors"))


_FORMS = {"results.json": _of_tasks, "probes.json": _of_probes}
