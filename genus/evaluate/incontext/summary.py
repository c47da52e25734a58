"""The figures of a task, from what is kept of each item."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from genus.evaluate.estimates import Estimate, bootstrap, mean, share
from genus.evaluate.incontext.measures import bleu
from genus.evaluate.incontext.task import Task
from genus.tasks.measures import class_measures

__all__ = ["Row", "summary"]

Row = dict[str, Any]
Figures = dict[str, dict[str, Any]]


def summary(task: Task, rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """Figures by name, the main one first; and of how many items the context was cut, or merged with the completion.

    Of a figure: value, count, and its 95% interval by the bootstrap; of a share Wilson's too.
    """
    figures = _FIGURES[task.kind](task, rows, seed)
    counts = {name: sum(bool(row.get(name)) for row in rows) for name in ("cut", "merged")}
    return {"main": next(iter(figures)), "figures": figures, "items": len(rows), **counts}


def _choice(task: Task, rows: Sequence[Row], seed: int) -> Figures:
    found = {"accuracy": _share([row["right"] for row in rows], seed)}
    if task.kind == "choice":
        for rule in rows[0]["by_rule"]:
            found[f"accuracy_{rule}"] = _share([row["by_rule"][rule] == row["gold"] for row in rows], seed)
    if task.labels:
        counted = class_measures([row["choice"] for row in rows], [row["gold"] for row in rows], len(task.labels))
        found |= {name: {"value": counted[name], "count": len(rows)} for name in ("f1", "matthews")}
    return found


def _cloze(_task: Task, rows: Sequence[Row], seed: int) -> Figures:
    """Perplexity is of a whole completion, such as LAMBADA's word."""
    perplexity = bootstrap([[row["nats"]] for row in rows], lambda means: _exp(-means[..., 0]), seed)
    return {"accuracy": _share([row["right"] for row in rows], seed), "perplexity": _figure(perplexity)}


def _free(task: Task, rows: Sequence[Row], seed: int) -> Figures:
    if task.measure == "bleu":
        counts = [row["bleu"] for row in rows]
        return {"bleu": _figure(bootstrap(counts, lambda means: bleu(means * len(counts)), seed))}
    exact = {"exact": _share([row["exact"] for row in rows], seed)}
    return {"f1": _figure(mean([row["f1"] for row in rows], seed)), **exact} if task.measure == "f1" else exact


def _text(_task: Task, rows: Sequence[Row], seed: int) -> Figures:
    """Over bytes and words of the text as it stands in its file, and over tokens."""
    table = [[-row["nats"], row["bytes"], row["words"], row["tokens"]] for row in rows]
    bits = bootstrap(table, lambda means: means[..., 0] / math.log(2) / means[..., 1], seed)
    by_word = bootstrap(table, lambda means: _exp(means[..., 0] / means[..., 2]), seed)
    by_token = bootstrap(table, lambda means: _exp(means[..., 0] / means[..., 3]), seed)
    return {name: _figure(each) for name, each in
            (("bits_per_byte", bits), ("perplexity_word", by_word), ("perplexity_token", by_token))}  # fmt: skip


def _share(hits: Sequence[bool], seed: int) -> dict[str, Any]:
    resampled, wilson = mean([float(hit) for hit in hits], seed), share(sum(hits), len(hits))
    return {**_figure(resampled), "wilson": [wilson.low, wilson.high]}


def _figure(found: Estimate) -> dict[str, Any]:
    return {"value": found.value, "bootstrap": [found.low, found.high], "count": found.count}


def _exp(nats: Any) -> Any:
    """In languages without spaces a line may be one word, and its perplexity beyond any number."""
    return np.exp(np.minimum(nats, 700.0))


_FIGURES: dict[str, Callable[[Task, Sequence[Row], int], Figures]] = {
    "choice": _choice,
    "partial": _choice,
    "cloze": _cloze,
    "free": _free,
    "text": _text,
}
