"""What pretraining is worth on a task: a model tuned against the same architecture from random weights, over seeds.

The sets are those of few-shot classification in one folder (sst2, trec, rte, cb), which is not part of the repository.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.core.progress import set_quiet
from genus.train.recipe import Energy
from genus.train.task_recipe import TaskCourse, TaskOptim, TaskTuning
from genus.train.task_tuning import tune_task
from genus.train.tune_recipe import Lora, TuneEvery

EXAMPLES = """examples:
  python bench/tune.py --data ../shared/data/fewshot_cls --model runs/demo/model
  python bench/tune.py --model runs/demo/model --sets sst2 --seeds 2 --records 500       a quick look
  python bench/tune.py --model runs/demo/model --large models/smollm2 --json             the last line is one JSON object

Both sides of a comparison have the same records, seeds, steps and settings. Of the large model there is one run, by LoRA.
"""
GPT1 = {"sst2": 91.3, "rte": 56.0}  # as published (2018, tables 2 and 4)
T_95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # Student's t by number of seeds
Rows = list[dict[str, str]]


class Task(NamedTuple):
    """Records to learn from and to measure on."""

    form: str
    learned: Rows
    held_out: Rows


def main() -> int:
    """Measure, print the table, and give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fewshot_cls"), help="folder of the sets")
    parser.add_argument("--model", type=Path, default=Path("runs/demo/model"), help="pretrained (default runs/demo/model)")
    parser.add_argument("--large", type=Path, help="another pretrained model, tuned once on sst2 by LoRA")
    parser.add_argument("--sets", nargs="*", choices=READERS, default=list(READERS))
    parser.add_argument("--seeds", type=int, default=5, help="runs of each side (default 5)")
    parser.add_argument(
        "--records", type=int, default=2000, help="to learn from, at most; of pairs a quarter (default 2000)"
    )
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=3e-3, help="near the 4e-3 that the demo pretrains with (default 3e-3)")
    parser.add_argument("--lm-weight", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--jobs", type=int, default=2, help="runs at once, a thread each: small models gain nothing by more")
    parser.add_argument("--large-records", type=int, default=512)
    parser.add_argument("--large-lr", type=float, default=5e-4)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    set_quiet(True)
    found: dict[str, Any] = {}
    try:
        for name in options.sets:
            found[name] = compare(name, options)
            print(row(name, found[name]), flush=True)
        if options.large:
            found["large"] = tune_large(options)
            print(large_row(found["large"]), flush=True)
    except GenusError as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    if options.json:
        shown = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
        print(json.dumps({**shown, "threads": torch.get_num_threads(), "found": found}))
    return 0


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Accuracies of each side, one a seed."""
    began, task = time.monotonic(), READERS[name](options.data / name)
    most_learned = options.records if task.form == "classification" else options.records // 4  # pairs are long
    task = task._replace(learned=task.learned[:most_learned])
    settings = {"epochs": options.epochs, "lm_weight": options.lm_weight, "dropout": options.dropout}
    settings |= {"head_dropout": options.dropout, "optim": TaskOptim(lr=options.lr)}
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        waiting = {
            side: [
                pool.submit(run, task, options.model, seed=seed, from_scratch=side == "scratch", **settings)
                for seed in range(options.seeds)
            ]
            for side in ("pretrained", "scratch")
        }
        accuracies = {side: [each.result()["accuracy"] for each in runs] for side, runs in waiting.items()}
    most = statistics.mode(record["label"] for record in task.held_out)
    usual = sum(record["label"] == most for record in task.held_out) / len(task.held_out)
    counts = {"learned": len(task.learned), "held_out": len(task.held_out), "usual": usual}
    return {**counts, **accuracies, "seconds": round(time.monotonic() - began)}


def run(task: Task, model: Path, **settings: Any) -> dict[str, Any]:
    """Tune once; give what results.json says."""
    set_quiet(True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        paths = {"train": home / "train.jsonl", "held_out": home / "held_out.jsonl"}
        for path, rows in zip(paths.values(), (task.learned, task.held_out), strict=True):
            path.write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
        rare = {"every": TuneEvery(validate=0, checkpoint=0), "energy": Energy(count="off"), "tensorboard": "off"}
        tune_task(TaskTuning(model=model, out=home / "run", form=task.form, **paths, **rare, **settings))  # type: ignore[arg-type]
        found: dict[str, Any] = read_json(home / "run" / "results.json")
        return found


def tune_large(options: argparse.Namespace) -> dict[str, Any]:
    """SST-2 by LoRA, one epoch over some of it."""
    began, task = time.monotonic(), READERS["sst2"](options.data / "sst2")
    task = task._replace(learned=task.learned[: options.large_records])
    settings: dict[str, Any] = {
        "epochs": 1,
        "lm_weight": 0.0,
        "dropout": 0.0,
        "lora": Lora(rank=16, alpha=32.0, parts=("q", "k", "v", "out", "up", "gate", "down")),
        "optim": TaskOptim(lr=options.large_lr, weight_decay=0.0),
        "schedule": TaskCourse(warmup=0.1),
    }
    result = run(task, options.large, **settings)
    return {**result, "learned": len(task.learned), "seconds": round(time.monotonic() - began)}


def interval(values: list[float]) -> tuple[float, float]:
    """The mean and half of its 95% interval, by Student's t."""
    half = T_95.get(len(values), 2.0) * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), half


