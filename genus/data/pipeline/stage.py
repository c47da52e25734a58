"""The corpus stage: its passes in order, what each leaves for the next, and what becomes the corpus folder."""

import hashlib
import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.progress import say
from genus.core.recipe import as_dict
from genus.data.holdout import Facts as Known
from genus.data.holdout import Rule, TooLittle, choose
from genus.data.pipeline.finishing import count_task, evaluation_grams, finish_task, finishes, texts_of
from genus.data.pipeline.overall import (
    HELD_PARAGRAPHS,
    Facts,
    Gone,
    beyond_budgets,
    near_copies,
    same_ids,
    same_texts,
    sets_task,
    shared_buckets,
)
from genus.data.pipeline.parts import dropped_schema, read_table, write_array, write_table
from genus.data.pipeline.reading import read_task, share_out
from genus.data.pipeline.recipe import LAST, Corpus
from genus.data.pipeline.runner import Pass, run_tasks
from genus.data.pipeline.tally import Amount, Tally, merged
from genus.data.pipeline.writing import write_task
from genus.data.report.samples import evidence
from genus.data.sources.folders import FORMATS
from genus.data.steps.decontaminate import summary
from genus.data.steps.paragraphs import Repeated, repeated
from genus.data.steps.quality import load_quality, train_quality
from genus.data.steps.task_files import read_tasks

__all__ = ["Stage"]

T = TypeVar("T")
_ALL = ("id", "collection", "bytes", "words")


