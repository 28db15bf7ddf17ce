"""A whole session out of a store, and into one: its branches, turns, messages, tool calls and files as they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from chatnb.errors import BadInput
from chatnb.formats.pydantic_ai import file_hashes
from chatnb.records import Branch, File, Message, Session, ToolCall, Turn
from chatnb.stores import branches, sessions, sql
from chatnb.stores.base import Row, Tx
from chatnb.stores.rows import column_list, from_row, to_row
from chatnb.stores.schema import BRANCHES, FILES, MESSAGES, SESSIONS, TOOL_CALLS, TURNS
from chatnb.stores.store import Store
from chatnb.stores.turns import add_files

__all__ = ["Added", "Whole", "merge", "snapshot"]

_TURNS = (
    f"SELECT {column_list(TURNS)} FROM turns WHERE user_id = ? AND collection = ? AND session_id = ?"
    " AND status <> 'running' ORDER BY started_at, id"
)
_CALLS = f"SELECT {column_list(TOOL_CALLS)} FROM tool_calls WHERE turn_id IN ({{marks}}) ORDER BY turn_id, started_at"
_KNOWN = "SELECT id, user_id, status FROM turns WHERE id IN ({marks})"
_PLACES = (
    "SELECT turn_id, branch_id, max(seq), count(*) FROM messages WHERE turn_id IN ({marks})"
    " GROUP BY turn_id, branch_id ORDER BY max(seq)"
)
_TURNS_ON_BRANCH = "SELECT DISTINCT turn_id FROM messages WHERE branch_id = ?"
_MESSAGES_ON_BRANCH = "SELECT id FROM messages WHERE branch_id = ?"

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
        turns += [from_row(Turn, TURNS, row) for row in _rows_in(tx, sql.TURNS_OF_IDS, list(others))]
        hashes = dict.fromkeys(sha for message in messages for sha in file_hashes(message))
        names = FILES.names
        stored = (dict(zip(names, row, strict=True)) for row in _rows_in(tx, sql.FILES_OF_HASHES, list(hashes)))
        return Whole(
            session=fresh,
            branches=tuple(replace(line, last_seq=ends[line.id]) for line in lines),
            turns=tuple(turns),
            messages=tuple(messages),
            calls=tuple(from_row(ToolCall, TOOL_CALLS, row) for row in _rows_in(tx, _CALLS, [t.id for t in turns])),
            files=tuple(
                File(sha256=str(row["sha256"]), media_type=str(row["media_type"]), data=bytes(row["data"]))  # type: ignore[call-overload]
                for row in stored
            ),
        )

    return store.run(work, write=False)


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
    ordered: dict[str, Branch] = {}
    for branch in found.values():
        chain: list[Branch] = []
        above: Branch | None = branch
        while above is not None and above.id not in ordered:
            chain.append(above)
            above = found[above.parent_branch_id] if above.parent_branch_id else None
        ordered.update((one.id, one) for one in reversed(chain))
    return list(ordered.values()), ends


def merge(store: Store, whole: Whole) -> Added:
    """Store what the store does not have of a session, in one transaction; what it has stays as it is.

    Turns are known by their ids. A session that grew since it was stored gets its new turns where they follow the
    known ones; where the stored session has gone on in another way, they become a branch.

    Raises
    ------
    BadInput
        When it cannot be stored, as when a branch goes on from one that is neither here nor in the store.
    """
    return store.run(lambda tx: _Merge(tx, whole).run())


def _rows_in(tx: Tx, statement: str, values: Sequence[str]) -> list[Row]:
    """The rows of a statement with an IN list, however long the list is."""
    found: list[Row] = []
    for start in range(0, len(values), _BATCH):
        batch = tuple(values[start : start + _BATCH])
        found += tx.rows(statement.format(marks=sql.marks(len(batch))), batch)
    return found


@dataclass
class _Place:
    """A place in the store's histories: the branch, the newest `seq` before it, and how many turns come before."""

    branch_id: str | None
    seq: int
    turns: int = 0


