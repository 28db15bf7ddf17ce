"""CREATE statements from the schema, and the run of the migration steps: one way for every backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chatnb.errors import SchemaTooNew
from chatnb.stores.schema import MAJOR, MINOR, STEPS, Step, Table, View

__all__ = ["SCHEMA_TABLE", "Dialect", "check_version", "create_table", "create_view", "pending", "statements"]

SCHEMA_TABLE = "chatnb_schema"
"""Holds a row for each step that was taken: (major, minor, step)."""


@dataclass(frozen=True)
class Dialect:
    """What a database calls the neutral column types, and how it writes the UTC day of `turns.started_at`.

    `keys` names the tables whose key the database itself keeps unique, for databases where two transactions can add at
    once. `tables` gives the statements that make one table, for a backend that keeps a table in parts.
    """

    types: Mapping[str, str]
    day: str
    indexes: bool = True
    keys: frozenset[str] = frozenset()
    tables: Callable[[Table, Dialect], list[str]] | None = field(default=None)


def create_table(table: Table, dialect: Dialect, name: str | None = None) -> str:
    """The CREATE TABLE of a table, under another name when one is given."""
    columns = ", ".join(f"{column.name} {dialect.types[column.type]}" for column in table.columns)
    primary = f", PRIMARY KEY ({', '.join(table.key)})" if table.name in dialect.keys else ""
    return f"CREATE TABLE IF NOT EXISTS {name or table.name} ({columns}{primary})"


def create_view(view: View, dialect: Dialect) -> str:
    """The CREATE VIEW of a view."""
    return f"CREATE VIEW {view.name} AS {view.select.replace('{day}', dialect.day)}"


def statements(step: Step, dialect: Dialect) -> list[str]:
    """The statements of one step."""
    made: list[str] = []
    for table in step.tables:
        if dialect.tables is not None:
            made += dialect.tables(table, dialect)
            continue
        made.append(create_table(table, dialect))
        if dialect.indexes:
            keyed = table.key if table.name in dialect.keys else None
            made += [_create_index(table.name, columns) for columns in table.indexes if columns != keyed]
    return [*made, *(create_view(view, dialect) for view in step.views)]


def _create_index(table: str, columns: tuple[str, ...]) -> str:
    return f"CREATE INDEX IF NOT EXISTS idx_{table}_{'_'.join(columns)} ON {table} ({', '.join(columns)})"


def check_version(rows: list[tuple[object, ...]], url: str) -> None:
    """Refuse a store of another major version.

    Raises
    ------
    SchemaTooNew
        When the store's tables mean something that this chatnb does not know.
    """
    majors = {int(row[0]) for row in rows}  # type: ignore[call-overload]
    if majors and max(majors) != MAJOR:
        raise SchemaTooNew(
            f"{url} was made by a chatnb with tables of version {max(majors)}; this one knows version {MAJOR}. "
            "Upgrade chatnb (pip install -U chatnb), or name another store."
        )


def pending(rows: list[tuple[object, ...]]) -> list[Step]:
    """The steps that a store with these rows of `chatnb_schema` still needs."""
    taken = {str(row[2]) for row in rows}
    return [step for step in STEPS if step.name not in taken]


def step_row(step: Step) -> tuple[int, int, str]:
    """The row that remembers a step."""
    return MAJOR, MINOR, step.name
