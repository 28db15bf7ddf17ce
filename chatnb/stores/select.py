"""One DuckDB SELECT over the public relations, read-only by construction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from chatnb.errors import BadInput, nearest
from chatnb.stores.schema import PUBLIC_TABLES, VIEWS, Table, View

if TYPE_CHECKING:
    import pyarrow

__all__ = ["RELATIONS", "TYPES", "check", "run"]

TYPES = {
    "text": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMPTZ",
    "json": "JSON", "tags": "JSON", "blob": "BLOB", "date": "DATE",
}  # fmt: skip
"""What DuckDB calls the neutral column types."""

_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "repeat_row"})
"""Table functions that make rows of their arguments alone."""

_NO_FILES = "Files and extensions cannot be used here: a query sees the histories alone."

_PUBLIC: tuple[Table | View, ...] = (*PUBLIC_TABLES, *VIEWS)

RELATIONS = tuple(relation.name for relation in _PUBLIC)
"""What a query may name."""


@cache
def _scratch() -> duckdb.DuckDBPyConnection:
    """An empty store of public relations alone, to hold a query against."""
    connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
    for relation in _PUBLIC:
        columns = ", ".join(f"{column.name} {TYPES[column.type]}" for column in relation.columns)
        connection.execute(f"CREATE TABLE {relation.name} ({columns})")
    return connection


def check(sql: str) -> set[str]:
    """The relations that a query names.

    Raises
    ------
    BadInput
        When it is not one SELECT, or names anything else.
    """
    connection = _scratch().cursor()
    try:
        statements = connection.extract_statements(sql)
    except duckdb.ParserException as error:
        raise BadInput(f"{_first_line(error)} Write one SELECT.") from error
    if len(statements) != 1:
        raise BadInput(f"{len(statements)} statements were given. Run one SELECT at a time.")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise BadInput(f"This is a statement of kind {kind.name}. Histories can only be read here: write one SELECT.")
    ((serialized,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree = json.loads(serialized)
    names, defined, functions = set[str](), set[str](), set[str]()
    for node in _nodes(tree):
        if node.get("type") == "BASE_TABLE":
            names.add(str(node["table_name"]))
        elif node.get("type") == "TABLE_FUNCTION":
            functions.add(str(node["function"]["function_name"]))
        defined |= {str(entry["key"]) for entry in node.get("cte_map", {}).get("map", ())}
    for name in sorted(names - defined - set(RELATIONS)):
        raise BadInput(f"There is no table {name!r}.{nearest(name, RELATIONS)} There are {', '.join(RELATIONS)}.")
    for name in sorted(functions - _FUNCTIONS):
        raise BadInput(f"{name}() cannot be used here: a query sees the histories alone.")
    return names - defined


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a tree of JSON."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(child)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def run(
    connection: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, object] | Sequence[object]
) -> pyarrow.Table:
    """Run one checked SELECT in a read-only transaction and give its result as Arrow."""
    check(sql)
    values = dict(params) if isinstance(params, Mapping) else list(params)
    cursor = connection.cursor()
    try:
        cursor.execute("SET enable_external_access = false")
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        return cursor.sql(sql, params=values).to_arrow_table()
    except duckdb.PermissionException as error:
        raise BadInput(_NO_FILES) from error
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        raise BadInput(_first_line(error)) from error
    finally:
        cursor.close()
