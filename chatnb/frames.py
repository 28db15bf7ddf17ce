"""Histories as pandas DataFrames with real dtypes, SQL over them, and a DuckDB connection that holds them.

Each function answers for one user, yourself by default; `user=None` answers for everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from chatnb.dtypes import frame
from chatnb.errors import BadInput, SessionNotFound, nearest
from chatnb.records import Session
from chatnb.settings import default_user
from chatnb.stores.opening import shared_store
from chatnb.stores.schema import (
    HISTORY_COLUMNS,
    MESSAGES,
    PUBLIC_TABLES,
    SESSIONS,
    TOOL_CALLS,
    TURNS,
    VIEWS,
    Column,
    Table,
    View,
)
from chatnb.stores.store import Store

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import pyarrow as pa

__all__ = [
    "ME",
    "OWN",
    "USAGE_COLUMNS",
    "By",
    "Me",
    "connect",
    "messages",
    "opened",
    "owner_of",
    "sessions",
    "sql",
    "tool_calls",
    "turns",
    "usage",
]

By = Literal["day", "model", "user", "project", "session", "hour", "weekday"]
"""What `usage` adds up by."""


class Me:
    """Stands for the user who asks, so that None can mean every user."""

    def __repr__(self) -> str:
        return "yourself"


ME = Me()

OWN = {
    "sessions": "user_id = $user",
    "branches": "user_id = $user",
    "messages": "branch_id IN (SELECT id FROM branches WHERE user_id = $user)",
    "turns": "user_id = $user",
    "tool_calls": "turn_id IN (SELECT id FROM turns WHERE user_id = $user)",
    "files": "$user IS NULL",  # none: a file is stored once for all, and belongs to nobody
    # Callers bring ids of their own, so two users may have a session of one id; their branches differ. (Asking for the
    # branches of the user alone is as right, and five times slower at 1,000,000 messages.)
    "history": "session_id IN (SELECT id FROM sessions WHERE user_id = $user) AND NOT EXISTS"
    " (SELECT 1 FROM branches WHERE branches.id = history.branch_id AND branches.user_id <> $user)",
    "usage_daily": "user_id = $user",
}
"""Which rows of each public relation are one user's: conditions on `$user`."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _usage_columns(*keys: Column) -> tuple[Column, ...]:
    return (
        *keys,
        Column("turns", "bigint", "how many turns"),
        Column("requests", "bigint", "requests to the model"),
        Column("tool_calls", "bigint", "tools that were called"),
        Column("input_tokens", "bigint", "tokens sent"),
        Column("cache_read_tokens", "bigint", "tokens of input that the provider had cached"),
        Column("output_tokens", "bigint", "tokens received"),
        Column("cost", "double", "what the turns of known price cost, in USD; NaN when no price is known"),
        Column("unpriced", "bigint", "turns whose price is not known"),
    )


_KEYS: dict[By, tuple[Column, str]] = {
    "day": (Column("day", "date", "the day"), "CAST(turns.started_at AT TIME ZONE $tz AS DATE)"),
    "hour": (Column("hour", "bigint", "the hour of the day, 0 to 23"), "hour(turns.started_at AT TIME ZONE $tz)"),
    "weekday": (
        Column("weekday", "text", "the day of the week, an ordered category from Monday on"),
        "isodow(turns.started_at AT TIME ZONE $tz)",
    ),
    "model": (Column("model", "text", "the model that was asked"), "turns.model"),
    "user": (Column("user", "text", "who asked"), "turns.user_id"),
    "project": (Column("project", "text", "the folder the session belongs to"), "sessions.project"),
    "session": (
        Column("session", "text", "the session's name, or its id"),
        "coalesce(sessions.name, turns.session_id)",
    ),
}

USAGE_COLUMNS = _usage_columns(*(column for column, _ in _KEYS.values()), Column("session_id", "text", "its id"))
"""Every column that `usage` may give; only the keys that were asked for are there."""


def sessions(
    *, user: str | Me | None = ME, deleted: bool = False, store: Store | str | Path | None = None
) -> pd.DataFrame:
    """Every session, newest first: the columns of `sessions`.

    Parameters
    ----------
    user
        Whose; the default is yourself, None everybody's.
    deleted
        Also those that were deleted softly.
    store
        A store or its address; None is the default store.
    """
    where, params = _own("sessions", user)
    if not deleted:
        where += " AND is_active"
    names = ", ".join(SESSIONS.names)
    text = f"SELECT {names} FROM sessions WHERE {where} ORDER BY coalesce(last_message_at, created_at) DESC, id DESC"
    return frame(opened(store).query(text, params), SESSIONS.columns)


