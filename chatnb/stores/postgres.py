"""PostgreSQL and CockroachDB, through psycopg and its pool. Only what differs from the other backends.

CockroachDB lacks advisory locks and LISTEN, numbers that a sequence gives are slow there, and DDL does not go into one
transaction with data: nothing here needs them. It refuses transactions that cross (40001), so work is tried again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import IsolationLevel, errors
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool, PoolTimeout
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from chatnb.errors import StoreBusy, StoreError, StoreFull
from chatnb.settings import lock_wait, waiting_folder
from chatnb.stores.base import Tx
from chatnb.stores.copied import select_copied
from chatnb.stores.filelock import Notice
from chatnb.stores.pgtables import make_tables
from chatnb.stores.pgurl import address, without_password
from chatnb.stores.rows import Row, parameter
from chatnb.stores.schema import Table
from chatnb.stores.tablejournal import TableJournal

if TYPE_CHECKING:
    import pyarrow

    Connection = psycopg.Connection[tuple[Any, ...]]

__all__ = ["PostgresBackend", "PostgresTx"]

T = TypeVar("T")

BATCH = 5000
"""Rows that a large result holds in memory at a time."""

POOL_WAIT = 2.0
"""Seconds for one try to get a connection; when the pool is asked again it begins to make one anew."""

TRIES = 40
"""How often work is tried that crosses other work or loses its connection; the time to wait bounds it too."""

PASSING = frozenset({"40001", "40003", "40P01", "23505", "57P01", "57P02", "57P03", "08000", "08003", "08006", "08007"})
"""Errors that another try may not meet: crossed or unknown commits, deadlocks, a row that somebody else has just added,
a server that goes down or a connection that broke."""


@lru_cache(maxsize=512)
def _translated(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


class PostgresTx:
    """One transaction on a PostgreSQL connection."""

    rows_at_once = True

    def __init__(self, connection: Connection, again: bool) -> None:
        self._connection = connection
        self.again = again

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """The rows that a SELECT gives."""
        return self._execute(sql, params).fetchall()

    def batches(self, sql: str, params: Sequence[object] = ()) -> Iterator[list[Row]]:
        """The rows that a SELECT gives, some thousands at a time, from a cursor on the server."""
        with self._connection.cursor("chatnb_rows") as cursor:
            cursor.execute(_translated(sql), [parameter(value) for value in params])
            while batch := cursor.fetchmany(BATCH):
                yield batch

    def add(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows, each with its own parameters, as a statement takes 65,535 at most."""
        if not rows:
            return
        marks = ", ".join(["%s"] * len(table.columns))
        statement = f"INSERT INTO {table.name} ({', '.join(table.names)}) VALUES ({marks})"
        with self._connection.cursor() as cursor:
            cursor.executemany(statement, [[parameter(value) for value in row] for row in rows])

    def change(self, table: Table, key: Sequence[object], values: Mapping[str, object]) -> None:
        """Set columns of one row."""
        sets = ", ".join(f"{name} = ?" for name in values)
        self._execute(f"UPDATE {table.name} SET {sets} WHERE {_key(table)}", [*values.values(), *key])

    def remove(self, table: Table, where: str, params: Sequence[object] = ()) -> None:
        """Delete rows."""
        self._execute(f"DELETE FROM {table.name} WHERE {where}", params)

    def lock(self, table: Table, key: Sequence[object]) -> None:
        """Others who want to lock the row wait until the transaction ends."""
        self._execute(f"SELECT 1 FROM {table.name} WHERE {_key(table)} FOR UPDATE", key)

    def _execute(self, sql: str, params: Sequence[object]) -> psycopg.Cursor[Row]:
        return self._connection.execute(_translated(sql), [parameter(value) for value in params])


def _key(table: Table) -> str:
    return " AND ".join(f"{name} = ?" for name in table.key)


