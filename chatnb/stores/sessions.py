"""Sessions: find, make, list, change. Each function is work inside one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from shlex import quote

from chatnb.errors import BadInput, SessionNotFound, nearest
from chatnb.records import Branch, Session, now
from chatnb.stores import sql
from chatnb.stores.base import Tx
from chatnb.stores.rows import encode, from_row, to_row
from chatnb.stores.schema import BRANCHES, LINEAGE, SESSIONS

__all__ = [
    "LONGEST_NAME",
    "ORDERS",
    "SessionFilter",
    "by_id",
    "change",
    "create",
    "find",
    "key",
    "listing",
    "resolve",
    "touch",
]

ORDERS = {
    "recent": "coalesce(last_message_at, created_at) DESC, id DESC",
    "created": "created_at DESC, id DESC",
    "name": "coalesce(name, id), id",
    "messages": "message_count DESC, id DESC",
}
"""How a listing can be sorted."""

LONGEST_NAME = 200
"""Characters of an id or a name: every database can index so many."""

_SETTABLE = frozenset(SESSIONS.names) - {
    "id", "user_id", "collection", "branch_id", "revision", "message_count", "created_at", "updated_at"
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SessionFilter:
    """Which sessions a listing shows. None means any; `user` None means every user's.

    `text` stands in the name or the id, `anywhere` there or in a message of the current history.
    """

    user: str | None = None
    project: str | None = None
    collection: str | None = None
    text: str | None = None
    anywhere: str | None = None
    model: str | None = None
    tag: str | None = None
    active: bool | None = True
    since: datetime | None = None
    until: datetime | None = None
    expired_at: datetime | None = None

    def conditions(self) -> Iterator[tuple[str, tuple[object, ...]]]:
        """The WHERE conditions with their values."""
        for column, value in (
            ("user_id", self.user),
            ("project", self.project),
            ("collection", self.collection),
            ("model", self.model),
            ("is_active", self.active),
        ):
            if value is not None:
                yield f"{column} = ?", (value,)
        if self.text is not None:
            yield sql.NAME_HOLDS, (_holding(self.text),)
        if self.anywhere is not None:
            yield f"({sql.NAME_HOLDS} OR {sql.HISTORY_HOLDS})", (_holding(self.anywhere),) * 2
        if self.tag is not None:
            quoted = encode(SESSIONS.columns[SESSIONS.names.index("tags")], (self.tag,))
            yield "CAST(tags AS TEXT) LIKE ? ESCAPE '!'", (f"%{_escape(str(quoted)[1:-1])}%",)
        if self.since is not None:
            yield "coalesce(last_message_at, created_at) >= ?", (self.since,)
        if self.until is not None:
            yield "coalesce(last_message_at, created_at) < ?", (self.until,)
        if self.expired_at is not None:
            yield "expires_at <= ?", (self.expired_at,)


def _holding(text: str) -> str:
    return f"%{_escape(text.lower())}%"


def _escape(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def key(session: Session) -> tuple[str, str, str]:
    """What names a session in the tables."""
    return session.user_id, session.collection, session.id


def by_id(tx: Tx, user: str | None, collection: str, session_id: str) -> Session | None:
    """The session of this id, deleted or not. `user` None finds any user's."""
    if user is None:
        rows = tx.rows(sql.SESSION_BY_ID_ANY_USER, (collection, session_id))
    else:
        rows = tx.rows(sql.SESSION_BY_ID, (user, collection, session_id))
    return from_row(Session, SESSIONS, rows[0]) if rows else None


def resolve(tx: Tx, ref: str, *, user: str, project: str, collection: str = "", active: bool = True) -> Session | None:
    """The session that `ref` means: one with this id, else the most recently used with this name, else None."""
    session = by_id(tx, user, collection, ref)
    if session is not None and session.is_active == active:
        return session
    rows = tx.rows(sql.SESSION_BY_NAME, (user, project, collection, ref, active))
    return from_row(Session, SESSIONS, rows[0]) if rows else None