def messages(
    session: str | Session | None = None,
    *,
    user: str | Me | None = ME,
    project: str | None = None,
    store: Store | str | Path | None = None,
) -> pd.DataFrame:
    """The messages of the current histories, in order: the columns of `history`.

    Parameters
    ----------
    session
        One session, by its id or name; None gives all of them.
    user
        Whose; the default is yourself, None everybody's.
    project
        Where a name is looked for; None in every project.
    store
        A store or its address; None is the default store.

    Raises
    ------
    SessionNotFound
        When there is no such session.
    """
    source = opened(store)
    names = ", ".join(column.name for column in HISTORY_COLUMNS)
    if session is None:
        where, params = _own("history", user)
        order = "session_id, seq"
    else:
        found = session if isinstance(session, Session) else _find(source, session, user, project)
        where, order = (
            "session_id = $id AND NOT EXISTS (SELECT 1 FROM branches WHERE branches.id = history.branch_id"
            " AND (branches.user_id <> $user OR branches.collection <> $collection))",
            "seq",
        )
        params = {"id": found.id, "user": found.user_id, "collection": found.collection}
    return frame(source.query(f"SELECT {names} FROM history WHERE {where} ORDER BY {order}", params), HISTORY_COLUMNS)


def turns(*, user: str | Me | None = ME, store: Store | str | Path | None = None) -> pd.DataFrame:
    """Every turn, also those that were taken back, oldest first: the columns of `turns`.

    Parameters
    ----------
    user
        Whose; the default is yourself, None everybody's.
    store
        A store or its address; None is the default store.
    """
    where, params = _own("turns", user)
    text = f"SELECT {', '.join(TURNS.names)} FROM turns WHERE {where} ORDER BY started_at, id"
    return frame(opened(store).query(text, params), TURNS.columns)


def tool_calls(*, user: str | Me | None = ME, store: Store | str | Path | None = None) -> pd.DataFrame:
    """Every call of a tool, oldest first: the columns of `tool_calls`.

    Parameters
    ----------
    user
        Whose; the default is yourself, None everybody's.
    store
        A store or its address; None is the default store.
    """
    where, params = _own("tool_calls", user)
    text = f"SELECT {', '.join(TOOL_CALLS.names)} FROM tool_calls WHERE {where} ORDER BY started_at, turn_id, call_id"
    return frame(opened(store).query(text, params), TOOL_CALLS.columns)


def usage(
    by: By | Sequence[By] = "day",
    *,
    user: str | Me | None = ME,
    tz: str = "UTC",
    store: Store | str | Path | None = None,
) -> pd.DataFrame:
    """What the turns used, added up. All turns count, also those that failed or were taken back.

    The columns are those of `by` (a session's `session_id` too), then turns, requests, tool_calls, input_tokens,
    cache_read_tokens, output_tokens, cost (USD; NaN when no price is known) and unpriced (turns without a known price).

    Parameters
    ----------
    by
        'day' (the default), 'hour' (0 to 23), 'weekday', 'model', 'user', 'project', 'session', or several of them.
        Rows are in the order of the first of these three if it is one of them, else the most tokens come first.
    user
        Whose; the default is yourself, None everybody's.
    tz
        The time zone of days, hours and weekdays, such as 'Europe/Vienna'.
    store
        A store or its address; None is the default store.

    Raises
    ------
    BadInput
        When `by` or `tz` is unknown.
    """
    import pandas as pd

    keys: list[By] = [by] if isinstance(by, str) else list(dict.fromkeys(by))
    unknown = next((str(key) for key in keys if key not in _KEYS), None if keys else "")
    if unknown is not None:
        close = nearest(unknown, _KEYS)
        raise BadInput(f"Usage cannot be added up by {unknown!r}.{close} Give {', '.join(get_args(By))}.")
    columns = [_KEYS[key][0] for key in keys]
    parts = [f"{_KEYS[key][1]} AS {key}_key" for key in keys]
    if "session" in keys:
        columns.append(Column("session_id", "text", "its id"))
        parts.append("turns.session_id AS session_id_key")
    where, params = _own("turns", user, "turns.{}")
    if not {"day", "hour", "weekday"}.isdisjoint(keys):
        params["tz"] = _zone(tz)
    order = ", ".join(f"{number} NULLS LAST" for number in range(1, len(parts) + 1))
    if keys[0] not in ("day", "hour", "weekday"):
        order = f"sum(turns.input_tokens + turns.output_tokens) DESC, {order}"
    apart = ", turns.collection, turns.user_id" if "session" in keys else ""  # an id is one user's in one collection
    text = f"""SELECT {", ".join(parts)}, count(*) AS turns, sum(turns.requests) AS requests,
 sum(turns.tool_calls) AS tool_calls, sum(turns.input_tokens) AS input_tokens,
 sum(turns.cache_read_tokens) AS cache_read_tokens, sum(turns.output_tokens) AS output_tokens,
 sum(turns.cost) AS cost, count(*) - count(turns.cost) AS unpriced
FROM turns LEFT JOIN sessions ON sessions.user_id = turns.user_id
 AND sessions.collection = turns.collection AND sessions.id = turns.session_id
WHERE {where} GROUP BY {", ".join(str(number) for number in range(1, len(parts) + 1))}{apart} ORDER BY {order}"""
    every = _usage_columns(*columns)
    table = opened(store).query(text, params)
    table = table.rename_columns([column.name for column in every])
    data = frame(table, [column for column in every if column.name != "weekday"])
    if "weekday" in keys:
        names = [_WEEKDAYS[int(day) - 1] for day in data["weekday"]]
        data["weekday"] = pd.Categorical(names, categories=list(_WEEKDAYS), ordered=True)
    if "hour" in keys:
        data["hour"] = data["hour"].astype("Int64")
    return data


