"""PydanticAI's conversations, read: sessions whose messages are the entries. All of it is work in one transaction.

An entry's parent is the message before it on its branch, or the one that its branch goes on from: branches keep every
tree of entries as it is, and nothing else links them. A history's last entry may lie in the middle of a branch; then
an empty branch that goes on from it stands for it, as the session's current one or as what keeps a history that was
left. The private table `conversations` keeps the rest. Where another interface has changed the session since that was
written, the head is where the session stands now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from chatnb.formats.pydantic_ai import file_hashes
from chatnb.records import Branch, Message, Session, Usage, now
from chatnb.stores import branches, sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.rows import Row, column_list, from_row
from chatnb.stores.schema import BRANCHES, CONVERSATIONS, FILES, MESSAGES, SESSIONS

__all__ = [
    "History",
    "Kept",
    "Owner",
    "Place",
    "ending",
    "history",
    "listing",
    "loose",
    "of_session",
    "own_branches",
    "places",
    "reach",
    "read",
]

_CONVERSATION = (
    f"SELECT {column_list(CONVERSATIONS)} FROM conversations"
    " WHERE user_id = ? AND collection = ? AND session_id = ? AND born_at = ?"
)
_SAVED_AT = (
    "CASE WHEN conversations.written_at IS NULL OR sessions.last_message_at > conversations.written_at"
    " THEN coalesce(sessions.last_message_at, sessions.created_at) ELSE conversations.updated_at END"
)
_CONVERSATIONS = (
    f"SELECT {column_list(SESSIONS, 'sessions')}, {column_list(CONVERSATIONS, 'conversations')}"
    " FROM sessions LEFT JOIN conversations ON conversations.user_id = sessions.user_id"
    " AND conversations.collection = sessions.collection AND conversations.session_id = sessions.id"
    " AND conversations.born_at = sessions.created_at"
    " WHERE sessions.user_id = ? AND sessions.collection = ? AND sessions.is_active{scope}"
    f" ORDER BY {_SAVED_AT} DESC, sessions.id DESC"
)
_PLACES = "SELECT id, branch_id, seq FROM messages WHERE id IN ({marks})"
_USED = (
    "SELECT sum(requests), sum(tool_calls), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),"
    " sum(cache_write_tokens), sum(cost) FROM turns"
    " WHERE user_id = ? AND collection = ? AND session_id = ? AND status <> 'running'"
)

Place = tuple[str, int]
"""Where a message is: its branch and its `seq`."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose conversations are meant, and where names of sessions are looked for."""

    user: str
    collection: str = ""
    project: str = ""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of a conversation beside its messages; a row of `conversations`.

    `usage` and `deferred` are JSON values. `since` is what turns of other interfaces have used since it was written.
    """

    session_id: str
    user_id: str
    collection: str
    revision: str
    head_id: str | None
    branches: Sequence[str] = ()
    usage: object = None
    deferred: object = None
    scope: str | None = None
    forked_from: str | None = None
    forked_at: str | None = None
    updated_at: datetime
    format_version: int = 1
    born_at: datetime = field(default_factory=now)
    hidden: Sequence[Sequence[object]] = ()
    session_revision: int = 0
    written_at: datetime = field(default_factory=now)
    since: Usage = field(default_factory=Usage)


@dataclass(frozen=True, kw_only=True)
class History:
    """Messages in order, the id of the one before them, and the files that they name, by their SHA-256."""

    parent_id: str | None = None
    messages: tuple[Message, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


# -- reading -----------------------------------------------------------------------------------------------------------


def read(tx: Tx, owner: Owner, ref: str) -> Kept | None:
    """The conversation that `ref` means: a session's id, else the most recently used of this name."""
    session = sessions.resolve(tx, ref, user=owner.user, project=owner.project, collection=owner.collection)
    return None if session is None else of_session(tx, session)


