"""An index of passages in a folder, kept by LanceDB. Not for what is found in it, nor for a Milvus.

INDEX/index.json says what it is; INDEX/tables holds the table. Every change is one commit of LanceDB: a process killed at
any moment leaves what was there or what is new. One process writes at a time; others read on.

Words: BM25 with k1 = 1.2 and b = 0.75, over words that we split ourselves; in memory, up to 100,000 passages.
Above, LanceDB counts deleted passages in its idf and mean length until `compact`, so that scores then move a little.
"""

import asyncio
import contextlib
import functools
import json
import math
import os
import shutil
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from genus.core.errors import GenusError
from genus.core.files import locked, read_json, write_json
from genus.retrieve.filters import SQL, Filter, among, written
from genus.retrieve.manifest import Encoding, Manifest, encoder_facts
from genus.retrieve.passage import Hit, Passage
from genus.retrieve.ranking import Scored, hits, untied
from genus.retrieve.rows import COLUMNS, checked, passages_of, schema, to_rows
from genus.retrieve.scan import Scan
from genus.retrieve.words import query_words

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["PROBES", "SCANNED", "LanceCorpus"]

SCANNED = 100_000  # passages up to which all vectors are compared, in memory; above, a quantised index is searched
PROBES = 200  # parts of that index that are looked into, of as many as the square root of the passages
_REFINE, _LEAST = 5, 100  # how many times the count is then compared in full, and passages that are at least
_AT_ONCE = timedelta(0)  # what others add is seen at once
_TRIES = 3  # to find an index in memory as it was when it was asked for the rows of a filter
_BATCH = 4096  # passages of a batch of `arrow`
_FETCHED = ("text", "facts")  # of passages that are found; fetching all columns, one by one, takes as long as searching
_FACTS = [name for name in COLUMNS if name != "text"]

Answer = TypeVar("Answer")