def _zone(tz: str) -> str:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(tz)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        close = nearest(tz, zoneinfo.available_timezones())
        raise BadInput(f"There is no time zone {tz!r}.{close} Give one such as 'Europe/Vienna'.") from None
    return tz


def sql(query: str, *, store: Store | str | Path | None = None, **params: object) -> pd.DataFrame:
    """The result of one DuckDB SELECT over the histories, everybody's: the query says whose (`user_id`).

    JSON columns come as text, for DuckDB's own `metadata->>'key'`.

    Parameters
    ----------
    query
        One SELECT over `sessions`, `branches`, `messages`, `turns`, `tool_calls`, `files`, `history`, `usage_daily`.
    store
        A store or its address; None is the default store.
    **params
        Values for `$name` in the query.

    Raises
    ------
    BadInput
        When it is not one SELECT over these.
    """
    return frame(opened(store).query(query, params))


def connect(*, user: str | Me | None = ME, store: Store | str | Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the public tables in memory, as they are now; for `%sql`, ibis or polars.

    It holds no lock and no file, and what is written to it stays in it. Its time zone is UTC.

    Parameters
    ----------
    user
        Whose rows; the default is yourself, None everybody's. `files` belong to nobody, and have rows only then.
    store
        A store or its address; None is the default store.
    """
    import duckdb

    source = opened(store)
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE SCHEMA chatnb")  # where what the view `history` needs is out of sight
    places = ("session_name", "session_id", "id")
    relations: tuple[Table | View, ...] = (*PUBLIC_TABLES, *VIEWS)
    with source.hold():  # opened once
        for relation in relations:
            where, params = _own(relation.name, user)
            whole = relation.name != "history"  # its messages are there already; they are not copied twice
            columns = [column for column in relation.columns if whole or column.name in places]
            names = ", ".join(column.name for column in columns)
            table = source.query(f"SELECT {names} FROM {relation.name} WHERE {where}", params)
            _load(connection, relation.name if whole else "chatnb.places", columns, table)
    ours = ", ".join(
        f"{'places' if name in places else 'messages'}.{name}" for name in ("session_name", *MESSAGES.names)
    )
    connection.execute(
        f"CREATE VIEW history AS SELECT {ours} FROM chatnb.places JOIN main.messages ON messages.id = places.id"
    )
    return connection


def _load(connection: duckdb.DuckDBPyConnection, name: str, columns: Sequence[Column], table: pa.Table) -> None:
    from chatnb.stores.select import TYPES

    connection.execute(
        f"CREATE TABLE {name} ({', '.join(f'{column.name} {TYPES[column.type]}' for column in columns)})"
    )
    connection.register("chatnb_batch", table)
    try:
        connection.execute(f"INSERT INTO {name} SELECT * FROM chatnb_batch")
    finally:
        connection.unregister("chatnb_batch")


def opened(store: Store | str | Path | None) -> Store:
    """The store itself, or the process's one open store of this address."""
    return store if isinstance(store, Store) else shared_store(store)


def owner_of(user: str | Me | None) -> str | None:
    """The user's name; None is everybody."""
    return default_user() if isinstance(user, Me) else user


def _own(relation: str, user: str | Me | None, shape: str = "{}") -> tuple[str, dict[str, object]]:
    owner = owner_of(user)
    return ("TRUE", {}) if owner is None else (shape.format(OWN[relation]), {"user": owner})


def _find(store: Store, ref: str, user: str | Me | None, project: str | None) -> Session:
    """The session that `ref` means, in any project and any collection unless one is named."""
    owner = owner_of(user)
    params: dict[str, object] = {"ref": ref}
    where = "is_active AND (id = $ref OR name = $ref)"
    given: Mapping[str, str | None] = {"user_id": owner, "project": project}
    for name, value in given.items():
        if value is not None:
            where += f" AND {name} = ${name}"
            params[name] = value
    text = (
        f"SELECT user_id, project, collection, id FROM sessions WHERE {where}"
        " ORDER BY id = $ref DESC, coalesce(last_message_at, created_at) DESC LIMIT 1"
    )
    for row in store.query(text, params).to_pylist():
        return store.find_session(row["id"], user=row["user_id"], project=row["project"], collection=row["collection"])
    names = store.query("SELECT DISTINCT coalesce(name, id) AS name, user_id FROM sessions WHERE is_active").to_pylist()
    close = nearest(ref, [row["name"] for row in names if owner in (None, row["user_id"])])
    raise SessionNotFound(f"No session named {ref!r}.{close} chatnb.sessions() lists them.")
