"""An index of passages in a Milvus, by URL, or in a file of milvus-lite. Not for what is found in it, nor for a folder.

The index NAME is an alias of a collection NAME_1, NAME_2, ..., one property of which says what it is. A Milvus decides
itself when to take deleted rows from its disk; so after deletions and changes `compact` writes what is kept to the next
collection, moves the alias and drops the old one. One process is to write at a time.

Words: BM25 with k1 = 1.2 and b = 0.75, over words that we split ourselves. Scores are those of LanceDB as long as one
segment holds all, since each has its own idf and mean length. milvus-lite splits words of Indian scripts at vowel signs too.
"""

import contextlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from genus.core.errors import GenusError
from genus.retrieve.filters import MILVUS, Filter, among, written
from genus.retrieve.manifest import Encoding, Manifest, encoder_facts
from genus.retrieve.passage import Hit, Passage
from genus.retrieve.ranking import Scored, hits, untied
from genus.retrieve.rows import COLUMNS, checked, from_rows, schema, to_rows
from genus.retrieve.words import query_words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["MilvusCorpus"]

_PROPERTY = "genus.index"
_LENGTHS = {
    "id": 1024,
    "document": 1024,
    "url": 8192,
    "source": 4096,
    "sha256": 64,
    "language": 64,
    "date": 64,
    "title": 2048,
}
_LONGEST = 65_535  # bytes of a text, as Milvus has it
_LISTS, _PROBES = 1024, 200  # parts that the vectors are put into, and those that are looked into; all of them are exact
_MOST = 16_384  # rows that Milvus gives to one search
_BATCH = 2048  # rows written or read at once, some 8 MB of the 64 that a Milvus takes
_SECONDS = 10  # to wait for an answer to the first word


