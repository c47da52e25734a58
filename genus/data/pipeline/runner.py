"""Runs the tasks of a pass, in processes on this machine or on a Ray cluster, by one plan of Daft's.

A task reads and writes files and gives a few numbers; what it gave is kept in a file, and who has one is not done again.
"""

import atexit
import json
import logging
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.progress import progress, say

__all__ = ["Pass", "Runner", "run_tasks"]

_TRIES = 3  # of tasks whose process died
_WORTH = 2**25  # bytes of text for which a process is started: it takes some seconds
Task = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Where the work is done."""

    kind: Literal["native", "ray"] = "native"
    """native is this machine; ray a cluster whose machines see the same folders."""
    address: str = ""
    """Of the Ray cluster, such as ray://host:10001; empty starts one on this machine."""
    processes: int = 0
    """How many tasks at once; 0 takes one for each core, where there is enough to do."""

    def __post_init__(self) -> None:
        if self.processes < 0:
            raise GenusError(f"runner.processes {self.processes} is not 0, for one a core, or a number of processes")

    def at_once(self, size: int) -> int:
        """How many tasks at once for so many bytes."""
        return self.processes or min(len(os.sched_getaffinity(0)), size // _WORTH + 1)


@dataclass(frozen=True)
class Pass:
    """What is done to each of a number of tasks: `work(task)` gives a JSON object. `size` is about how many bytes it is."""

    name: str
    work: Callable[[Task], dict[str, Any]]
    tasks: Sequence[Task]
    size: int = 0


def run_tasks(step: Pass, done: Path, runner: Runner) -> list[dict[str, Any]]:
    """What each task gave, in order; kept in the folder `done`. With `seconds`, `cpu` (of all its threads) and `peak` (bytes
    of its process)."""
    paths = [done / f"{number:05d}.json" for number in range(len(step.tasks))]
    with progress(step.name, len(paths)) as update:
        for attempt in range(1, _TRIES + 1):
            waiting = [number for number, path in enumerate(paths) if not path.exists()]
            try:
                for finished, _ in enumerate(_each(step, [(n, paths[n]) for n in waiting], runner), 1):
                    update(len(paths) - len(waiting) + finished, "")
            except (OSError, RuntimeError) as error:
                if isinstance(error, GenusError) or attempt == _TRIES:
                    raise
                say(f"{step.name}: {error}; its unfinished tasks are started again")
                continue
            break
    return [read_json(path) for path in paths]


def _each(step: Pass, tasks: Sequence[tuple[int, Path]], runner: Runner) -> Iterator[None]:
    """Do the tasks, in processes where that pays."""
    processes = min(runner.at_once(step.size), len(tasks))
    if processes <= 1 and runner.kind == "native":
        for number, path in tasks:
            _perform(step.work, step.tasks[number], path)
            yield
        return
    daft = _daft(runner.kind, runner.address)

    @daft.cls(max_concurrency=processes, use_process=True)
    class Worker:
        @daft.method.batch(return_dtype=daft.DataType.string(), batch_size=1)
        def perform(self, tasks: Any, paths: Any) -> list[str]:
            pairs = zip(tasks.to_pylist(), paths.to_pylist(), strict=True)
            return [_told(work, json.loads(task), Path(path)) for task, path in pairs]

    work = step.work
    # each task goes to its worker alone, and all that comes back is a sentence
    columns = {"task": [json.dumps(step.tasks[number]) for number, _ in tasks], "done": [str(path) for _, path in tasks]}
    table = daft.from_pydict(columns)
    for row in table.select(Worker().perform(daft.col("task"), daft.col("done")).alias("error")).iter_rows():
        if row["error"]:
            raise GenusError(row["error"])
        yield


def _told(work: Callable[[Task], dict[str, Any]], task: Task, done: Path) -> str:
    """ "", or what was wrong, as errors of our own do not survive the way between processes."""
    try:
        _perform(work, task, done)
    except GenusError as error:
        return str(error)
    return ""


def _perform(work: Callable[[Task], dict[str, Any]], task: Task, done: Path) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    found = work(task)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    spent = {"seconds": round(time.perf_counter() - began, 3), "cpu": round(time.process_time() - cpu, 3), "peak": peak}
    write_json(done, {**found, **spent})


@cache  # a process can say only once where it runs
def _daft(kind: str, address: str) -> Any:
    os.environ["DAFT_ANALYTICS_ENABLED"] = "0"
    os.environ.setdefault("DAFT_PROGRESS_BAR", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import daft
    except ImportError as error:
        raise GenusError(
            "several parts at once need Daft, which is not installed; run: pip install 'genus[corpus]'"
        ) from error
    if kind == "ray":
        try:
            if not address:
                import ray

                # without the dashboard, whose processes take seconds of a core each to start
                ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
            daft.set_runner_ray(address=address or None)
        except ImportError as error:
            raise GenusError("runner ray needs Ray, which is not installed; run: pip install 'genus[ray]'") from error
    else:
        daft.set_runner_native()
    # Its threads let go of Python's objects a moment after they gave the last result; at the end of Python that crashes.
    atexit.register(time.sleep, 0.3)
    return daft
