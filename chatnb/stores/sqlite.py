"""SQLite: one file in WAL mode, or memory. Only what differs from the other backends."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from chatnb.errors import StoreBusy, StoreError, StoreFull
from chatnb.settings import lock_wait
from chatnb.stores.base import Tx
from chatnb.stores.copied import select_copied
from chatnb.stores.filelock import Notice
from chatnb.stores.sqlitetx import SqliteTx, connect, make_tables
from chatnb.stores.tablejournal import TableJournal

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SqliteBackend"]

T = TypeVar("T")


class SqliteBackend:
    """The tables in one SQLite file.

    Parameters
    ----------
    path
        The file, or None for memory.
    wait
        Seconds to wait for another process's transaction; None is `CHATNB_LOCK_WAIT`, or 10.
    """

    def __init__(self, path: Path | None, *, wait: float | None = None) -> None:
        self.url = f"sqlite:///{path}" if path else "memory:"
        self.path = path
        self.notice: Notice | None = None
        self._wait = lock_wait() if wait is None else wait
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self.journal = TableJournal(self.run, path.with_name(path.name + ".journal") if path else None)

    def run(self, work: Callable[[Tx], T], *, write: bool = True, serial: bool = False) -> T:
        """Call `work` in one transaction; writers wait for each other, so each is `serial`."""
        with self._lock, self._errors():
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            try:
                result = work(SqliteTx(connection))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # SQLite has rolled back itself when the disk is full
                    connection.execute("ROLLBACK")
                raise
            return result

    @contextmanager
    def hold(self) -> Iterator[None]:
        """The connection stays open anyway."""
        yield

    def close(self) -> None:
        """Close the connection. A store in memory is gone then."""
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
            self._connection = None
            self.journal.close()

    def query(self, sql: str, params: Mapping[str, object] | Sequence[object]) -> pyarrow.Table:
        """One DuckDB SELECT over copies of the tables and columns that it names."""
        return select_copied(self.run, sql, params)

    def facts(self) -> dict[str, object]:
        """Where it is and how large."""
        size = self.path.stat().st_size if self.path and self.path.exists() else 0
        return {
            "url": self.url,
            "path": str(self.path or ""),
            "size": size,
            "engine": f"SQLite {sqlite3.sqlite_version}",
        }

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and (self.path is None or self._pid == os.getpid()):
            return self._connection
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(str(self.path or ":memory:"), self._wait)
        try:
            self._log_ahead(connection)
            make_tables(connection, self.url)
        except BaseException:
            connection.close()
            raise
        self._connection, self._pid = connection, os.getpid()
        return connection

    def _log_ahead(self, connection: sqlite3.Connection) -> None:
        """Turn WAL on, and full syncing: a turn that was acknowledged outlives a power cut."""
        deadline = time.monotonic() + self._wait
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # here SQLite does not wait for a process that does the same
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                raise StoreBusy(
                    f"{self.url} was held by another process for more than {self._wait:g} s. Try again, "
                    "or close it there."
                ) from error
            if "full" in text:
                raise StoreFull(
                    f"There is no room to write {self.url}. Make room; what was stored is untouched."
                ) from error
            raise StoreError(
                f"{self.url} cannot be used: {text}. Check its folder and its rights, or name another store."
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.url} is not a chatnb store: {error}. Name another file.") from error
        except OSError as error:
            raise StoreError(f"{self.url} cannot be opened: {error.strerror}. Name another store.") from error
