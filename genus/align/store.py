"""The database under the feedback: opened by path or URL, written in whole transactions, its troubles in plain words.

What is committed is on the disk. A transaction that fails leaves nothing behind.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from genus.align.tables import check, create
from genus.core.errors import GenusError

__all__ = ["BusyError", "FullError", "Store", "StoreError"]

_WAIT = 5.0  # seconds for another writer
_FULL = {"SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_SHMSIZE", "53100"}
_BUSY = {"55P03", "40001", "40P01", "57014", "57P01", "57P03", "53300"}  # of Postgres: locks, stops, too many at once


class StoreError(GenusError):
    """The database failed: what was asked was not wrong, and nothing was saved."""


class BusyError(StoreError):
    """Somebody else writes, or the database is away: the same may work in a moment."""


class FullError(StoreError):
    """The disk has no room."""


class Store:
    """A SQLite file (a path or sqlite:///PATH), or a Postgres database (postgresql://USER:PASSWORD@HOST/NAME)."""

    def __init__(self, url: str | Path, *, new: bool = False, wait: float = _WAIT) -> None:
        """Open it. With `new` it is made where it is not there. Raises GenusError saying why it cannot be opened."""
        place = _place(str(url))
        self.name = place.render_as_string(hide_password=True) if place.host else str(place.database)
        self._engine = _engine(place, wait, new)
        try:
            if place.get_backend_name() == "sqlite" and not new and not Path(self.name).is_file():
                raise GenusError("there is no such file; `genus rank tasks.jsonl --store FILE` makes one")
            with self._told():
                if new:
                    create(self._engine, time.time())
                else:
                    with self._engine.connect() as connection:
                        check(connection)
        except GenusError as error:
            self.close()
            raise GenusError(f"the feedback store {self.name} cannot be opened: {error}") from error

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is on the disk when the block ends, or leaves nothing. Raises BusyError, FullError."""
        with self._told(), self._engine.execution_options(write=True).begin() as connection:
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One moment of the store."""
        with self._told(), self._engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of it."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:  # a row that may be there once: its table's business
            raise
        except DBAPIError as error:
            raise _trouble(error) from error
        except PoolTimeoutError as error:
            raise BusyError("too many ask the feedback store at once; try again in a moment") from error


def _place(url: str) -> URL:
    if "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        place = make_url(url)
    except ArgumentError:
        raise GenusError(
            "the feedback store's URL is not one; give a file, or postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    if place.drivername in ("postgresql", "postgres"):
        return place.set(drivername="postgresql+psycopg")
    if place.drivername != "sqlite" or not place.database or place.database == ":memory:":
        raise GenusError(f"{place.drivername}: cannot hold feedback; give a file, or postgresql://USER:PASSWORD@HOST/NAME")
    return place


def _engine(place: URL, wait: float, new: bool) -> Engine:
    if place.get_backend_name() == "sqlite":
        engine = create_engine(place, connect_args={"timeout": wait}, pool_timeout=wait)
        event.listen(engine, "connect", _prepare_new if new else _prepare)
        event.listen(engine, "begin", _begin)
        return engine
    limits = f"-c lock_timeout={wait:.0f}s -c statement_timeout={6 * wait:.0f}s"
    try:
        return create_engine(
            place, connect_args={"connect_timeout": 5, "options": limits}, pool_timeout=wait, pool_pre_ping=True
        )
    except (ImportError, NoSuchModuleError) as error:
        raise GenusError("Postgres needs a driver; install it with pip install 'genus[postgres]'") from error


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, and not where Python's driver guesses
    connection.execute("PRAGMA synchronous = FULL")  # a commit returns when it is on the disk
    connection.execute("PRAGMA foreign_keys = ON")


def _prepare_new(connection: sqlite3.Connection, _: Any) -> None:
    _prepare(connection, _)
    connection.execute("PRAGMA journal_mode = WAL")  # readers and a writer do not wait for each other; the file remembers it


def _begin(connection: Connection) -> None:
    # a reader that later wants to write may find that it cannot: who writes says so at once, and waits its turn
    immediate = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _trouble(error: DBAPIError) -> GenusError:
    """What a person can do about it."""
    inner = error.orig
    code = str(getattr(inner, "sqlite_errorname", None) or getattr(inner, "sqlstate", None) or "")
    if code in _FULL:
        return FullError("the disk of the feedback store is full, so nothing was saved; free space, then try again")
    away = not code and error.connection_invalidated
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "08")) or code in _BUSY or away or _unreached(inner):
        return BusyError("the feedback store is in use by another program or away, so nothing was saved; try again")
    first = (str(inner).strip().splitlines() or [code])[0]
    return StoreError(f"the feedback store failed ({first[:200]}), so nothing was saved; see that its place can be written")


def _unreached(inner: BaseException | None) -> bool:
    """Postgres without a code: no connection came about."""
    return type(inner).__module__.startswith("psycopg") and not getattr(inner, "sqlstate", None)
