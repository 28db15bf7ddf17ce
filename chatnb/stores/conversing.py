"""PydanticAI's conversations, written: entries become messages where they belong in the session's tree of branches.

An entry goes to the end of the branch that its parent ends; where the parent is followed by something else already, or
belongs to another session, a branch is opened that goes on from it. A turn is opened at each user message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic_ai.conversation_store import ConversationConflict

from chatnb.records import Branch, File, Message, Session, ToolCall, Turn, Usage, new_id, now
from chatnb.stores import branches, sessions, sql
from chatnb.stores.base import Tx
from chatnb.stores.conversations import (
    Kept,
    Owner,
    Place,
    ending,
    loose,
    of_session,
    own_branches,
    places,
    reach,
)
from chatnb.stores.journal import owner as process
from chatnb.stores.purge import purge
from chatnb.stores.rows import from_row, to_row
from chatnb.stores.schema import BRANCHES, CONVERSATIONS, MESSAGES, SESSIONS, TOOL_CALLS, TURNS
from chatnb.stores.turns import add_files

__all__ = ["Said", "delete", "write"]

_WHERE = "user_id = ? AND collection = ? AND session_id = ?"
_KNOWN = f"SELECT 1 FROM conversations WHERE {_WHERE}"
_TURN_ON_BRANCH = f"SELECT 1 FROM turns WHERE {_WHERE} AND branch_id = ? LIMIT 1"


@dataclass(frozen=True, kw_only=True)
class Said:
    """A new entry: its message as it is stored, and what its turn learns from it.

    `opens` says that it may begin a turn, `ends` that it ends one well. `results` are tool results by the call's id:
    the text, and whether it is a result and not an error.
    """

    parent_id: str | None
    record: Message
    opens: bool
    ends: bool
    files: tuple[File, ...] = ()
    usage: Usage = field(default_factory=Usage)
    calls: tuple[ToolCall, ...] = ()
    results: Mapping[str, tuple[str, bool]] = field(default_factory=dict)


def write(tx: Tx, owner: Owner, kept: Kept, said: Sequence[Said], expected: str | None) -> None:
    """Store what is kept of a conversation, and its new entries.

    Raises
    ------
    ConversationConflict
        When the stored revision is not `expected`, or an entry that this goes on from is not stored.
    """
    key = (owner.user, owner.collection, kept.session_id)
    tx.lock(SESSIONS, key)
    session = sessions.by_id(tx, *key)
    stored = of_session(tx, session) if session is not None and session.is_active else None
    if tx.again and stored is not None and stored.revision == kept.revision:
        return  # an earlier try was committed after all
    if (stored.revision if stored is not None else None) != expected:
        raise ConversationConflict(kept.session_id)
    known = _entries(tx, owner, key, kept, said)
    if session is None:
        made = Session(
            id=kept.session_id,
            user_id=owner.user,
            collection=owner.collection,
            project=owner.project,
            forked_from=kept.forked_from,
        )
        session = sessions.create(tx, made)
    elif not session.is_active:  # it was deleted softly: its branches stay, and none of them is this conversation's
        session = sessions.touch(tx, session, {"is_active": True})
    _Writing(tx, session, known, kept, new=stored is None).run(said)


def delete(tx: Tx, owner: Owner, ref: str, expected: str) -> None:
    """Remove a conversation with every row that no other session's history reaches.

    Raises
    ------
    ConversationConflict
        When the stored revision is not `expected`.
    """
    session = sessions.resolve(tx, ref, user=owner.user, project=owner.project, collection=owner.collection)
    if session is not None:
        tx.lock(SESSIONS, sessions.key(session))
        session = sessions.by_id(tx, *sessions.key(session))
    if session is None and tx.again:
        return  # an earlier try was committed after all
    if session is None or not session.is_active or of_session(tx, session).revision != expected:
        raise ConversationConflict(ref)
    tx.remove(CONVERSATIONS, _WHERE, sessions.key(session))
    purge(tx, session)


def _entries(tx: Tx, owner: Owner, key: tuple[str, str, str], kept: Kept, said: Sequence[Said]) -> dict[str, Place]:
    """Where the entries are that a write names; those of other sessions stay there until it is done."""
    new = {one.record.id for one in said}
    bases = {entry_id for entry_id in (kept.head_id, *(one.parent_id for one in said)) if entry_id} - new
    locked = {key}
    while True:
        known = places(tx, [*bases, *new, *kept.branches])
        owners: dict[str, tuple[str, str, str]] = {}
        for branch_id in {known[entry_id][0] for entry_id in bases if entry_id in known}:
            for line in (from_row(Branch, BRANCHES, row) for row in tx.rows(sql.BRANCH_BY_ID, (branch_id,))):
                owners[branch_id] = (line.user_id, line.collection, line.session_id)
        for entry_id in bases:  # one that goes while this looks has a place and no branch
            if owners.get(known.get(entry_id, ("", 0))[0], ())[:2] != (owner.user, owner.collection):
                raise ConversationConflict(kept.session_id)
        waiting = set(owners.values()) - locked
        if not waiting:
            return known
        for other in sorted(waiting):
            tx.lock(SESSIONS, other)
        locked |= waiting


@dataclass
class _Writing:
    """One write: stands where entries go on, appends them, and ends at the head."""

    tx: Tx
    session: Session
    known: dict[str, Place]
    kept: Kept
    new: bool
    own: dict[str, Branch] = field(default_factory=dict)

    def run(self, said: Sequence[Said]) -> None:
        """Do it."""
        self.own = own_branches(self.tx, self.session)
        values: dict[str, object] = {}
        for run in _runs([one for one in said if one.record.id not in self.known]):
            self._stand(self._place(run[0].parent_id))
            self._append(run)
            values = {"last_message_at": now()}
        self._stand(self._place(self.kept.head_id))
        self._prune()
        current = self.own[self.session.branch_id]
        values = {**values, "branch_id": current.id, "message_count": current.last_seq}
        self.session = sessions.touch(self.tx, self.session, values)
        self._keep()

    def _place(self, entry_id: str | None) -> Place | None:
        return None if entry_id is None else self.known[entry_id]

    def _stand(self, place: Place | None) -> None:
        """Make a branch of the session's own that ends at `place` the current one."""
        if ending(self.own[self.session.branch_id]) == place:
            return
        resumed = {(line.parent_branch_id, line.parent_seq) for line in self.own.values() if line.kind == "resume"}
        for line in reversed(self.own.values()):
            if ending(line) == place and place not in resumed:
                break
        else:
            line = self._open(place)
        branches.relate(self.tx, self.session, branches.segments_to(self.tx, line))
        self.session = replace(self.session, branch_id=line.id)

    def _open(self, place: Place | None) -> Branch:
        """A new branch that goes on from `place`."""
        chain = []
        if place is not None:
            chain = branches.segments_to(self.tx, replace(branches.by_id(self.tx, place[0]), last_seq=place[1]))
        seq = 0 if place is None else place[1]
        line = Branch(
            id=new_id(),
            session_id=self.session.id,
            user_id=self.session.user_id,
            collection=self.session.collection,
            parent_branch_id=None if place is None else place[0],
            parent_seq=seq,
            kind="fork" if self.new and place is not None else "edit",
            last_seq=seq,
            turn_count=len(branches.places_in(self.tx, chain)),
        )
        self.tx.add(BRANCHES, [to_row(BRANCHES, line)])
        self.own[line.id] = line
        return line

    def _append(self, run: Sequence[Said]) -> None:
        """Store entries that follow each other at the end of the current branch."""
        self.session, line = branches.tip_for_append(self.tx, self.session)
        begun = line.turn_count
        messages: list[Message] = []
        for group in _groups(run):
            turn, position = self._turn_to_go_on(line, group[0]) if not messages else (None, 0)
            if turn is None:
                turn = self._opened(line, group[0])
                begun += 1
                self.tx.add(TURNS, [to_row(TURNS, _told(turn, group, self._waits(run, group)))])
            else:
                told = to_row(TURNS, _told(turn, group, self._waits(run, group)))
                self.tx.change(TURNS, (turn.id,), dict(list(zip(TURNS.names, told, strict=True))[1:]))
            self._note_calls(turn.id, group)
            for n, one in enumerate(group, position):
                seq = line.last_seq + len(messages) + 1
                placed = replace(one.record, session_id=self.session.id, branch_id=line.id, seq=seq, turn_id=turn.id)
                messages.append(replace(placed, position=n))
                self.known[one.record.id] = (line.id, seq)
        self.tx.add(MESSAGES, [to_row(MESSAGES, message) for message in messages])
        add_files(self.tx, [file for one in run for file in one.files])
        grown = replace(line, last_seq=line.last_seq + len(messages), turn_count=begun)
        self.tx.change(BRANCHES, (line.id,), {"last_seq": grown.last_seq, "turn_count": grown.turn_count})
        self.own[line.id] = grown

    def _turn_to_go_on(self, line: Branch, first: Said) -> tuple[Turn | None, int]:
        """The turn that an entry goes on with, and its place in it; None when it begins one."""
        if first.opens or line.last_seq == line.parent_seq:
            return None, 0
        rows = self.tx.rows(sql.MESSAGES_OF_SEGMENT, (line.id, line.last_seq, line.last_seq))
        newest = from_row(Message, MESSAGES, rows[0])
        turns = self.tx.rows(sql.TURN_BY_ID, (newest.turn_id,))
        return (from_row(Turn, TURNS, turns[0]), newest.position + 1) if turns else (None, 0)

    def _opened(self, line: Branch, first: Said) -> Turn:
        return Turn(
            session_id=self.session.id,
            branch_id=line.id,
            user_id=self.session.user_id,
            collection=self.session.collection,
            started_at=min(first.record.created_at, now()),
            cost=0.0,
            host=process(),
        )

    def _waits(self, run: Sequence[Said], group: Sequence[Said]) -> bool:
        """Whether the conversation pauses at the end of this group."""
        return self.kept.deferred is not None and group[-1] is run[-1] and run[-1].record.id == self.kept.head_id

    def _note_calls(self, turn_id: str, group: Sequence[Said]) -> None:
        """Store tool calls, and results where their calls are."""
        rows = self.tx.rows(sql.CALLS_OF_TURN, (turn_id,)) if any(one.results or one.calls for one in group) else []
        stored = {call.call_id for call in (from_row(ToolCall, TOOL_CALLS, row) for row in rows)}
        new: dict[str, ToolCall] = {}
        for one in group:
            for call in one.calls:
                if call.call_id not in stored:
                    new[call.call_id] = replace(call, turn_id=turn_id)
            for call_id, (text, good) in one.results.items():
                if call_id in new:
                    told = replace(new[call_id], result=text) if good else replace(new[call_id], error=text)
                    new[call_id] = told
                elif call_id in stored:
                    self.tx.change(TOOL_CALLS, (turn_id, call_id), {"result" if good else "error": text})
        self.tx.add(TOOL_CALLS, [to_row(TOOL_CALLS, call) for call in new.values()])

    def _prune(self) -> None:
        """Remove empty branches that keep nothing that is still told of."""
        tips = {self.known.get(tip) for tip in self.kept.branches}
        for line in list(self.own.values()):
            empty = line.last_seq == line.parent_seq and line.id != self.session.branch_id
            if empty and (line.parent_seq == 0 or ending(line) not in tips):
                key = (*sessions.key(self.session), line.id)
                if not self.tx.rows(_TURN_ON_BRANCH, key):
                    self.tx.remove(BRANCHES, "id = ?", (line.id,))
                    del self.own[line.id]

    def _keep(self) -> None:
        """Write the row of `conversations`."""
        head = ending(self.own[self.session.branch_id])
        reached = reach(self.own, [head, *(self.known.get(tip) for tip in self.kept.branches)])
        row = replace(
            self.kept,
            born_at=self.session.created_at,
            hidden=[(line.id, line.last_seq) for line in loose(self.own, reached)],
            session_revision=self.session.revision,
            written_at=now(),
        )
        values = to_row(CONVERSATIONS, row)
        key = sessions.key(self.session)
        if self.tx.rows(_KNOWN, key):
            self.tx.change(CONVERSATIONS, key, dict(zip(CONVERSATIONS.names, values, strict=True)))
        else:
            self.tx.add(CONVERSATIONS, [values])


