"""How long searches of an index take, over questions drawn from its own passages. Not for how good they are."""

import random
import time
from typing import NamedTuple, get_args

from genus.core.errors import GenusError
from genus.retrieve.search import By, Search

__all__ = ["Times", "drawn", "timed"]

_WORDS = 8  # of a question: some words one after another out of a passage


class Times(NamedTuple):
    """Of a way to search: milliseconds that half of the queries take at most, and 95 of 100."""

    by: str
    p50: float
    p95: float


def timed(search: Search, count: int, seed: int = 0) -> list[Times]:
    """Each way to search over `count` questions, one after another; what is read or built at first is not counted."""
    questions = drawn(search, count, seed)
    found = []
    for by in get_args(By):
        search.find(questions[0], by=by)
        taken = []
        for question in questions:
            began = time.perf_counter()
            search.find(question, by=by)
            taken.append(1000 * (time.perf_counter() - began))
        taken.sort()
        found.append(Times(by, taken[len(taken) // 2], taken[min(len(taken) - 1, int(0.95 * len(taken)))]))
    return found


def drawn(search: Search, count: int, seed: int = 0) -> list[str]:
    """Questions of 8 words, each out of a passage that chance has chosen. Raises GenusError for an empty index."""
    chance = random.Random(seed)
    chosen: list[str] = []
    seen = 0
    for batch in search.corpus.arrow(("id",)):
        for name in batch.column(0).to_pylist():
            seen += 1
            if len(chosen) < count:
                chosen.append(name)
            elif (place := chance.randrange(seen)) < count:
                chosen[place] = name
    if not chosen:
        raise GenusError("the index has no passages to draw questions from; add documents with genus index")
    texts = [passage.text.split() for passage in search.corpus.get(chosen)]
    starts = [chance.randrange(max(1, len(words) - _WORDS + 1)) for words in texts]
    return [" ".join(words[start : start + _WORDS]) for words, start in zip(texts, starts, strict=True)]
