"""chatnb's own rows in a file: what every lossless format shares."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TypeVar

from chatnb.errors import BadInput
from chatnb.records import Branch, File, Message, Session, ToolCall, Turn
from chatnb.stores.copying import Whole
from chatnb.stores.schema import BRANCHES, FILES, MESSAGES, SESSIONS, TOOL_CALLS, TURNS, Table
from chatnb.transfer.base import Reader
from chatnb.transfer.tree import stable_id

__all__ = ["TABLES", "VERSION", "Built", "as_values", "owned", "rows_of"]

R = TypeVar("R")

VERSION = "chatnb/1"
"""Names this writing of the rows; a reader refuses another number."""

TABLES: dict[str, tuple[Table, type]] = {
    "sessions": (SESSIONS, Session),
    "branches": (BRANCHES, Branch),
    "turns": (TURNS, Turn),
    "tool_calls": (TOOL_CALLS, ToolCall),
    "messages": (MESSAGES, Message),
    "files": (FILES, File),
}
"""The tables that a file holds, with their records."""


def rows_of(whole: Whole) -> Iterator[tuple[str, object]]:
    """Every record of a session with its table's name, in the order in which a file holds them."""
    yield "sessions", whole.session
    for name, records in (
        ("branches", whole.branches),
        ("turns", whole.turns),
        ("tool_calls", whole.calls),
        ("messages", whole.messages),
        ("files", whole.files),
    ):
        for record in records:
            yield name, record


def as_values(name: str, record: object) -> dict[str, object]:
    """A record's columns as JSON values: times in ISO 8601, bytes in base64."""
    return {column: _plain(getattr(record, column)) for column in TABLES[name][0].names}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return list(value) if isinstance(value, tuple) else value


class Built:
    """One session, put together from its rows as a file is read."""

    def __init__(self) -> None:
        self._records: dict[str, list[object]] = {name: [] for name in TABLES}

    def add(self, name: str, values: Mapping[str, object]) -> None:
        """Take one row.

        Raises
        ------
        BadInput
            When it is not a row of this table.
        """
        if name not in TABLES:
            raise BadInput(f"there is no table {name!r}")
        table, record = TABLES[name]
        known = {field.name for field in fields(record)}
        try:
            read = {
                column.name: _read(column.type, values[column.name])
                for column in table.columns
                if column.name in known and column.name in values
            }
            self._records[name].append(record(**read))
        except (TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"a row of {name!r} cannot be read ({error})") from error

    def whole(self) -> Whole:
        """The session.

        Raises
        ------
        BadInput
            When a row is missing that others need.
        """
        rows = self._records
        if len(rows["sessions"]) != 1:
            raise BadInput(f"there are {len(rows['sessions'])} sessions where one is expected")
        if not rows["branches"]:
            raise BadInput("it has no branches")
        return Whole(
            session=rows["sessions"][0],  # type: ignore[arg-type]  # `add` made each of its kind
            branches=tuple(rows["branches"]),  # type: ignore[arg-type]
            turns=tuple(rows["turns"]),  # type: ignore[arg-type]
            messages=tuple(rows["messages"]),  # type: ignore[arg-type]
            calls=tuple(rows["tool_calls"]),  # type: ignore[arg-type]
            files=tuple(rows["files"]),  # type: ignore[arg-type]
        )


def _read(kind: str, value: object) -> object:
    if value is None:
        return () if kind == "tags" else None
    if kind == "timestamp":
        return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if kind == "blob":
        return value if isinstance(value, bytes) else base64.b64decode(str(value), validate=True)
    if kind == "tags":
        return tuple(value)  # type: ignore[arg-type]  # a list of texts; anything else is a TypeError
    return value


def owned(whole: Whole, reader: Reader) -> Whole:
    """The session as the reader's user's, in the reader's project, where its name finds it.

    Ids are made anew when the user changes, so that both may have it.
    """
    user, former = reader.user, whole.session.user_id
    if user is None or user == former:
        return whole

    def renamed(old: str) -> str:
        try:
            milliseconds = int(old.replace("-", "")[:12], 16)
        except ValueError:
            milliseconds = 0
        return stable_id(datetime.fromtimestamp(min(milliseconds / 1000, 4e9), tz=UTC), user, old)

    def parent(branch: Branch) -> str | None:
        return renamed(branch.parent_branch_id) if branch.parent_branch_id else None

    project = reader.project or whole.session.project
    session = replace(whole.session, user_id=user, project=project, branch_id=renamed(whole.session.branch_id))
    return replace(
        whole,
        session=session,
        branches=tuple(
            replace(one, id=renamed(one.id), user_id=user, parent_branch_id=parent(one)) for one in whole.branches
        ),
        turns=tuple(
            replace(one, id=renamed(one.id), user_id=user, branch_id=renamed(one.branch_id)) for one in whole.turns
        ),
        messages=tuple(
            replace(one, id=renamed(one.id), turn_id=renamed(one.turn_id), branch_id=renamed(one.branch_id))
            for one in whole.messages
        ),
        calls=tuple(replace(one, turn_id=renamed(one.turn_id)) for one in whole.calls),
    )