def find(tx: Tx, ref: str, *, user: str, project: str, collection: str = "", active: bool = True) -> Session:
    """As `resolve`, but a missing session is `SessionNotFound` with the nearest name."""
    session = resolve(tx, ref, user=user, project=project, collection=collection, active=active)
    if session is not None:
        return session
    if resolve(tx, ref, user=user, project=project, collection=collection, active=not active) is not None:
        if active:
            raise SessionNotFound(f"Session {ref!r} was deleted. Bring it back with %chat restore {quote(ref)}.")
        raise SessionNotFound(f"Session {ref!r} was not deleted. Go on in it with %chat use {quote(ref)}.")
    known = tx.rows(sql.SESSION_NAMES, (user, collection, active))
    if any(name == ref for name, _ in known):
        raise SessionNotFound(f"Session {ref!r} is another project's. %chat ls --all gives its id, which can be used.")
    hint = nearest(ref, [str(name) for name, of in known if of == project])
    raise SessionNotFound(f"No session named {ref!r}.{hint} List them with %chat ls{'' if active else ' --deleted'}.")


def create(tx: Tx, session: Session) -> Session:
    """Store a new session with its first branch.

    Raises
    ------
    BadInput
        When the user has a session of this id in this collection, or its id or a name of it is too long.
    """
    check_names(session)
    existing = by_id(tx, session.user_id, session.collection, session.id)
    if existing is not None and tx.again and existing.branch_id == session.branch_id:
        return existing  # an earlier try was committed after all
    if existing is not None:
        raise BadInput(f"A session with the id {session.id!r} exists already. Choose another id.")
    branch = Branch(
        id=session.branch_id,
        session_id=session.id,
        user_id=session.user_id,
        collection=session.collection,
        created_at=session.created_at,
    )
    tx.add(SESSIONS, [to_row(SESSIONS, session)])
    tx.add(BRANCHES, [to_row(BRANCHES, branch)])
    tx.add(LINEAGE, [(session.id, session.user_id, session.collection, branch.id, 1, None)])
    return session


def check_names(session: Session) -> None:
    """Refuse an id or a name that is too long to find again quickly.

    Raises
    ------
    BadInput
        When one is.
    """
    named = {"id": session.id, "user": session.user_id, "collection": session.collection, "name": session.name or ""}
    for what, value in named.items():
        if len(value) > LONGEST_NAME:
            raise BadInput(
                f"The session's {what} has {len(value):,} characters ({value[:20]!r}…); "
                f"at most {LONGEST_NAME} are kept."
            )


def change(tx: Tx, session: Session, values: Mapping[str, object]) -> Session:
    """Set fields of a session; its revision goes up by one.

    Raises
    ------
    BadInput
        When a field is unknown or not the caller's to set.
    """
    unknown = sorted(set(values) - _SETTABLE)
    if unknown:
        raise BadInput(f"A session has no setting {unknown[0]!r}.{nearest(unknown[0], _SETTABLE)}")
    check_names(replace(session, **values))  # type: ignore[arg-type]
    return touch(tx, session, values)


def touch(tx: Tx, session: Session, values: Mapping[str, object]) -> Session:
    """As `change`, for chatnb's own fields too."""
    changed = replace(session, **{**values, "revision": session.revision + 1, "updated_at": now()})  # type: ignore[arg-type]
    columns = {column.name: column for column in SESSIONS.columns}
    names = [*values, "revision", "updated_at"]
    tx.change(SESSIONS, key(session), {name: encode(columns[name], getattr(changed, name)) for name in names})
    return changed


def listing(
    tx: Tx, where: SessionFilter, *, order: str = "recent", limit: int = 100, offset: int = 0
) -> tuple[list[Session], int]:
    """One page of sessions and how many there are in all.

    Raises
    ------
    BadInput
        When `order` is unknown, or `limit` or `offset` is negative.
    """
    if order not in ORDERS:
        raise BadInput(
            f"Sessions cannot be sorted by {order!r}.{nearest(order, ORDERS)} Use one of {', '.join(ORDERS)}."
        )
    if limit < 0 or offset < 0:
        raise BadInput(f"limit and offset count rows from 0; {min(limit, offset)} is negative.")
    conditions = list(where.conditions())
    clause = " AND ".join(condition for condition, _ in conditions) or "1 = 1"
    params = [value for _, values in conditions for value in values]
    rows = tx.rows(sql.SESSIONS_WHERE.format(where=clause, order=ORDERS[order]), (*params, limit, offset))
    ((total,),) = tx.rows(sql.SESSIONS_COUNT.format(where=clause), params)
    return [from_row(Session, SESSIONS, row) for row in rows], int(total)  # type: ignore[call-overload]
