"""Passages as Arrow: how stores take them in and give them out, and how they move from one store to another."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genus.core.errors import GenusError
from genus.retrieve.manifest import same_encoder
from genus.retrieve.passage import Passage
from genus.retrieve.words import words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from genus.retrieve.corpus import Corpus

__all__ = ["COLUMNS", "checked", "from_rows", "moved", "passages_of", "schema", "to_rows"]

COLUMNS = Passage.__slots__
_NUMBERS = ("number", "start", "end")


def schema(width: int) -> "pa.Schema":
    """The columns of a passage, its vector, and "words": its title and text as words with spaces between them."""
    import pyarrow as pa

    fields = [pa.field(name, pa.int64() if name in _NUMBERS else pa.string(), nullable=False) for name in COLUMNS]
    vector = pa.field("vector", pa.list_(pa.float32(), width), nullable=False)
    return pa.schema([*fields, pa.field("words", pa.string(), nullable=False), vector])


def checked(passages: Sequence[Passage], vectors: "np.ndarray", width: int) -> None:
    """Raises GenusError where there are not as many vectors as passages, of this width, finite; or an id twice."""
    import numpy as np

    if vectors.shape != (len(passages), width):
        raise GenusError(
            f"{len(passages)} passages came with vectors of the shape {vectors.shape}; the index takes {width} numbers each"
        )
    if not np.isfinite(vectors).all():
        raise GenusError("vectors hold a number that is not finite; look at what encoded them")
    ids = {passage.id for passage in passages}
    if len(ids) < len(passages) or "" in ids:
        raise GenusError("passages to add hold an id twice, or one that is empty; give each its own")


def to_rows(passages: Sequence[Passage], vectors: "np.ndarray") -> "pa.Table":
    """A table of `schema`, of vectors (n, width)."""
    import numpy as np
    import pyarrow as pa

    width = vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1))
    columns = {name: [getattr(passage, name) for passage in passages] for name in COLUMNS}
    columns["words"] = [" ".join(words(f"{passage.title}\n{passage.text}")) for passage in passages]
    rows = schema(width)
    try:
        arrays = [pa.array(columns[field.name], field.type) for field in rows if field.name != "vector"]
    except UnicodeEncodeError as error:
        raise GenusError(f"a passage holds half a character ({error}); drop or repair its document") from None
    return pa.Table.from_arrays([*arrays, pa.FixedSizeListArray.from_arrays(flat, width)], schema=rows)


def from_rows(batch: "pa.RecordBatch") -> tuple[list[Passage], "np.ndarray"]:
    """Passages and vectors (n, width) of a batch of `Corpus.arrow()`."""
    vectors = batch.column("vector")
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return passages_of(batch), flat.reshape(len(batch), vectors.type.list_size)


def passages_of(rows: "pa.Table | pa.RecordBatch") -> list[Passage]:
    """The passages of rows, in order."""
    return [Passage(*row) for row in zip(*(rows.column(name).to_pylist() for name in COLUMNS), strict=True)]


def moved(source: "Corpus", target: "Corpus") -> int:
    """Add all passages of one corpus to another, and say how many they were. Both must know the same encoder.

    Raises GenusError, with nothing written, where the target holds others: the source may have had and deleted them.
    """
    if not same_encoder(source.encoder, target.encoder):
        raise GenusError(
            f"an index made with {source.encoder['name']} cannot move to one of {target.encoder['name']}; make it anew"
        )
    others = _ids(target)
    if others and others - _ids(source):
        raise GenusError(
            "the target holds passages that the index to move does not, which would stay in it; name a new place"
        )
    count = 0
    for batch in source.arrow():
        target.add(*from_rows(batch))
        count += len(batch)
    return count


def _ids(corpus: "Corpus") -> set[str]:
    return {name for batch in corpus.arrow(("id",)) for name in batch.column("id").to_pylist()}
