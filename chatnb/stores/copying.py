"""A whole session out of a store: its branches, turns, messages, tool calls and files as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chatnb.formats.pydantic_ai import file_hashes
from chatnb.records import Branch, File, Message, Session, ToolCall, Turn
from chatnb.stores import branches, sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.rows import Row, column_list, from_row
from chatnb.stores.schema import BRANCHES, FILES, MESSAGES, TOOL_CALLS, TURNS
from chatnb.stores.store import Store

__all__ = ["CALLS_OF_TURNS", "Whole", "parents_first", "rows_in", "snapshot"]

_TURNS = (
    f"SELECT {column_list(TURNS)} FROM turns WHERE user_id = ? AND collection = ? AND session_id = ?"
    " AND status <> 'running' ORDER BY started_at, id"
)
CALLS_OF_TURNS = (
    f"SELECT {column_list(TOOL_CALLS)} FROM tool_calls WHERE turn_id IN ({{marks}}) ORDER BY turn_id, started_at"
)

_BATCH = 500
"""How many values an IN list holds at most."""


@dataclass(frozen=True, kw_only=True)
class Whole:
    """One session with everything it reaches.

    `branches` are its own, and of other sessions' those that its histories go on from, parents first; `turns` come
    without their messages, which are in `messages`, by branch and in order.
    """

    session: Session
    branches: tuple[Branch, ...] = ()
    turns: tuple[Turn, ...] = ()
    messages: tuple[Message, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    files: tuple[File, ...] = ()


def snapshot(store: Store, session: Session) -> Whole:
    """The session as it is now, read in one transaction. Turns that still run are left out.

    Raises
    ------
    SessionNotFound
        When there is no such session.
    """

    def work(tx: Tx) -> Whole:
        fresh = sessions.by_id(tx, session.user_id, session.collection, session.id)
        if fresh is None:
            fresh = sessions.find(tx, session.id, user=session.user_id, project="", collection=session.collection)
        lines, ends = _lines(tx, fresh)
        messages = [
            from_row(Message, MESSAGES, row)
            for line in lines
            for row in tx.rows(sql.MESSAGES_OF_SEGMENT, (line.id, 1, ends[line.id]))
        ]
        turns = [from_row(Turn, TURNS, row) for row in tx.rows(_TURNS, sessions.key(fresh))]
        own = {turn.id for turn in turns}
        others = dict.fromkeys(message.turn_id for message in messages if message.turn_id not in own)
        turns += [from_row(Turn, TURNS, row) for row in rows_in(tx, sql.TURNS_OF_IDS, list(others))]
        hashes = dict.fromkeys(sha for message in messages for sha in file_hashes(message))
        names = FILES.names
        stored = (dict(zip(names, row, strict=True)) for row in rows_in(tx, sql.FILES_OF_HASHES, list(hashes)))
        return Whole(
            session=fresh,
            branches=tuple(replace(line, last_seq=ends[line.id]) for line in lines),
            turns=tuple(turns),
            messages=tuple(messages),
            calls=tuple(
                from_row(ToolCall, TOOL_CALLS, row) for row in rows_in(tx, CALLS_OF_TURNS, [t.id for t in turns])
            ),
            files=tuple(
                File(sha256=str(row["sha256"]), media_type=str(row["media_type"]), data=bytes(row["data"]))  # type: ignore[call-overload]
                for row in stored
            ),
        )

    return store.transact(work, write=False)


def _lines(tx: Tx, session: Session) -> tuple[list[Branch], dict[str, int]]:
    """The session's branches and those they go on from, parents first, and how far each is wanted."""
    own = [from_row(Branch, BRANCHES, row) for row in tx.rows(sql.BRANCHES_OF_SESSION, sessions.key(session))]
    found = {branch.id: branch for branch in own}
    ends = {branch.id: branch.last_seq for branch in own}
    waiting = list(own)
    while waiting:
        child = waiting.pop()
        parent = child.parent_branch_id
        if parent is None:
            continue
        if parent not in found:
            found[parent] = branches.by_id(tx, parent)
            ends[parent] = 0
            waiting.append(found[parent])
        ends[parent] = max(ends[parent], child.parent_seq)
    return parents_first(found.values()), ends


def parents_first(lines: Iterable[Branch]) -> list[Branch]:
    """Branches so that each comes after the one it goes on from."""
    found = {branch.id: branch for branch in lines}
    ordered: dict[str, Branch] = {}
    for branch in found.values():
        chain: dict[str, Branch] = {}
        above: Branch | None = branch
        while above is not None and above.id not in ordered.keys() | chain.keys():
            chain[above.id] = above
            above = found.get(above.parent_branch_id or "")
        ordered.update(reversed(chain.items()))
    return list(ordered.values())


def rows_in(tx: Tx, statement: str, values: Sequence[str]) -> list[Row]:
    """The rows of a statement with an IN list, however long the list is."""
    found: list[Row] = []
    for start in range(0, len(values), _BATCH):
        batch = tuple(values[start : start + _BATCH])
        found += tx.rows(statement.format(marks=sql.marks(len(batch))), batch)
    return found
