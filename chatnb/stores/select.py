"""One DuckDB SELECT over the public relations, read-only by construction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb

from chatnb.errors import BadInput, nearest
from chatnb.stores.schema import PUBLIC_TABLES, VIEWS, Table, View

if TYPE_CHECKING:
    import pyarrow

__all__ = ["PUBLIC", "RELATIONS", "TYPES", "check", "nodes", "run"]

TYPES = {
    "text": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "TIMESTAMPTZ",
    "json": "JSON", "tags": "JSON", "blob": "BLOB", "date": "DATE",
}  # fmt: skip
"""What DuckDB calls the neutral column types."""

_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "json_each", "json_tree", "repeat_row"})
"""Table functions that make rows of their arguments alone."""

_NO_FILES = "Files and extensions cannot be used here: a query sees the histories alone."

PUBLIC: tuple[Table | View, ...] = (*PUBLIC_TABLES, *VIEWS)

RELATIONS = tuple(relation.name for relation in PUBLIC)
"""What a query may name."""


@cache
def _scratch() -> duckdb.DuckDBPyConnection:
    """An empty store of public relations alone, to hold a query against."""
    connection = duckdb.connect(":memory:", config={"enable_external_access": "false"})
    connection.execute("SET python_enable_replacements = false")
    for relation in PUBLIC:
        columns = ", ".join(f"{column.name} {TYPES[column.type]}" for column in relation.columns)
        connection.execute(f"CREATE TABLE {relation.name} ({columns})")
    return connection


def check(sql: str, params: Mapping[str, object] | Sequence[object]) -> object:
    """Hold a query against an empty store of public relations; gives it as `json_serialize_sql` writes it.

    Raises
    ------
    BadInput
        When it is not one SELECT, or names anything else.
    """
    cursor = _scratch().cursor()
    try:
        statements = cursor.extract_statements(sql)
    except duckdb.ParserException as error:
        raise BadInput(f"{_first_line(error)} Write one SELECT.") from error
    if len(statements) != 1:
        raise BadInput(f"{len(statements)} statements were given. Run one SELECT at a time.")
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        raise BadInput(f"This is a statement of kind {kind.name}. Histories can only be read here: write one SELECT.")
    ((serialized,),) = cursor.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree = json.loads(serialized)
    names, defined, functions = set[str](), set[str](), set[str]()
    for node in nodes(tree):
        if node.get("type") == "BASE_TABLE":
            names.add(str(node["table_name"]).lower())
        elif node.get("type") == "TABLE_FUNCTION":
            functions.add(str(node["function"]["function_name"]).lower())
        defined |= {str(entry["key"]).lower() for entry in node.get("cte_map", {}).get("map", ())}
    for name in sorted(names - defined - set(RELATIONS)):
        raise BadInput(f"There is no table {name!r}.{nearest(name, RELATIONS)} There are {', '.join(RELATIONS)}.")
    for name in sorted(functions - _FUNCTIONS):
        raise BadInput(f"{name}() cannot be used here: a query sees the histories alone.")
    with _sentences():  # binding it finds what the tree hides, such as a private table behind a CTE of its name
        cursor.execute(f"EXPLAIN {sql}", _values(params))
    return tree


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object in a tree of JSON."""
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(child)


def _values(params: Mapping[str, object] | Sequence[object]) -> dict[str, object] | list[object]:
    return dict(params) if isinstance(params, Mapping) else list(params)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


@contextmanager
def _sentences() -> Iterator[None]:
    """What DuckDB says against a query, as one sentence."""
    try:
        yield
    except duckdb.PermissionException as error:
        raise BadInput(_NO_FILES) from error
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        raise BadInput(_first_line(error)) from error


def run(
    connection: duckdb.DuckDBPyConnection, sql: str, params: Mapping[str, object] | Sequence[object]
) -> pyarrow.Table:
    """Run one checked SELECT in a read-only transaction and give its result as Arrow."""
    cursor = connection.cursor()
    try:
        with _sentences():
            cursor.execute("SET enable_external_access = false")
            cursor.execute("SET python_enable_replacements = false")
            cursor.execute("SET TimeZone = 'UTC'")
            cursor.execute("SET enable_progress_bar = false")
            cursor.execute("SET arrow_large_buffer_size = true")  # one column may hold more than 2 GB of text
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            return cursor.sql(sql, params=_values(params)).to_arrow_table()
    finally:
        cursor.close()
