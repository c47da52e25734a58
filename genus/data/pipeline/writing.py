"""The last pass: what is left of the parts, as the corpus's document files."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from genus.core.errors import GenusError
from genus.core.files import sha256
from genus.data.holdout import Rule
from genus.data.pipeline.finishing import left_of
from genus.data.pipeline.parts import document_schema, rows_of, write_table

__all__ = ["write_task"]

_KNOWN = ("id", "collection", "language", "bytes", "words", "measured")
_GROUP = 8 * 2**20  # bytes of text in a row group: what a reader holds at once


def write_task(rule: Rule, out: Path, number: int, task: dict[str, Any]) -> dict[str, Any]:
    """Write a part's documents, those of its rows in the file `left`, to the splits that the rule says, and what is known of
    them to the folder kept."""
    table = left_of(task)
    found: dict[str, Any] = {"licences": Counter(table["licence"].to_pylist()), "splits": {}}
    for split, rows in _split(rule, table).items():
        if not len(rows):
            continue
        name = f"documents/{split}-{number:05d}.parquet"
        size = _write(out / name, rows)
        dates = [date for date in rows["date"].unique().to_pylist() if date]
        entry = {"name": name, "documents": len(rows), "bytes": size, "sha256": sha256(out / name)}
        found["splits"][split] = {"file": entry, "dates": [min(dates), max(dates)] if dates else []}
    write_table(out / f"kept/{number:05d}.parquet", left_of(task, "facts", list(_KNOWN)))
    return found


def _split(rule: Rule, table: Any) -> dict[str, Any]:
    import pyarrow as pa

    if rule.key is not None:
        held = [rule.held(id, date) for id, date in zip(table["id"].to_pylist(), table["date"].to_pylist(), strict=True)]
        mask = np.array(held, bool)
        return {"train": table.filter(pa.array(~mask)), "validation": table.filter(pa.array(mask))}
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    for document in rows_of(table):
        for split, piece in rule.split(document):
            rows[split].append(vars(piece))
    return {split: pa.Table.from_pylist(each, document_schema()) for split, each in rows.items()}


def _write(path: Path, table: Any) -> int:
    """Write a file in row groups of bounded size; give the bytes of its texts."""
    import pyarrow.compute as pc
    from pyarrow.parquet import ParquetWriter

    sizes = pc.binary_length(table["text"]).to_numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum(sizes)
    groups = np.searchsorted(ends, np.arange(_GROUP, ends[-1] + _GROUP, _GROUP), side="left") + 1
    try:
        with ParquetWriter(path, table.schema, compression="zstd") as writer:
            first = 0
            for last in np.unique(np.minimum(groups, len(table))):
                writer.write_table(table.slice(first, last - first))
                first = int(last)
    except OSError as error:
        raise GenusError(f"{path} could not be written ({error}); free space or name another out") from error
    return int(ends[-1])
