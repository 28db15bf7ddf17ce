"""Branches and the histories they make: which rows are a session's history, and how it forks and goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from chatnb.errors import BadInput, StoreError
from chatnb.records import Branch, BranchKind, Message, Session, new_id, now
from chatnb.stores import sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.rows import from_row, to_row
from chatnb.stores.schema import BRANCHES, LINEAGE, MESSAGES, SESSIONS

__all__ = [
    "Line",
    "Segment",
    "by_id",
    "fork",
    "lines",
    "places_in",
    "read",
    "relate",
    "rewind",
    "segments",
    "segments_to",
    "switch",
    "tip_for_append",
    "turn_places",
]

PAUSE = timedelta(hours=1)
"""A session that rested this long goes on in a resume branch, so that its new rows lie together on disk."""

LONGEST = timedelta(days=1)
"""A branch this old is ended the same way, for sessions that never rest."""


@dataclass(frozen=True)
class Segment:
    """A run of one history that lies on one branch: `first` to `last`, both counted in."""

    branch_id: str
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way a session went: a branch with the resume branches that continue it. `tip` is where it ends."""

    branch: Branch
    tip: Branch
    current: bool


def by_id(tx: Tx, branch_id: str) -> Branch:
    """The branch of this id."""
    rows = tx.rows(sql.BRANCH_BY_ID, (branch_id,))
    if not rows:
        raise StoreError(f"The branch {branch_id!r} is missing from the store. Run %chat doctor.")
    return from_row(Branch, BRANCHES, rows[0])


def segments(tx: Tx, session: Session, last_seq: int) -> list[Segment]:
    """The session's current history as segments, oldest first, up to `last_seq`."""
    rows = tx.rows(sql.LINEAGE_OF_SESSION, sessions.key(session))
    names = LINEAGE.names
    found = []
    for row in rows:
        values = dict(zip(names, row, strict=True))
        upto = values["upto_seq"]
        last = last_seq if upto is None else min(int(upto), last_seq)  # type: ignore[call-overload]
        if last >= int(values["first_seq"]):  # type: ignore[call-overload]
            found.append(Segment(str(values["branch_id"]), int(values["first_seq"]), last))  # type: ignore[call-overload]
    return found


def read(tx: Tx, session: Session, branch: Branch, first: int, last: int | None = None) -> list[Message]:
    """Messages `first` to `last` (both counted in; None means the newest) of the session's current history."""
    end = branch.last_seq if last is None else min(last, branch.last_seq)
    if end < first:
        return []
    if first > branch.parent_seq or branch.parent_branch_id is None:
        wanted = [Segment(branch.id, first, end)]
    else:
        wanted = [segment for segment in segments(tx, session, end) if segment.last >= first]
    found: list[Message] = []
    for segment in wanted:
        rows = tx.rows(sql.MESSAGES_OF_SEGMENT, (segment.branch_id, max(segment.first, first), segment.last))
        found.extend(from_row(Message, MESSAGES, row) for row in rows)
    return found


def turn_places(tx: Tx, session: Session, branch: Branch, first: int = 1) -> dict[str, tuple[int, int]]:
    """The turns from `first` on in the session's current history, in order, with their first and last `seq`."""
    return places_in(tx, segments(tx, session, branch.last_seq), first)


def places_in(tx: Tx, chain: Sequence[Segment], first: int = 1) -> dict[str, tuple[int, int]]:
    """As `turn_places`, of the history that these segments make."""
    places: dict[str, tuple[int, int]] = {}
    for segment in chain:
        if segment.last >= first:
            start = max(segment.first, first)
            for turn_id, low, high in tx.rows(sql.TURNS_OF_SEGMENT, (segment.branch_id, start, segment.last)):
                begin = places.get(str(turn_id), (low, high))[0]
                places[str(turn_id)] = (int(begin), int(high))  # type: ignore[call-overload]
    return places


def tip_for_append(tx: Tx, session: Session) -> tuple[Session, Branch]:
    """The branch that new messages go to: the current one, or a new resume branch after a pause."""
    tip = by_id(tx, session.branch_id)
    if tip.last_seq > tip.parent_seq and _rested(session, tip, now()):
        return _open(tx, session, tip, tip.last_seq, "resume")
    return session, tip


def _rested(session: Session, tip: Branch, moment: datetime) -> bool:
    last = session.last_message_at
    return (last is not None and moment - last > PAUSE) or moment - tip.created_at > LONGEST


def rewind(tx: Tx, session: Session, seq: int) -> tuple[Session, Branch]:
    """Go back to where `seq` was the newest message: open an edit branch there. What comes after it stays.

    Raises
    ------
    BadInput
        When the history has no such place.
    """
    tip = by_id(tx, session.branch_id)
    if not 0 <= seq <= tip.last_seq:
        raise BadInput(f"{session.label!r} has messages 0 to {tip.last_seq}; there is no {seq} to go back to.")
    return _open(tx, session, tip, seq, "edit")


