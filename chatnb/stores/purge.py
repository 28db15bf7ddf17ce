"""Removing a session for good: every row that no other session's history reaches, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chatnb.formats.pydantic_ai import file_hashes
from chatnb.records import Branch, Message, Session
from chatnb.stores import sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.rows import from_row
from chatnb.stores.schema import BRANCHES, CONVERSATIONS, FILES, LINEAGE, MESSAGES, SESSIONS, TOOL_CALLS, TURNS

__all__ = ["purge"]


def purge(tx: Tx, session: Session) -> None:
    """Remove a session: its row, branches, messages, turns, tool calls and files.

    Messages that a fork shares stay, and belong to the fork from then on, so that the same id can start again, empty.
    """
    tx.lock(SESSIONS, sessions.key(session))
    rows = tx.rows(sql.BRANCHES_OF_SESSION, sessions.key(session))
    branches = {branch.id: branch for branch in (from_row(Branch, BRANCHES, row) for row in rows)}
    kept, heirs = _shared(tx, branches)
    for branch in branches.values():
        _cut(tx, branch, kept.get(branch.id, branch.parent_seq), heirs.get(branch.id))
    where = "user_id = ? AND collection = ? AND session_id = ?"
    tx.remove(LINEAGE, where, sessions.key(session))
    tx.remove(CONVERSATIONS, where, sessions.key(session))
    tx.remove(SESSIONS, "user_id = ? AND collection = ? AND id = ?", sessions.key(session))
    # Turns that never placed a message (they failed before their first) have no branch to be found by.
    gone = [str(row[0]) for row in tx.rows(sql.TURNS_OF_SESSION, sessions.key(session))]
    _remove_turns(tx, gone)


def _shared(tx: Tx, own: dict[str, Branch]) -> tuple[dict[str, int], dict[str, Branch]]:
    """How far each branch is shared by other sessions, and by which branch of theirs (which goes furthest)."""
    kept: dict[str, int] = {}
    heirs: dict[str, Branch] = {}
    for children in _children(tx, list(own)):
        if children.id in own or children.parent_branch_id is None:
            continue
        branch_id, seq = children.parent_branch_id, children.parent_seq
        while branch_id in own and seq > own[branch_id].parent_seq:
            reach = (seq, -children.created_at.timestamp())
            if branch_id not in heirs or reach > (kept[branch_id], -heirs[branch_id].created_at.timestamp()):
                kept[branch_id], heirs[branch_id] = seq, children
            above = own[branch_id]
            if above.parent_branch_id is None:
                break
            branch_id, seq = above.parent_branch_id, above.parent_seq
    return kept, heirs


def _children(tx: Tx, ids: Sequence[str]) -> Iterable[Branch]:
    yield from (from_row(Branch, BRANCHES, row) for row in sql.each_batch(tx, sql.BRANCHES_OF_PARENTS, ids))


def _cut(tx: Tx, branch: Branch, last: int, heir: Branch | None) -> None:
    """Remove what lies on a branch after `last`; what stays goes to the heir's session."""
    rows = tx.rows(sql.MESSAGES_OF_SEGMENT, (branch.id, last + 1, branch.last_seq))
    gone = [from_row(Message, MESSAGES, row) for row in rows]
    tx.remove(MESSAGES, "branch_id = ? AND seq > ?", (branch.id, last))
    staying = {str(row[0]) for row in tx.rows(sql.TURNS_OF_SEGMENT, (branch.id, 1, last))} if heir else set()
    _remove_turns(tx, [turn_id for turn_id in dict.fromkeys(m.turn_id for m in gone) if turn_id not in staying])
    _remove_files(tx, {sha for message in gone for sha in file_hashes(message)})
    if heir is None:
        tx.remove(BRANCHES, "id = ?", (branch.id,))
        return
    owner: dict[str, object] = {"session_id": heir.session_id, "user_id": heir.user_id}
    tx.change(BRANCHES, (branch.id,), {**owner, "collection": heir.collection, "last_seq": last})
    for row in tx.rows(sql.MESSAGES_OF_SEGMENT, (branch.id, 1, last)):
        tx.change(MESSAGES, (from_row(Message, MESSAGES, row).id,), {"session_id": heir.session_id})
    for turn_id in staying:
        tx.change(TURNS, (turn_id,), {**owner, "collection": heir.collection})


def _remove_turns(tx: Tx, ids: Sequence[str]) -> None:
    for batch in sql.batches(ids):
        tx.remove(TOOL_CALLS, f"turn_id IN ({sql.marks(len(batch))})", batch)
        tx.remove(TURNS, f"id IN ({sql.marks(len(batch))})", batch)


def _remove_files(tx: Tx, hashes: set[str]) -> None:
    """Remove files that no message names any more."""
    for sha in sorted(hashes):
        if not tx.rows(sql.MESSAGE_NAMES_FILE, (f'%"{sha}"%',)):
            tx.remove(FILES, "sha256 = ?", (sha,))
