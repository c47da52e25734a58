"""Part files: some megabytes of documents in one Parquet file; beside it what is known of each, and what was dropped.

A part NAME is text-NAME.parquet (documents), facts-NAME.parquet (a row for each: id, size, digest, ...), and where asked for
bands-NAME.npy and paragraphs-NAME.parquet, by which repeats are found.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import write_bytes
from genus.data.pipeline.recipe import Corpus
from genus.data.pipeline.tally import Amount
from genus.data.sources import Document
from genus.data.steps.columns import key
from genus.data.steps.exact import hash_texts
from genus.data.steps.fuzzy import signatures
from genus.data.steps.paragraphs import hash_paragraphs

__all__ = ["EXCERPT", "Parts", "document_schema", "dropped_schema", "read_table", "rows_of", "write_array", "write_table"]

_PART = 32 * 2**20  # bytes of text, all of which one task holds, several times over
_MANY = 20_000  # documents, each some 2,000 bytes beside its text
EXCERPT = 400
"""Characters of a dropped document that the report may show."""


def document_schema() -> Any:
    """Of documents, as readers of the corpus find them."""
    import pyarrow as pa

    # large_string, because the texts of one row group may pass the 2 GB that 32-bit offsets reach.
    return pa.schema(
        {name: pa.large_string() for name in ("id", "text", "source", "licence", "date", "language")}
        | {"meta": pa.map_(pa.string(), pa.string())}
    )


def dropped_schema() -> Any:
    """Of what was dropped: where, why, with the evidence, the copy that stays if there is one, and how the text began."""
    import pyarrow as pa

    texts = {name: pa.large_string() for name in ("id", "collection", "step", "reason", "detail", "excerpt", "kept")}
    return pa.schema(texts | {"jaccard": pa.float64(), "bytes": pa.int64(), "words": pa.int64()})


def write_table(path: Path, table: Any) -> None:
    """Write a Parquet file, whole or not at all."""
    from pyarrow.parquet import write_table as write

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        write(table, partial, compression="zstd", compression_level=1)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise GenusError(
            f"{path} could not be written ({error.strerror or error}); free space or name another out"
        ) from error


def write_array(path: Path, array: Any) -> None:
    """Write a NumPy file, whole or not at all."""
    import io

    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_table(path: Path, columns: list[str] | None = None) -> Any:
    """A Parquet file. Raises GenusError where it cannot be read."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table as read

    try:
        return read(path, columns=columns, memory_map=True, partitioning=None)
    except (ArrowException, OSError) as error:
        raise GenusError(f"{path} cannot be read ({error}); remove it and start again") from error


def rows_of(table: Any) -> Iterator[Document]:
    """The documents of a table."""
    for batch in table.to_batches(max_chunksize=1000):
        for row in batch.to_pylist():
            yield Document(**(row | {"meta": dict(row["meta"])}))


def _language(document: Document) -> str:
    """The natural language, or code/python and the like."""
    return f"code/{code}" if (code := document.meta.get("code")) else document.language


def _about(row: Mapping[str, Any]) -> int:
    """A number of what is known of a document beside its id and text."""
    told = [row[name] for name in ("source", "licence", "date", "language")]
    return key(json.dumps([*told, sorted(row["meta"].items())]))


class Parts:
    """Collects what a task keeps and drops, and writes a part whenever there is enough of it."""

    def __init__(self, folder: Path, name: str, recipe: Corpus, repeats: bool = True) -> None:
        """`repeats`: whether what repeats are found by is written down too."""
        self.folder, self.name, self.recipe, self.count, self.repeats = folder, name, recipe, 0, repeats
        self.priority = {each.name: each.priority for each in recipe.collections}
        self.kept: list[dict[str, Any]] = []
        self.facts: list[dict[str, Any]] = []
        self.gone: list[dict[str, Any]] = []
        self.size = self.lists = 0

    def keep(self, document: Document, collection: str, measured: Mapping[str, float], size: Amount) -> None:
        """A document goes on, from a collection of the recipe."""
        self.kept.append(vars(document))
        self.facts.append(
            {"id": document.id, "collection": collection, "bytes": size.bytes, "words": size.words, "date": document.date}
            | {"language": _language(document), "measured": list(measured.items())}
        )
        self.size += size.bytes
        if self.size >= _PART or len(self.kept) >= _MANY:
            self._flush()

    def drop(self, row: Mapping[str, Any], text: str = "") -> None:
        """A document does not; `row` has the fields of `dropped_schema` but for those that are made here."""
        self.gone.append({**row, "excerpt": text[:EXCERPT], "kept": ""})
        if len(self.gone) >= _MANY:
            self._flush_gone()

    def close(self) -> list[str]:
        """Write the rest; the names of the parts."""
        if self.kept or not self.count:
            self._flush()
        self._flush_gone()
        return [f"{self.name}-{number:03d}" for number in range(self.count)]

    def _flush_gone(self) -> None:
        import pyarrow as pa

        path = self.folder / f"dropped-{self.name}-{self.lists:03d}.parquet"
        write_table(path, pa.Table.from_pylist(self.gone, dropped_schema()))
        self.gone, self.lists = [], self.lists + 1

    def _flush(self) -> None:
        import pyarrow as pa

        name = f"{self.name}-{self.count:03d}"
        text, facts = pa.Table.from_pylist(self.kept, document_schema()), pa.Table.from_pylist(self.facts, _facts_schema())
        priorities = pa.array([self.priority[each["collection"]] for each in self.facts], pa.int64())
        if self.repeats:
            about = pa.array(map(_about, self.kept), pa.uint64())
            facts = facts.append_column("priority", priorities).append_column("about", about)
            facts = facts.append_column("digest", hash_texts(text["text"]))
        write_table(self.folder / f"text-{name}.parquet", text)
        if self.repeats and "fuzzy" in self.recipe.steps:
            write_array(self.folder / f"bands-{name}.npy", signatures(text["text"], self.recipe.fuzzy))
        if self.repeats and "paragraphs" in self.recipe.steps:
            found = hash_paragraphs(text["id"], text["text"], priorities, self.recipe.paragraphs)
            write_table(self.folder / f"paragraphs-{name}.parquet", found)
        write_table(self.folder / f"facts-{name}.parquet", facts)
        self.kept, self.facts, self.size, self.count = [], [], 0, self.count + 1


def _facts_schema() -> Any:
    import pyarrow as pa

    texts = {name: pa.large_string() for name in ("id", "collection", "date", "language")}
    numbers = {name: pa.int64() for name in ("bytes", "words")}
    return pa.schema(texts | numbers | {"measured": pa.map_(pa.string(), pa.float64())})