class LanceCorpus:
    """The `Corpus` protocol over a folder. Raises GenusError where it is no index, is damaged, or of another encoder.

    Up to `scanned` passages, 100,000 if not said, are searched in memory.
    """

    def __init__(self, folder: Path, create: Encoding | None = None, scanned: int | None = None) -> None:
        self.folder = folder
        self._most = SCANNED if scanned is None else scanned
        self._tables = folder / "tables"
        self._scan: tuple[Any, Scan | None] = None, None
        self._loading = threading.Lock()
        with self._told():
            if create is not None and not (folder / "index.json").exists():
                self._create(encoder_facts(create))
            self._manifest = self._read_manifest()
            self._manifest.expect(create, str(folder))
            self.encoder = encoder_facts(create or self._manifest.encoder)  # named by where its model lies now
            self._reopen()

    def __len__(self) -> int:
        return self._read(lambda table: int(_done(table.count_rows())))

    def add(self, passages: Sequence[Passage], vectors: "np.ndarray", whole: Sequence[str] = ()) -> None:
        """Put passages in, over those of the same ids, in one commit; vectors (n, width). Others of documents `whole` go."""
        checked(passages, vectors, int(self.encoder["width"]))
        if not passages:
            return
        rows = _stored(passages, vectors)
        with self._writing():
            if not whole and not self.known([passage.id for passage in passages]):
                self._table.add(rows)  # several times faster than a merge
                return
            self._mark(stale=True)
            merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
            if whole:
                merge = merge.when_not_matched_by_source_delete(among("document", whole, SQL))
            merge.execute(rows)

    def known(self, ids: Sequence[str]) -> dict[str, str]:
        """The sha256 of those that are there, by id."""
        found = self._read(lambda table: _of(table, ids, ("id", "sha256"))).to_pydict()
        return dict(zip(found["id"], found["sha256"], strict=True))

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Those that are there, in the order of `ids`."""
        found = {passage.id: passage for passage in passages_of(self._read(lambda table: _of(table, ids, COLUMNS)))}
        return [found[name] for name in ids if name in found]

    def delete(self, documents: Sequence[str]) -> int:
        """Take all passages of these documents out, in one commit, and say how many they were."""
        where = among("document", documents, SQL)
        with self._writing():
            count = int(self._table.count_rows(where))
            if count:
                self._mark(stale=True)
                self._table.delete(where)
        return count

    def compact(self) -> None:
        """Index what is new. After deletions and changes, write all that is kept to a new table, and drop the old one."""
        with self._writing(), warnings.catch_warnings():
            # LanceDB warns that readers of old versions fail: ours open the new one, and read again.
            warnings.filterwarnings("ignore", message=r"optimize\(cleanup_older_than", category=UserWarning)
            self._sweep()
            self._mark(self._manifest.stale)
            if self._manifest.stale:
                self._rewrite()
            self._table.optimize(cleanup_older_than=_AT_ONCE, delete_unverified=True)
            _index(self._table, self._most)  # last: what is indexed before rows are put together is written twice

    def words(self, query: str, count: int, where: Filter | None = None) -> list[Hit]:
        """The best by BM25 over title and text, best first; equal scores by id."""
        import lancedb.query

        match: Any = lancedb.query.MatchQuery  # its types ask for what has a default
        said = query_words(query)
        if not said or count < 1:
            return []
        condition = None if where is None else written(where, SQL)

        def fetch(table: Any, limit: int) -> Sequence[Scored]:
            asked = _where(table.query().nearest_to_text(match(" ".join(said), "words")), condition).limit(limit)
            found = _done(asked.select([*_FETCHED, "_score"]).to_arrow())
            return list(zip(_fetched(found), found["_score"].to_pylist(), strict=True))

        def search(table: Any) -> list[Hit]:
            if (small := self._scanned(table, condition)) is not None:
                scan, rows = small
                return scan.words(said, count, rows)
            return hits(untied(lambda limit: fetch(table, limit), count), count)

        return self._read(search)

    def near(self, vector: "np.ndarray", count: int, where: Filter | None = None, exact: bool = False) -> list[Hit]:
        """The nearest by inner product to a vector (width,), best first; equal scores by id."""
        if vector.shape != (self.encoder["width"],):
            raise GenusError(f"{self.folder} takes vectors of {self.encoder['width']} numbers, not of {vector.shape}")
        if count < 1 or not vector.any():
            return []
        condition = None if where is None else written(where, SQL)

        def search(table: Any) -> list[Hit]:
            if (small := self._scanned(table, condition)) is not None:
                scan, rows = small
                return scan.near(vector, count, rows)
            asked = _where(table.query().nearest_to(vector), condition)
            if exact:
                asked = asked.distance_type("dot").bypass_vector_index()
            else:  # of vectors of length 1 the cosine is the inner product; by it the parts come out more even
                asked = asked.distance_type("cosine").nprobes(PROBES).refine_factor(max(_REFINE, -(-_LEAST // count)))
            found = _done(asked.limit(count).select([*_FETCHED, "_distance"]).to_arrow())
            scores = [1 - far for far in found["_distance"].to_pylist()]
            return hits(list(zip(_fetched(found), scores, strict=True)), count)

        return self._read(search)

    def arrow(self, columns: Sequence[str] = ()) -> Iterator["pa.RecordBatch"]:
        """All passages with their "vector", by which an index moves from one store to another; or these columns of them."""
        names = list(columns) or [*COLUMNS, "vector"]
        with self._told():
            yield from self._read(lambda _: self._table.search().select(names).to_batches(_BATCH))

    def _scanned(self, table: Any, condition: str | None) -> "tuple[Scan, np.ndarray | None] | None":
        """The passages in memory as they are now, and the ids of rows that meet a condition; None for a large index."""
        for _ in range(_TRIES):
            version, scan = self._loaded(table)
            if scan is None:
                return None
            rows = _rows(table, condition)
            if rows is None or version == self._version(table):
                return scan, rows  # ids of another version would be other rows
        return None  # it changes all the time: LanceDB is asked

    def _loaded(self, table: Any) -> tuple[Any, Scan | None]:
        if (kept := self._scan)[0] == (version := self._version(table)):
            return kept
        with self._loading:  # of requests that come at once, one reads the vectors
            if self._scan[0] != version:
                small = _done(table.count_rows()) <= self._most
                wanted = table.query().select([*COLUMNS, "words", "vector"]).with_row_id()
                self._scan = version, Scan(_done(wanted.to_arrow())) if small else None
            return self._scan

    def _version(self, table: Any) -> frozenset[Path]:
        # Each commit is a file, and names in a folder are read a hundred times faster than LanceDB tells its version.
        return frozenset((self._tables / f"{table.name}.lance" / "_versions").iterdir())

    def _create(self, encoder: Encoding) -> None:
        killed = {self._tables, self.folder / ".index.json.partial"}  # what a process leaves that is killed just here
        if self.folder.is_file() or (self.folder.is_dir() and {*self.folder.iterdir()} - killed):
            raise GenusError(f"{self.folder} is a file, or holds other files; name a new folder for the index")
        with locked(self._tables):
            manifest = Manifest(encoder, "passages-1")
            shutil.rmtree(self._tables / f"{manifest.table}.lance", ignore_errors=True)  # of a process killed just here
            _index(self._connect().create_table(manifest.table, schema=_schema(int(encoder["width"]))), self._most)
            write_json(self.folder / "index.json", manifest.content())

    def _connect(self) -> Any:
        os.environ.setdefault("LANCE_LOG", "error")  # it warns of what is as it should be, such as an empty part of an index
        try:
            import lancedb
        except ImportError:
            raise GenusError("an index in a folder needs LanceDB; run: pip install 'genus[retrieve]'") from None
        return lancedb.connect(self._tables, read_consistency_interval=_AT_ONCE)

    async def _queried(self, name: str) -> Any:
        import lancedb

        connection = await lancedb.connect_async(self._tables, read_consistency_interval=_AT_ONCE)
        return await connection.open_table(name)

    def _read_manifest(self) -> Manifest:
        if not (self.folder / "index.json").is_file():
            raise GenusError(f"{self.folder} is no index of Genus; make one with: genus index FOLDER --out {self.folder}")
        return Manifest.read(read_json(self.folder / "index.json"), str(self.folder))

    def _mark(self, stale: bool, table: str | None = None) -> None:
        manifest = Manifest(self.encoder, table or self._manifest.table, stale)
        if manifest != self._manifest:
            write_json(self.folder / "index.json", manifest.content())
            self._manifest = manifest

    def _read(self, ask: Callable[[Any], Answer]) -> Answer:
        """What `ask` finds in the table; asked again where another process has put a new one in its place meanwhile."""
        try:
            return ask(self._asked)
        except (OSError, RuntimeError, ValueError):
            with self._told():
                self._reopen()
                return ask(self._asked)

    def _reopen(self) -> None:
        self._manifest = self._read_manifest()
        self._table = self._connect().open_table(self._manifest.table)
        self._asked = _done(self._queried(self._manifest.table))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with locked(self._tables), self._told():
            self._reopen()
            yield

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:  # what LanceDB raises: a full disk, a damaged file
            raise GenusError(
                f"{self.folder} could not be used ({_first_line(error)}); "
                "name a folder that can be, or if its files are damaged, make the index again"
            ) from error

    def _sweep(self) -> None:
        """Drop tables that a process left when it was killed while it rewrote them."""
        for path in self._tables.glob("passages-*.lance"):
            if path.stem != self._manifest.table:
                shutil.rmtree(path)

    def _rewrite(self) -> None:
        number = int(self._manifest.table.rpartition("-")[2]) + 1
        old, name = self._table, f"passages-{number}"
        rows = _schema(int(self.encoder["width"]))
        table = self._connect().create_table(name, data=old.search().select(rows.names).to_batches(_BATCH), schema=rows)
        _index(table, self._most)
        self._mark(stale=False, table=name)
        self._reopen()
        self._sweep()


def _schema(width: int) -> "pa.Schema":
    """Of the table: a passage's columns, by which it is filtered, and again all of them but the text in one, "facts"."""
    import pyarrow as pa

    return schema(width).append(pa.field("facts", pa.string(), nullable=False))


