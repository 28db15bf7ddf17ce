"""One DuckDB SELECT over another database's rows: only the tables and columns that it names are copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from chatnb.stores import select
from chatnb.stores.base import Tx
from chatnb.stores.rows import Row, parameter
from chatnb.stores.schema import Column, Table, View

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Part", "parts", "select_copied"]

Params = Mapping[str, object] | Sequence[object]

_FILTERED_JOINS = frozenset({"INNER", "LEFT", "RIGHT", "FULL", "OUTER"})
"""Joins below which a filter on one of their tables gives the same result as above them."""


@dataclass(frozen=True)
class Part:
    """What a query needs of one relation: some columns, of the rows where all of `where` are equal."""

    relation: Table | View
    columns: tuple[Column, ...]
    where: tuple[tuple[str, str], ...] = ()

    @property
    def statement(self) -> str:
        """The SELECT that reads it."""
        names = ", ".join(column.name for column in self.columns)
        conditions = " AND ".join(f"{name} = ?" for name, _ in self.where)
        return f"SELECT {names} FROM {self.relation.name}" + (f" WHERE {conditions}" if conditions else "")


def select_copied(run: Callable[..., Any], sql: str, params: Params) -> pyarrow.Table:
    """The result of one DuckDB SELECT over the rows that a backend's `run` reads.

    Raises
    ------
    BadInput
        When it is not one SELECT, or names something that is not public.
    """
    tree = select.check(sql, params)
    needed = parts(tree, params)

    def copy(tx: Tx) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(":memory:")
        for part in needed:
            _copy(connection, part, tx.batches(part.statement, [parameter(value) for _, value in part.where]))
        return connection

    connection: duckdb.DuckDBPyConnection = run(copy, write=False)
    try:
        return select.run(connection, sql, params)
    finally:
        connection.close()


def _copy(connection: duckdb.DuckDBPyConnection, part: Part, batches: Iterator[list[Row]]) -> None:
    import pyarrow as pa

    columns = ", ".join(f"{column.name} {select.TYPES[column.type]}" for column in part.columns)
    connection.execute(f"CREATE TABLE {part.relation.name} ({columns})")
    names = [column.name for column in part.columns]
    for batch in batches:
        values = [pa.array(list(column)) for column in zip(*batch, strict=True)]
        connection.register("chatnb_batch", pa.Table.from_arrays(values, names=names))
        connection.execute(f"INSERT INTO {part.relation.name} SELECT * FROM chatnb_batch")
        connection.unregister("chatnb_batch")


def parts(tree: object, params: Params) -> list[Part]:
    """What of each relation a checked query needs.

    Parameters
    ----------
    tree
        The query as DuckDB's `json_serialize_sql` writes it.
    params
        Its values.
    """
    nodes = list(select.nodes(tree))
    tables = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    mentioned = Counter(str(node["table_name"]).lower() for node in tables)
    where = _pushed(nodes, mentioned, params)
    found = []
    for relation in select.PUBLIC:
        if relation.name not in mentioned:
            continue
        own = [node for node in tables if str(node["table_name"]).lower() == relation.name]
        columns = _columns(relation, own, nodes)
        found.append(Part(relation, columns, tuple(where.get(relation.name, ()))))
    return found


def _columns(
    relation: Table | View, own: Sequence[dict[str, Any]], nodes: Sequence[dict[str, Any]]
) -> tuple[Column, ...]:
    """The columns that a query may mean: those whose name it holds anywhere, or all where it may mean a whole row."""
    aliases = {relation.name, *(str(node["alias"]).lower() for node in own)} - {""}
    foreign = {str(node["alias"] or node["table_name"]).lower() for node in nodes if node.get("type") == "BASE_TABLE"}
    if any(node.get("column_name_alias") for node in own):
        return relation.columns
    named: set[str] = set()
    for node in nodes:
        kind = node.get("type")
        if kind == "STAR" and str(node.get("relation_name") or "").lower() in {"", *aliases}:
            return relation.columns
        if kind == "SHOW_REF" or node.get("ref_type") == "NATURAL":
            return relation.columns
        if kind == "COLUMN_REF":
            path = [str(name).lower() for name in node["column_names"]]
            if len(path) == 1 and path[0] in aliases:
                return relation.columns
            if len(path) == 1 or path[0] not in foreign - aliases:
                named.update(path)
        named.update(str(name).lower() for name in node.get("using_columns") or ())
    return tuple(column for column in relation.columns if column.name in named) or relation.columns[:1]


def _pushed(
    nodes: Sequence[dict[str, Any]], mentioned: Mapping[str, int], params: Params
) -> dict[str, list[tuple[str, str]]]:
    """The filters `column = text` that hold for every row that the query takes of a relation."""
    shadowed = {str(entry["key"]).lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    found: dict[str, list[tuple[str, str]]] = {}
    for node in nodes:
        tables = _joined(node.get("from_table")) if node.get("type") == "SELECT_NODE" else None
        if not tables or not node.get("where_clause") or shadowed & set(select.RELATIONS):
            continue
        by_alias = {str(table["alias"] or table["table_name"]).lower(): table for table in tables}
        for path, value in _equalities(node["where_clause"], params):
            alone = next(iter(by_alias)) if len(tables) == 1 else ""
            table = by_alias.get(path[0] if len(path) == 2 else alone)
            name = str(table["table_name"]).lower() if table else ""
            if mentioned.get(name) == 1 and _is_text(name, path[-1]):
                found.setdefault(name, []).append((path[-1], value))
    return found


def _joined(source: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    """The tables of a FROM clause, or None where a filter on one of them may not come first."""
    if source is None or source.get("sample") or source.get("column_name_alias"):
        return None
    if source["type"] == "BASE_TABLE":
        return [source]
    if source["type"] != "JOIN" or source["ref_type"] not in ("REGULAR", "CROSS"):
        return None
    left, right = _joined(source["left"]), _joined(source["right"])
    if left is None or right is None or source["join_type"] not in _FILTERED_JOINS:
        return None
    return left + right


def _equalities(clause: dict[str, Any], params: Params) -> Iterator[tuple[list[str], str]]:
    """The conditions `column = text` that must all hold."""
    if clause["type"] == "CONJUNCTION_AND":
        for child in clause["children"]:
            yield from _equalities(child, params)
    elif clause["type"] == "COMPARE_EQUAL":
        for column, other in ((clause["left"], clause["right"]), (clause["right"], clause["left"])):
            value = _text(other, params)
            if column["type"] == "COLUMN_REF" and len(column["column_names"]) <= 2 and value is not None:
                yield [str(name).lower() for name in column["column_names"]], value


def _text(node: dict[str, Any], params: Params) -> str | None:
    """The text that a constant or a parameter stands for."""
    value: object = None
    if node["type"] == "VALUE_CONSTANT":
        literal = node.get("literal") or node.get("value") or {}  # DuckDB 2.0, and 1.5
        value = literal.get("text") if literal.get("kind") == "STRING" else literal.get("value")
    elif node["type"] == "VALUE_PARAMETER":
        name = str(node["identifier"])
        if isinstance(params, Mapping):
            value = params.get(name)
        elif name.isdigit() and 0 < int(name) <= len(params):
            value = params[int(name) - 1]
    return value if isinstance(value, str) else None


def _is_text(relation: str, column: str) -> bool:
    columns = next(known.columns for known in select.PUBLIC if known.name == relation)
    return any(one.name == column and one.type == "text" for one in columns)
