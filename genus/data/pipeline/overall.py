"""Steps that must know all documents: repeats and near copies. They work on tables of numbers, whatever the parts were."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.data.pipeline.parts import read_table, write_array
from genus.data.pipeline.tally import Amount, total
from genus.data.steps.budgets import over_budget
from genus.data.steps.exact import drop_same_ids, drop_same_texts
from genus.data.steps.fuzzy import Candidates, Fuzzy, Shingles, candidates, settle, shingles

__all__ = [
    "HELD",
    "HELD_PARAGRAPHS",
    "Facts",
    "Gone",
    "beyond_budgets",
    "near_copies",
    "same_ids",
    "same_texts",
    "sets_task",
]

HELD = 2**22
"""Documents whose numbers are in memory at once, some 100 bytes each."""
HELD_PARAGRAPHS = HELD // 4
"""Paragraphs of which the same is true, some 150 bytes each."""
Places = NDArray[np.int64]


class Gone(NamedTuple):
    """Documents that a step drops: their places among all, why, and the evidence."""

    places: Places
    reasons: list[str]
    details: list[str]
    kept: list[str]  # the id of the copy that stays, or ""
    jaccard: list[float | None]

    @classmethod
    def alone(cls, places: Places, reasons: list[str], details: list[str]) -> "Gone":
        """Of which there is no copy."""
        return cls(places, reasons, details, [""] * len(places), [None] * len(places))


class Facts:
    """What is known of the documents of all parts, table by table, as often as it is asked for; each row has its `place`.

    Those that are marked in `gone` (documents,) are left out.
    """

    def __init__(self, folder: Path, names: Sequence[str], counts: Sequence[int]) -> None:
        self.folder, self.names = folder, names
        self.bounds = np.append(0, np.cumsum(counts, dtype=np.int64))
        self.gone = np.zeros(int(self.bounds[-1]), bool)
        self.columns = ["id", "digest", "priority", "about"]

    def __iter__(self) -> Iterator[Any]:
        import pyarrow as pa

        for name, first, last in zip(self.names, self.bounds, self.bounds[1:], strict=False):
            table = read_table(self.folder / f"facts-{name}.parquet", self.columns)
            table = table.append_column("place", pa.array(np.arange(first, last)))
            yield table.filter(pa.array(~self.gone[first:last]))

    def amounts(self, by: Sequence[str]) -> dict[tuple[str, ...], Amount]:
        """What is left, by some columns of text."""
        import pyarrow as pa

        found: dict[tuple[str, ...], Amount] = {}
        for name in self.names:
            table = read_table(self.folder / f"facts-{name}.parquet", [*by, "bytes", "words"])
            groups = table.filter(pa.array(~self.gone[self.of(name)])).group_by(list(by))
            for row in groups.aggregate([("bytes", "count"), ("bytes", "sum"), ("words", "sum")]).to_pylist():
                key = tuple(row[each] for each in by)
                size = Amount(row["bytes_count"], row["bytes_sum"], row["words_sum"])
                found[key] = total([found.get(key, Amount()), size])
        return dict(sorted(found.items()))

    @property
    def pieces(self) -> int:
        """In how many pieces work on all of them fits memory."""
        return len(self.gone) // HELD + 1

    def take(self, places: Places, columns: list[str], what: str = "facts") -> Any:
        """The rows at ascending places, with some columns; `what` may be "text", whose columns are a document's."""
        import pyarrow as pa

        found = []
        for name, first, last in zip(self.names, self.bounds, self.bounds[1:], strict=False):
            rows = places[np.searchsorted(places, first) : np.searchsorted(places, last)] - first
            if len(rows):
                found.append(read_table(self.folder / f"{what}-{name}.parquet", columns).take(pa.array(rows)))
        empty = [pa.table({name: pa.array([], pa.large_string()) for name in columns})] if not found else []
        return pa.concat_tables(found or empty)

    def find(self, ids: Collection[str]) -> Places:
        """The places of what is left of documents of some ids."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found, wanted = [np.zeros(0, np.int64)], pa.array(sorted(ids), pa.large_string())
        for name, first, last in zip(self.names, self.bounds, self.bounds[1:], strict=False):
            same = pc.is_in(read_table(self.folder / f"facts-{name}.parquet", ["id"])["id"], wanted).to_numpy()
            found.append(first + np.flatnonzero(same & ~self.gone[first:last]))
        return np.concatenate(found)

    def of(self, name: str) -> slice:
        """The places of a part."""
        number = self.names.index(name)
        return slice(int(self.bounds[number]), int(self.bounds[number + 1]))


def same_ids(facts: Facts) -> Gone:
    """Documents of an id that another has."""
    return _said(drop_same_ids(facts, facts.pieces), "duplicate id", "id of another document: {}")


def same_texts(facts: Facts) -> Gone:
    """Documents of a text that another has."""
    return _said(drop_same_texts(facts, facts.pieces), "duplicate", "same text as {}")


def _said(table: Any, reason: str, words: str) -> Gone:
    table = table.sort_by("place")
    kept = table["kept"].to_pylist()
    details = [words.format(id) for id in kept]
    return Gone(table["place"].to_numpy(), [reason] * len(kept), details, kept, [None] * len(kept))


def beyond_budgets(facts: Facts, limits: Mapping[str, int], seed: int) -> Gone:
    """Documents of languages that have more than their budget."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = np.flatnonzero(~facts.gone)
    table = facts.take(places, ["id", "language", "bytes"])
    dropped = over_budget(table, limits, seed)
    dropped = dropped.append_column("row", pc.index_in(dropped["id"], table["id"].combine_chunks()).cast(pa.int64()))
    dropped = dropped.sort_by("row")
    return Gone.alone(places[dropped["row"].to_numpy()], dropped["reason"].to_pylist(), dropped["detail"].to_pylist())


