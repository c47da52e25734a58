"""Parquet files: a row is a document, of the column "text" and any other of scalars. Not for nested columns, but for meta.

Rows are decoded a few at a time, since one row group may hold gigabytes. What cannot be read of a row group is dropped, and
the next one is read.
"""

from typing import Any

from genus.data.sources.document import Document, Dropped, Found
from genus.data.sources.fields import document_of
from genus.data.sources.limits import Limits
from genus.data.sources.piece import Piece

__all__ = ["read_parquet"]

_REPEATED = 32  # times BATCH that a batch may become, where all its rows repeat the one long value of a dictionary


def read_parquet(piece: Piece) -> Found:
    """The column "text" must be there, of strings; "id", "source", "licence", "date", "language" and "meta" may be."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(piece.file, buffer_size=2**20)
    except (ArrowException, OSError) as error:
        yield _broken(piece.name, error)
        return
    with file:
        columns = _columns(file.schema_arrow)
        if "text" not in columns:
            names = ", ".join(file.schema_arrow.names)[:200]
            yield Dropped(piece.name, "missing text field", f"a column text of strings is needed; there are: {names}")
            return
        first = 1
        for group in range(file.num_row_groups):
            yield from _group(file, group, columns, piece, first)
            first += file.metadata.row_group(group).num_rows


def _columns(schema: Any) -> list[str]:
    """Those of scalars, and meta where it is a map or struct; text only of strings."""
    import pyarrow.types as of

    def string(kind: Any) -> bool:
        kind = kind.value_type if of.is_dictionary(kind) else kind
        return bool(of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind))

    def wanted(name: str, kind: Any) -> bool:
        if name == "text":
            return string(kind)
        if name == "meta" and (of.is_map(kind) or of.is_struct(kind)):
            return True
        return string(kind) or of.is_boolean(kind) or of.is_integer(kind) or of.is_floating(kind) or _in_words(kind)

    names = [field.name for field in schema if wanted(field.name, field.type)]
    return [name for name in names if schema.names.count(name) == 1]


def _in_words(kind: Any) -> bool:
    """Types that become text here: Python's own dates end at the year 9999, and hold no nanoseconds."""
    import pyarrow.types as of

    return bool(of.is_date(kind) or of.is_timestamp(kind) or of.is_time(kind) or of.is_decimal(kind))


def _group(file: Any, group: int, columns: list[str], piece: Piece, first: int) -> Found:
    from pyarrow import ArrowException

    done = 0
    try:
        rows = _rows_at_once(file.metadata.row_group(group))
        for batch in file.iter_batches(batch_size=rows, row_groups=[group], columns=columns):
            table = _readable(batch)
            for row in range(batch.num_rows):
                yield _document(table, row, piece, first + done)
                done += 1
    except (ArrowException, OSError) as error:
        last = first + file.metadata.row_group(group).num_rows - 1
        yield _broken(f"{piece.name}#{first + done}-{last}", error)


def _rows_at_once(group: Any) -> int:
    size = max((group.column(i).total_uncompressed_size for i in range(group.num_columns)), default=1)
    usual = Limits.BATCH * group.num_rows // max(size, 1)
    return max(1, min(usual, _REPEATED * Limits.BATCH // max(size, 1), 1000))


def _readable(batch: Any) -> dict[str, Any]:
    from pyarrow import string

    table = zip(batch.schema, batch.columns, strict=True)
    return {field.name: column.cast(string()) if _in_words(field.type) else column for field, column in table}


def _document(table: dict[str, Any], row: int, piece: Piece, number: int) -> Document | Dropped:
    name, where = f"{piece.name}#{number}", f"row {number}"
    try:
        record = {key: column[row].as_py() for key, column in table.items()}
    except UnicodeDecodeError as error:
        return Dropped(name, "invalid UTF-8", f"{where}: byte {error.start} of a value")
    if isinstance(record.get("meta"), list):
        record["meta"] = dict(record["meta"])  # a map, which is a list of pairs
    return document_of(record, name, where, piece.source)


def _broken(name: str, error: Exception) -> Dropped:
    if isinstance(error, OSError) and error.errno:
        return Dropped(name, "unreadable", str(error.strerror))
    return Dropped(name, "broken file", (str(error) or type(error).__name__).splitlines()[0][:200])
