"""Histories as pandas DataFrames with real dtypes, and SQL over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from chatnb.records import Session
from chatnb.settings import default_user
from chatnb.stores.opening import shared_store
from chatnb.stores.schema import HISTORY_COLUMNS, SESSIONS, TURNS, Column
from chatnb.stores.store import Store

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["frame", "messages", "sessions", "sql", "turns"]

_CATEGORIES = frozenset({"role", "status", "kind", "format", "origin", "provider", "currency", "tool"})


class _Me:
    """Stands for the user who asks, so that None can mean every user."""


ME = _Me()


def frame(table: pa.Table, columns: Sequence[Column] = ()) -> pd.DataFrame:
    """An Arrow table as a DataFrame.

    Integers that may be missing stay integers (`Int64`), times are UTC, texts that repeat are categories, and JSON
    columns hold what the JSON says.

    Parameters
    ----------
    table
        The result of a query.
    columns
        What the columns are, where they are known.
    """
    import json

    import pandas as pd
    import pyarrow as pa

    kinds = {column.name: column.type for column in columns}
    for place, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:  # DuckDB's sum of integers
            table = table.set_column(place, field.name, table.column(place).cast(pa.int64()))
    integers = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype()}
    data: pd.DataFrame = table.to_pandas(types_mapper=integers.get, date_as_object=False)
    for name in data.columns:
        kind = kinds.get(name)
        if name in _CATEGORIES and kind == "text":
            data[name] = data[name].astype("category")
        elif kind in ("json", "tags"):
            empty: object = [] if kind == "tags" else None
            read = [json.loads(value) if isinstance(value, str) else empty for value in data[name]]
            data[name] = pd.Series(read, index=data.index, dtype=object)
    return data


def sessions(
    *, user: str | _Me | None = ME, deleted: bool = False, store: Store | str | Path | None = None
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
    where, params = _where(user)
    if not deleted:
        where += " AND is_active"
    names = ", ".join(SESSIONS.names)
    text = f"SELECT {names} FROM sessions WHERE {where} ORDER BY coalesce(last_message_at, created_at) DESC, id DESC"
    return frame(_open(store).query(text, params), SESSIONS.columns)


def messages(
    session: str | Session | None = None,
    *,
    user: str | _Me | None = ME,
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
    opened = _open(store)
    names = ", ".join(column.name for column in HISTORY_COLUMNS)
    if session is None:
        where, params = _where(user, "session_id IN (SELECT id FROM sessions WHERE {})")
        order = "session_id, seq"
    else:
        found = session if isinstance(session, Session) else _find(opened, session, user, project)
        where, params = "session_id = $id", {"id": found.id}
        order = "seq"
    return frame(opened.query(f"SELECT {names} FROM history WHERE {where} ORDER BY {order}", params), HISTORY_COLUMNS)


def turns(*, user: str | _Me | None = ME, store: Store | str | Path | None = None) -> pd.DataFrame:
    """Every turn, also those that were taken back, oldest first: the columns of `turns`.

    Parameters
    ----------
    user
        Whose; the default is yourself, None everybody's.
    store
        A store or its address; None is the default store.
    """
    where, params = _where(user)
    text = f"SELECT {', '.join(TURNS.names)} FROM turns WHERE {where} ORDER BY started_at, id"
    return frame(_open(store).query(text, params), TURNS.columns)


def sql(query: str, *, store: Store | str | Path | None = None, **params: object) -> pd.DataFrame:
    """The result of one DuckDB SELECT over the histories.

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
    return frame(_open(store).query(query, params))


def _open(store: Store | str | Path | None) -> Store:
    return store if isinstance(store, Store) else shared_store(store)


def _where(user: str | _Me | None, shape: Literal["{}"] | str = "{}") -> tuple[str, dict[str, object]]:
    if user is None:
        return "TRUE", {}
    return shape.format("user_id = $user"), {"user": default_user() if isinstance(user, _Me) else user}


def _find(store: Store, ref: str, user: str | _Me | None, project: str | None) -> Session:
    owner = default_user() if isinstance(user, _Me) or user is None else user
    if project is not None:
        return store.find_session(ref, user=owner, project=project)
    text = (
        "SELECT project FROM sessions WHERE is_active AND user_id = $user AND (id = $ref OR name = $ref)"
        " ORDER BY coalesce(last_message_at, created_at) DESC LIMIT 1"
    )
    rows = store.query(text, {"user": owner, "ref": ref}).to_pylist()
    return store.find_session(ref, user=owner, project=rows[0]["project"] if rows else "")