class PostgresBackend:
    """The tables in one schema of a PostgreSQL or CockroachDB database.

    Parameters
    ----------
    url
        `postgresql://user:password@host/database`; SQLAlchemy's spellings and `cockroachdb://` are the same.
    wait
        Seconds to wait for a connection, for another transaction's rows, and for work to succeed; None is
        `CHATNB_LOCK_WAIT`, or 10.
    """

    def __init__(self, url: str, *, wait: float | None = None) -> None:
        self._address = address(url)
        self.url = without_password(url)
        self.notice: Notice | None = None
        self._wait = lock_wait() if wait is None else wait
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Connection] | None = None
        self._pid = 0
        self.journal = TableJournal(self.run, waiting_folder(self.url))

    def run(self, work: Callable[[Tx], T], *, write: bool = True, serial: bool = False) -> T:
        """Call `work` in one transaction, again while it crosses others or its connection breaks."""
        with self._errors():
            self._opened()  # what is wrong with the address or the account does not pass
            for attempt in self._tries(lambda error: _passes(error)):
                with attempt:
                    return self._once(work, write, serial, again=attempt.retry_state.attempt_number > 1)
        raise AssertionError("a try either returns or raises")

    def _tries(self, passes: Callable[[BaseException], bool]) -> Retrying:
        return Retrying(
            retry=retry_if_exception(passes),
            stop=stop_after_attempt(TRIES) | stop_after_delay(self._wait),
            wait=wait_random_exponential(multiplier=0.02, max=0.5),
            reraise=True,
        )

    def _once(self, work: Callable[[Tx], T], write: bool, serial: bool, again: bool) -> T:
        with self._opened().connection() as connection:
            connection.read_only = not write
            # A read of several statements sees one moment; a write sees what is committed once it has its lock.
            connection.isolation_level = (
                IsolationLevel.SERIALIZABLE if serial else None if write else IsolationLevel.REPEATABLE_READ
            )
            return work(PostgresTx(connection, again))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """The pool stays open anyway."""
        yield

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._pool is not None and self._pid == os.getpid():
                self._pool.close()
            self._pool = None
            self.journal.close()

    def query(self, sql: str, params: Mapping[str, object] | Sequence[object]) -> pyarrow.Table:
        """One DuckDB SELECT over copies of the tables and columns that it names."""
        return select_copied(self.run, sql, params)

    def facts(self) -> dict[str, object]:
        """Where it is and how large."""
        with self._errors(), self._opened().connection() as connection:
            ((version, size),) = connection.execute(
                "SELECT version(), coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class c"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
                if not self._cockroach(connection)
                else "SELECT version(), 0"
            ).fetchall()
        return {"url": self.url, "path": "", "size": int(size), "engine": " ".join(str(version).split()[:2])}

    @staticmethod
    def _cockroach(connection: Connection) -> bool:
        return connection.info.parameter_status("crdb_version") is not None

    def _opened(self) -> ConnectionPool[Connection]:
        """The pool of this process; the first connection makes the tables, and its errors are the clear ones."""
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                with psycopg.connect(self._address, **self._options()) as connection:
                    self._tries(_crossed)(make_tables, connection, self.url)
                self._pool = ConnectionPool(
                    self._address,
                    min_size=1,
                    max_size=8,
                    timeout=min(self._wait, POOL_WAIT),
                    reconnect_timeout=POOL_WAIT / 2,
                    check=ConnectionPool.check_connection,
                    configure=self._configure,
                    kwargs=self._options(),
                    open=True,
                    name="chatnb",
                )
                self._pid = os.getpid()
            return self._pool

    def _options(self) -> dict[str, Any]:
        return {"connect_timeout": max(int(self._wait), 2), "application_name": "chatnb"}

    def _configure(self, connection: Connection) -> None:
        """JSON stays text, as it is on every other backend; nobody waits for another's row without end."""
        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, TextLoader)
        connection.execute(f"SET lock_timeout = '{int(self._wait * 1000)}ms'")
        connection.commit()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            raise StoreBusy(
                f"{self.url} gave no connection within {self._wait:g} s. Check that the server runs, then try again."
            ) from error
        except errors.LockNotAvailable as error:
            raise StoreBusy(
                f"A session in {self.url} was locked by another process for more than {self._wait:g} s. Try again."
            ) from error
        except (errors.DiskFull, errors.OutOfMemory) as error:
            raise StoreFull(
                f"There is no room to write {self.url}. Make room; what was stored is untouched."
            ) from error
        except psycopg.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: psycopg.Error) -> StoreError:
        """The error as one sentence that says what to do."""
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        for start, says in _CONNECTION_PROBLEMS.items():
            if start in str(error):
                return StoreError(f"{self.url} {says}")
        if error.sqlstate is None and isinstance(error, psycopg.OperationalError):
            return StoreError(f"{self.url} cannot be reached: {text}. Check its address and that the server runs.")
        return StoreError(f"{self.url} cannot be used: {text}.")


_CONNECTION_PROBLEMS = {
    "password authentication failed": "refused the password or the user. Check both in the address.",
    "no password supplied": "wants a password. Put it into the address, or into PGPASSWORD.",
    "timeout expired": "did not answer in time. Check the host and the port in the address.",
    "Connection refused": "cannot be reached: nothing answers there. Check the host and the port, and that it runs.",
    "could not translate host name": "cannot be reached: its host is not known. Check the host in the address.",
    "failed to resolve host": "cannot be reached: its host is not known. Check the host in the address.",
    "No such file or directory": "cannot be reached: there is no such socket. Check the host, and that it runs.",
}


def _passes(error: BaseException) -> bool:
    """Whether another try may succeed."""
    lost = isinstance(error, psycopg.OperationalError) and error.sqlstate is None  # no answer, or no connection
    return lost or _crossed(error)


def _crossed(error: BaseException) -> bool:
    return isinstance(error, psycopg.Error) and error.sqlstate in PASSING
