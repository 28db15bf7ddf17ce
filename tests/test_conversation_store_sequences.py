"""Random sequences of operations: `chatnb.pydantic_ai.ConversationStore` does what PydanticAI's own store does."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RequestUsage, RunUsage

from chatnb import pydantic_ai as door
from chatnb.errors import SessionNotFound
from chatnb.stores import branches
from chatnb.stores.conversations import ending
from chatnb.stores.opening import open_store

T = TypeVar("T")

PAUSE = branches.PAUSE
IDS = ("a", "b", "c", "d")
SCOPES = (None, None, None, None, "ann", "bob")
KINDS = ("question", "answer", "call", "result", "system")


def spoken(kind: str, text: str) -> ModelMessage:
    """One message of a kind; its text makes it differ from all others."""
    if kind == "question":
        return ModelRequest(parts=[UserPromptPart(text)])
    if kind == "system":
        return ModelRequest(parts=[SystemPromptPart(text)])
    if kind == "result":
        return ModelRequest(parts=[ToolReturnPart(tool_name="look", content=text, tool_call_id="call")])
    usage = RequestUsage(input_tokens=3, output_tokens=2)
    if kind == "call":
        return ModelResponse(parts=[ToolCallPart("look", {"for": text}, tool_call_id="call")], usage=usage)
    return ModelResponse(parts=[TextPart(text)], usage=usage)


@dataclass(eq=False)
class Twins:
    """The same conversation in both stores."""

    theirs: Conversation
    ours: Conversation

    def both(self) -> tuple[Conversation, Conversation]:
        return self.theirs, self.ours


class Sequences(RuleBasedStateMachine):
    """Every operation is done on both stores, and gives the same on both."""

    url: Callable[[Path], str] = staticmethod(lambda _: "memory:")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(self.url(Path(self.folder.name)))
        self.theirs: ConversationStore = InMemoryConversationStore()
        self.ours: ConversationStore = door.ConversationStore(self.store, user="ann")
        self.loop = asyncio.new_event_loop()
        self.twins: list[Twins] = []
        self.names: dict[str, str] = {}  # an entry's id in our store -> its id in theirs
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        branches.PAUSE = PAUSE
        try:
            self._look()
        finally:
            self.loop.close()
            self.store.close()
            self.folder.cleanup()

    # -- what is done ------------------------------------------------------------------------------------------------

    @initialize(count=st.integers(2, 5), rested=st.booleans())
    def have_one(self, count: int, rested: bool) -> None:
        branches.PAUSE = timedelta(0) if rested else PAUSE  # after a pause, a session goes on in a resume branch
        self._begin("a", count)

    @rule(conversation_id=st.sampled_from(IDS), count=st.integers(0, 3))
    def begin(self, conversation_id: str, count: int) -> None:
        self._begin(conversation_id, count)

    @rule(data=st.data(), kinds=st.lists(st.sampled_from(KINDS), max_size=4), scope=st.sampled_from(SCOPES))
    def save_extended(self, data: st.DataObject, kinds: list[str], scope: str | None) -> None:
        if self.twins:
            twins = self._one_of_them(data)
            self._say(twins, *kinds)
            self._save(twins, scope)

    @rule(data=st.data(), kinds=st.lists(st.sampled_from(KINDS), max_size=2), known=st.booleans())
    def save_rewritten(self, data: st.DataObject, kinds: list[str], known: bool) -> None:
        if self.twins:
            twins = self._one_of_them(data)
            cut = data.draw(st.integers(0, len(twins.theirs.messages)))
            for one in twins.both():
                one.messages = [*one.messages[:cut]]
                one.new_message_index = one.new_message_index if known else None
            self._say(twins, *kinds)
            self._save(twins, None)

    @rule(data=st.data())
    def serialize(self, data: st.DataObject) -> None:
        if self.twins:
            twins = self._one_of_them(data)
            copies = [
                ConversationTypeAdapter.validate_json(ConversationTypeAdapter.dump_json(one)) for one in twins.both()
            ]
            self._hold(copies[0], copies[1])

    @rule(data=st.data(), waits=st.booleans())
    def use_and_wait(self, data: st.DataObject, waits: bool) -> None:
        if self.twins:
            for one in self._one_of_them(data).both():
                one.usage = one.usage + RunUsage(requests=1, input_tokens=7, details={"seen": 1})
                call = ToolCallPart("pay", {"amount": 5}, tool_call_id="pay")
                asked = DeferredToolRequests(approvals=[call], metadata={"pay": {"why": ["large", None]}})
                one.deferred_tool_requests = asked if waits else None

    @rule(data=st.data(), limit=st.sampled_from([None, None, 0, 1, 2, 5, -1]), scope=st.sampled_from(SCOPES))
    def load(self, data: st.DataObject, limit: int | None, scope: str | None) -> None:
        self._load(self._stored(data), limit, scope)

    @rule(data=st.data(), scope=st.sampled_from(SCOPES), how=st.sampled_from(["at", "entry"]), stale=st.integers(0, 5))
    def branch(self, data: st.DataObject, scope: str | None, how: str, stale: int) -> None:
        if stale:
            self._load(self._stored(data), None, None)
        if self.twins:
            twins = self.twins[-1] if stale else self._one_of_them(data)
            self._branch(twins, self._point(data, twins.theirs.conversation_id, how), how, scope)

    @rule(
        data=st.data(),
        new=st.sampled_from(IDS),
        scope=st.sampled_from(SCOPES),
        source_scope=st.sampled_from(SCOPES),
        how=st.sampled_from(["at", "entry", "all"]),
    )
    def fork(self, data: st.DataObject, new: str, scope: str | None, source_scope: str | None, how: str) -> None:
        source = self._stored(data)
        point = self._point(data, source, how)
        theirs, ours = self._do_apart(
            lambda store, n: store.fork(
                source,
                at=point[n] if how == "at" else None,
                from_entry=point[n] if how == "entry" else None,
                new_conversation_id=new,
                scope=scope,
                source_scope=source_scope,
            )
        )
        if theirs is not None and ours is not None:
            self._hold(theirs, ours)

    @rule(data=st.data(), scope=st.sampled_from(SCOPES), begin_again=st.booleans())
    def delete(self, data: st.DataObject, scope: str | None, begin_again: bool) -> None:
        conversation_id = self._stored(data)
        self._do(lambda store: store.delete(conversation_id, scope=scope))
        if begin_again:
            self._begin(conversation_id, 2)

    @rule(data=st.data())
    def forks_outlive_their_source(self, data: st.DataObject) -> None:
        source = self._stored(data)
        forks = [name for name in IDS if name != source][:2]
        for new in forks:
            at, _ = self._point(data, source, "at")
            theirs, ours = self._do(lambda store, at=at, new=new: store.fork(source, at=at, new_conversation_id=new))
            if theirs is None or ours is None:
                continue
            self._hold(theirs, ours)
            if data.draw(st.booleans()):
                self._branch(self.twins[-1], self._point(data, new, "at"), "at", None)
        self._do(lambda store: store.delete(source))
        for new in forks:
            self._tag(new)

    @rule(scope=st.sampled_from(SCOPES), limit=st.sampled_from([None, 0, 1, 2, -1]))
    def listed(self, scope: str | None, limit: int | None) -> None:
        theirs, ours = self._do(lambda store: store.list_conversations(scope=scope, limit=limit))
        if theirs is not None and ours is not None:
            assert [one.conversation_id for one in ours] == [one.conversation_id for one in theirs]

    @rule(data=st.data())
    def another_interface_tags_the_session(self, data: st.DataObject) -> None:
        self._tag(self._stored(data))

    @rule()
    def both_hold_the_same(self) -> None:
        self._look()

    # -- how it is done ----------------------------------------------------------------------------------------------

    def _begin(self, conversation_id: str, count: int) -> None:
        self._hold(Conversation(conversation_id=conversation_id), Conversation(conversation_id=conversation_id))
        self._say(self.twins[-1], *("question", "answer", "system", "question", "answer")[:count])
        self._save(self.twins[-1], None)

    def _load(self, conversation_id: str, limit: int | None, scope: str | None) -> None:
        theirs, ours = self._do(lambda store: store.load(conversation_id, limit=limit, scope=scope))
        if theirs is not None and ours is not None:
            self._hold(theirs, ours)
            entries, mine = self._do(lambda store: store.load_entries(conversation_id, limit=limit))
            assert self._renamed(mine or []) == entries

    def _branch(self, twins: Twins, point: tuple[Any, Any], how: str, scope: str | None) -> None:
        theirs, ours = self._do_apart(
            lambda store, n: store.branch(
                twins.theirs.conversation_id,
                at=point[n] if how == "at" else None,
                from_entry=point[n] if how == "entry" else None,
                expected_revision=twins.both()[n].revision,
                scope=scope,
            )
        )
        if theirs is not None and ours is not None:
            self._hold(theirs, ours)

    def _tag(self, conversation_id: str) -> None:
        with suppress(SessionNotFound):
            session = self.store.find_session(conversation_id, user="ann")
            self.store.update_session(session, tags=("seen",))

    def _one_of_them(self, data: st.DataObject) -> Twins:
        return self.twins[-1 - data.draw(st.integers(0, min(len(self.twins), 6) - 1))]

    def _hold(self, theirs: Conversation, ours: Conversation) -> None:
        assert ours == replace(theirs, revision=ours.revision)
        assert ours.new_message_index == theirs.new_message_index
        assert (ours.revision is None) == (theirs.revision is None)
        self.twins.append(Twins(theirs, ours))

    def _say(self, twins: Twins, *kinds: str) -> None:
        for kind in kinds:
            message = spoken(kind, f"{kind} {next(self.numbers)}")
            for one in twins.both():
                one.messages.append(deepcopy(message))

    def _save(self, twins: Twins, scope: str | None) -> None:
        before = [one.revision for one in twins.both()]
        theirs, ours = self._do_apart(lambda store, n: store.save(twins.both()[n], scope=scope))
        if theirs is not None and ours is not None:
            assert [entry.message for entry in ours] == [entry.message for entry in theirs]
            self.names.update({mine.id: other.id for mine, other in zip(ours, theirs, strict=True)})
            assert [self._named(entry.parent_id) for entry in ours] == [entry.parent_id for entry in theirs]
        assert [one.revision == old for one, old in zip(twins.both(), before, strict=True)] in ([True] * 2, [False] * 2)

    def _stored(self, data: st.DataObject) -> str:
        """A conversation's id, of a stored one when there is any."""
        stored = [
            record.conversation_id for record in self.loop.run_until_complete(_awaited(self.theirs.read_records()))
        ]
        if not stored:
            self._begin("a", 4)
        return data.draw(st.sampled_from(stored[::-1] or ["a"]))

    def _point(self, data: st.DataObject, conversation_id: str, how: str) -> tuple[Any, Any]:
        """Where to branch or fork: a number of messages, or an entry of the history, of one it left, or of any."""
        if how == "at":
            history = self.loop.run_until_complete(self.theirs.load_entries(conversation_id)) or []
            at = data.draw(st.integers(-1 if not history else 0, len(history) + (not history)))
            return at, at
        known = list(self.names.items())
        record = self.loop.run_until_complete(self.theirs.read_record(conversation_id))
        if record is not None and data.draw(st.integers(0, 5)):
            tips = [record.head_id, *record.branches]
            lines = [self.loop.run_until_complete(self.theirs.read_history(tip)) for tip in tips]
            reached = {entry.id for line in lines for entry in line}
            known = [(mine, other) for mine, other in known if other in reached]
        if how == "entry" and known:
            mine, other = data.draw(st.sampled_from(known))
            return other, mine
        return "nobody's", "nobody's"

    def _do(self, work: Callable[[ConversationStore], Awaitable[T]]) -> tuple[T | None, T | None]:
        return self._do_apart(lambda store, _: work(store))

    def _do_apart(self, work: Callable[[ConversationStore, int], Awaitable[T]]) -> tuple[T | None, T | None]:
        """What an operation gives on both; None where it raised, which it must on both alike."""
        results: list[T | None] = []
        errors: list[type[Exception] | None] = []
        for n, store in enumerate((self.theirs, self.ours)):
            try:
                results.append(self.loop.run_until_complete(_awaited(work(store, n))))
                errors.append(None)
            except (ConversationConflict, UserError) as error:
                results.append(None)
                errors.append(type(error))
        assert errors[0] == errors[1]
        return results[0], results[1]

    def _named(self, entry_id: str | None) -> str | None:
        return None if entry_id is None else self.names[entry_id]

    def _renamed(self, entries: list[ConversationEntry]) -> list[ConversationEntry]:
        """Our entries under their names."""
        return [replace(entry, id=self.names[entry.id], parent_id=self._named(entry.parent_id)) for entry in entries]

    def _look(self) -> None:
        """Compare everything that the two stores hold, and what chatnb itself shows of it."""
        for conversation_id in IDS:
            theirs, ours = self._do(lambda store, name=conversation_id: store.read_record(name))
            assert (theirs is None) == (ours is None)
            if theirs is not None and ours is not None:
                self._compare(theirs, ours)
        entries: dict[str, ConversationEntry] = self.theirs._entries  # type: ignore[attr-defined]
        rows = self.store._backend.run(lambda tx: tx.rows("SELECT id, turn_id FROM messages"), write=False)
        assert {self.names[str(row[0])] for row in rows} == set(entries)
        turns = self.store._backend.run(lambda tx: tx.rows("SELECT id FROM turns"), write=False)
        assert sorted({str(row[1]) for row in rows}) == sorted(str(turn_id) for (turn_id,) in turns)

    def _compare(self, theirs: ConversationRecord, ours: ConversationRecord) -> None:
        assert self._named(ours.head_id) == theirs.head_id
        assert [self._named(tip) for tip in ours.branches] == theirs.branches
        assert self._named(ours.forked_at) == theirs.forked_at
        same = replace(
            theirs,
            head_id=ours.head_id,
            branches=ours.branches,
            forked_at=ours.forked_at,
            revision=ours.revision,
            updated_at=ours.updated_at,
        )
        assert ours == same
        for theirs_tip, ours_tip in zip(
            [theirs.head_id, *theirs.branches], [ours.head_id, *ours.branches], strict=True
        ):
            lines = [
                self.loop.run_until_complete(store.read_history(tip))
                for store, tip in ((self.theirs, theirs_tip), (self.ours, ours_tip))
            ]
            assert self._renamed(lines[1]) == lines[0]
        session = self.store.find_session(ours.conversation_id, user="ann")
        shown = self.store.messages(session)
        head = self.loop.run_until_complete(self.ours.read_history(ours.head_id))
        assert [message.id for message in shown] == [entry.id for entry in head]
        assert [message.seq for message in shown] == list(range(1, len(shown) + 1))
        assert session.message_count == len(shown)
        lines = self.store.lines(session)
        assert sum(line.current for line in lines) == 1
        ends = [self._entries_to(ending(line.tip)) for line in lines]
        left = [self.loop.run_until_complete(self.ours.read_history(tip)) for tip in ours.branches]
        assert {entry.id for line in [head, *left] for entry in line} <= {entry.id for line in ends for entry in line}
        turn_ids = list(dict.fromkeys(message.turn_id for message in shown))
        assert [turn.id for turn in self.store.history_turns(session)] == turn_ids

    def _entries_to(self, place: tuple[str, int] | None) -> list[ConversationEntry]:
        """The history that ends at a place in chatnb's branches."""
        if place is None:
            return []
        statement = "SELECT id FROM messages WHERE branch_id = ? AND seq = ?"
        ((entry_id,),) = self.store._backend.run(lambda tx: tx.rows(statement, place), write=False)
        return self.loop.run_until_complete(self.ours.read_history(str(entry_id)))


async def _awaited(work: Awaitable[T]) -> T:
    return await work


@pytest.mark.parametrize(
    ("kind", "examples", "steps"), [("memory", 80, 30), ("sqlite", 8, 20), ("json", 4, 20), ("duckdb", 2, 12)]
)
def test_any_sequence_of_operations_gives_what_the_store_of_pydantic_ai_gives(
    kind: str, examples: int, steps: int
) -> None:
    class Here(Sequences):
        url = staticmethod(lambda folder: "memory:" if kind == "memory" else f"{kind}:///{folder / 'store'}")

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            report_multiple_bugs=False,
        ),
    )
