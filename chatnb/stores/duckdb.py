"""DuckDB: one file that is open only while it is used. Only what differs from the other backends.

DuckDB shuts out every other process while one has the file open, and a file that is opened again and again slows down
as its last row group grows. So every open happens under one cross-process lock, and new rows go to small `_recent`
tables that are folded into the large `_base` ones in batches; a view of the public name unites the two.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb

from chatnb.errors import StoreBusy, StoreError, StoreFull
from chatnb.settings import lock_wait
from chatnb.stores import ddl, select
from chatnb.stores.attached import Attaching
from chatnb.stores.base import Tx
from chatnb.stores.filelock import TELL_AFTER, Notice, hold_file, process_name
from chatnb.stores.journal import FileJournal
from chatnb.stores.rows import Row, parameter
from chatnb.stores.schema import MESSAGES, TOOL_CALLS, TURNS, Table

if TYPE_CHECKING:
    import pyarrow

__all__ = ["DuckdbBackend"]

T = TypeVar("T")

SPLIT = (MESSAGES, TURNS, TOOL_CALLS)
"""The tables that grow with every turn."""

FOLD_ROWS = 256
FOLD_BYTES = 1_300_000
"""How much the recent messages hold before they are folded: more makes every turn slower, less folds too often."""

_ROW_BYTES = FOLD_BYTES // FOLD_ROWS
FOLD_CHECK_BYTES = FOLD_BYTES // 16
"""How much a process adds, a row counting as much as its share of them, before it looks whether it is time."""

BULK_ROWS = 200
"""From here on Arrow is faster than VALUES, and the rows go straight to the large table."""

CONFIG: dict[str, str | bool | int | float | list[str]] = {"storage_compatibility_version": "v1.4.0"}
"""A file of this version opens in DuckDB 1.4 and later."""


def _parts(table: Table, dialect: ddl.Dialect) -> list[str]:
    if table not in SPLIT:
        return [ddl.create_table(table, dialect)]
    return [
        ddl.create_table(table, dialect, f"{table.name}_base"),
        ddl.create_table(table, dialect, f"{table.name}_recent"),
        f"CREATE VIEW {table.name} AS SELECT * FROM {table.name}_base UNION ALL SELECT * FROM {table.name}_recent",
    ]


DIALECT = ddl.Dialect(
    types=select.TYPES,
    day="CAST(turns.started_at AT TIME ZONE 'UTC' AS DATE)",
    tables=_parts,
)


class DuckdbTx:
    """One transaction on a DuckDB connection."""

    again = False
    rows_at_once = False

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.added = 0

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """The rows that a SELECT gives."""
        return self._connection.execute(sql, [parameter(value) for value in params]).fetchall()

    def batches(self, sql: str, params: Sequence[object] = ()) -> Iterator[list[Row]]:
        """The rows that a SELECT gives, some thousands at a time."""
        result = self._connection.execute(sql, [parameter(value) for value in params])
        while batch := result.fetchmany(5000):
            yield batch

    def add(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows: a few into the recent table, many into the large one."""
        if not rows:
            return
        split = table in SPLIT
        if len(rows) >= BULK_ROWS:
            self._add_arrow(table, f"{table.name}_base" if split else table.name, rows)
            return
        if table is MESSAGES:
            self.added += sum(_ROW_BYTES + sum(len(v) for v in row if isinstance(v, str)) for row in rows)
        one = f"({', '.join('?' * len(table.columns))})"
        self._connection.execute(
            f"INSERT INTO {table.name}{'_recent' if split else ''} ({', '.join(table.names)})"
            f" VALUES {', '.join([one] * len(rows))}",
            [parameter(value) for row in rows for value in row],
        )

    def _add_arrow(self, table: Table, target: str, rows: Sequence[Sequence[object]]) -> None:
        import pyarrow as pa

        batch = pa.table(
            {name: list(values) for name, values in zip(table.names, zip(*rows, strict=True), strict=True)}
        )
        self._connection.register("chatnb_batch", batch)
        try:
            self._connection.execute(f"INSERT INTO {target} BY NAME SELECT * FROM chatnb_batch")
        finally:
            self._connection.unregister("chatnb_batch")

    def change(self, table: Table, key: Sequence[object], values: Mapping[str, object]) -> None:
        """Set columns of one row."""
        sets = ", ".join(f"{name} = ?" for name in values)
        where = " AND ".join(f"{name} = ?" for name in table.key)
        params = [parameter(value) for value in (*values.values(), *key)]
        for name in self._physical(table):
            self._connection.execute(f"UPDATE {name} SET {sets} WHERE {where}", params)

    def remove(self, table: Table, where: str, params: Sequence[object] = ()) -> None:
        """Delete rows."""
        for name in self._physical(table):
            self._connection.execute(f"DELETE FROM {name} WHERE {where}", [parameter(value) for value in params])

    def lock(self, table: Table, key: Sequence[object]) -> None:
        """The file's lock is held already."""

    def fold(self) -> None:
        """Move recent rows into the large tables once there are enough of them."""
        ((rows, size),) = self.rows("SELECT count(*), sum(strlen(content) + strlen(payload)) FROM messages_recent")
        if int(rows) < FOLD_ROWS and int(size or 0) < FOLD_BYTES:  # type: ignore[call-overload]
            return
        for table in SPLIT:
            self._connection.execute(f"INSERT INTO {table.name}_base BY NAME SELECT * FROM {table.name}_recent")
            self._connection.execute(f"TRUNCATE {table.name}_recent")

    @staticmethod
    def _physical(table: Table) -> list[str]:
        return [f"{table.name}_recent", f"{table.name}_base"] if table in SPLIT else [table.name]