def _runs(said: Sequence[Said]) -> list[list[Said]]:
    """New entries in runs that follow each other."""
    runs: list[list[Said]] = []
    for one in said:
        if runs and runs[-1][-1].record.id == one.parent_id:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


def _groups(run: Sequence[Said]) -> list[list[Said]]:
    """Entries by their turns. System prompts that come first belong to the question after them."""
    groups: list[list[Said]] = []
    for one in run:
        if groups and (not one.opens or all(before.record.role == "system" for before in groups[-1])):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _told(turn: Turn, group: Sequence[Said], waits: bool) -> Turn:
    """A turn with what more messages tell of it."""
    records = [one.record for one in group]
    used = [one.usage for one in group]
    answers = [one.record for one in group if one.record.role == "assistant"]
    priced = turn.cost is not None and all(answer.cost is not None for answer in answers)
    last = group[-1]
    return replace(
        turn,
        status="waiting" if waits else "ok" if last.ends else "interrupted",
        prompt=turn.prompt or next((record.content for record in records if record.role == "user"), ""),
        answer=last.record.content if last.ends else "",
        model=next((_model(answer) for answer in reversed(answers) if answer.model), turn.model),
        provider=next((answer.provider for answer in reversed(answers) if answer.provider), turn.provider),
        requests=turn.requests + sum(one.requests for one in used),
        tool_calls=turn.tool_calls + sum(one.tool_calls for one in used),
        input_tokens=turn.input_tokens + sum(one.input_tokens for one in used),
        output_tokens=turn.output_tokens + sum(one.output_tokens for one in used),
        cache_read_tokens=turn.cache_read_tokens + sum(one.cache_read_tokens for one in used),
        cache_write_tokens=turn.cache_write_tokens + sum(one.cache_write_tokens for one in used),
        cost=(turn.cost or 0.0) + sum(answer.cost or 0.0 for answer in answers) if priced else None,
    )


def _model(answer: Message) -> str | None:
    return f"{answer.provider}:{answer.model}" if answer.provider else answer.model