class Stage:
    """One making of a corpus, in a folder of work that a killed start leaves for the next."""

    def __init__(self, recipe: Corpus, work: Path) -> None:
        self.recipe, self.work = recipe, work
        self.tasks = share_out(recipe)
        self.tallies: list[Any] = []
        self.inputs: list[list[str]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.spent: list[dict[str, Any]] = []
        self._waited = np.zeros(2)
        self._try()
        self._check()

    def _pass(self, name: str, work: Any, tasks: Sequence[dict[str, Any]]) -> Pass:
        return Pass(name, work, tasks, sum(piece["size"] for task in self.tasks for piece in task))

    def _try(self) -> None:
        """Open what only later passes need, so that what is wrong with it is told before hours of work."""
        steps, tasks, model = self.recipe.steps, self.recipe.decontaminate.tasks, self.recipe.quality.model
        for _ in self.recipe.opened(LAST):
            pass
        if "decontaminate" in steps and not tasks:
            raise GenusError("step decontaminate has nothing to look for; name evaluation sets in decontaminate.tasks")
        for path in tasks if "decontaminate" in steps else ():
            read_tasks(path)
        if "quality" in steps and model:
            load_quality(model)

    def _check(self) -> None:
        """Forget the work of another recipe, or of sources that are not as they were."""
        told = json.dumps([_lasting(self.recipe), self.tasks, _stamps(self.tasks)], sort_keys=True, default=str)
        digest = hashlib.sha256(told.encode()).hexdigest()
        path = self.work / "plan.json"
        if path.exists() and read_json(path)["sha256"] != digest:
            say("the recipe or the sources have changed since a start that was not finished; everything is done anew")
            shutil.rmtree(self.work)
        write_json(path, {"sha256": digest})

    def read(self) -> Facts:
        """Read the sources into parts."""
        folder = self.work / "read"
        step = self._pass("reading", partial(_numbered, partial(read_task, self.recipe, folder)), _numbers(self.tasks))
        found = self._run(step, folder / "done")
        self.inputs = sorted(file for each in found for file in each["inputs"])
        facts = self._facts(folder, found)
        if not len(facts.gone):
            dropped = self.dropped()[:3]
            rows = zip(dropped["id"].to_pylist(), dropped["reason"].to_pylist(), strict=True)
            why = "; ".join(f"{id}: {reason}" for id, reason in rows) or "it is empty"
            what = ", ".join(each.path for each in self.recipe.collections)
            raise TooLittle(f"source {what} holds no usable text ({why}); give it files of {FORMATS}")
        return facts

    def _facts(self, folder: Path, found: Sequence[Any]) -> Facts:
        names = [name for each in found for name in each["parts"]]
        self.tallies += [each["tally"] for each in found]
        return Facts(folder, names, [len(read_table(folder / f"facts-{name}.parquet", ["bytes"])) for name in names])

    def _left(self, facts: Facts, name: str) -> list[dict[str, str]]:
        """A task for each part: its texts, and a file of which of them are left."""
        tasks = []
        for part in facts.names:
            left = self.work / name / f"left-{part}.npy"
            write_array(left, ~facts.gone[facts.of(part)])
            files = {what: str(facts.folder / f"{what}-{part}.parquet") for what in ("text", "facts")}
            tasks.append({**files, "left": str(left)})
        return tasks

    def drop_repeats(self, facts: Facts) -> None:
        """Mark copies in `facts`, and write down why."""
        self._overall(facts, "ids", lambda: same_ids(facts))
        if "exact" in self.recipe.steps:
            self._overall(facts, "exact", lambda: same_texts(facts))
        if "fuzzy" in self.recipe.steps:
            self._overall(facts, "fuzzy", lambda: self._near(facts))

    def keep_budgets(self, facts: Facts) -> None:
        """Mark what is beyond the budget of its language in `facts`, and write down why."""
        if "budgets" in self.recipe.steps:
            self._overall(facts, "budgets", lambda: beyond_budgets(facts, self.recipe.budgets, self.recipe.seed))

    def _near(self, facts: Facts) -> Gone:
        found = shared_buckets(facts, self.recipe.fuzzy)
        folder = self.work / "fuzzy"
        tasks, parts = [], []
        for name in facts.names:
            inside = facts.of(name)
            first, last = np.searchsorted(found.documents, [inside.start, inside.stop])
            if last > first:
                write_array(folder / f"rows-{name}.npy", found.documents[first:last] - inside.start)
                tasks.append({"part": name, "rows": str(folder / f"rows-{name}.npy")})
                parts.append(name)
        step = self._pass("near copies", partial(sets_task, facts.folder, self.recipe.fuzzy), tasks)
        self._run(step, folder / "done")
        return near_copies(facts, found, folder, parts, self.recipe.fuzzy)

    def _overall(self, facts: Facts, name: str, find: Callable[[], Gone]) -> None:
        """Do a step over all documents, or read what it found before."""
        path, tally = self.work / name / "gone.npy", Tally()
        self._once(name, path, lambda: self._mark(facts, name, find()))
        for (collection,), size in facts.amounts(["collection"]).items():
            tally.entered(name, collection, size)
        dropped = read_table(self.work / name / "dropped-all.parquet", ["collection", "reason", "bytes", "words"])
        sums = dropped.group_by(["collection", "reason"]).aggregate([([], "count_all"), ("bytes", "sum"), ("words", "sum")])
        for row in sums.to_pylist():
            size = Amount(row["count_all"], row["bytes_sum"], row["words_sum"])
            tally.dropped(name, row["collection"], row["reason"], size)
        facts.gone[np.load(path, allow_pickle=False)] = True
        for (collection,), size in facts.amounts(["collection"]).items():
            tally.kept(name, collection, size)
        self.tallies.append(tally.told())

    def _mark(self, facts: Facts, name: str, gone: Gone) -> None:
        """Write down what a step over all documents drops, with evidence for those that the report shows."""
        import pyarrow as pa

        table, count = facts.take(gone.places, list(_ALL)), len(gone.places)
        columns = {each: table[each].to_pylist() for each in _ALL}
        excerpts, copies = evidence(facts, gone, columns["id"], self.recipe.seed)
        columns |= {"step": [name] * count, "reason": gone.reasons, "detail": gone.details, "excerpt": excerpts}
        columns |= {"kept": gone.kept, "jaccard": gone.jaccard}
        write_table(self.work / name / "dropped-all.parquet", pa.table(columns, schema=dropped_schema()))
        write_json(self.work / name / "copies.json", copies)
        write_array(self.work / name / "gone.npy", gone.places)

    def _run(self, step: Pass, done: Path) -> list[dict[str, Any]]:
        """What the tasks of a pass gave."""
        began = _clocks()
        found = run_tasks(step, done, self.recipe.runner)
        self._waited += _clocks() - began
        if not found:
            return found
        seconds, cpu = (round(sum(each[name] for each in found), 3) for name in ("seconds", "cpu"))
        peak = max(each["peak"] for each in found)
        self.spent.append({"name": step.name, "tasks": len(found), "seconds": seconds, "cpu": cpu, "peak": peak})
        return found

    def _once(self, name: str, done: Path, do: Callable[[], Any]) -> None:
        """Do what one process does for all documents, unless `done` is there. How long it took, and passes that it began,
        stays in a file for a start that goes on from here."""
        told = self.work / f"spent-{name}.json"
        if done.exists():
            self.spent += read_json(told) if told.exists() else []  # a kill may have come between the two
            return
        first = len(self.spent)
        self._time(name, do)
        write_json(told, self.spent[first:])

    def _time(self, name: str, do: Callable[[], T]) -> T:
        """What it gives; how long it takes, without the passes that it begins, is noted."""
        waited, began = self._waited.copy(), _clocks()
        found = do()
        seconds, cpu = (_clocks() - began - (self._waited - waited)).round(3).tolist()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.spent.append({"name": name, "tasks": 0, "seconds": seconds, "cpu": cpu, "peak": peak})
        return found

    def finish(self, facts: Facts) -> Facts:
        """Take what is left through the steps after repeats; what is known of the documents then."""
        if not finishes(self.recipe):
            return facts
        folder, tasks, known = self.work / "finish", self._left(facts, "finish"), dict[str, Any]()
        if "paragraphs" in self.recipe.steps:
            known["repeated"] = self._repeated(facts, folder)
        if "quality" in self.recipe.steps:
            known["quality"] = str(self.recipe.rooted().quality.model or self._quality(tasks, folder / "quality"))
        if "decontaminate" in self.recipe.steps:
            known["counts"] = self._counts(folder / "grams", tasks)
        work = partial(_numbered, partial(finish_task, self.recipe.rooted(), folder, known))
        found = self._run(self._pass("finishing", work, _numbers(tasks)), folder / "done")
        return self._facts(folder, found)

    def _repeated(self, facts: Facts, folder: Path) -> list[str]:
        """Files of the paragraphs that go, see paragraphs.Repeated."""
        paths = [folder / f"repeated-{name}.npy" for name in Repeated._fields]

        def find() -> None:
            tables = _Paragraphs(facts)
            found = repeated(tables, self.recipe.paragraphs, tables.pieces)
            for path, array in zip(paths, found, strict=True):
                write_array(path, array)

        self._once("shared paragraphs", paths[-1], find)
        return [str(path) for path in paths]

    def _quality(self, tasks: Sequence[dict[str, str]], folder: Path) -> Path:
        """A quality classifier, trained on what is left: the sources marked good against the others."""
        good, raw = (partial(texts_of, self.recipe, tasks, good) for good in (True, False))
        self._once("quality classifier", folder, lambda: train_quality(good(), raw(), self.recipe.seed).save(folder))
        return folder

    def _counts(self, folder: Path, tasks: Sequence[Any]) -> str:
        """A file of how many documents have each run of words of the evaluation sets."""
        path, told = folder / "all.npy", folder / "summary.json"

        def find() -> None:
            grams = evaluation_grams(self.recipe)
            work = partial(_numbered, partial(count_task, grams, folder))
            self._run(self._pass("contamination", work, _numbers(tasks)), folder / "done")
            counts = np.sum([np.load(each, allow_pickle=False) for each in sorted(folder.glob("counts-*.npy"))], axis=0)
            write_json(told, summary(grams, counts, self.recipe.decontaminate))
            write_array(path, counts)

        self._once("evaluation sets", path, find)
        self.evaluations = read_json(told)
        return str(path)

    def hold_out(self, facts: Facts) -> Rule:
        """Which of what is left is held out."""
        left = _Left(facts)
        if facts.gone.all():
            raise TooLittle("nothing is left of the sources; see why in the report, and change the recipe")
        return self._time("holding out", lambda: choose(left, self.recipe.held_out, self.recipe.seed))

    def write(self, facts: Facts, rule: Rule, out: Path) -> list[dict[str, Any]]:
        """Write what is left to `out`; what each task told."""
        tasks = self._left(facts, "write")
        step = self._pass("writing", partial(_numbered, partial(write_task, rule, out)), _numbers(tasks))
        return self._run(step, out / ".done")

    def dropped(self) -> Any:
        """All that was dropped, in the order of ids."""
        import pyarrow as pa

        paths = sorted(self.work.glob("*/dropped-*.parquet"))
        table = pa.concat_tables([dropped_schema().empty_table(), *map(read_table, paths)])
        return table.sort_by([(name, "ascending") for name in ("id", "step", "reason", "detail")])

    @property
    def tally(self) -> dict[str, Any]:
        """All counts so far."""
        return merged(self.tallies)


class _Left:
    """What is known of documents that are left, as often as asked."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __iter__(self) -> Iterator[Known]:
        for name in self.facts.names:
            table = read_table(self.facts.folder / f"facts-{name}.parquet", ["id", "date", "bytes"])
            table = table.filter(_mask(~self.facts.gone[self.facts.of(name)]))
            yield from map(Known, *(table[each].to_pylist() for each in ("id", "date", "bytes")))


class _Paragraphs:
    """Tables of the paragraphs of documents that are left, as often as asked: a copy that is gone owns none."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    @property
    def pieces(self) -> int:
        """In how many pieces work on all of them fits memory: a document may have many."""
        from pyarrow.parquet import read_metadata

        rows = sum(read_metadata(self._path(name)).num_rows for name in self.facts.names)
        return rows // HELD_PARAGRAPHS + 1

    def _path(self, name: str) -> Path:
        return self.facts.folder / f"paragraphs-{name}.parquet"

    def __iter__(self) -> Iterator[Any]:
        for name in self.facts.names:
            table = read_table(self._path(name))
            left = ~self.facts.gone[self.facts.of(name)]
            yield table.filter(_mask(left[table["row"].to_numpy()]))


def _clocks() -> NDArray[np.float64]:
    """Seconds that have passed, and those of all threads of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def _mask(array: Any) -> Any:
    import pyarrow as pa

    return pa.array(array)


def _lasting(recipe: Corpus) -> dict[str, Any]:
    """What settles the outcome: not where it is written, nor by whom."""
    return {key: value for key, value in as_dict(recipe).items() if key not in ("out", "runner")}


def _stamps(tasks: Sequence[Any]) -> list[Any]:
    """Of each file its size and when it was changed."""
    stamps = []
    for piece in (piece for task in tasks for piece in task if piece["path"]):
        try:
            status = Path(piece["path"]).stat()
        except OSError:
            continue
        stamps.append([piece["path"], status.st_size, status.st_mtime_ns])
    return stamps


def _numbers(tasks: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"number": number, "task": task} for number, task in enumerate(tasks)]


def _numbered(work: Any, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = work(task["number"], task["task"])
    return found