def listing(tx: Tx, owner: Owner, scope: str | None, limit: int | None) -> list[Kept]:
    """The conversations, the most recently saved first."""
    statement = _CONVERSATIONS.format(scope="" if scope is None else " AND conversations.scope = ?")
    params: list[object] = [owner.user, owner.collection, *([] if scope is None else [scope])]
    if limit is not None:
        statement, params = f"{statement} LIMIT ?", [*params, limit]
    cut = len(SESSIONS.columns)
    found = []
    for row in tx.rows(statement, params):
        session, rest = from_row(Session, SESSIONS, row[:cut]), row[cut:]
        found.append(_as_it_is(tx, session, None if rest[0] is None else _kept(rest)))
    return found


def of_session(tx: Tx, session: Session) -> Kept:
    """The conversation that a session is."""
    rows = tx.rows(_CONVERSATION, (*sessions.key(session), session.created_at))
    return _as_it_is(tx, session, _kept(rows[0]) if rows else None)


def _kept(row: Row) -> Kept:
    return from_row(Kept, CONVERSATIONS, row)


def _as_it_is(tx: Tx, session: Session, kept: Kept | None) -> Kept:
    """What is kept, brought up to what other interfaces have done to the session since."""
    if kept is not None and kept.session_revision == session.revision:
        return kept
    own = own_branches(tx, session)
    current = own.get(session.branch_id) or branches.by_id(tx, session.branch_id)
    head_id = _message_at(tx, ending(current))
    before = kept or _unkept(tx, session, own)
    tips = [tip for tip in before.branches if tip != head_id]
    reached = reach(own, [ending(current), *places(tx, tips).values()])
    hidden = {(str(branch_id), seq) for branch_id, seq in before.hidden}
    left = [_message_at(tx, ending(line)) for line in loose(own, reached) if (line.id, line.last_seq) not in hidden]
    tips += [tip for tip in left if tip is not None]
    same = kept is not None and head_id == kept.head_id and tips == list(kept.branches)
    return replace(
        before,
        revision=before.revision if same else _digest(before.revision, head_id, tips),
        head_id=head_id,
        branches=tips,
        deferred=before.deferred if head_id == before.head_id else None,
        updated_at=_saved_at(session, kept),
        since=_used(tx, session, None if kept is None else kept.written_at),
    )


def _saved_at(session: Session, kept: Kept | None) -> datetime:
    """As `_SAVED_AT`: when it was saved, or when another interface added to it."""
    newest = session.last_message_at
    if kept is not None and (newest is None or newest <= kept.written_at):
        return kept.updated_at
    return newest or session.created_at


def _unkept(tx: Tx, session: Session, own: Mapping[str, Branch]) -> Kept:
    """What can be told of a session that only other interfaces have written."""
    forks = [line for line in own.values() if line.kind == "fork" and line.parent_branch_id is not None]
    forked_at = _message_at(tx, (str(forks[-1].parent_branch_id), forks[-1].parent_seq)) if forks else None
    return Kept(
        session_id=session.id,
        user_id=session.user_id,
        collection=session.collection,
        revision=session.created_at.isoformat(),
        head_id=None,
        forked_from=session.forked_from,
        forked_at=forked_at,
        updated_at=session.created_at,
        born_at=session.created_at,
    )


