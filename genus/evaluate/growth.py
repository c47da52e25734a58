"""How what a model can do grows: with its training, checkpoint by checkpoint (GPT-1, figure 2), and with size (GPT-3)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json, write_text
from genus.core.page import page
from genus.core.progress import say
from genus.evaluate.found import Figure, figures_in
from genus.evaluate.incontext.stage import evaluate_tasks
from genus.evaluate.perplexity import evaluate
from genus.evaluate.recipe import Evaluate
from genus.evaluate.scores import Curve, plot
from genus.train.checkpoint import saved_steps
from genus.train.export import export
from genus.train.journal import read_journal
from genus.train.recipe import Pretrain

__all__ = ["evaluate_growth", "growth_plot", "growth_table", "size_plot"]

_NAME = "growth.json"
_SUMMARY = "Scores by the tokens that the model had read; shaded: 95% intervals."


def evaluate_growth(config: Evaluate, recipe: Pretrain) -> dict[str, Any]:
    """Ask the tasks, and the corpus where one is named, of each kept checkpoint of the run of `recipe`.

    OUT/growth.json has the figures by tokens read, OUT/growth.html the curves, and OUT/step-N each checkpoint's model and
    evaluation. What is done is not done again.
    """
    steps = sorted(saved_steps(recipe.out / "checkpoints"))
    if len(steps) < 2:
        raise GenusError(
            f"{recipe.out} keeps {len(steps)} checkpoint{'' if len(steps) == 1 else 's'}, and a curve needs two; "
            "train with every.keep = 1000"
        )
    read = {record["step"]: record["tokens"] for record in read_journal(recipe.out / "metrics.jsonl") if "loss" in record}
    points = []
    for step in steps:
        say(f"step {step:,} of {steps[-1]:,}")
        folder = config.out / f"step-{step}"
        model = folder / "model"
        if not (model / "config.json").is_file():
            export(recipe, step, model)
        points.append({"step": step, "tokens": read[step], **_measure(config, folder)})
    result = {"run": str(recipe.out), "points": points}
    write_json(config.out / _NAME, result)
    write_text(config.out / "growth.html", page("Growth", _SUMMARY, [growth_plot(result)]))
    return result


def _measure(config: Evaluate, folder: Path) -> dict[str, Any]:
    """The figures of one checkpoint."""
    found: dict[str, Any] = {"figures": {}}
    model, held_out = folder / "model", folder / "evaluation.json"
    if config.tasks:
        evaluate_tasks(replace(config, model=model, out=folder))
        for each in figures_in(folder):
            interval = {"low": each.low, "high": each.high}
            found["figures"][each.task] = {"measure": each.measure, "value": each.value, **interval, "items": each.count}
    if config.corpus:
        if not held_out.is_file():
            evaluate(replace(config, model=model, out=held_out, references=False))
        found["bits_per_byte"] = read_json(held_out)["bits_per_byte"]
    return found


def growth_table(result: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of words: a head, and one for each checkpoint."""
    tasks = list(result["points"][0]["figures"])
    heads = ["step", "tokens", *tasks, *(["bits per byte"] if "bits_per_byte" in result["points"][0] else [])]
    rows = [tuple(heads)]
    for point in result["points"]:
        values = [f"{point['figures'][task]['value']:.3f}" for task in tasks]
        values += [f"{point['bits_per_byte']:.3f}"] if "bits_per_byte" in point else []
        rows.append((f"{point['step']:,}", f"{point['tokens']:,}", *values))
    return rows


def growth_plot(result: dict[str, Any]) -> str:
    """The curves of growth.json as inline SVG: a chart for each measure, and one of held-out bits per byte."""
    panels: dict[str, dict[str, Curve]] = {}
    points = result["points"]
    for task, first in points[0]["figures"].items():
        curve = [(point["tokens"] / 1e6, *_interval(point["figures"][task])) for point in points]
        panels.setdefault(first["measure"], {})[task] = curve
    if "bits_per_byte" in points[0]:
        curve = [(point["tokens"] / 1e6, point["bits_per_byte"], None, None) for point in points]
        panels["bits per byte"] = {**panels.get("bits per byte", {}), "held-out text": curve}
    return plot(panels, "million tokens read")


def _interval(figure: dict[str, Any]) -> tuple[float, float | None, float | None]:
    return figure["value"], figure["low"], figure["high"]


def size_plot(folders: Sequence[Path]) -> tuple[str, list[tuple[str, Figure]]]:
    """Scores against parameters, of the results.json of two models or more: inline SVG, and the figures with their models.

    Raises GenusError where one tells no size, or no task was asked of two models in the same way.
    """
    found: list[tuple[int, str, Figure]] = []
    for folder in folders:
        content = read_json(folder / "results.json")
        if "parameters" not in content:
            raise GenusError(f"{folder} does not say how large its model is; evaluate it again in another --out")
        name = f"{content['model']} ({content['parameters']:,})"
        found += [(content["parameters"], name, each) for each in figures_in(folder)]
    panels: dict[str, dict[str, Curve]] = {}
    for key in dict.fromkeys((each.measure, each.task, each.shots) for _, _, each in found):
        same = [(size, each) for size, _, each in found if (each.measure, each.task, each.shots) == key]
        if len({size for size, _ in same}) > 1:
            curve = sorted((float(size), each.value, each.low, each.high) for size, each in same)
            panels.setdefault(key[0], {})[f"{key[1]}, {key[2]} shots"] = curve
    if not panels:
        raise GenusError("no task was asked of two sizes with as many shots; evaluate both on the same tasks")
    return plot(panels, "parameters", logarithmic=True), [(name, each) for _, name, each in found]
