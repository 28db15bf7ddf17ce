"""A whole session into a store: what the store does not have of it is added where it belongs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from chatnb.errors import BadInput
from chatnb.formats.pydantic_ai import file_hashes
from chatnb.records import Branch, Message, Session, Turn
from chatnb.stores import branches, sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.copying import CALLS_OF_TURNS, Whole, parents_first, rows_in
from chatnb.stores.rows import from_row, to_row
from chatnb.stores.schema import BRANCHES, MESSAGES, SESSIONS, TOOL_CALLS, TURNS
from chatnb.stores.store import Store
from chatnb.stores.turns import add_files

__all__ = ["SOURCE_ID", "Added", "merge"]

SOURCE_ID = "source_id"
"""What `turns.metadata` calls the id that a turn had where it was imported from."""

_TURNS_KNOWN = "SELECT id, user_id FROM turns WHERE id IN ({marks})"
_MESSAGES_KNOWN = "SELECT turn_id, id, branch_id, seq FROM messages WHERE turn_id IN ({marks}) ORDER BY seq"
_TURNS_ON_BRANCH = "SELECT DISTINCT turn_id FROM messages WHERE branch_id = ?"
_MESSAGES_ON_BRANCH = "SELECT id FROM messages WHERE branch_id = ?"


@dataclass(frozen=True, kw_only=True)
class Added:
    """What a store did not have before. `new` says whether the session itself was."""

    new: bool = False
    turns: int = 0
    messages: int = 0

    @property
    def anything(self) -> bool:
        """Whether the store has changed."""
        return self.new or self.turns > 0 or self.messages > 0


def merge(store: Store, whole: Whole) -> Added:
    """Store what the store does not have of a session, in one transaction; what it has stays as it is.

    Turns and messages are known by their ids. A session that grew since it was stored gets its new turns where they
    follow the known ones; where the stored session has gone on in another way, they become a branch.

    Raises
    ------
    BadInput
        When it cannot be stored, as when a branch goes on from one that is neither here nor in the store.
    """
    return store.transact(lambda tx: _Merge(tx, whole).run())


@dataclass(frozen=True)
class _Place:
    """A place in the store's histories: the branch (None before its first), the newest `seq`, the turns so far."""

    branch_id: str | None
    seq: int
    turns: int = 0