def _digest(*told: object) -> str:
    """A token that stands for a state, the same whoever reads it."""
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _used(tx: Tx, session: Session, since: datetime | None) -> Usage:
    """What the session's turns used, those alone that began after `since` when it is given."""
    later = "" if since is None else " AND started_at > ?"
    params = sessions.key(session) if since is None else (*sessions.key(session), since)
    ((*counts, cost),) = tx.rows(_USED + later, params)
    names = ("requests", "tool_calls", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    known = {name: int(count or 0) for name, count in zip(names, counts, strict=True)}  # type: ignore[call-overload]
    return Usage(**known, cost=None if cost is None else float(cost))  # type: ignore[arg-type]


def history(tx: Tx, owner: Owner, head_id: str | None, limit: int | None) -> History:
    """The messages up to `head_id`, or only the last `limit` of them.

    Raises
    ------
    LookupError
        When there is no such message of this owner.
    """
    if head_id is None or limit == 0:
        return History()
    place = places(tx, [head_id]).get(head_id)
    line = branches.by_id(tx, place[0]) if place is not None else None
    if place is None or line is None or (line.user_id, line.collection) != (owner.user, owner.collection):
        raise LookupError(f"There is no entry {head_id!r} in this store.")
    last = place[1]
    first = 1 if limit is None else max(last - limit, 1)  # one more, whose id is the parent of the next
    found: list[Message] = []
    for segment in reversed(branches.segments_to(tx, replace(line, last_seq=last))):
        if segment.last < first:
            break
        rows = tx.rows(sql.MESSAGES_OF_SEGMENT, (segment.branch_id, max(segment.first, first), segment.last))
        found = [*(from_row(Message, MESSAGES, row) for row in rows), *found]
    above = found.pop(0).id if limit is not None and len(found) > limit else None
    hashes = tuple(dict.fromkeys(sha for message in found for sha in file_hashes(message)))
    sha256, data = FILES.names.index("sha256"), FILES.names.index("data")
    files = {str(row[sha256]): bytes(row[data]) for row in sql.each_batch(tx, sql.FILES_OF_HASHES, hashes)}  # type: ignore[call-overload]
    return History(parent_id=above, messages=tuple(found), files=files)


# -- the tree of branches ----------------------------------------------------------------------------------------------


def own_branches(tx: Tx, session: Session) -> dict[str, Branch]:
    """The session's branches by id, oldest first."""
    rows = tx.rows(sql.BRANCHES_OF_SESSION, sessions.key(session))
    return {line.id: line for line in (from_row(Branch, BRANCHES, row) for row in rows)}


def ending(line: Branch) -> Place | None:
    """The newest message of the history that ends on a branch; None when it has none."""
    if line.last_seq > line.parent_seq:
        return line.id, line.last_seq
    return None if line.parent_branch_id is None else (line.parent_branch_id, line.parent_seq)


def places(tx: Tx, ids: Iterable[str]) -> dict[str, Place]:
    """Where messages are, by their ids; ids that are not stored are left out."""
    rows = sql.each_batch(tx, _PLACES, tuple(dict.fromkeys(ids)))
    return {str(message_id): (str(branch_id), int(seq)) for message_id, branch_id, seq in rows}  # type: ignore[call-overload]


def _message_at(tx: Tx, place: Place | None) -> str | None:
    if place is None:
        return None
    rows = tx.rows(sql.MESSAGES_OF_SEGMENT, (place[0], place[1], place[1]))
    return str(rows[0][0]) if rows else None


def reach(own: Mapping[str, Branch], ends: Iterable[Place | None]) -> dict[str, int]:
    """How far the histories with these ends go on each of the session's branches."""
    reached: dict[str, int] = {}
    for place in ends:
        while place is not None and place[0] in own and place[1] > reached.get(place[0], 0):
            reached[place[0]] = place[1]
            above = own[place[0]]
            place = None if above.parent_branch_id is None else (above.parent_branch_id, above.parent_seq)
    return reached


def loose(own: Mapping[str, Branch], reached: Mapping[str, int]) -> list[Branch]:
    """The branches that end where none of these histories, and none of each other's, goes on; oldest first."""
    reached = dict(reached)
    foreign = _inherited(own)
    found: list[Branch] = []
    for line in reversed(list(own.values())):
        if line.last_seq > max(line.parent_seq, reached.get(line.id, 0)) and line.id not in foreign:
            found.insert(0, line)
            for branch_id, seq in reach(own, [ending(line)]).items():
                reached[branch_id] = max(seq, reached.get(branch_id, 0))
    return found


def _inherited(own: Mapping[str, Branch]) -> set[str]:
    """The branches that another session had, from which this one was forked before that was removed."""
    found: set[str] = set()
    line = next((line for line in reversed(list(own.values())) if line.kind == "fork"), None)
    while line is not None and (line := own.get(line.parent_branch_id or "")) is not None:
        found.add(line.id)
    return found
