"""Records to rows and back: one rule for each neutral column type, used by every backend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import TypeVar

from chatnb.errors import BadInput
from chatnb.stores.base import Row
from chatnb.stores.schema import Column, Table

__all__ = ["column_list", "decode", "encode", "from_row", "json_text", "to_row"]

R = TypeVar("R")


def json_text(value: object, path: str) -> str:
    """`value` as JSON text.

    Parameters
    ----------
    value
        Anything that JSON can hold.
    path
        What the value is called in the error.

    Raises
    ------
    BadInput
        When it holds something that JSON cannot: NaN, an infinity, a lone surrogate, another type.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text.encode()
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path} cannot be stored as JSON: {error}.") from error
    return text


def encode(column: Column, value: object) -> object:
    """A record's value as the column takes it."""
    if value is None:
        return None
    if column.type == "json":
        return json_text(value, column.name)
    if column.type == "tags":
        return json_text(list(value), column.name)  # type: ignore[call-overload]  # tags are tuples of text
    if column.type == "timestamp" and isinstance(value, datetime):
        return value.astimezone(UTC)
    if column.type == "text" and isinstance(value, str):
        # No database's text takes a NUL in every client, and none needs one: the payload keeps it, escaped.
        return value.replace("\0", "␀") if "\0" in value else value
    return value


def decode(column: Column, value: object) -> object:
    """A column's value as a record holds it."""
    if value is None:
        return () if column.type == "tags" else {} if column.name in ("metadata", "options", "arguments") else None
    if column.type == "json":
        return json.loads(value) if isinstance(value, str) else value
    if column.type == "tags":
        return tuple(json.loads(value) if isinstance(value, str) else value)  # type: ignore[arg-type]
    if column.type == "timestamp":
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        assert isinstance(moment, datetime)
        return moment.astimezone(UTC)
    if column.type == "boolean":
        return bool(value)
    return value


def column_list(table: Table, alias: str | None = None) -> str:
    """The table's columns as a SELECT list."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + name for name in table.names)


def to_row(table: Table, record: object) -> Row:
    """A record as a row of its table."""
    return tuple(encode(column, getattr(record, column.name)) for column in table.columns)


def from_row(kind: type[R], table: Table, row: Sequence[object], **others: object) -> R:
    """A record from a row of its table; `others` are fields that the table does not hold."""
    values: Mapping[str, object] = {
        column.name: decode(column, value) for column, value in zip(table.columns, row, strict=True)
    }
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every record is a dataclass
    return kind(**{name: value for name, value in values.items() if name in known}, **others)
