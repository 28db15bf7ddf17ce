"""Records to rows and back: one rule for each neutral column type, used by every backend."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from chatnb.errors import BadInput
from chatnb.stores.plainjson import SURROGATE, cleaned, json_text
from chatnb.stores.schema import Column, Table

__all__ = ["Row", "column_list", "decode", "encode", "from_row", "parameter", "to_row"]

R = TypeVar("R")
Row = tuple[object, ...]

_PLAIN = frozenset({"bigint", "double", "boolean", "blob", "date"})
"""Column types whose values go to the database as records hold them."""

_AS_IT_IS = _PLAIN - {"boolean"} | {"text"}
"""Column types whose values come from the database as records hold them."""

_SAID = frozenset({"content", "answer", "error", "result", "arguments", "output"})
"""Columns that hold what a model or a tool gave: it is paid for, so it is put in order and never refused."""


def encode(column: Column, value: object) -> object:
    """A record's value as the column takes it."""
    if value is None:
        return None
    if column.type == "json":
        return json_text(cleaned(value) if column.name in _SAID else value, column.name)
    if column.type == "tags":
        return json_text(list(value), column.name)  # type: ignore[call-overload]  # tags are tuples of text
    if column.type == "timestamp" and isinstance(value, datetime):
        return value.astimezone(UTC)
    if column.type == "text" and isinstance(value, str):
        if column.name not in _SAID and not value.isascii() and SURROGATE.search(value):
            raise BadInput(f"{column.name}: {value[:40]!r} holds a lone surrogate, which cannot be stored.")
        return parameter(value)
    return value


def parameter(value: object) -> object:
    """A value as a statement of any database can take it.

    No database's text takes a NUL in every client, and none needs one: the payload keeps it, escaped.
    """
    if not isinstance(value, str):
        return value
    if "\0" in value:
        value = value.replace("\0", "␀")
    return value if value.isascii() else SURROGATE.sub("\ufffd", value)


def decode(column: Column, value: object) -> object:
    """A column's value as a record holds it."""
    if value is None:
        return () if column.type == "tags" else {} if column.name in ("metadata", "options", "arguments") else None
    if column.type == "json":
        if value == "{}":  # what most rows hold
            return {}
        return json.loads(value) if isinstance(value, str) else value
    if column.type == "tags":
        return tuple(json.loads(value) if isinstance(value, str) else value)  # type: ignore[arg-type]
    if column.type == "timestamp":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        assert isinstance(moment, datetime)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    if column.type == "boolean":
        return bool(value)
    return value


def column_list(table: Table, alias: str | None = None) -> str:
    """The table's columns as a SELECT list."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + name for name in table.names)


def to_row(table: Table, record: object) -> Row:
    """A record as a row of its table."""
    return tuple(
        getattr(record, column.name) if column.type in _PLAIN else encode(column, getattr(record, column.name))
        for column in table.columns
    )


def from_row(kind: type[R], table: Table, row: Sequence[object], **others: object) -> R:
    """A record from a row of its table; `others` are fields that the table does not hold."""
    known = _fields(kind)  # type: ignore[arg-type]  # every class can be hashed
    values = {
        column.name: value if column.type in _AS_IT_IS else decode(column, value)
        for column, value in zip(table.columns, row, strict=True)
        if column.name in known
    }
    return kind(**values, **others)


@cache
def _fields(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind))
