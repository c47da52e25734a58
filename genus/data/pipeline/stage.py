"""The corpus stage: its passes in order, what each leaves for the next, and what becomes the corpus folder."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from genus.core.files import read_json, write_json
from genus.core.progress import say
from genus.core.recipe import as_dict
from genus.data.holdout import Facts as Known
from genus.data.holdout import Rule, TooLittle, choose
from genus.data.pipeline.finishing import count_task, evaluation_grams, finish_task, finishes, texts_of
from genus.data.pipeline.overall import (
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
from genus.data.pipeline.recipe import Corpus
from genus.data.pipeline.runner import Pass, run_tasks
from genus.data.pipeline.tally import Tally, merged
from genus.data.pipeline.writing import write_task
from genus.data.sources.folders import FORMATS
from genus.data.steps.paragraphs import Repeated, repeated
from genus.data.steps.quality import train_quality

__all__ = ["Stage"]

_ALL = ("id", "collection", "bytes")


class Stage:
    """One making of a corpus, in a folder of work that a killed start leaves for the next."""

    def __init__(self, recipe: Corpus, work: Path) -> None:
        self.recipe, self.work = recipe, work
        self.tasks = share_out(recipe)
        self.tallies: list[Any] = []
        self._check()

    def _pass(self, name: str, work: Any, tasks: Sequence[dict[str, Any]]) -> Pass:
        return Pass(name, work, tasks, sum(piece["size"] for task in self.tasks for piece in task))

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
        found = run_tasks(step, folder / "done", self.recipe.runner)
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
            tasks.append({"text": str(facts.folder / f"text-{part}.parquet"), "left": str(left)})
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
        run_tasks(step, folder / "done", self.recipe.runner)
        return near_copies(facts, found, folder, parts, self.recipe.fuzzy)

    def _overall(self, facts: Facts, name: str, find: Callable[[], Gone]) -> None:
        """Do a step over all documents, or read what it found before."""
        import pyarrow as pa

        path = self.work / name / "gone.npy"
        if not path.exists():
            gone = find()
            table = facts.take(gone.places, list(_ALL))
            count = len(gone.places)
            texts = {"step": [name] * count, "reason": gone.reasons, "detail": gone.details, "excerpt": [""] * count}
            columns = {each: table[each].to_pylist() for each in _ALL} | texts
            write_table(self.work / name / "dropped-all.parquet", pa.table(columns, schema=dropped_schema()))
            write_array(path, gone.places)
        tally = Tally()
        told = ("collection", "reason", "bytes")
        dropped = read_table(self.work / name / "dropped-all.parquet", list(told))
        for collection, reason, size in zip(*(dropped[each].to_pylist() for each in told), strict=True):
            tally.dropped(name, collection, reason, size)
        self.tallies.append(tally.told())
        facts.gone[np.load(path, allow_pickle=False)] = True

    def finish(self, facts: Facts) -> Facts:
        """Take what is left through the steps after repeats; what is known of the documents then."""
        if not finishes(self.recipe):
            return facts
        folder, tasks, known = self.work / "finish", self._left(facts, "finish"), dict[str, Any]()
        if "paragraphs" in self.recipe.steps:
            known["repeated"] = self._repeated(facts, folder)
        if "quality" in self.recipe.steps:
            known["quality"] = str(self.recipe.quality.model or self._quality(tasks, folder / "quality"))
        if "decontaminate" in self.recipe.steps:
            known["counts"] = self._counts(folder / "grams", tasks)
        work = partial(_numbered, partial(finish_task, self.recipe, folder, known))
        found = run_tasks(self._pass("finishing", work, _numbers(tasks)), folder / "done", self.recipe.runner)
        return self._facts(folder, found)

    def _repeated(self, facts: Facts, folder: Path) -> list[str]:
        """Files of the paragraphs that go, see paragraphs.Repeated."""
        paths = [folder / f"repeated-{name}.npy" for name in Repeated._fields]
        if not all(path.exists() for path in paths):
            tables = [facts.folder / f"paragraphs-{name}.parquet" for name in facts.names]
            found = repeated(_Tables(tables), self.recipe.paragraphs, facts.pieces)
            for path, array in zip(paths, found, strict=True):
                write_array(path, array)
        return [str(path) for path in paths]

    def _quality(self, tasks: Sequence[dict[str, str]], folder: Path) -> Path:
        """A quality classifier, trained on what is left: the sources marked good against the others."""
        if not folder.exists():
            good, raw = (partial(texts_of, self.recipe, tasks, good) for good in (True, False))
            train_quality(good(), raw(), self.recipe.seed).save(folder)
        return folder

    def _counts(self, folder: Path, tasks: Sequence[Any]) -> str:
        """A file of how many documents have each run of words of the evaluation sets."""
        path = folder / "all.npy"
        if not path.exists():
            work = partial(_numbered, partial(count_task, evaluation_grams(self.recipe), folder))
            run_tasks(self._pass("contamination", work, _numbers(tasks)), folder / "done", self.recipe.runner)
            parts = [np.load(each, allow_pickle=False) for each in sorted(folder.glob("counts-*.npy"))]
            write_array(path, np.sum(parts, axis=0))
        return str(path)

    def hold_out(self, facts: Facts) -> Rule:
        """Which of what is left is held out."""
        left: list[Known] = []
        for name in facts.names:
            table = read_table(facts.folder / f"facts-{name}.parquet", ["id", "date", "bytes"])
            table = table.filter(_mask(~facts.gone[facts.of(name)]))
            left += map(Known, *(table[each].to_pylist() for each in ("id", "date", "bytes")))
        if not left:
            raise TooLittle("nothing is left of the sources; see why in the report, and change the recipe")
        return choose(left, self.recipe.held_out, self.recipe.seed)

    def write(self, facts: Facts, rule: Rule, out: Path) -> list[dict[str, Any]]:
        """Write what is left to `out`; what each task told."""
        tasks = self._left(facts, "write")
        step = self._pass("writing", partial(_numbered, partial(write_task, rule, out)), _numbers(tasks))
        return run_tasks(step, out / ".done", self.recipe.runner)

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


class _Tables:
    """Tables of files, one after another, as often as asked."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __iter__(self) -> Iterator[Any]:
        return map(read_table, self.paths)


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