@dataclass
class _Merge:
    """One merge: walks the branches, parents first, and gathers what is new."""

    tx: Tx
    whole: Whole
    known: set[str] = field(default_factory=set)  # turns that the store has
    stored: dict[str, tuple[str, int]] = field(default_factory=dict)  # where its messages are: branch, seq
    ends: dict[str, tuple[str, int]] = field(default_factory=dict)  # where its turns end: branch, seq
    told: set[str] = field(default_factory=set)  # turns of which the store has the very same messages
    lines: dict[str, Branch | None] = field(default_factory=dict)  # branches as they will be; None: not there
    opened: dict[str, None] = field(default_factory=dict)  # ids of new branches, in order
    grown: set[str] = field(default_factory=set)  # ids of branches that got messages
    places: dict[tuple[str, int], _Place] = field(default_factory=dict)  # the file's branch and seq -> the store's
    last: dict[str, _Place] = field(default_factory=dict)  # where each of the file's branches ends in the store
    messages: list[Message] = field(default_factory=list)  # new ones
    turns: dict[str, str] = field(default_factory=dict)  # new turns and those that grew -> their branch

    def __post_init__(self) -> None:
        """Sort the messages by their branch."""
        self._on_branch: dict[str, list[Message]] = defaultdict(list)
        for message in sorted(self.whole.messages, key=lambda message: message.seq):
            self._on_branch[message.branch_id].append(message)

    def run(self) -> Added:
        """Do it and tell what was new."""
        whole = self.whole
        self.tx.lock(SESSIONS, self._key())
        before = sessions.by_id(self.tx, *self._key())
        self._look()
        self._adopt()
        for branch in parents_first(whole.branches):
            self.last[branch.id] = self._walk(branch)
        for turn in whole.turns:  # those that failed before their first message
            if turn.id not in self.known and turn.id not in self.turns:
                end = self.last.get(turn.branch_id)
                self.turns[turn.id] = (end.branch_id if end else None) or turn.branch_id
        self._write()
        self._settle(before)
        new = sum(turn_id not in self.known for turn_id in self.turns)
        return Added(new=before is None, turns=new, messages=len(self.messages))

    def _key(self) -> tuple[str, str, str]:
        return sessions.key(self.whole.session)

    def _look(self) -> None:
        """Read what the store has of these turns."""
        owners = {turn.id: turn.user_id for turn in self.whole.turns}
        missing = next((m.turn_id for m in self.whole.messages if m.turn_id not in owners), None)
        if missing is not None:
            raise BadInput(f"Its turn {missing!r} is missing, of which there are messages.")
        for turn_id, user_id in rows_in(self.tx, _TURNS_KNOWN, list(owners)):
            if owners[str(turn_id)] != user_id:
                raise BadInput(f"Its turn {turn_id!r} is {user_id!r}'s in this store. Import it as that user.")
            self.known.add(str(turn_id))
        for turn_id, message_id, branch_id, seq in rows_in(self.tx, _MESSAGES_KNOWN, sorted(self.known)):
            place = (str(branch_id), int(seq))  # type: ignore[call-overload]
            self.stored[str(message_id)] = self.ends[str(turn_id)] = place
        self.told = {message.turn_id for message in self.whole.messages if message.id in self.stored}

    def _line(self, branch_id: str) -> Branch | None:
        """A branch as it will be, or None."""
        if branch_id not in self.lines:
            rows = self.tx.rows(sql.BRANCH_BY_ID, (branch_id,))
            self.lines[branch_id] = from_row(Branch, BRANCHES, rows[0]) if rows else None
        return self.lines[branch_id]

    def _adopt(self) -> None:
        """Take back branches of this session that a fork has kept while it was not in this store."""
        owner: dict[str, object] = dict(zip(("user_id", "collection", "session_id"), self._key(), strict=True))
        for branch in self.whole.branches:
            stored = self._line(branch.id)
            if stored is None or _owner(branch) != self._key() or _owner(stored) == self._key():
                continue
            self.tx.change(BRANCHES, (branch.id,), owner)
            self.lines[branch.id] = replace(stored, **owner)  # type: ignore[arg-type]
            for (message_id,) in self.tx.rows(_MESSAGES_ON_BRANCH, (branch.id,)):
                self.tx.change(MESSAGES, (message_id,), {"session_id": owner["session_id"]})
            for (turn_id,) in self.tx.rows(_TURNS_ON_BRANCH, (branch.id,)):
                self.tx.change(TURNS, (turn_id,), owner)

    def _walk(self, branch: Branch) -> _Place:
        """Follow one branch turn by turn: known turns move on, others are added where the last one ended."""
        place = self._begin(branch)
        own = self._on_branch[branch.id]
        if not own:
            line = self._line(branch.id) or self._open(branch, branch.id, place)
            return _Place(line.id, place.seq, place.turns)
        for number, (turn_id, group) in enumerate(groupby(own, key=lambda message: message.turn_id)):
            said = list(group)
            before = replace(place, turns=place.turns + 1)
            there = self._there(said)
            if there:
                place = self._on(said, there, before.turns)
            elif turn_id in self.ends and turn_id not in self.told:
                place = _Place(*self.ends[turn_id], before.turns)  # it was told in other messages
            else:
                place = self._add(branch, said, before, first=number == 0)
            for message in said:  # a fork may go on from the middle of a turn
                seq = place.seq - (said[-1].seq - message.seq)
                self.places[branch.id, message.seq] = replace(place, seq=seq)
        return place

    def _there(self, said: Sequence[Message]) -> int:
        """How many of a turn's messages are in the store, up to the newest that is."""
        return max((n for n, message in enumerate(said, start=1) if message.id in self.stored), default=0)

    def _begin(self, branch: Branch) -> _Place:
        """Where the branch begins in the store."""
        parent, seq = branch.parent_branch_id, branch.parent_seq
        if parent is None or seq == 0:
            return _Place(None, 0)
        found = self.places.get((parent, seq))
        if found is None and (stored := self._line(parent)) is not None and stored.last_seq >= seq > stored.parent_seq:
            found = _Place(parent, seq, stored.turn_count)
        if found is None:
            raise BadInput(
                f"Its branch {branch.id!r} goes on from message {seq} of branch {parent!r}, which is neither in the "
                "file nor in the store. Import the session it was forked from as well."
            )
        return found

    def _on(self, said: Sequence[Message], there: int, turns: int) -> _Place:
        """Past a turn that the store has; what it has gained since is added when nothing follows it there."""
        branch_id, seq = self.stored[said[there - 1].id]
        line = self._line(branch_id)
        if there < len(said) and line is not None and line.last_seq == seq and self._free(line):
            return replace(self._append(line, said[there:]), turns=turns)
        return _Place(branch_id, seq, turns)

    def _add(self, branch: Branch, said: Sequence[Message], place: _Place, *, first: bool) -> _Place:
        """Add a new turn after `place`: on the branch that ends there, else on one that begins there."""
        line = None if first or place.branch_id is None else self._line(place.branch_id)
        if line is None or line.last_seq != place.seq or not self._free(line):
            unused = self._line(branch.id) is None
            begun = branch if first and unused else replace(branch, kind="edit")
            line = self._open(begun, branch.id if unused else f"{said[0].turn_id}~", place)
        return replace(self._append(line, said), turns=place.turns)

    def _free(self, line: Branch) -> bool:
        """Whether messages may be added to a branch.

        Not to another session's, and not where a resume branch goes on: it is found by where its parent ends.
        """
        if line.id in self.opened:
            return True
        children = self.tx.rows(sql.BRANCHES_OF_PARENTS.format(marks="?"), (line.id,))
        kinds = [(child.kind, child.parent_seq) for child in (from_row(Branch, BRANCHES, row) for row in children)]
        return _owner(line) == self._key() and ("resume", line.last_seq) not in kinds

    def _open(self, like: Branch, branch_id: str, place: _Place) -> Branch:
        """A new branch of this session that begins at `place`."""
        user_id, collection, session_id = self._key()
        opened = replace(
            like,
            id=branch_id,
            user_id=user_id,
            collection=collection,
            session_id=session_id,
            parent_branch_id=place.branch_id,
            parent_seq=place.seq,
            last_seq=place.seq,
            turn_count=max(place.turns - 1, 0) if place.branch_id else 0,
            window_seq=like.window_seq if branch_id == like.id else 0,
        )
        self.lines[branch_id] = opened
        self.opened[branch_id] = None
        return opened

    def _append(self, line: Branch, said: Sequence[Message]) -> _Place:
        turn_id = said[0].turn_id
        self.messages += [
            replace(message, session_id=line.session_id, branch_id=line.id, seq=line.last_seq + n)
            for n, message in enumerate(said, start=1)
        ]
        counted = turn_id not in self.known and turn_id not in self.turns
        grown = replace(line, last_seq=line.last_seq + len(said), turn_count=line.turn_count + counted)
        self.turns[turn_id] = line.id
        self.lines[line.id] = grown
        self.grown.add(line.id)
        return _Place(line.id, grown.last_seq)

    def _write(self) -> None:
        """Add what is new and change what grew."""
        tx = self.tx
        for line in (self._line(branch_id) for branch_id in sorted(self.grown - set(self.opened))):
            if line is not None:
                tx.change(BRANCHES, (line.id,), {"last_seq": line.last_seq, "turn_count": line.turn_count})
        tx.add(BRANCHES, [to_row(BRANCHES, line) for line in map(self._line, self.opened) if line is not None])
        tx.add(MESSAGES, [to_row(MESSAGES, message) for message in self.messages])
        rows = []
        for turn in self.whole.turns:
            if turn.id not in self.turns:
                continue
            line = self._line(self.turns[turn.id])
            user_id, collection, session_id = _owner(line) if line else self._key()
            moved = replace(turn, user_id=user_id, collection=collection, session_id=session_id)
            row = to_row(TURNS, replace(moved, branch_id=self.turns[turn.id]))
            if turn.id in self.known:
                tx.change(TURNS, (turn.id,), dict(list(zip(TURNS.names, row, strict=True))[1:]))
            else:
                rows.append(row)
        tx.add(TURNS, rows)
        changed = [turn_id for turn_id in self.turns if turn_id in self.known]
        there = {(str(row[0]), str(row[1])) for row in rows_in(tx, CALLS_OF_TURNS, changed)}
        calls = [c for c in self.whole.calls if c.turn_id in self.turns and (c.turn_id, c.call_id) not in there]
        tx.add(TOOL_CALLS, [to_row(TOOL_CALLS, call) for call in calls])
        wanted = {sha for message in self.messages for sha in file_hashes(message)}
        add_files(tx, [file for file in self.whole.files if file.sha256 in wanted])

    def _settle(self, before: Session | None) -> None:
        """Make the session's row, or move it on; then its lineage."""
        tx, session = self.tx, self.whole.session
        end = self.last.get(session.branch_id)
        tip = self._line(end.branch_id) if end is not None and end.branch_id is not None else None
        if end is None or tip is None:
            raise BadInput(f"Its current branch {session.branch_id!r} is missing.")
        if before is None:
            tx.add(SESSIONS, [to_row(SESSIONS, replace(session, branch_id=tip.id, message_count=tip.last_seq))])
            branches.relate(tx, session, branches.segments_to(tx, tip))
            return
        if not self.turns and not self.opened:
            return
        follow = tip.last_seq == end.seq and self._stands(before)
        current = tip if follow else branches.by_id(tx, before.branch_id)
        newest = max((m for m in (before.last_message_at, session.last_message_at) if m is not None), default=None)
        values = {"branch_id": current.id, "message_count": current.last_seq, "last_message_at": newest}
        sessions.touch(tx, before, values)
        if current.id != before.branch_id:
            branches.relate(tx, before, branches.segments_to(tx, current))

    def _stands(self, before: Session) -> bool:
        """Whether the stored session stands where its source left it: it has not gone on in this store.

        A turn that the source no longer has came from it all the same when it says so.
        """
        sources = (
            {place.branch_id for place in self.last.values()} | self.grown | {line for line, _ in self.ends.values()}
        )
        own = {str(turn_id) for (turn_id,) in self.tx.rows(_TURNS_ON_BRANCH, (before.branch_id,))}
        others = sorted(own - {message.turn_id for message in self.whole.messages})
        rows = (from_row(Turn, TURNS, row) for row in rows_in(self.tx, sql.TURNS_OF_IDS, others))
        return before.branch_id in sources and all(SOURCE_ID in turn.metadata for turn in rows)


def _owner(branch: Branch) -> tuple[str, str, str]:
    return branch.user_id, branch.collection, branch.session_id