def _stored(passages: Sequence[Passage], vectors: "np.ndarray") -> "pa.Table":
    rows = to_rows(passages, vectors)
    facts = [json.dumps([getattr(each, name) for name in _FACTS], ensure_ascii=False) for each in passages]
    return rows.append_column(_schema(0).field("facts"), [facts])


def _fetched(found: "pa.Table") -> list[Passage]:
    """The passages of rows with the columns that are fetched."""
    pairs = zip(found["text"].to_pylist(), found["facts"].to_pylist(), strict=True)
    return [Passage(text=text, **dict(zip(_FACTS, json.loads(facts), strict=True))) for text, facts in pairs]


def _index(table: Any, most: int) -> None:
    """Index the words of a table, and the vectors of one of more than `most` passages, where that is not done."""
    from lancedb.index import FTS, IvfSq

    done = {column for index in table.list_indices() for column in index.columns}
    if "words" not in done:
        plain: dict[str, Any] = {"stem": False, "remove_stop_words": False, "ascii_folding": False, "lower_case": False}
        table.create_index("words", config=FTS(base_tokenizer="whitespace", max_token_length=None, **plain))
    if "vector" not in done and (count := table.count_rows()) > most:
        parts: dict[str, Any] = {"num_partitions": math.isqrt(count), "sample_rate": 64, "max_iterations": 20}
        table.create_index("vector", config=IvfSq(distance_type="cosine", **parts))


def _of(table: Any, ids: Sequence[str], columns: Sequence[str]) -> "pa.Table":
    return _done(_where(table.query(), among("id", ids, SQL)).select(list(columns)).to_arrow())


def _where(asked: Any, condition: str | None) -> Any:
    return asked if condition is None else asked.where(condition)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="lancedb", daemon=True).start()
    return loop


def _done(work: Coroutine[Any, Any, Answer]) -> Answer:
    """What a query gives. LanceDB's queries that are not asynchronous ask for the schema first, and take twice as long."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


def _rows(table: Any, condition: str | None) -> "np.ndarray | None":
    """The ids of the rows that meet a condition; None for no condition."""
    if condition is None:
        return None
    rows: np.ndarray = _done(_where(table.query(), condition).select([]).with_row_id().to_arrow())["_rowid"].to_numpy()
    return rows


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).partition("\n")[0][:300]