class DuckdbBackend:
    """The tables in one DuckDB file.

    Parameters
    ----------
    path
        The file; it and its folder are made when they are missing.
    wait
        Seconds to wait for another process; None is `CHATNB_LOCK_WAIT`, or 10.
    """

    def __init__(self, path: Path, *, wait: float | None = None) -> None:
        self.path = path.expanduser().absolute()
        self.url = f"duckdb:///{self.path}"
        self.notice: Notice | None = None
        self.journal = FileJournal(self.path.with_name(self.path.name + ".journal"))
        self._wait = lock_wait() if wait is None else wait
        self._lock = threading.RLock()
        self._attaching = Attaching()
        self._held: duckdb.DuckDBPyConnection | None = None
        self._holders = 0
        self._holding = ExitStack()
        self._unchecked, self._looked = 0, False
        self._made: tuple[int, int] | None = None

    def run(self, work: Callable[[Tx], T], *, write: bool = True, serial: bool = False) -> T:
        """Call `work` in one transaction; writers wait for each other, so each is `serial`."""
        with self._opened(write, attached=True) as connection, self._errors():
            connection.execute("BEGIN TRANSACTION" if write else "BEGIN TRANSACTION READ ONLY")
            try:
                tx = DuckdbTx(connection)
                result = work(tx)
                self._fold(tx)
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
            return result

    def _fold(self, tx: DuckdbTx) -> None:
        """Fold when it may be time: what this process has added since it looked last tells, but for the first time."""
        if tx.added:
            self._unchecked += tx.added
            if self._unchecked >= FOLD_CHECK_BYTES or not self._looked:
                self._unchecked, self._looked = 0, True
                tx.fold()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the file open and locked; this process's other threads use it meanwhile as they do otherwise."""
        with self._lock:
            if not self._holders:
                self._held = self._holding.enter_context(self._open(write=True, attached=False))
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._held = None
                    self._holding.close()

    def close(self) -> None:
        """The file is closed between operations anyway; this lets go of the journal."""
        with self._lock:
            self._attaching.close()
            self.journal.close()

    def query(self, sql: str, params: Mapping[str, object] | Sequence[object]) -> pyarrow.Table:
        """One SELECT over the public tables."""
        select.check(sql, params)
        with self._opened(write=False) as connection, self._errors():
            return select.run(connection, sql, params)

    def facts(self) -> dict[str, object]:
        """Where it is and how large."""
        size = self.path.stat().st_size if self.path.exists() else 0
        return {"url": self.url, "path": str(self.path), "size": size, "engine": f"DuckDB {duckdb.__version__}"}

    @contextmanager
    def _opened(self, write: bool, *, attached: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection under both locks, closed at the end unless it is held."""
        with self._lock:
            if self._held is not None:
                yield self._held
                return
            with self._open(write, attached) as connection:
                yield connection

    @contextmanager
    def _open(self, write: bool, attached: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        """The file under its own lock: attached where that will do, which is quicker, else with all that DuckDB has."""
        self._make_folder()
        with hold_file(self.path.with_name(self.path.name + ".lock"), self._wait, self.notice):
            known = self._known()
            if attached and known:
                connection = self._patiently(lambda: self._attaching.attach(self.path, read_only=not write))
                close: Callable[[], None] = self._attaching.detach
            else:
                connection = self._patiently(
                    lambda: duckdb.connect(str(self.path), read_only=not write and known, config=CONFIG)
                )
                close = connection.close
            try:
                if not known:
                    with self._errors():
                        self._migrate(connection)
                yield connection
            finally:
                with self._errors():
                    close()

    def _known(self) -> bool:
        """Whether this process has seen that the file's tables are as they should be."""
        if self._made is None:
            return False
        try:
            status = self.path.stat()
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._made

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.with_name(self.path.name + ".lock").touch()
        except OSError as error:
            raise StoreError(
                f"The folder {str(self.path.parent)!r} cannot be written ({error.strerror}). "
                "Name another store in CHATNB_STORE, or ask without one: %%chat --no-store."
            ) from error

    def _patiently(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> duckdb.DuckDBPyConnection:
        """Open the file. A process that opened it without the lock (a DuckDB shell) is waited for."""
        deadline = time.monotonic() + self._wait
        told = time.monotonic() + TELL_AFTER
        while True:
            try:
                return connect()
            except duckdb.IOException as error:
                found = re.search(r"PID (\d+)", str(error))
                if found is None:
                    raise self._unusable(error) from error
                who = process_name(int(found[1]))
                if time.monotonic() > deadline:
                    raise StoreBusy(
                        f"{str(self.path)!r} was held open by {who} for more than {self._wait:g} s. "
                        "Close it there, then run this again."
                    ) from error
            except duckdb.Error as error:
                raise self._unusable(error) from error
            if self.notice is not None and time.monotonic() > told:
                self.notice(f"Waiting for {self.path.name}, which {who} holds open …")
                told = deadline + 1
            time.sleep(0.05)

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {ddl.SCHEMA_TABLE} (major INTEGER, minor INTEGER, step VARCHAR)"
        )
        rows = connection.execute(f"SELECT major, minor, step FROM {ddl.SCHEMA_TABLE}").fetchall()
        ddl.check_version(rows, str(self.path))
        for step in ddl.pending(rows):
            connection.execute("BEGIN TRANSACTION")
            for statement in ddl.statements(step, DIALECT):
                connection.execute(statement)
            connection.execute(f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (?, ?, ?)", list(ddl.step_row(step)))
            connection.execute("COMMIT")
        status = self.path.stat()
        self._made = (status.st_dev, status.st_ino)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise self._unusable(error) from error

    def _unusable(self, error: duckdb.Error) -> StoreError:
        """The error as one sentence that says what to do."""
        text = str(error).splitlines()[0]
        path = str(self.path)
        if "No space left" in text or "Could not write" in text or "File too large" in text:
            return StoreFull(
                f"There is no room to write {path!r}. Make room and try again; what was stored is untouched."
            )
        if "not a valid DuckDB database" in text:
            return StoreError(f"{path!r} is not a DuckDB database. It was left as it is; name another store.")
        if "different configuration" in text or "already attached" in text:
            return StoreError(
                f"{path!r} is open in this process through another DuckDB connection. Close that connection; "
                "chatnb.connect() gives one that can stay open."
            )
        if "newer version of DuckDB" in text or "storage version" in text:
            return StoreError(f"{path!r} was written by a newer DuckDB. Upgrade it: pip install -U duckdb.")
        return StoreError(f"{path!r} cannot be used: {text}")


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK")
    except duckdb.Error:
        return  # the transaction is gone already, and the first error is the one to show
