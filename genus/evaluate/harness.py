"""lm-evaluation-harness's tasks, asked of a model in this process (harness_model.py); tasks and scores are its own."""

import json
from importlib.metadata import version
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import locked, write_json, write_text
from genus.engine.model import load
from genus.evaluate.recipe import Evaluate
from genus.train.logbook import entry

__all__ = ["evaluate_harness", "table"]

_RESAMPLES = 1000  # of measures whose error has no formula


def evaluate_harness(config: Evaluate) -> dict[str, Any]:
    """Write config.out/results.json and NAME.jsonl of each task's items, and return the former's content."""
    assert config.model is not None
    try:
        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise GenusError("lm-evaluation-harness is not installed; pip install 'genus[harness]'") from None
    from genus.evaluate.harness_model import HarnessModel

    manager = TaskManager(include_path=None if config.data is None else str(config.data))
    unknown = [name for name in config.harness if not manager.match_tasks([name])]
    if unknown:
        raise GenusError(
            f"{unknown[0]} is no task of lm-evaluation-harness; `lm_eval ls tasks` lists them, --data adds your own"
        )
    with locked(config.out):
        found = simple_evaluate(
            model=HarnessModel(load(config.model)),
            tasks=list(config.harness),
            num_fewshot=config.shots or None,  # else as each task says
            limit=config.limit,
            bootstrap_iters=_RESAMPLES,
            task_manager=manager,
            fewshot_random_seed=config.seed,
            random_seed=config.seed,
        )
        tasks = {
            name: {key: value for key, value in each.items() if key != "alias"} for name, each in found["results"].items()
        }
        for name, samples in found["samples"].items():
            lines = (json.dumps(sample, ensure_ascii=False, default=str) for sample in samples)
            write_text(config.out / f"{name}.jsonl", "".join(line + "\n" for line in lines))
        results = {
            "model": str(config.model),
            "genus": version("genus"),
            "lm_eval": version("lm_eval"),
            "tasks": tasks,
            "shots": found["n-shot"],
            "items": {name: len(samples) for name, samples in found["samples"].items()},
            "limit": config.limit,
            "seed": config.seed,
        }
        write_json(config.out / "results.json", json.loads(json.dumps(results, default=str)))
    told = ", ".join(f"{name} {measure} {value}" for name, measure, *_, value, _ in table(results)[1:])
    entry(config.model.resolve().parent, "evaluation", f"lm-evaluation-harness: {told}, in {config.out.name}")
    return results


def table(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of words: a head, and one for each measure of each task."""
    rows: list[tuple[str, ...]] = [("task", "measure", "shots", "items", "value", "error")]
    for name, measures in results["tasks"].items():
        counts = str(results["shots"].get(name, "")), str(results["items"].get(name, ""))
        for key, value in measures.items():
            measure, _, way = key.partition(",")
            if isinstance(value, int | float) and way and not measure.endswith("_stderr"):
                error = measures.get(f"{measure}_stderr,{way}")
                told = f"{error:.3f}" if isinstance(error, int | float) else ""
                rows.append((name, measure, *counts, f"{value:.3f}", told))
    return rows
