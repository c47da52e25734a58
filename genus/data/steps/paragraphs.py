"""Paragraphs or lines that many documents repeat, such as notices and menus: removed from all documents but the first.

By part, `hash_paragraphs`; over all parts, `repeated`; by part again, `remove`. Not for repeats within one document, which
Gopher's rules judge.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.columns import gather, key, runs
from genus.data.steps.step import Fate

__all__ = ["Paragraphs", "Repeated", "hash_paragraphs", "remove", "repeated"]


@dataclass(frozen=True, kw_only=True)
class Paragraphs:
    """Remove long paragraphs that other documents have."""

    unit: Literal["paragraphs", "lines"] = "paragraphs"
    """What is compared: paragraphs, between blank lines, or single lines. White space around them does not count."""
    least: int = 200
    """Characters of the shortest that is compared."""
    most: int = 1
    """The documents that may share one before it is removed from all but the first by (priority, id)."""

    def __post_init__(self) -> None:
        if self.unit not in _ENDS:
            raise GenusError(f"paragraphs.unit {self.unit} is not one of: {', '.join(_ENDS)}")
        for name in ("least", "most"):
            if getattr(self, name) < 1:
                raise GenusError(f"paragraphs.{name} {getattr(self, name)} is not a whole number from 1 on")


class Repeated(NamedTuple):
    """The numbers of repeated paragraphs in ascending order; of each the key of the document that keeps it, and how many
    documents have it."""

    hashes: NDArray[np.uint64]
    owners: NDArray[np.uint64]
    documents: NDArray[np.int64]


_ENDS = {"paragraphs": re.compile(r"(\n\s*\n)"), "lines": re.compile(r"(\n)")}


def hash_paragraphs(ids: Any, texts: Any, priorities: Any, config: Paragraphs) -> Any:
    """An Arrow table (hash, id, priority, row) of Arrow columns: for each different paragraph of a document."""
    import pyarrow as pa

    hashes: list[int] = []
    rows: list[int] = []
    for row, text in enumerate(texts.to_pylist()):
        found = {key(paragraph.strip()) for paragraph, _ in _split(text or "", config) if _counts(paragraph, config)}
        hashes += found
        rows += [row] * len(found)
    take = pa.array(rows, pa.int64())
    columns = {"hash": pa.array(hashes, pa.uint64()), "id": ids.take(take), "priority": priorities.take(take), "row": take}
    return pa.table(columns)


def repeated(tables: Iterable[Any], config: Paragraphs, pieces: int = 1) -> Repeated:
    """What must go and who keeps it, from the tables of all parts. `tables` is gone through `pieces` times."""
    import pyarrow.compute as pc

    hashes, owners, documents = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for rows in gather(tables, lambda table: table["hash"].to_numpy(), pieces):
        order = pc.sort_indices(rows, [("hash", "ascending"), ("priority", "ascending"), ("id", "ascending")])
        numbers = rows["hash"].take(order).to_numpy()
        begins, sizes = runs(numbers[1:] == numbers[:-1])
        begins, sizes = begins[sizes > config.most], sizes[sizes > config.most]
        first = rows["id"].take(order.take(begins)).to_pylist()
        hashes.append(numbers[begins])
        owners.append(np.array([key(id) for id in first], np.uint64))
        documents.append(sizes)
    return Repeated(np.concatenate(hashes), np.concatenate(owners), np.concatenate(documents))


def remove(document: Document, gone: Repeated, config: Paragraphs) -> Fate:
    """The document without the repeated paragraphs that another keeps, all else as it was, byte for byte."""
    kept: list[str] = []
    removed: list[str] = []
    for paragraph, end in _split(document.text, config):
        if _counts(paragraph, config) and _goes(key(paragraph.strip()), document.id, gone):
            removed.append(paragraph)
        else:
            kept += (paragraph, end)
    if not removed:
        return Fate(document)
    measured = {f"repeated {config.unit}": len(removed), "characters removed": sum(map(len, removed))}
    text = "".join(kept).strip("\n")
    if not text.strip():
        return Fate(None, f"only repeated {config.unit}", f'{len(removed)}, the first "{removed[0].strip()[:80]}"', measured)
    return Fate(replace(document, text=text), measured=measured)


def _split(text: str, config: Paragraphs) -> Iterator[tuple[str, str]]:
    """Each paragraph and what ends it."""
    pieces = [*_ENDS[config.unit].split(text), ""]
    return zip(pieces[::2], pieces[1::2], strict=True)


def _counts(paragraph: str, config: Paragraphs) -> bool:
    return len(paragraph) >= config.least and len(paragraph.strip()) >= config.least


def _goes(number: int, id: str, gone: Repeated) -> bool:
    at = int(np.searchsorted(gone.hashes, np.uint64(number)))
    return at < len(gone.hashes) and int(gone.hashes[at]) == number and int(gone.owners[at]) != key(id)
