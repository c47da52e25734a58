"""Which items of evaluation sets stand in a training corpus, and the score without them (arXiv 2005.14165, appendix C).

An item is dirty if it shares a run of n words with a training document; n is 13, and for sets of short items the words of
one that is longer than 5% of them, 8 at least. Words are those of data.steps.words. That an item is dirty does not say that
the model gained by it, nor that a clean one was not seen in other words.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.core.progress import progress
from genus.data.corpus import documents
from genus.data.steps.decontaminate import Decontaminate, Grams, count_documents, make_grams
from genus.data.steps.task_files import TaskSet, read_tasks, strings_of
from genus.engine.model import Model
from genus.evaluate.estimates import Estimate, mean, share
from genus.evaluate.incontext.readers import read_records
from genus.evaluate.probes import found
from genus.evaluate.rows import read_rows

__all__ = ["Dirt", "by_dirt", "find_dirt", "run"]

_BATCH = 1000  # documents
_SCORES = ("right", "f1", "exact")  # of an item, the first that there is
_PROTOCOL = (
    "Share of items with a run of n words in common with the training split: n = 13, less for sets of short items, 8 at "
    "least. Items of which no text has n words are counted clean, and told."
)


class Dirt(NamedTuple):
    """Of a set: the words of a run, whether each item is dirty, and how many are too short to be found."""

    name: str
    words: int
    dirty: tuple[bool, ...]
    too_short: int


def find_dirt(sets: Sequence[TaskSet], texts: Iterator[list[str]], config: Decontaminate | None = None) -> list[Dirt]:
    """Of each set against batches of training texts."""
    import pyarrow as pa

    grams = make_grams(sets, config or Decontaminate())
    counts = np.zeros(len(grams.numbers), np.int64)
    for batch in texts:
        counts += count_documents(pa.array(batch, pa.large_string()), grams).documents
    seen = grams.numbers[counts > 0]
    return [_dirt(tasks, grams, number, seen) for number, tasks in enumerate(sets)]


def by_dirt(scores: Sequence[float], dirty: Sequence[bool], seed: int = 0) -> dict[str, Estimate]:
    """The mean score of all items, of the clean ones and of the dirty ones. Raises GenusError where they are not as many."""
    if len(scores) != len(dirty):
        raise GenusError(
            f"{len(scores):,} scores for {len(dirty):,} items of the task file; score the whole file, in its order"
        )
    parts = {"all": list(scores)}
    parts |= {
        name: [score for score, is_dirty in zip(scores, dirty, strict=True) if is_dirty is kind]
        for name, kind in (("clean", False), ("dirty", True))
    }
    return {name: mean(values, seed) for name, values in parts.items()}


def run(model: Model | None, data: Path, *, corpus: Path, limit: int | None = None, seed: int = 0) -> dict[str, Any]:
    """`data`: task files, as for decontaminating a corpus, or the folder of an evaluation on tasks, whose scores are then
    given of all, of clean and of dirty items. `corpus`: that of the training. No model is needed; `limit` changes nothing.
    """
    del model, limit
    scored = _evaluated(data) if (data / "results.json").is_file() else {}
    sets = [TaskSet(name, texts) for name, (texts, _) in scored.items()] or read_tasks(data)
    all_dirt = find_dirt(sets, _texts(corpus))
    shown: dict[str, Estimate] = {}
    items = []
    for each, tasks in zip(all_dirt, sets, strict=True):
        shown[f"{each.name}: dirty"] = share(sum(each.dirty), len(each.dirty))
        scores = scored[each.name][1] if scored else []
        if scores:
            shown |= {f"{each.name}: score, {part}": mine for part, mine in by_dirt(scores, each.dirty, seed).items()}
        for number, (dirty, texts) in enumerate(zip(each.dirty, tasks.examples, strict=True)):
            items.append({"set": each.name, "item": number, "dirty": dirty, "text": " / ".join(texts)[:300]})
    facts = {each.name: {"words": each.words, "too_short": each.too_short} for each in all_dirt}
    return found(_PROTOCOL, shown, items, sets=facts)


def _evaluated(folder: Path) -> dict[str, tuple[list[list[str]], list[float]]]:
    """Of each task of an evaluation: the texts of the records that were asked, and their scores."""
    tasks = {}
    for name, task in read_json(folder / "results.json")["tasks"].items():
        rows = [row.fields for row in read_rows(folder / f"{name}.jsonl", ("place",))]
        measure = next((each for each in _SCORES if each in rows[0]), None)
        if measure is None:
            continue  # a text is read, not answered
        paths = sorted({Path(row["place"].rpartition(", ")[0]) for row in rows})
        form = task["settings"]["task"]["form"]
        records = {record.place: record for path in paths for record in read_records(path, form)}
        texts = [list(strings_of(dict(records[row["place"]].fields))) for row in rows]
        tasks[name] = texts, [float(row[measure]) for row in rows]
    if not tasks:
        raise GenusError(f"{folder} has no task with a score for each item; name the --out of an evaluation with --tasks")
    return tasks


def _texts(corpus: Path) -> Iterator[list[str]]:
    batch: list[str] = []
    done, total = 0, read_json(corpus / "manifest.json")["splits"]["train"]["documents"]
    with progress("contamination", total) as update:
        for document in documents(corpus, "train"):
            batch.append(document.text)
            if len(batch) == _BATCH:
                yield batch
                done, batch = done + len(batch), []
                update(done, "")
        yield batch


def _dirt(tasks: TaskSet, grams: Grams, number: int, seen: NDArray[np.uint64]) -> Dirt:
    import pyarrow as pa

    from genus.data.steps.words import read_texts, word_runs

    size = grams.sets[number].words
    texts = read_texts(pa.array([text for example in tasks.examples for text in example], pa.large_string()), False)
    words = np.diff(word_runs(texts, 1)[1])
    numbers, bounds = word_runs(texts, size)
    hit = np.isin(numbers, seen) & np.repeat(words >= size, np.diff(bounds))
    hits = np.concatenate([[0], np.cumsum(hit)])[bounds]  # before each text
    borders = hits[np.cumsum([0, *(len(example) for example in tasks.examples)])]
    dirty = tuple((np.diff(borders) > 0).tolist())
    return Dirt(tasks.name, size, dirty, grams.sets[number].too_short)
