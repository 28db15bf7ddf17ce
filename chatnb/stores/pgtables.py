"""The tables in PostgreSQL and CockroachDB: made once, whoever is at it at the same time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psycopg import errors

from chatnb.errors import StoreError
from chatnb.stores import ddl
from chatnb.stores.schema import TABLES, VIEWS, Step

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

__all__ = ["make_tables"]

POSTGRES = ddl.Dialect(
    types={
        "text": "TEXT", "bigint": "BIGINT", "double": "DOUBLE PRECISION", "boolean": "BOOLEAN",
        "timestamp": "TIMESTAMPTZ", "json": "JSON", "tags": "JSON", "blob": "BYTEA", "date": "DATE",
    },
    day="CAST(turns.started_at AT TIME ZONE 'UTC' AS DATE)",
    keys=frozenset(table.name for table in TABLES) - {"tool_calls"},  # a provider may name two calls alike
)  # fmt: skip
"""JSON, not JSONB, which refuses a NUL."""

COCKROACH = replace(POSTGRES, types={**POSTGRES.types, "json": "TEXT", "tags": "TEXT"})
"""CockroachDB has JSONB alone."""

VIEW_AGAIN = "CREATE VIEW IF NOT EXISTS "
"""How CockroachDB makes a view that may be there."""

_COLLATION = (
    "SELECT collname FROM pg_collation WHERE collname = 'pg_c_utf8'"
    " AND collencoding IN (-1, pg_char_to_encoding(getdatabaseencoding()))"
)
"""PostgreSQL 17's order by code point that knows upper and lower case of all letters; before, "C" knows ASCII's."""

_THERE = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"


def make_tables(connection: Connection, url: str) -> None:
    """Take the steps that the store still needs.

    Raises
    ------
    SchemaTooNew
        When the tables are of another major version.
    StoreError
        When the account may not make tables, or others of their names are there.
    """
    connection.autocommit = True
    try:
        _make(connection, url)
    except errors.InsufficientPrivilege as error:
        raise StoreError(
            f"{url} has no tables of chatnb yet, or old ones, and {connection.info.user!r} may not make them. "
            "Let an account that may run this once: chatnb init --store URL"
        ) from error
    except errors.InvalidSchemaName as error:
        raise StoreError(
            f"{url} has no schema to make tables in. Create the schema that its search_path names."
        ) from error


def _make(connection: Connection, url: str) -> None:
    cockroach = connection.info.parameter_status("crdb_version") is not None
    if not _known(connection):
        found = {str(name) for (name,) in connection.execute(_THERE).fetchall()}
        foreign = sorted(found & {relation.name for relation in (*TABLES, *VIEWS)})
        if foreign and not _known(connection):  # another process may have begun meanwhile
            raise StoreError(
                f"{url} has a table {foreign[0]!r} that chatnb did not make. Name another database, or a schema of "
                "its own: add ?options=-csearch_path%3Dchatnb"
            )
        _unless_there(
            connection,
            f"CREATE TABLE IF NOT EXISTS {ddl.SCHEMA_TABLE} (major BIGINT, minor BIGINT, step TEXT PRIMARY KEY)",
        )
    rows = connection.execute(f"SELECT major, minor, step FROM {ddl.SCHEMA_TABLE}").fetchall()
    ddl.check_version(rows, url)
    for step in ddl.pending(rows):
        (_take_bit_by_bit if cockroach else _take)(connection, step)


def _known(connection: Connection) -> bool:
    ((place,),) = connection.execute("SELECT to_regclass(%s)", (ddl.SCHEMA_TABLE,)).fetchall()
    return place is not None


def _unless_there(connection: Connection, statement: str) -> None:
    """Run a statement of IF NOT EXISTS, which still fails when two make the same thing at the same moment."""
    try:
        connection.execute(statement)
    except (errors.UniqueViolation, errors.DuplicateTable):
        connection.execute(statement)


def _take(connection: Connection, step: Step) -> None:
    """Take a step in one transaction. Its row comes first: whoever adds the same waits, and has nothing left to do."""
    remember = f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    with connection.transaction():
        if connection.execute(remember, ddl.step_row(step)).rowcount == 0:
            return
        known = connection.execute(_COLLATION).fetchall()
        text = f'TEXT COLLATE "{known[0][0] if known else "C"}"'
        for statement in ddl.statements(step, replace(POSTGRES, types={**POSTGRES.types, "text": text})):
            connection.execute(statement)


def _take_bit_by_bit(connection: Connection, step: Step) -> None:
    """Take a step statement by statement; each does nothing where it was run already. Its row comes last."""
    for statement in ddl.statements(step, COCKROACH):
        _unless_there(connection, statement.replace("CREATE VIEW ", VIEW_AGAIN, 1))
    connection.execute(f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", ddl.step_row(step))
