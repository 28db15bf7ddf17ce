"""Turns: placing one at the end of its history, reading turns back, where a cell's turn stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chatnb.records import Branch, File, Message, Session, ToolCall, Turn, new_id, now
from chatnb.stores import branches, sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.costs import Costs
from chatnb.stores.journal import InFlight
from chatnb.stores.rows import from_row, to_row
from chatnb.stores.schema import BRANCHES, FILES, IN_FLIGHT, MESSAGES, SESSIONS, TOOL_CALLS, TURNS

__all__ = ["CellPlace", "add_files", "by_ids", "cell_place", "place", "whole"]


@dataclass(frozen=True, kw_only=True)
class CellPlace:
    """Where a cell's newest turn stands in the current history, and which turns come after it.

    `first_seq` is the turn's first message. `later` are the turns after it, oldest first, without their messages.
    """

    turn: Turn
    first_seq: int
    later: tuple[Turn, ...]


def place(tx: Tx, state: InFlight, costs: Costs | None = None) -> Turn:
    """Store a turn that has ended: its messages get their `seq` together, at the end of the session's history.

    A turn that takes back later ones opens an edit branch first, unless another turn has come meanwhile: then it is
    added at the end. Placing a turn twice stores it once; one that was taken for dead meanwhile, and stored as far as
    it had come, is stored whole beside that.
    """
    turn = state.turn
    tx.lock(SESSIONS, (turn.user_id, turn.collection, turn.session_id))
    if (tx.rows_at_once or tx.again or state.ended) and (stored := _stored(tx, turn.id)) is not None:
        more = turn.status != "interrupted" or len(turn.messages) > len(stored.messages)
        if stored.status != "interrupted" or not more:
            return stored
        turn = _anew(turn)
    before = _session(tx, turn)
    session, branch = _branch(tx, before, state)
    placed = tuple(
        replace(message, session_id=session.id, branch_id=branch.id, seq=branch.last_seq + n, turn_id=turn.id)
        for n, message in enumerate(turn.messages, start=1)
    )
    done = replace(turn, branch_id=branch.id, messages=placed)
    if tx.rows_at_once:
        tx.remove(TURNS, "id = ?", (turn.id,))
        tx.remove(IN_FLIGHT, "turn_id = ?", (state.turn.id,))
    tx.add(MESSAGES, [to_row(MESSAGES, message) for message in placed])
    tx.add(TURNS, [to_row(TURNS, done)])
    tx.add(TOOL_CALLS, [to_row(TOOL_CALLS, call) for call in turn.calls])
    add_files(tx, state.files)
    last_seq = branch.last_seq + len(placed)
    ends = {
        "last_seq": last_seq,
        "turn_count": branch.turn_count + 1,
        "window_seq": min(state.window_seq, last_seq),
    }
    tx.change(BRANCHES, (branch.id,), ends)
    after = sessions.touch(tx, session, {"message_count": last_seq, "last_message_at": now()})
    if costs is not None:
        costs.follow(before, after, done)
    return done


def _stored(tx: Tx, turn_id: str) -> Turn | None:
    """The turn as it is in the tables, unless it is still running."""
    rows = tx.rows(sql.TURN_BY_ID, (turn_id,))
    if not rows:
        return None
    turn = from_row(Turn, TURNS, rows[0])
    return None if turn.status == "running" else whole(tx, turn)


def _anew(turn: Turn) -> Turn:
    """The turn under an id of its own."""
    turn_id = new_id()
    messages = tuple(replace(message, id=new_id()) for message in turn.messages)
    return replace(turn, id=turn_id, messages=messages, calls=tuple(replace(c, turn_id=turn_id) for c in turn.calls))


def _session(tx: Tx, turn: Turn) -> Session:
    """The turn's session; one that was purged while the turn ran starts again, so that the turn is kept."""
    session = sessions.by_id(tx, turn.user_id, turn.collection, turn.session_id)
    if session is None:
        session = Session(id=turn.session_id, user_id=turn.user_id, collection=turn.collection)
        sessions.create(tx, session)
    return session


def _branch(tx: Tx, session: Session, state: InFlight) -> tuple[Session, Branch]:
    """The branch that the turn goes to."""
    if state.rewind_seq is not None:
        tip = branches.by_id(tx, session.branch_id)
        after = branches.turn_places(tx, session, tip, state.rewind_seq + 1)
        if state.rewind_seq <= tip.last_seq and set(after) <= set(state.rewind_turns):
            return branches.rewind(tx, session, state.rewind_seq)
    return branches.tip_for_append(tx, session)


def add_files(tx: Tx, files: Sequence[File]) -> None:
    """Store the files that the store does not have."""
    if not files:
        return
    wanted = {file.sha256: file for file in files}
    known = {str(sha) for (sha,) in sql.each_batch(tx, sql.FILES_KNOWN, tuple(wanted))}
    tx.add(FILES, [to_row(FILES, file) for sha, file in wanted.items() if sha not in known])


def whole(tx: Tx, turn: Turn) -> Turn:
    """The turn with its messages and tool calls."""
    messages = tuple(from_row(Message, MESSAGES, row) for row in tx.rows(sql.MESSAGES_OF_TURN, (turn.id,)))
    calls = tuple(from_row(ToolCall, TOOL_CALLS, row) for row in tx.rows(sql.CALLS_OF_TURN, (turn.id,)))
    return replace(turn, messages=messages, calls=calls)


def by_ids(tx: Tx, ids: Sequence[str]) -> list[Turn]:
    """Turns in the order of `ids`, without their messages; ids that are not stored are left out."""
    rows = sql.each_batch(tx, sql.TURNS_OF_IDS, ids)
    found = {turn.id: turn for turn in (from_row(Turn, TURNS, row) for row in rows)}
    return [found[turn_id] for turn_id in ids if turn_id in found]


def cell_place(tx: Tx, session: Session, notebook: str, cell_id: str) -> CellPlace | None:
    """Where the newest turn of this cell stands in the current history; None when it has none there."""
    rows = tx.rows(sql.TURNS_OF_CELL, (*sessions.key(session), notebook, cell_id))
    if not rows:
        return None
    tip = branches.by_id(tx, session.branch_id)
    chain = {segment.branch_id: segment for segment in branches.segments(tx, session, tip.last_seq)}
    for turn in (from_row(Turn, TURNS, row) for row in rows):
        segment = chain.get(turn.branch_id)
        ((first, last),) = tx.rows(sql.SPAN_OF_TURN, (turn.id,))
        if segment is not None and first is not None and segment.first <= first and last <= segment.last:  # type: ignore[operator]
            later = branches.turn_places(tx, session, tip, int(last) + 1)  # type: ignore[call-overload]
            return CellPlace(turn=turn, first_seq=int(first), later=tuple(by_ids(tx, tuple(later))))  # type: ignore[call-overload]
    return None