def shared_buckets(facts: Facts, config: Fuzzy) -> Candidates:
    """Documents that may be near copies of another."""
    signed = [np.load(facts.folder / f"bands-{name}.npy", mmap_mode="r", allow_pickle=False) for name in facts.names]
    found = candidates(signed, facts.pieces)
    left = ~facts.gone[found.documents]
    sizes = np.diff(found.bounds)
    return Candidates(
        found.documents[left], found.buckets[np.repeat(left, sizes)], np.append(0, np.cumsum(sizes[left], dtype=np.int64))
    )


def sets_task(folder: Path, config: Fuzzy, task: dict[str, Any]) -> dict[str, Any]:
    """The shingles of some documents of a part: `rows` is a file of their numbers in it."""
    import pyarrow as pa

    rows = np.load(task["rows"], allow_pickle=False)
    texts = read_table(folder / f"text-{task['part']}.parquet", ["text"])["text"].take(pa.array(rows))
    found = shingles(texts, config)
    out = Path(task["rows"]).parent
    write_array(out / f"values-{task['part']}.npy", found.values)
    write_array(out / f"bounds-{task['part']}.npy", found.bounds)
    return {"part": task["part"]}


def near_copies(facts: Facts, found: Candidates, folder: Path, parts: Sequence[str], config: Fuzzy) -> Gone:
    """Documents that are near copies of one that stays, by the sets of shingles that `sets_task` left for `parts`."""
    sets = _joined(folder, parts)
    known = facts.take(found.documents, ["id", "priority"])
    ids = known["id"].combine_chunks() if len(known) else known["id"]
    table = settle(found, sets, ids, known["priority"].to_numpy().astype(np.int64), config).sort_by("document")
    kept, measured = table["kept"].to_pylist(), table["jaccard"].to_pylist()
    details = [f"Jaccard {jaccard:.3f} with {id}" for id, jaccard in zip(kept, measured, strict=True)]
    return Gone(table["document"].to_numpy(), ["near copy"] * len(kept), details, kept, measured)


def _joined(folder: Path, parts: Sequence[str]) -> Shingles:
    """The sets of all parts, one after the other, in a file that is mapped."""
    bounds = [np.load(folder / f"bounds-{part}.npy", allow_pickle=False) for part in parts]
    path = folder / "values.bin"
    folder.mkdir(parents=True, exist_ok=True)  # no two documents may share a bucket
    try:
        with path.open("wb") as file:
            for part in parts:
                np.load(folder / f"values-{part}.npy", mmap_mode="r", allow_pickle=False).tofile(file)
    except OSError as error:
        raise GenusError(f"{path} could not be written ({error}); free space or name another out") from error
    starts = np.cumsum([0, *(each[-1] for each in bounds)], dtype=np.int64)
    every = [np.zeros(1, np.int64), *(each[1:] + start for each, start in zip(bounds, starts, strict=False))]
    values = np.memmap(path, np.uint32, "r") if path.stat().st_size else np.zeros(0, np.uint32)
    return Shingles(values, np.concatenate(every))