def _open(tx: Tx, session: Session, tip: Branch, seq: int, kind: BranchKind) -> tuple[Session, Branch]:
    """Open a branch of the same session at `seq` of its current history and make it the current one."""
    kept = segments(tx, session, seq)
    branch = Branch(
        id=new_id(),
        session_id=session.id,
        user_id=session.user_id,
        collection=session.collection,
        parent_branch_id=kept[-1].branch_id if kept else None,
        parent_seq=seq,
        kind=kind,
        last_seq=seq,
        turn_count=_turn_count(tx, tip, kept),
        window_seq=tip.window_seq if tip.window_seq <= seq else 0,
    )
    tx.add(BRANCHES, [to_row(BRANCHES, branch)])
    relate(tx, session, [*kept, Segment(branch.id, seq + 1, seq + 1)])
    changed = sessions.touch(tx, session, {"branch_id": branch.id, "message_count": seq})
    return changed, branch


def _turn_count(tx: Tx, tip: Branch, kept: Sequence[Segment]) -> int:
    """How many turns these segments of the history that ends on `tip` hold."""
    if kept and kept[-1].last == tip.last_seq:
        return tip.turn_count
    return len(places_in(tx, kept))


def relate(tx: Tx, session: Session, chain: Sequence[Segment]) -> None:
    """Write the session's lineage anew; the last segment is the current branch and stays open."""
    tx.remove(LINEAGE, "user_id = ? AND collection = ? AND session_id = ?", sessions.key(session))
    tx.add(
        LINEAGE,
        [
            (session.id, session.user_id, session.collection, s.branch_id, s.first, None if s is chain[-1] else s.last)
            for s in chain
        ],
    )


def fork(tx: Tx, source: Session, new: Session, at: int | None = None) -> Session:
    """Store `new` as a session that shares the first `at` messages of `source` (all of them when None)."""
    tip = by_id(tx, source.branch_id)
    seq = tip.last_seq if at is None else at
    if not 0 <= seq <= tip.last_seq:
        raise BadInput(f"{source.label!r} has messages 0 to {tip.last_seq}; there is no {seq} to fork at.")
    kept = segments(tx, source, seq)
    forked = replace(new, forked_from=source.id, message_count=seq)
    branch = Branch(
        id=forked.branch_id,
        session_id=forked.id,
        user_id=forked.user_id,
        collection=forked.collection,
        parent_branch_id=kept[-1].branch_id if kept else None,
        parent_seq=seq,
        kind="fork",
        last_seq=seq,
        turn_count=_turn_count(tx, tip, kept),
        window_seq=tip.window_seq if tip.window_seq <= seq else 0,
    )
    sessions.check_names(forked)
    existing = sessions.by_id(tx, forked.user_id, forked.collection, forked.id)
    if existing is not None and tx.again and existing.branch_id == forked.branch_id:
        return existing  # an earlier try was committed after all
    if existing is not None:
        raise BadInput(f"A session with the id {forked.id!r} exists already. Choose another id.")
    tx.add(SESSIONS, [to_row(SESSIONS, forked)])
    tx.add(BRANCHES, [to_row(BRANCHES, branch)])
    relate(tx, forked, [*kept, Segment(branch.id, seq + 1, seq + 1)])
    return forked


def lines(tx: Tx, session: Session) -> list[Line]:
    """Every way the session went, oldest first; resume branches count with the branch they continue."""
    rows = tx.rows(sql.BRANCHES_OF_SESSION, sessions.key(session))
    branches = [from_row(Branch, BRANCHES, row) for row in rows]
    resumed = {(branch.parent_branch_id, branch.parent_seq): branch for branch in branches if branch.kind == "resume"}
    found = []
    for branch in branches:
        if branch.kind == "resume":
            continue
        tip = branch
        while (following := resumed.get((tip.id, tip.last_seq))) is not None:
            tip = following
        found.append(Line(branch=branch, tip=tip, current=tip.id == session.branch_id))
    return found


def switch(tx: Tx, session: Session, branch_id: str) -> Session:
    """Make the line that holds this branch the session's current one.

    Raises
    ------
    BadInput
        When the session has no such branch.
    """
    known = lines(tx, session)
    matches = [line for line in known if branch_id in (line.branch.id, line.tip.id)]
    if not matches:
        ids = ", ".join(line.branch.id for line in known)
        raise BadInput(f"{session.label!r} has no branch {branch_id!r}. It has: {ids}.")
    tip = matches[0].tip
    relate(tx, session, segments_to(tx, tip))
    return sessions.touch(tx, session, {"branch_id": tip.id, "message_count": tip.last_seq})


def segments_to(tx: Tx, tip: Branch) -> list[Segment]:
    """The history that ends on `tip` as segments, by walking up its parents."""
    chain = [Segment(tip.id, tip.parent_seq + 1, max(tip.last_seq, tip.parent_seq + 1))]
    branch = tip
    while branch.parent_branch_id is not None and branch.parent_seq > 0:
        last = branch.parent_seq
        branch = by_id(tx, branch.parent_branch_id)
        chain.append(Segment(branch.id, branch.parent_seq + 1, last))
    return chain[::-1]