def row(name: str, found: dict[str, Any]) -> str:
    """A line of the table."""
    gains = [a - b for a, b in zip(found["pretrained"], found["scratch"], strict=True)]
    told = [f"{side} {_percent(*interval(found[side]))}" for side in ("pretrained", "scratch")]
    best = f"  GPT-1 {GPT1[name]}" if name in GPT1 else ""
    return (
        f"{name:5} learned {found['learned']:5,} held-out {found['held_out']:4} most usual {100 * found['usual']:4.1f}  "
        f"{told[0]}  {told[1]}  gain {_percent(*interval(gains))}  ({found['seconds']} s){best}"
    )


def large_row(found: dict[str, Any]) -> str:
    """The line of the large model."""
    low, high = 100 * found["accuracy_low"], 100 * found["accuracy_high"]
    return (
        f"large sst2: learned {found['learned']:,}, accuracy {100 * found['accuracy']:.1f} ({low:.1f} to {high:.1f}) of "
        f"{found['held_out']}, GPT-1 {GPT1['sst2']}  ({found['seconds']} s)"
    )


def _percent(mean: float, half: float) -> str:
    return f"{100 * mean:5.1f} +- {100 * half:3.1f}"


def _lines(path: Path) -> Iterator[str]:
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name the folder of the sets with --data") from error
    return (line for line in text.split("\n") if line.strip())


def _sst2(folder: Path) -> Task:
    def rows(path: Path) -> Rows:
        return [{"text": line[2:], "label": ("negative", "positive")[int(line[0])]} for line in _lines(path)]

    return Task("classification", rows(folder / "stsa.binary.train"), rows(folder / "stsa.binary.dev"))


def _trec(folder: Path) -> Task:
    """Six kinds of question; the last 500 are held out."""
    parts = [line.split(" ", 1) for line in _lines(folder / "train.txt")]
    rows = [{"text": text, "label": kind.split(":")[0]} for kind, text in parts]
    return Task("classification", rows[:-500], rows[-500:])


def _pairs(path: Path) -> Rows:
    kept = ("premise", "hypothesis", "label")
    return [{name: record[name] for name in kept} for record in map(json.loads, _lines(path))]


def _rte(folder: Path) -> Task:
    return Task("entailment", _pairs(folder / "train.jsonl"), _pairs(folder / "val.jsonl"))


def _cb(folder: Path) -> Task:
    """The last 75 are held out."""
    rows = _pairs(folder / "train.jsonl")
    return Task("entailment", rows[:-75], rows[-75:])


READERS: dict[str, Callable[[Path], Task]] = {"sst2": _sst2, "trec": _trec, "rte": _rte, "cb": _cb}

if __name__ == "__main__":
    sys.exit(main())
