"""The second pass: what is done to documents that are no repeats.

Shared paragraphs go, contamination is cut out, and then come the steps that need one document alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genus.data.pipeline.parts import Parts, read_table, rows_of, write_array
from genus.data.pipeline.reading import Flow
from genus.data.pipeline.recipe import LAST, Corpus
from genus.data.pipeline.tally import Tally
from genus.data.sources import Document
from genus.data.steps.decontaminate import Cut, Grams, count_documents, cut, make_grams
from genus.data.steps.paragraphs import Repeated, remove
from genus.data.steps.step import Fate
from genus.data.steps.task_files import read_tasks

__all__ = ["count_task", "evaluation_grams", "finish_task", "finishes", "left_of", "texts_of"]

_AFTER = ("paragraphs", "quality", "decontaminate", *LAST)


def finishes(recipe: Corpus) -> bool:
    """Whether there is anything to do in this pass."""
    return any(name in _AFTER for name in recipe.steps)


def evaluation_grams(recipe: Corpus) -> Grams:
    """What is looked for of evaluation sets."""
    return make_grams([found for path in recipe.decontaminate.tasks for found in read_tasks(path)], recipe.decontaminate)


def left_of(task: dict[str, Any], what: str = "text", columns: list[str] | None = None) -> Any:
    """The documents of a part that are still there, as a table: those of its rows in the file `left`. Or, with `what` as
    "facts", what is known of them."""
    import pyarrow as pa

    return read_table(Path(task[what]), columns).filter(pa.array(np.load(task["left"], allow_pickle=False)))


def texts_of(recipe: Corpus, tasks: Sequence[dict[str, Any]], good: bool) -> Iterator[str]:
    """The texts that are left of the sources that are marked good, or of the others."""
    chosen = {each.name for each in recipe.collections if each.good == good}
    only = recipe.collections[0].name
    for task in tasks:
        for document in rows_of(left_of(task)):
            if document.meta.get("collection", only) in chosen and not document.meta.get("code"):
                yield document.text


def count_task(grams: Grams, folder: Path, number: int, task: dict[str, Any]) -> dict[str, Any]:
    """In how many documents of a part each of the grams is."""
    write_array(folder / f"counts-{number:05d}.npy", count_documents(left_of(task)["text"], grams).documents)
    return {}


def finish_task(recipe: Corpus, folder: Path, known: dict[str, Any], number: int, task: dict[str, Any]) -> dict[str, Any]:
    """Take what is left of a part through the rest of the steps. `known`: what the passes over all documents found."""
    steps: list[tuple[str, Callable[[Document], Fate | Cut]]] = []
    if "paragraphs" in recipe.steps:
        gone = Repeated(*(np.load(path, mmap_mode="r", allow_pickle=False) for path in known["repeated"]))
        steps.append(("paragraphs", lambda document: remove(document, gone, recipe.paragraphs)))
    if "quality" in recipe.steps:
        good = {each.name for each in recipe.collections if each.good}
        steps.append(("quality", replace(recipe.quality, model=Path(known["quality"])).open(good, recipe.seed)))
    if "decontaminate" in recipe.steps:
        grams, counts = evaluation_grams(recipe), np.load(known["counts"], allow_pickle=False)
        steps.append(("decontaminate", lambda document: cut(document, grams, counts, recipe.decontaminate)))
    flow = Flow([*steps, *recipe.opened(LAST)], Parts(folder, f"{number:05d}", recipe, repeats=False), Tally())
    only = recipe.collections[0].name
    measured = left_of(task, "facts", ["measured"])["measured"].to_pylist()
    for document, before in zip(rows_of(left_of(task)), measured, strict=True):
        flow.send(document, document.meta.get("collection", only), dict(before))
    return {"parts": flow.parts.close(), "tally": flow.tally.told()}
