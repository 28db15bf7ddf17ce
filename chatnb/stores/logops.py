"""What a transaction does to rows, as JSON that a person can read, and how it is done again from that."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping, Sequence

from chatnb.stores.schema import TABLES, Column, Table
from chatnb.stores.sqlitetx import SqliteTx, plain

__all__ = ["Change", "LoggedTx", "apply"]

Change = dict[str, object]
"""`{"add": table, "row": {…}}`, `{"change": table, "key": {…}, "set": {…}}` or `{"remove": table, "key": {…}}`.
Columns that are null are left out of a row."""

_TABLES = {table.name: table for table in TABLES}


class LoggedTx(SqliteTx):
    """A transaction on the tables in memory that remembers what it changed."""

    rows_at_once = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.changes: list[Change] = []

    def add(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows."""
        super().add(table, rows)
        for row in rows:
            values = {
                column.name: _shown(column, value)
                for column, value in zip(table.columns, row, strict=True)
                if value is not None
            }
            self.changes.append({"add": table.name, "row": values})

    def change(self, table: Table, key: Sequence[object], values: Mapping[str, object]) -> None:
        """Set columns of one row."""
        super().change(table, key, values)
        columns = {column.name: column for column in table.columns}
        self.changes.append(
            {
                "change": table.name,
                "key": dict(zip(table.key, map(plain, key), strict=True)),
                "set": {name: _shown(columns[name], value) for name, value in values.items()},
            }
        )

    def remove(self, table: Table, where: str, params: Sequence[object] = ()) -> None:
        """Delete rows; the log names each by its key."""
        found = self.rows(f"SELECT DISTINCT {', '.join(table.key)} FROM {table.name} WHERE {where}", params)
        super().remove(table, where, params)
        for key in found:
            self.changes.append({"remove": table.name, "key": dict(zip(table.key, key, strict=True))})


def apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Do again what a line says. Tables and columns of a newer chatnb are left out."""
    tx = SqliteTx(connection)
    for change in changes:
        kind = next(iter(change))
        table = _TABLES.get(str(change[kind]))
        if table is None:
            continue
        key = [change["key"][name] for name in table.key] if "key" in change else []  # type: ignore[index]
        if kind == "add":
            row: Mapping[str, object] = change["row"]  # type: ignore[assignment]
            tx.add(table, [[_kept(column, row.get(column.name)) for column in table.columns]])
        elif kind == "change":
            values: Mapping[str, object] = change["set"]  # type: ignore[assignment]
            known = {
                column.name: _kept(column, values[column.name]) for column in table.columns if column.name in values
            }
            tx.change(table, key, known)
        else:
            tx.remove(table, " AND ".join(f"{name} = ?" for name in table.key), key)


def _shown(column: Column, value: object) -> object:
    """A column's value as the log writes it: JSON as JSON, bytes as base64."""
    if column.type in ("json", "tags") and isinstance(value, str):
        return json.loads(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return plain(value)


def _kept(column: Column, value: object) -> object:
    """The inverse of `_shown`."""
    if column.type in ("json", "tags") and value is not None:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if column.type == "blob" and isinstance(value, str):
        return base64.b64decode(value)
    return value
