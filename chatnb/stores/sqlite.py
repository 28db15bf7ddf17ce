"""SQLite: one file in WAL mode, or memory. Only what differs from the other backends."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from chatnb.errors import StoreBusy, StoreError, StoreFull
from chatnb.settings import lock_wait
from chatnb.stores import ddl
from chatnb.stores.base import Row, Tx
from chatnb.stores.filelock import Notice
from chatnb.stores.schema import Table
from chatnb.stores.tablejournal import TableJournal

if TYPE_CHECKING:
    import pyarrow

__all__ = ["SqliteBackend"]

T = TypeVar("T")

DIALECT = ddl.Dialect(
    types={
        "text": "TEXT", "bigint": "INTEGER", "double": "REAL", "boolean": "INTEGER", "timestamp": "TEXT",
        "json": "TEXT", "tags": "TEXT", "blob": "BLOB", "date": "TEXT",
    },
    day="substr(turns.started_at, 1, 10)",
)  # fmt: skip


def _plain(value: object) -> object:
    """Times as text of one width in UTC, so that text order is time order."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value


class SqliteTx:
    """One transaction on an SQLite connection."""

    again = False
    rows_at_once = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """The rows that a SELECT gives."""
        return self._connection.execute(sql, [_plain(value) for value in params]).fetchall()

    def add(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows."""
        marks = ", ".join("?" * len(table.columns))
        self._connection.executemany(
            f"INSERT INTO {table.name} VALUES ({marks})", [[_plain(value) for value in row] for row in rows]
        )

    def change(self, table: Table, key: Sequence[object], values: Mapping[str, object]) -> None:
        """Set columns of one row."""
        sets = ", ".join(f"{name} = ?" for name in values)
        where = " AND ".join(f"{name} = ?" for name in table.key)
        params = [_plain(value) for value in (*values.values(), *key)]
        self._connection.execute(f"UPDATE {table.name} SET {sets} WHERE {where}", params)

    def remove(self, table: Table, where: str, params: Sequence[object] = ()) -> None:
        """Delete rows."""
        self._connection.execute(f"DELETE FROM {table.name} WHERE {where}", [_plain(value) for value in params])

    def lock(self, table: Table, key: Sequence[object]) -> None:
        """BEGIN IMMEDIATE has locked everything already."""


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
        self._depth = 0
        self.journal = TableJournal(self.run)

    def run(self, work: Callable[[Tx], T], *, write: bool = True) -> T:
        """Call `work` in one transaction."""
        with self._lock:
            connection = self._opened()
            with self._errors():
                connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                try:
                    result = work(SqliteTx(connection))
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
                return result

    @contextmanager
    def hold(self) -> Iterator[None]:
        """The connection stays open anyway."""
        yield

    def close(self) -> None:
        """Close the connection. A store in memory is gone then."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def query(self, sql: str, params: Mapping[str, object] | Sequence[object]) -> pyarrow.Table:
        """One DuckDB SELECT over the rows."""
        raise NotImplementedError

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
        if self._connection is None:
            with self._errors():
                if self.path is not None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(
                    str(self.path or ":memory:"), timeout=self._wait, isolation_level=None, check_same_thread=False
                )
                connection.execute("PRAGMA journal_mode = WAL")
                self._migrate(connection)
                self._connection = connection
        return self._connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {ddl.SCHEMA_TABLE} (major INTEGER, minor INTEGER, step TEXT)")
        rows = connection.execute(f"SELECT major, minor, step FROM {ddl.SCHEMA_TABLE}").fetchall()
        connection.execute("COMMIT")
        ddl.check_version(rows, self.url)
        for step in ddl.pending(rows):
            connection.execute("BEGIN IMMEDIATE")
            taken = connection.execute(f"SELECT 1 FROM {ddl.SCHEMA_TABLE} WHERE step = ?", (step.name,)).fetchall()
            for statement in [] if taken else ddl.statements(step, DIALECT):
                connection.execute(statement)
            if not taken:
                connection.execute(f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (?, ?, ?)", ddl.step_row(step))
            connection.execute("COMMIT")

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
            raise StoreError(f"{self.url} cannot be used: {text}.") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.url} is not a chatnb store: {error}. Name another file.") from error
        except OSError as error:
            raise StoreError(f"{self.url} cannot be opened: {error.strerror}.") from error
