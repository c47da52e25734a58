"""Texts of evaluation sets, cut out of documents as GPT-3 did (arXiv 2005.14165, appendix C).

A document loses every run of n words that it shares with an evaluation set, and 200 characters on each side; it goes on as
the pieces that are left. A run that more than 10 documents share is a common phrase and stays. So there are two passes over
the documents: `count_documents` of each part, added up, and then `cut` of those that it found. Departures: n is at least 8
for sets of short examples, as the paper's later analysis has it, not always 13; words are those of words.py.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.columns import frozen, runs
from genus.data.steps.task_files import TaskSet

__all__ = ["Cut", "Decontaminate", "Found", "Grams", "SetGrams", "Sieve", "count_documents", "cut", "make_grams", "summary"]

Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Decontaminate:
    """Cut the texts of evaluation sets out of documents."""

    tasks: tuple[Path, ...] = ()
    """Task files, or folders of them: .jsonl, .json, .csv, .tsv, and text files by name."""
    words: int = 13
    """The words that a document must share with a set, one after the other; for a set of short examples, the words of an
    example that is longer than 5% of them, and at least `fewest`."""
    fewest: int = 8
    """The least words, for any set. A text of fewer is not looked for."""
    around: int = 200
    """Characters that go with it on each side."""
    shortest: int = 200
    """Characters of the shortest piece that stays."""
    pieces: int = 10
    """A document that falls into more pieces, of any length, is dropped."""
    common: int = 10
    """A run of words in more documents than this is left alone."""

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.words:
            raise GenusError(f"decontaminate.fewest {self.fewest} is not from 1 to decontaminate.words ({self.words})")
        for name, least in (("around", 0), ("shortest", 1), ("pieces", 1), ("common", 0)):
            if getattr(self, name) < least:
                raise GenusError(f"decontaminate.{name} {getattr(self, name)} is not a whole number from {least} on")


class SetGrams(NamedTuple):
    """What is looked for of a set: runs of `words` words, `grams` different ones; and how many of its examples have none."""

    name: str
    examples: int
    words: int
    grams: int
    too_short: int


class Sieve(NamedTuple):
    """A bit for each value of the first 64 - shift bits of the number of a run of `words` words, fewer than any of the grams
    has or as many: clear means that none of the grams begins so."""

    bits: NDArray[np.uint8]
    shift: np.uint64
    words: int


class Grams(NamedTuple):
    """The runs of words of all sets: their numbers in ascending order, and which sets have the i-th: those from bounds[i] of
    `owners` to bounds[i + 1]. `sizes` are the words that such a run may have."""

    sets: tuple[SetGrams, ...]
    numbers: Numbers
    owners: Places
    bounds: Places
    sizes: Places
    sieve: Sieve


class Found(NamedTuple):
    """Of a part: in how many of its documents each of the grams is, and the rows of documents with any."""

    documents: Places
    rows: Places


class Cut(NamedTuple):
    """What became of a document, as a step's Fate, but that it may go on as several: pieces ID#cut1, ID#cut2, and so on, in
    their order, each with meta["cut from"] = ID. A single piece keeps the ID."""

    pieces: tuple[Document, ...]
    reason: str = ""
    detail: str = ""
    measured: Mapping[str, float] = {}


def make_grams(sets: Sequence[TaskSet], config: Decontaminate) -> Grams:
    """All runs of words of the sets."""
    made = [_set_grams(tasks, config) for tasks in sets]
    numbers = np.concatenate([np.zeros(0, np.uint64), *(found for _, found, _ in made)])
    owners = np.repeat(np.arange(len(made)), [len(found) for _, found, _ in made])
    order = np.argsort(numbers, kind="stable")
    numbers, owners = numbers[order], owners[order]
    begins = runs(numbers[1:] == numbers[:-1])[0] if len(numbers) else np.zeros(0, np.int64)
    unique = frozen(numbers[begins])
    sizes = frozen(np.unique(np.array([info.words for info, found, _ in made if len(found)], np.int64)))
    sieve = _sieve([first for *_, first in made], config.fewest)
    return Grams(tuple(info for info, *_ in made), unique, owners, np.append(begins, len(numbers)), sizes, sieve)


def count_documents(texts: Any, grams: Grams) -> Found:
    """Of an Arrow column of texts. The counts of parts add up."""
    found = np.unique(_find(texts, grams)[:, ::3], axis=0)  # a document has a run of words once
    return Found(np.bincount(found[:, 1], minlength=len(grams.numbers)), np.unique(found[:, 0]))


def cut(document: Document, grams: Grams, documents: Places, config: Decontaminate) -> Cut:
    """A document without what it shares with the sets. `documents`: in how many each of the grams is, over all parts."""
    import pyarrow as pa

    found = _find(pa.array([document.text], pa.large_string()), grams)[:, 1:]
    found = found[documents[found[:, 2]] <= config.common]
    if not len(found):
        return Cut((document,))
    gaps = _gaps([(int(first), int(last)) for first, last, _ in found], len(document.text), config.around)
    kept = [(first, last) for first, last in gaps if last - first >= config.shortest]
    measured, detail = _evidence(document.text, found, grams)
    removed = len(document.text) - sum(last - first for first, last in kept)
    measured |= {"pieces": len(gaps), "characters removed": removed}
    if len(gaps) > config.pieces:
        return Cut((), "contaminated: too many pieces", f"{len(gaps)} pieces, at most {config.pieces}; {detail}", measured)
    if not kept:
        return Cut((), "contaminated: nothing left", f"no piece of {config.shortest} characters; {detail}", measured)
    return Cut(tuple(_pieces(document, kept)), detail=detail, measured=measured)


def summary(grams: Grams, documents: Places, config: Decontaminate) -> list[dict[str, Any]]:
    """Of each set: what was looked for, how many of its runs of words were found, and how many of them were too common."""
    each = np.repeat(documents, np.diff(grams.bounds))
    found = np.bincount(grams.owners[each > 0], minlength=len(grams.sets))
    common = np.bincount(grams.owners[each > config.common], minlength=len(grams.sets))
    return [info._asdict() | {"found": int(found[i]), "too_common": int(common[i])} for i, info in enumerate(grams.sets)]


def _find(texts: Any, grams: Grams) -> Places:
    """(found, 4): row of the document, first character, the one after the last, place in the grams."""
    from genus.data.steps.loops import find_grams
    from genus.data.steps.words import read_texts

    return find_grams(read_texts(texts, False), grams.sizes, grams.sieve, grams.numbers)


def _set_grams(tasks: TaskSet, config: Decontaminate) -> tuple[SetGrams, Numbers, Numbers]:
    """And the numbers of its runs of `fewest` words, for the sieve. An example is as long as its longest text, for a run of
    words does not go from one text to another."""
    import pyarrow as pa

    from genus.data.steps.words import read_texts, word_runs

    texts = read_texts(pa.array([text for example in tasks.examples for text in example], pa.large_string()), False)
    counts = np.diff(word_runs(texts, 1)[1])
    sizes = [len(example) for example in tasks.examples]
    lengths = np.maximum.reduceat(counts, np.cumsum([0, *sizes[:-1]])) if len(counts) else np.zeros(1, np.int64)
    size = min(config.words, max(config.fewest, int(np.percentile(lengths, 5))))
    found, first = (_unique(*word_runs(texts, words), counts >= words) for words in (size, config.fewest))
    return SetGrams(tasks.name, len(sizes), size, len(found), int((lengths < size).sum())), found, first


def _unique(numbers: Numbers, bounds: Places, long_enough: NDArray[np.bool_]) -> Numbers:
    return np.unique(numbers[np.repeat(long_enough, np.diff(bounds))])


def _sieve(sets: list[Numbers], words: int) -> Sieve:
    """With 16 to 32 bits for a number, fewer than one in 16 of what is not among them pass."""
    numbers = np.concatenate([np.zeros(0, np.uint64), *sets])
    bits = max(13, (16 * len(numbers)).bit_length())
    places = numbers >> np.uint64(64 - bits)
    sieve = np.zeros(2 ** (bits - 3), np.uint8)
    np.bitwise_or.at(sieve, places >> np.uint64(3), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8))
    return Sieve(frozen(sieve), np.uint64(64 - bits), words)


def _gaps(spans: list[tuple[int, int]], end: int, around: int) -> list[tuple[int, int]]:
    """What lies between the spans, each made longer on both sides."""
    gaps, done = [], 0
    for first, last in sorted(spans):
        if first - around > done:
            gaps.append((done, first - around))
        done = max(done, last + around)
    return [*gaps, (done, end)] if done < end else gaps


def _pieces(document: Document, kept: list[tuple[int, int]]) -> list[Document]:
    meta = document.meta | {"cut from": document.id}
    pieces = [replace(document, text=document.text[first:last], meta=meta) for first, last in kept]
    return pieces if len(pieces) == 1 else [replace(piece, id=f"{document.id}#cut{i}") for i, piece in enumerate(pieces, 1)]


def _evidence(text: str, found: Places, grams: Grams) -> tuple[dict[str, float], str]:
    """Different runs of words by set, as numbers and in words, and the first of them as it stands in the text."""
    different = np.unique(found[:, 2])
    owners = np.concatenate([grams.owners[grams.bounds[i] : grams.bounds[i + 1]] for i in different])
    counts = Counter(grams.sets[i].name for i in owners)
    first, last, _ = found[np.lexsort((found[:, 1], found[:, 0]))[0]]
    words = ", ".join(f"{count} of {name}" for name, count in counts.items())
    measured: dict[str, float] = {f"n-grams of {name}": count for name, count in counts.items()}
    return measured, f'n-grams: {words}; the first "{text[first : min(last, first + 200)]}"'
