"""One transaction on an SQLite connection, and the tables in it: what the SQLite store and the JSON store share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from chatnb.stores import ddl
from chatnb.stores.rows import Row, parameter
from chatnb.stores.schema import Table

__all__ = ["SqliteTx", "connect", "make_tables", "plain"]

DIALECT = ddl.Dialect(
    types={
        "text": "TEXT", "bigint": "INTEGER", "double": "REAL", "boolean": "INTEGER", "timestamp": "TEXT",
        "json": "TEXT", "tags": "TEXT", "blob": "BLOB", "date": "TEXT",
    },
    day="substr(turns.started_at, 1, 10)",
)  # fmt: skip

BATCH = 5000
"""Rows that a large result holds in memory at a time."""


def connect(place: str, wait: float) -> sqlite3.Connection:
    """A connection whose `lower` knows all letters, as other databases' does, and which leaves transactions to us."""
    connection = sqlite3.connect(place, timeout=wait, isolation_level=None, check_same_thread=False)
    connection.create_function("lower", 1, _lower, deterministic=True)
    return connection


def _lower(value: str | None) -> str | None:
    return value.lower() if value is not None else None


def make_tables(connection: sqlite3.Connection, url: str) -> None:
    """Take the steps that the store still needs, each in its own transaction and once, whoever else is at it."""
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (ddl.SCHEMA_TABLE,)).fetchall()
    if not known:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {ddl.SCHEMA_TABLE} (major INTEGER, minor INTEGER, step TEXT)")
    rows = connection.execute(f"SELECT major, minor, step FROM {ddl.SCHEMA_TABLE}").fetchall()
    ddl.check_version(rows, url)
    for step in ddl.pending(rows):
        connection.execute("BEGIN IMMEDIATE")
        try:
            taken = connection.execute(f"SELECT 1 FROM {ddl.SCHEMA_TABLE} WHERE step = ?", (step.name,)).fetchall()
            if not taken:
                for statement in ddl.statements(step, DIALECT):
                    connection.execute(statement)
                connection.execute(f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (?, ?, ?)", ddl.step_row(step))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def plain(value: object) -> object:
    """A value as SQLite takes it: times as text of one width in UTC, so that text order is time order."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return parameter(value)


class SqliteTx:
    """One transaction on an SQLite connection."""

    again = False
    rows_at_once = True

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """The rows that a SELECT gives."""
        return self._connection.execute(sql, [plain(value) for value in params]).fetchall()

    def batches(self, sql: str, params: Sequence[object] = ()) -> Iterator[list[Row]]:
        """The rows that a SELECT gives, some thousands at a time."""
        cursor = self._connection.execute(sql, [plain(value) for value in params])
        while batch := cursor.fetchmany(BATCH):
            yield batch

    def add(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows."""
        marks = ", ".join("?" * len(table.columns))
        names = ", ".join(table.names)
        self._connection.executemany(
            f"INSERT INTO {table.name} ({names}) VALUES ({marks})", [[plain(value) for value in row] for row in rows]
        )

    def change(self, table: Table, key: Sequence[object], values: Mapping[str, object]) -> None:
        """Set columns of one row."""
        sets = ", ".join(f"{name} = ?" for name in values)
        where = " AND ".join(f"{name} = ?" for name in table.key)
        params = [plain(value) for value in (*values.values(), *key)]
        self._connection.execute(f"UPDATE {table.name} SET {sets} WHERE {where}", params)

    def remove(self, table: Table, where: str, params: Sequence[object] = ()) -> None:
        """Delete rows."""
        self._connection.execute(f"DELETE FROM {table.name} WHERE {where}", [plain(value) for value in params])

    def lock(self, table: Table, key: Sequence[object]) -> None:
        """BEGIN IMMEDIATE has locked everything already."""