@dataclass
class _Merge:
    """One merge: walks the branches, parents first, and gathers what is new."""

    tx: Tx
    whole: Whole
    known: dict[str, str] = field(default_factory=dict)
    """Turns that the store has, with their status."""
    ends: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Where a known turn ends in the store (branch, seq) and how many messages it has there."""
    lines: dict[str, Branch | None] = field(default_factory=dict)
    """The branches as they will be; None where the store has none of this id."""
    places: dict[tuple[str, int], _Place] = field(default_factory=dict)
    """Where each turn's end on each of the whole's branches lies in the store."""
    last: dict[str, _Place] = field(default_factory=dict)
    """Where each of the whole's branches ends in the store."""
    new_lines: list[str] = field(default_factory=list)
    grown: set[str] = field(default_factory=set)
    messages: list[Message] = field(default_factory=list)
    turns: dict[str, str] = field(default_factory=dict)
    """New turns and turns that grew, with the branch they end on."""

    def run(self) -> Added:
        """Do it and tell what was new."""
        whole, tx = self.whole, self.tx
        key = sessions.key(whole.session)
        tx.lock(SESSIONS, key)
        before = sessions.by_id(tx, *key)
        self._look()
        self._adopt()
        for branch in whole.branches:
            self._walk(branch)
        silent = [turn for turn in whole.turns if turn.id not in self.known and turn.id not in self.turns]
        for turn in silent:  # turns that failed before their first message
            place = self.last.get(turn.branch_id)
            self.turns[turn.id] = (place.branch_id if place else None) or turn.branch_id
        self._write()
        self._settle(before)
        return Added(
            new=before is None, turns=sum(one not in self.known for one in self.turns), messages=len(self.messages)
        )

    def _look(self) -> None:
        """Read what the store has of these turns."""
        ids = list(dict.fromkeys([*(t.id for t in self.whole.turns), *(m.turn_id for m in self.whole.messages)]))
        owners = {turn.id: turn.user_id for turn in self.whole.turns}
        for turn_id, user_id, status in _rows_in(self.tx, _KNOWN, ids):
            if owners.get(str(turn_id), user_id) != user_id:
                raise BadInput(f"The turn {turn_id!r} belongs to {user_id!r} in this store. Import it as that user.")
            self.known[str(turn_id)] = str(status)
        for turn_id, branch_id, seq, count in _rows_in(self.tx, _PLACES, list(self.known)):
            self.ends[str(turn_id)] = (str(branch_id), int(seq), int(count))  # type: ignore[call-overload]

    def _line(self, branch_id: str) -> Branch | None:
        """A branch as it will be, or None."""
        if branch_id not in self.lines:
            rows = self.tx.rows(sql.BRANCH_BY_ID, (branch_id,))
            self.lines[branch_id] = from_row(Branch, BRANCHES, rows[0]) if rows else None
        return self.lines[branch_id]

    def _adopt(self) -> None:
        """Take branches of this session back that a fork has kept while it was not in this store."""
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

    def _key(self) -> tuple[str, str, str]:
        return sessions.key(self.whole.session)

    def _walk(self, branch: Branch) -> None:
        """Follow one branch turn by turn: known turns move on, unknown ones are added where the last one ended."""
        place = self._begin(branch)
        own = [message for message in self.whole.messages if message.branch_id == branch.id]
        runs = [(turn_id, list(group)) for turn_id, group in groupby(own, key=lambda message: message.turn_id)]
        if not runs and self._line(branch.id) is None:
            self._open(branch, branch.id, place)
            place = _Place(branch.id, place.seq, place.turns)
        for turn_id, said in runs:
            first = self.places.get((branch.id, said[0].seq - 1), place)
            turns = first.turns + 1
            if turn_id in self.known:
                place = self._known(turn_id, said, turns)
            else:
                place = self._add(branch, turn_id, said, replace(first, turns=turns))
            self.places[branch.id, said[-1].seq] = place
            for message in said[:-1]:  # a fork may go on from the middle of a turn
                offset = said[-1].seq - message.seq
                self.places[branch.id, message.seq] = _Place(place.branch_id, place.seq - offset, turns)
        self.last[branch.id] = place

    def _begin(self, branch: Branch) -> _Place:
        """Where the branch begins in the store."""
        parent, seq = branch.parent_branch_id, branch.parent_seq
        if parent is None or seq == 0:
            return _Place(None, 0)
        by_id = {one.id: one for one in self.whole.branches}
        while parent in by_id and seq <= by_id[parent].parent_seq:  # the parent shares this place with its own
            above = by_id[parent]
            if above.parent_branch_id is None:
                break
            parent = above.parent_branch_id
        found = self.places.get((parent, seq))
        if found is None and (stored := self._line(parent)) is not None and stored.last_seq >= seq:
            found = _Place(parent, seq, stored.turn_count)
        if found is None:
            raise BadInput(
                f"Its branch {branch.id!r} goes on from message {seq} of branch {parent!r}, which is neither in the "
                "file nor in the store. Import the session it was forked from too."
            )
        return found

    def _known(self, turn_id: str, said: Sequence[Message], turns: int) -> _Place:
        """A turn that the store has; what it has gained since is added when nothing follows it there."""
        if turn_id not in self.ends:
            return _Place(said[0].branch_id, said[0].seq - 1, turns)
        branch_id, seq, count = self.ends[turn_id]
        line = self._line(branch_id)
        if line is not None and len(said) > count and line.last_seq == seq and not self._continued(line):
            added = self._append(line, said[count:], said[0].turn_id)
            self.ends[turn_id] = (branch_id, added.seq, len(said))
            return replace(added, turns=turns)
        return _Place(branch_id, seq, turns)

    def _add(self, branch: Branch, turn_id: str, said: Sequence[Message], place: _Place) -> _Place:
        """Add a new turn after `place`: on the branch that ends there, else on one that begins there."""
        line = self._line(place.branch_id) if place.branch_id else None
        going_on = line is not None and line.last_seq == place.seq and (line.id in self.new_lines or self._free(line))
        if branch.id != place.branch_id and self._line(branch.id) is None:
            line = self._open(branch, branch.id, place)
        elif not going_on or line is None:
            line = self._open(replace(branch, kind="edit"), f"{turn_id}~", place)
        return replace(self._append(line, said, turn_id), turns=place.turns)

    def _free(self, line: Branch) -> bool:
        """Whether a turn may be added to a branch that the store has: it is of this session and ends there."""
        return _owner(line) == self._key() and not self._continued(line)

    def _continued(self, line: Branch) -> bool:
        """Whether a resume branch goes on where this branch ends: it would no longer be found if the branch grew."""
        if line.id in self.new_lines:
            return False
        rows = self.tx.rows(sql.BRANCHES_OF_PARENTS.format(marks="?"), (line.id,))
        children = [from_row(Branch, BRANCHES, row) for row in rows]
        return any(child.kind == "resume" and child.parent_seq == line.last_seq for child in children)

    def _open(self, like: Branch, branch_id: str, place: _Place) -> Branch:
        """A new branch that begins at `place`; one of another session that is not here becomes this session's."""
        user_id, collection, session_id = self._key()
        if _owner(like) != self._key() and sessions.by_id(self.tx, *_owner(like)) is not None:
            user_id, collection, session_id = _owner(like)
        opened = replace(
            like,
            id=branch_id,
            user_id=user_id,
            collection=collection,
            session_id=session_id,
            parent_branch_id=place.branch_id,
            parent_seq=place.seq,
            last_seq=place.seq,
            turn_count=place.turns,
            window_seq=like.window_seq if branch_id == like.id else 0,
        )
        self.lines[branch_id] = opened
        self.new_lines.append(branch_id)
        return opened

    def _append(self, line: Branch, said: Sequence[Message], turn_id: str) -> _Place:
        placed = [
            replace(message, session_id=line.session_id, branch_id=line.id, seq=line.last_seq + n)
            for n, message in enumerate(said, start=1)
        ]
        self.messages += placed
        self.turns[turn_id] = line.id
        added = turn_id not in self.known
        grown = replace(line, last_seq=line.last_seq + len(placed), turn_count=line.turn_count + added)
        self.lines[line.id] = grown
        self.grown.add(line.id)
        return _Place(line.id, grown.last_seq)

    def _write(self) -> None:
        """Add what is new and change what grew."""
        tx, turns = self.tx, {turn.id: turn for turn in self.whole.turns}
        for branch_id in self.grown - set(self.new_lines):
            line = self._line(branch_id)
            assert line is not None
            tx.change(BRANCHES, (branch_id,), {"last_seq": line.last_seq, "turn_count": line.turn_count})
        opened = [line for branch_id in self.new_lines if (line := self._line(branch_id)) is not None]
        tx.add(BRANCHES, [to_row(BRANCHES, line) for line in opened])
        tx.add(MESSAGES, [to_row(MESSAGES, message) for message in self.messages])
        rows = []
        for turn_id, branch_id in self.turns.items():
            if turn_id not in turns:
                raise BadInput(f"Its turn {turn_id!r} is missing.")
            line = self._line(branch_id)
            user_id, collection, session_id = _owner(line) if line else self._key()
            turn = replace(
                turns[turn_id], branch_id=branch_id, user_id=user_id, collection=collection, session_id=session_id
            )
            if turn_id in self.known:
                values = dict(zip(TURNS.names, to_row(TURNS, turn), strict=True))
                tx.change(TURNS, (turn_id,), {name: value for name, value in values.items() if name != "id"})
            else:
                rows.append(to_row(TURNS, turn))
        tx.add(TURNS, rows)
        changed = [turn_id for turn_id in self.turns if turn_id in self.known]
        there = {(str(row[0]), str(row[1])) for row in _rows_in(tx, _CALLS, changed)}
        calls = [call for call in self.whole.calls if call.turn_id in self.turns]
        tx.add(TOOL_CALLS, [to_row(TOOL_CALLS, c) for c in calls if (c.turn_id, c.call_id) not in there])
        wanted = {sha for message in self.messages for sha in file_hashes(message)}
        add_files(tx, [file for file in self.whole.files if file.sha256 in wanted])

    def _settle(self, before: Session | None) -> None:
        """Make the session's row, or move it on; then its lineage."""
        tx, session = self.tx, self.whole.session
        end = self.last.get(session.branch_id)
        if end is None or end.branch_id is None or (tip := self._line(end.branch_id)) is None:
            raise BadInput(f"Its current branch {session.branch_id!r} is missing.")
        if before is None:
            tx.add(
                SESSIONS, [to_row(SESSIONS, replace(session, branch_id=tip.id, message_count=tip.last_seq))]
            )
            branches._relate(tx, session, branches._chain(tx, tip))
            return
        follow = tip.last_seq == end.seq and self._still(before)
        current = tip if follow else self._line(before.branch_id)
        assert current is not None
        if current.id == before.branch_id and current.last_seq == before.message_count and not self.turns:
            return
        newest = max((m for m in (before.last_message_at, session.last_message_at) if m is not None), default=None)
        values = {"branch_id": current.id, "message_count": current.last_seq, "last_message_at": newest}
        sessions.touch(tx, before, values)
        if current.id != before.branch_id:
            branches._relate(tx, before, branches._chain(tx, current))

    def _still(self, before: Session) -> bool:
        """Whether the stored session stands where the source left it: it has not gone on in this store."""
        mapped = {place.branch_id for place in self.last.values()} | set(self.grown)
        own = {str(turn_id) for (turn_id,) in self.tx.rows(_TURNS_ON_BRANCH, (before.branch_id,))}
        return before.branch_id in mapped and own <= {message.turn_id for message in self.whole.messages}


def _owner(branch: Branch) -> tuple[str, str, str]:
    return branch.user_id, branch.collection, branch.session_id


def parents_first(wholes: Iterable[Session]) -> list[Session]:
    """Sessions so that one comes after the one it was forked from."""
    listed = sorted(wholes, key=lambda session: session.created_at)
    by_key = {sessions.key(session): session for session in listed}
    done: dict[tuple[str, str, str], Session] = {}
    for session in listed:
        chain: list[Session] = []
        above: Session | None = session
        while above is not None and sessions.key(above) not in done and above not in chain:
            chain.append(above)
            above = by_key.get((above.user_id, above.collection, above.forked_from or ""))
        done.update((sessions.key(one), one) for one in reversed(chain))
    return list(done.values())
