"""Scores of tasks beside lm-evaluation-harness running the same model through transformers: item by item, and in seconds.

All contenders are whole processes of one Python, with the same threads, on the same records. What is compared is the
log-probability of every completion of each item, and which is chosen.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.evaluate.incontext.finding import Ready, find_tasks
from genus.evaluate.incontext.prompts import Prompt
from genus.evaluate.incontext.task import Task

EXAMPLES = """examples:
  make .venv-harness/.ready
  python bench/harness.py models/smollm2 sets --limit 200
  python bench/harness.py models/smollm2 sets --limit 200 --shots 5
  python bench/harness.py models/smollm2 sets --tasks copa piqa --json    the last line is one JSON object

The folder of sets holds llm_foundry_eval/, copa/, fewshot_cls/ and flores200/, as docs/evaluate.md says.
lm-evaluation-harness first tries each of --batch on a few items, and runs with the fastest.
"""
PYTHON = Path(__file__).resolve().parents[1] / ".venv-harness/bin/python"
TASKS = ("copa", "piqa", "winogrande", "arc_easy", "sst2", "last_word")
Items = dict[str, list[list[float]]]
"""By task, of each item the log-probability of each completion."""


class Run(NamedTuple):
    """What a contender said, and the seconds of its process."""

    seconds: float
    items: Items


def main() -> int:
    """Measure, compare, print, and give the exit code: 1 where scores differ by more than 1e-3."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("data", type=Path, help="folder of task files")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--limit", type=int, default=200, help="items of each task (default 200)")
    parser.add_argument("--shots", type=int, default=0, help="show each item the first so many of its task (default 0)")
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 4, 16], help="of lm-eval hf (default 1 4 16)")
    parser.add_argument(
        "--exact", action="store_true", help="compare with lm-eval hf in fp64, which tells whose rounding it is"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--python", type=Path, default=PYTHON, help="that of an environment with lm-eval and genus")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = _race(options, Path(folder))
    except (GenusError, OSError, subprocess.CalledProcessError) as error:
        print(f"nothing was measured: {getattr(error, 'stderr', None) or error}", file=sys.stderr)
        return 1
    _print(found)
    if options.json:
        print(json.dumps(found))
    return int(any(each["largest"] > 1e-3 for each in found["differences"] if each["contender"].startswith("genus")))


def _race(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    _write_tasks(options, folder)
    tried = {
        size: _theirs(options, folder / f"tried-{size}", size, 16).seconds for size in options.batch[1:] and options.batch
    }
    batch = min(tried, key=tried.__getitem__, default=options.batch[0])
    runs = {
        "lm-eval hf": _theirs(options, folder / "theirs", batch, options.limit),
        "genus --harness": _harness(options, folder),
        "genus --tasks": _tasks(options, folder),
    }
    reference = "lm-eval hf"
    if options.exact:
        reference = "lm-eval hf fp64"
        runs[reference] = _theirs(options, folder / "exact", batch, options.limit, "float64")
    right = runs[reference].items
    return {
        "model": str(options.model),
        "limit": options.limit,
        "shots": options.shots,
        "threads": options.threads,
        "batch": batch,
        "items": {name: len(each) for name, each in right.items()},
        "reference": reference,
        "seconds": {name: run.seconds for name, run in runs.items()},
        "differences": [
            {"contender": name, "task": task, **_differences(right[task], run.items[task])}
            for name, run in runs.items()
            if name != reference
            for task in options.tasks
        ],
    }


def _write_tasks(options: argparse.Namespace, folder: Path) -> None:
    """Of each task its prompts as records, and the task of them in both forms: YAML for lm-eval, TOML for Genus."""
    (folder / "last_word.toml").write_text(
        'kind = "cloze"\nform = "last_word"\nfile = "flores200/eng_Latn.devtest"\nanswer = "word"\ncontext = "{context}"\n'
        'completion = " {word}"\n'
    )
    lines = (options.data / "flores200/eng_Latn.devtest").read_text("utf-8").splitlines()
    (folder / "flores200").mkdir()
    texts = [{"text": line.strip().rstrip('."')} for line in lines if len(line.split()) > 4]
    (folder / "flores200/eng_Latn.devtest").write_text("".join(json.dumps(each) + "\n" for each in texts))
    for name in options.tasks:
        own = name == "last_word"
        (ready,) = find_tasks([str(folder / f"{name}.toml") if own else name], folder if own else options.data)
        assert isinstance(ready, Ready)  # no programs are among them
        shown = "".join(_whole(ready.prompts[number]) + ready.task.separator for number in range(options.shots))
        after = range(options.shots, min(options.shots + options.limit, len(ready.prompts)))
        records = [_record(ready.prompts[number], shown) for number in after]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        (folder / f"{name}.toml").write_text(_toml(ready.task, name))
        (folder / f"bench_{name}.yaml").write_text(_yaml(ready.task, name, folder))


def _whole(prompt: Prompt) -> str:
    """An example as it is shown: with what is right."""
    return next(context + said for place, (context, said) in enumerate(prompt.pairs) if place == max(prompt.gold, 0))


def _record(prompt: Prompt, shown: str) -> dict[str, Any]:
    contexts = [shown + context for context in prompt.contexts]
    first = {"context": contexts[0], "completion": prompt.completions[0]}
    return {**first, "contexts": contexts, "completions": list(prompt.completions), "gold": prompt.gold}


def _toml(task: Task, name: str) -> str:
    head = f'kind = "{task.kind}"\nfile = "{name}.jsonl"\n'
    match task.kind:
        case "partial":
            return f'{head}choices = ["contexts"]\ncontext = "{{choice}}"\ncompletion = "{{completion}}"\n'
        case "cloze":
            return f'{head}answer = "completion"\ncontext = "{{context}}"\ncompletion = "{{answer}}"\n'
        case _:
            return f'{head}choices = ["completions"]\ncontext = "{{context}}"\ncompletion = "{{choice}}"\nrule = "sum"\n'


def _yaml(task: Task, name: str, folder: Path) -> str:
    head = (
        f"task: bench_{name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / name}.jsonl}}}}\n"
        "test_split: test\ntarget_delimiter: ''\n"
    )
    choice = "output_type: multiple_choice\nmetric_list: [{metric: acc}]\n"
    match task.kind:
        case "partial":
            return (
                f"{head}{choice}doc_to_text: gold\ndoc_to_choice: '{{{{contexts}}}}'\ndoc_to_target: '{{{{completion}}}}'\n"
            )
        case "cloze":
            target = "output_type: loglikelihood\nmetric_list: [{metric: acc}]\ndoc_to_target: '{{completion}}'\n"
            return f"{head}{target}doc_to_text: '{{{{context}}}}'\n"
        case _:
            return (
                f"{head}{choice}doc_to_text: '{{{{context}}}}'\ndoc_to_choice: '{{{{completions}}}}'\ndoc_to_target: gold\n"
            )


def _theirs(options: argparse.Namespace, out: Path, batch: int, limit: int, dtype: str = "float32") -> Run:
    arguments = f"pretrained={options.model.resolve()},dtype={dtype}"
    command = ["-m", "lm_eval", "run", "--model", "hf", "--model_args", arguments, "--device", "cpu", "--log_samples"]
    more = ["--include_path", out.parent, "--batch_size", batch, "--limit", limit, "--output_path", out, "--tasks"]
    seconds = _timed(options, out.parent, [*command, *more, *(f"bench_{name}" for name in options.tasks)])
    return Run(seconds, {name: _samples(*out.rglob(f"samples_bench_{name}_*.jsonl")) for name in options.tasks})


def _harness(options: argparse.Namespace, folder: Path) -> Run:
    out, names = folder / "harness", [f"bench_{name}" for name in options.tasks]
    command = ["-m", "genus.cli.main", "evaluate", options.model.resolve(), "--data", folder, "--out", out, "--harness"]
    seconds = _timed(options, folder, [*command, *names])
    return Run(seconds, {name: _samples(out / f"bench_{name}.jsonl") for name in options.tasks})


def _tasks(options: argparse.Namespace, folder: Path) -> Run:
    out, names = folder / "tasks", [folder / f"{name}.toml" for name in options.tasks]
    command = ["-m", "genus.cli.main", "evaluate", options.model.resolve(), "--out", out, "--tasks"]
    seconds = _timed(options, folder, [*command, *names])
    found = {name: [json.loads(line)["nats"] for line in _lines(out / f"{name}.jsonl")] for name in options.tasks}
    return Run(
        seconds, {name: [each if isinstance(each, list) else [each] for each in rows] for name, rows in found.items()}
    )


def _timed(options: argparse.Namespace, folder: Path, command: list[Any]) -> float:
    environment = {"OMP_NUM_THREADS": str(options.threads), "HF_HOME": str(folder / "hf"), "TQDM_DISABLE": "1"}
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    began = time.perf_counter()
    subprocess.run(
        [options.python, *map(str, command)],
        env={**os.environ, **environment, **offline},
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - began


def _lines(path: Path) -> Iterator[str]:
    yield from path.read_text("utf-8").splitlines()


def _samples(path: Path) -> list[list[float]]:
    """lm-eval's log of items: of each the log-probability of every request."""
    samples = sorted(map(json.loads, _lines(path)), key=lambda sample: sample["doc_id"])
    return [[float(response[0]) for (response,) in sample["resps"]] for sample in samples]


def _differences(theirs: list[list[float]], ours: list[list[float]]) -> dict[str, Any]:
    pairs = list(zip(theirs, ours, strict=True))
    largest = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    choices = sum(one.index(max(one)) != other.index(max(other)) for one, other in pairs)
    return {"largest": largest, "other choices": choices, "items": len(pairs)}


def _print(found: dict[str, Any]) -> None:
    count = sum(found["items"].values())
    head = f"{found['model']}, {found['threads']} threads, {count:,} items, {found['shots']} shots"
    print(f"{head}, fp32 but where said")
    theirs = found["seconds"]["lm-eval hf"]
    for name, seconds in found["seconds"].items():
        note = f"   batches of {found['batch']}" if name.startswith("lm-eval") else ""
        print(f"{name:16}{seconds:9.1f} s{theirs / seconds:8.2f}x{note}")
    print(f"\nto {found['reference']}\n{'':16}{'task':12}{'items':>7}{'largest difference, nats':>27}{'other choices':>15}")
    for each in found["differences"]:
        print(f"{each['contender']:16}{each['task']:12}{each['items']:7}{each['largest']:27.6f}{each['other choices']:15}")


if __name__ == "__main__":
    sys.exit(main())