class MilvusCorpus:
    """The `Corpus` protocol over a Milvus. Raises GenusError where it is not reached, has no index, or another encoder's."""

    def __init__(self, place: str, create: Encoding | None = None) -> None:
        self.place, self.name = _shown(place), _name(place)
        self._client = _connected(place, create is not None)
        with self._told():
            if create is not None and not self._client.has_collection(self.name):
                self._client.create_alias(self._create(encoder_facts(create), 1), self.name)
            if not self._client.has_collection(self.name):
                raise GenusError(f"{self.place} holds no index of Genus; make one with genus index")
            self._manifest = self._read_manifest()
            self._manifest.expect(create, self.place)
            self._client.load_collection(self.name)
        self.encoder = encoder_facts(create or self._manifest.encoder)  # named by where its model lies now

    def __len__(self) -> int:
        with self._told():
            return self._count("")

    def add(self, passages: Sequence[Passage], vectors: "np.ndarray", whole: Sequence[str] = ()) -> None:
        """Put passages in, over those of the same ids, all at once up to 2,048 of them; vectors (n, width).

        Documents `whole` are taken out before: a Milvus does not do both at once.
        """
        checked(passages, vectors, int(self.encoder["width"]))
        rows = _rows(passages, vectors)
        if whole:
            self.delete(whole)
        with self._told():
            if passages and self.known([passage.id for passage in passages]):
                self._mark(stale=True)
            self._upsert(self.name, rows)

    def known(self, ids: Sequence[str]) -> dict[str, str]:
        """The sha256 of those that are there, by id."""
        return {row["id"]: row["sha256"] for row in self._of(ids, ["id", "sha256"])}

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Those that are there, in the order of `ids`."""
        found = {row["id"]: _passage(row) for row in self._of(ids, [*COLUMNS])}
        return [found[name] for name in ids if name in found]

    def delete(self, documents: Sequence[str]) -> int:
        """Take all passages of these documents out, and say how many they were."""
        where = among("document", documents, MILVUS)
        with self._told():
            count = self._count(where)
            if count:
                self._mark(stale=True)
                self._client.delete(self.name, filter=where)
        return count

    def compact(self) -> None:
        """Flush what is new. After deletions and changes, write what is kept to a new collection, and drop the old one."""
        with self._told():
            self._manifest = self._read_manifest()
            self._sweep()
            self._mark(self._manifest.stale)
            if self._manifest.stale:
                self._rewrite()
            self._client.flush(self._manifest.table)

    def words(self, query: str, count: int, where: Filter | None = None) -> list[Hit]:
        """The best by BM25 over title and text, best first; equal scores by id."""
        said = " ".join(query_words(query))
        if not said or count < 1:
            return []

        def fetch(limit: int) -> Sequence[Scored]:
            found = self._search("counted", said, {"metric_type": "BM25"}, limit, where)
            return [(passage, abs(score)) for passage, score in found]  # milvus-lite gives them as distances, below zero

        return hits(untied(fetch, count), count)

    def near(self, vector: "np.ndarray", count: int, where: Filter | None = None, exact: bool = False) -> list[Hit]:
        """The nearest by inner product to a vector (width,), best first; equal scores by id."""
        if vector.shape != (self.encoder["width"],):
            raise GenusError(f"{self.place} takes vectors of {self.encoder['width']} numbers, not of {vector.shape}")
        if count < 1 or not vector.any():
            return []
        asked = {"metric_type": "IP", "params": {"nprobe": _LISTS if exact else _PROBES}}
        said = [float(value) for value in vector]
        return hits(untied(lambda limit: self._search("vector", said, asked, limit, where), count), count)

    def arrow(self, columns: Sequence[str] = ()) -> Iterator["pa.RecordBatch"]:
        """All passages with their "vector", by which an index moves from one store to another; or these columns of them."""
        import pyarrow as pa

        names = list(columns) or [*COLUMNS, "vector"]
        kept = pa.schema([schema(int(self.encoder["width"])).field(name) for name in names])
        with self._told():
            pages = self._client.query_iterator(self.name, batch_size=_BATCH, output_fields=names)
        while True:
            with self._told():
                rows = pages.next()
            if not rows:
                pages.close()
                return
            yield pa.RecordBatch.from_pylist([{name: row[name] for name in names} for row in rows], schema=kept)

    def _search(self, field: str, data: Any, asked: dict[str, Any], limit: int, where: Filter | None) -> Sequence[Scored]:
        with self._told():
            found = self._client.search(
                self.name,
                data=[data],
                anns_field=field,
                search_params=asked,
                limit=min(limit, _MOST),
                filter="" if where is None else written(where, MILVUS),
                output_fields=[*COLUMNS],
            )
        return [(_passage(hit["entity"]), float(hit["distance"])) for hit in found[0]]

    def _of(self, ids: Sequence[str], columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        for first in range(0, len(ids), _BATCH):
            where = among("id", ids[first : first + _BATCH], MILVUS)
            with self._told():
                yield from self._client.query(self.name, filter=where, output_fields=list(columns))

    def _count(self, where: str) -> int:
        return int(self._client.query(self.name, filter=where, output_fields=["count(*)"])[0]["count(*)"])

    def _upsert(self, collection: str, rows: "pa.Table") -> None:
        for first in range(0, len(rows), _BATCH):
            self._client.upsert(collection, data=rows.slice(first, _BATCH).to_pylist())

    def _create(self, encoder: Encoding, number: int) -> str:
        table = f"{self.name}_{number}"
        made = self._client.create_schema()
        _fields(made, int(encoder["width"]))
        index = self._client.prepare_index_params()
        kind = "FLAT" if _local(self.place) else "IVF_FLAT"  # a file is for what is small, and compared whole
        index.add_index("vector", index_type=kind, metric_type="IP", params=_nested({"nlist": _LISTS}))
        counting = _nested({"bm25_k1": 1.2, "bm25_b": 0.75})
        index.add_index("counted", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=counting)
        self._drop(table)  # left by a process that was killed while it wrote it
        said = {_PROPERTY: json.dumps(Manifest(encoder, table).content())}
        options = {"index_params": index, "consistency_level": "Strong", "properties": said}
        self._client.create_collection(table, schema=made, **options)
        return table

    def _read_manifest(self) -> Manifest:
        try:
            content = json.loads(self._said(self.name).get(_PROPERTY, ""))
        except ValueError:
            content = None
        return Manifest.read(content, self.place)

    def _mark(self, stale: bool) -> None:
        """Note that rows are deleted or changed, before they are; and the encoder, by the name that it has now."""
        manifest = replace(self._manifest, encoder=self.encoder, stale=stale)
        if manifest != self._manifest:
            said = {_PROPERTY: json.dumps(manifest.content())}
            self._client.alter_collection_properties(manifest.table, properties=said)
            self._manifest = manifest

    def _sweep(self) -> None:
        """Drop collections of ours that a process left when it was killed while it wrote, or dropped, one."""
        names = set(self._client.list_collections())
        if _local(self.place):
            names |= {path.name for path in Path(self.place, "collections").iterdir()}
        for table in names - {self._manifest.table}:
            index, _, number = table.rpartition("_")
            whole = self._client.has_collection(table)
            if index == self.name and number.isdecimal() and (not whole or _PROPERTY in self._said(table)):
                self._drop(table)

    def _drop(self, table: str) -> None:
        if self._client.has_collection(table):
            self._client.drop_collection(table)
        if _local(self.place):  # milvus-lite does not know one again whose making or dropping was cut off
            shutil.rmtree(Path(self.place, "collections", table), ignore_errors=True)

    def _said(self, table: str) -> dict[str, str]:
        """The properties of a collection."""
        said: dict[str, str] = self._client.describe_collection(table).get("properties", {})
        return said

    def _rewrite(self) -> None:
        old = self._manifest.table
        new = self._create(self.encoder, int(old.rpartition("_")[2]) + 1)
        for batch in self.arrow():
            self._upsert(new, _rows(*from_rows(batch)))
        self._client.flush(new)
        self._client.alter_alias(new, self.name)
        self._drop(old)
        self._manifest = self._read_manifest()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        from pymilvus.exceptions import MilvusException

        try:
            yield
        except MilvusException as error:
            raise GenusError(f"{self.place} could not be used ({_first_line(error)}); look at that Milvus") from error


def _fields(made: Any, width: int) -> None:
    from pymilvus import DataType, Function, FunctionType

    for name in COLUMNS:
        if name in ("number", "start", "end"):
            made.add_field(name, DataType.INT64)
        else:
            made.add_field(name, DataType.VARCHAR, is_primary=name == "id", max_length=_LENGTHS.get(name, _LONGEST))
    made.add_field(
        "words", DataType.VARCHAR, max_length=_LONGEST, enable_analyzer=True, analyzer_params={"tokenizer": "standard"}
    )
    made.add_field("counted", DataType.SPARSE_FLOAT_VECTOR)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
    counting = Function("counting", FunctionType.BM25, input_field_names=["words"], output_field_names=["counted"])
    made.add_function(counting)


def _nested(params: dict[str, float]) -> dict[str, Any]:
    """Settings of an index as one JSON text: a Milvus reads them spread out too, milvus-lite only so."""
    return {"params": json.dumps(params)}


def _rows(passages: Sequence[Passage], vectors: "np.ndarray") -> "pa.Table":
    """As `to_rows` gives them, with "words" cut at a blank to what a Milvus takes: one letter may fold to eighteen."""
    import pyarrow as pa

    rows = to_rows(passages, vectors)
    for passage in passages:
        for name in COLUMNS:
            most = _LENGTHS.get(name, _LONGEST)
            if len(str(getattr(passage, name)).encode()) > most:
                raise GenusError(
                    f"the {name} of the passage {passage.id[:60]!a} is longer than the {most:,} bytes that a Milvus takes; "
                    "shorten it, or keep the index in a folder"
                )
    cut = pa.array([_cut(each) for each in rows["words"].to_pylist()], pa.string())
    place = rows.schema.get_field_index("words")
    return rows.set_column(place, rows.schema.field(place), cut)


def _cut(words: str) -> str:
    said = words.encode()
    return words if len(said) <= _LONGEST else said[: _LONGEST + 1].rpartition(b" ")[0].decode()


def _connected(place: str, create: bool) -> Any:
    try:
        from pymilvus import MilvusClient
        from pymilvus.exceptions import MilvusException
    except ImportError:
        raise GenusError("an index in a Milvus needs its client; run: pip install 'genus[milvus]'") from None
    for name in ("pymilvus", "milvus_lite", "grpc"):
        # they log each error with a traceback, and what milvus-lite does not do; we tell errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    local = _local(place)
    if local:
        _check_folder(place, create)
    try:
        return MilvusClient(place if local else _address(place), timeout=_SECONDS)
    except (MilvusException, ValueError) as error:
        step = "end the process that may have it open" if local else "start that Milvus"
        raise GenusError(f"{_shown(place)} is not reached ({_first_line(error)}); {step}, or name another") from error


def _check_folder(place: str, create: bool) -> None:
    """Of milvus-lite, which does not tell what is wrong with it."""
    path = Path(place)
    try:
        if path.is_file():
            raise GenusError(f"{place} is a file, and milvus-lite keeps an index in a folder; name another")
        if not create and not path.is_dir():
            raise GenusError(f"{place} is no index of Genus; make one with genus index")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GenusError(f"{place} could not be used ({error.strerror}); name another place") from None


def _local(place: str) -> bool:
    return place.endswith(".db") and "://" not in place


def _address(place: str) -> str:
    parts = _parts(place)
    return f"{parts.scheme}://{parts.netloc}"


def _name(place: str) -> str:
    """The collection of a URL's path; in a file there is one."""
    name = "passages" if _local(place) else _parts(place).path.strip("/")
    if not name.isidentifier() or not name.isascii() or len(name) > 200:
        raise GenusError(f"{_shown(place)} does not name its collection in letters and digits: http://HOST:PORT/COLLECTION")
    return name


def _shown(place: str) -> str:
    """The place without the password that may be in it."""
    if _local(place):
        return place
    whole = _parts(place).netloc
    return place.replace(whole, whole.rpartition("@")[2])


def _parts(place: str) -> SplitResult:
    try:
        parts = urlsplit(place)
        _ = parts.port
    except ValueError:  # what it says may hold a password
        raise GenusError(
            "the host or port of the index's URL cannot be read; write it as http://HOST:PORT/COLLECTION"
        ) from None
    return parts


def _passage(row: dict[str, Any]) -> Passage:
    return Passage(*(row[name] for name in COLUMNS))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
