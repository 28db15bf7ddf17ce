"""`chatnb.pydantic_ai.ConversationStore` with real agents, beside chatnb's other doors, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationEntry, ConversationRecord
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RunUsage

import chatnb
from chatnb import Chat, Store, open_store
from chatnb.pydantic_ai import ConversationStore
from chatnb.stores import branches
from chatnb.stores.sqlitetx import SqliteTx
from tests.stores import conftest as stores

postgres_server, postgres_url = stores.postgres_server, stores.postgres_url

T = TypeVar("T")

ANN = "ann"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def question(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


def answer(text: str) -> ModelMessage:
    return ModelResponse(parts=[TextPart(text)])


def call(call_id: str = "1") -> ModelMessage:
    return ModelResponse(parts=[ToolCallPart("look", {"for": "tea"}, tool_call_id=call_id)])


def result(call_id: str = "1", *more: Any) -> ModelMessage:
    return ModelRequest(parts=[ToolReturnPart("look", "green", tool_call_id=call_id), *more])


def rows(store: Store, statement: str, *params: object) -> list[tuple[object, ...]]:
    return store._backend.run(lambda tx: tx.rows(statement, params), write=False)


def count(store: Store, table: str) -> int:
    return int(rows(store, f"SELECT count(*) FROM {table}")[0][0])  # type: ignore[call-overload]


def texts(messages: list[ModelMessage]) -> list[str]:
    return [str(getattr(part, "content", part)) for message in messages for part in message.parts]


@pytest.fixture(params=["duckdb", "sqlite", "json", "postgresql", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """One empty place of each kind. Calling it opens it, as another process would; all are closed at the end."""
    with ExitStack() as opened:
        if request.param == "memory":  # is in one opening alone
            only = opened.enter_context(open_store("memory:"))
            yield lambda: only
            return
        server = request.param == "postgresql"
        url = request.getfixturevalue("postgres_url") if server else f"{request.param}:///{tmp_path / 'store'}"
        yield lambda: opened.enter_context(open_store(url))


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("memory:") as opened:
        yield opened


@pytest.fixture
def conversations(store: Store) -> ConversationStore:
    return ConversationStore(store, user=ANN)


async def begun(conversations: ConversationStore, *messages: ModelMessage, name: str = "trip") -> Conversation:
    """A conversation that is stored."""
    conversation = Conversation(conversation_id=name, messages=list(messages))
    await conversations.save(conversation)
    return conversation


# -- agents ------------------------------------------------------------------------------------------------------------


def counting(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse(parts=[TextPart(f"I was sent {len(messages)} messages.")])


def test_an_agent_goes_on_where_another_process_left_the_conversation(place: Callable[[], Store]) -> None:
    async def ask(prompt: str) -> tuple[str, Conversation]:
        conversations = ConversationStore(place(), user=ANN)
        before = await conversations.load("trip", scope="alice") or Conversation(conversation_id="trip")
        done = await Agent(FunctionModel(counting)).run(prompt, conversation=before)
        await conversations.save(done, scope="alice")
        return done.output, done.conversation

    assert run(ask("Where to?"))[0] == "I was sent 1 messages."
    output, ended = run(ask("And then?"))
    assert output == "I was sent 3 messages."
    assert ended.usage.requests == 2
    stored = run(ConversationStore(place(), user=ANN).load("trip"))
    assert stored == ended
    assert run(ConversationStore(place(), user=ANN).load("trip", limit=2)).messages == ended.messages[2:]  # type: ignore[union-attr]


def test_a_run_that_waits_for_approval_is_one_turn_that_goes_on_in_another_process(place: Callable[[], Store]) -> None:
    agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def pay(amount: int) -> str:
        return f"paid {amount}"

    async def begin() -> None:
        conversations = ConversationStore(place(), user=ANN)
        done = await agent.run("Pay, please.", conversation=Conversation(conversation_id="shop"))
        await conversations.save(done)

    async def approve() -> Conversation:
        conversations = ConversationStore(place(), user=ANN)
        conversation = await conversations.load("shop")
        assert conversation is not None and conversation.deferred_tool_requests is not None
        allowed = conversation.deferred_tool_requests.build_results(approve_all=True)
        done = await agent.run(conversation=conversation, deferred_tool_results=allowed)
        await conversations.save(done)
        return done.conversation

    run(begin())
    assert rows(place(), "SELECT status, prompt FROM turns") == [("waiting", "Pay, please.")]
    ended = run(approve())
    assert rows(place(), "SELECT status, requests, tool_calls FROM turns") == [("ok", 2, 1)]
    assert rows(place(), "SELECT tool, result FROM tool_calls") == [("pay", "paid 0")]
    assert rows(place(), "SELECT position FROM messages ORDER BY seq") == [(0,), (1,), (2,), (3,)]
    stored = run(ConversationStore(place(), user=ANN).load("shop"))
    assert stored == ended and stored.deferred_tool_requests is None


# -- the other doors ---------------------------------------------------------------------------------------------------


def test_a_conversation_is_a_session_everywhere_else(place: Callable[[], Store]) -> None:
    store = place()
    conversation = run(
        begun(
            ConversationStore(store, user=ANN),
            ModelRequest(parts=[SystemPromptPart("Be brief.")]),
            question("What tea?"),
            call(),
            result(),
            answer("Green."),
            question("Sure?"),
            answer("Yes."),
        )
    )
    chat = Chat("trip", store=store, user=ANN, model="demo")
    assert chat.history() == conversation.messages
    assert [(turn.prompt, turn.answer, turn.status, turn.requests) for turn in chat.turns()] == [
        ("What tea?", "Green.", "ok", 2),
        ("Sure?", "Yes.", "ok", 1),
    ]
    assert list(chatnb.messages("trip", store=store, user=ANN)["content"])[-2:] == ["Sure?", "Yes."]
    assert list(chatnb.sessions(store=store, user=ANN)["message_count"]) == [7]
    told = store.query("SELECT turn_id, position FROM history WHERE session_id = 'trip' ORDER BY seq").to_pylist()
    assert [row["position"] for row in told] == [0, 1, 2, 3, 4, 0, 1]
    assert store.query("SELECT tool, result FROM tool_calls").to_pylist() == [{"tool": "look", "result": "green"}]
    window = chat.prepare("More?").window
    assert list(window.messages) == conversation.messages[1:]  # every run sends its own system prompt
    assert window.turns == 2


def test_what_a_chat_adds_is_there_when_the_conversation_is_loaded_next(place: Callable[[], Store]) -> None:
    store = place()
    conversations = ConversationStore(store, user=ANN)
    stale = run(begun(conversations, question("My name is Alice."), answer("Hello.")))
    chat = Chat("trip", store=store, user=ANN, model="demo")
    turn = chat.send("What is my name?")
    assert "Alice" in turn.answer
    loaded = run(conversations.load("trip"))
    assert loaded is not None
    assert texts(loaded.messages)[-2:] == ["What is my name?", turn.answer]
    assert loaded.usage.requests == 1 and loaded.usage.output_tokens == turn.output_tokens
    stale.messages.append(question("Lost?"))
    with pytest.raises(ConversationConflict):
        run(conversations.save(stale))
    loaded.messages += [question("And yours?"), answer("Chatnb.")]
    run(conversations.save(loaded))
    assert chat.history() == loaded.messages
    chat.undo()
    gone_back = run(conversations.load("trip"))
    assert gone_back is not None and gone_back.messages == loaded.messages[:4]
    assert gone_back.usage.requests == loaded.usage.requests
    record = run(conversations.read_record("trip"))
    assert record is not None
    (tip,) = record.branches
    again = run(conversations.branch("trip", from_entry=tip, expected_revision=gone_back.revision))
    assert again.messages == loaded.messages == chat.history()
    chat.undo()
    chat.switch(next(line.branch.id for line in chat.branches() if line.tip.last_seq == len(loaded.messages)))
    record = run(conversations.read_record("trip"))
    assert record is not None and record.head_id == tip and tip not in record.branches


def test_a_session_that_only_chats_have_written_is_a_conversation_too(place: Callable[[], Store]) -> None:
    store = place()
    conversations = ConversationStore(store, user=ANN)
    chat = Chat("plans", store=store, user=ANN, model="demo", project="")
    first = chat.send("one")
    chat.send("two")
    chat.retry()
    by_name = run(conversations.load("plans"))
    assert by_name is not None
    assert by_name.conversation_id == chat.session.id
    assert by_name.messages == chat.history()
    assert by_name.usage.requests == 3 and by_name.revision is not None
    assert [record.conversation_id for record in run(conversations.list_conversations())] == [chat.session.id]
    record = run(conversations.read_record(chat.session.id))
    assert record is not None
    (tip,) = record.branches
    assert [entry.message for entry in run(conversations.read_history(tip))][:2] == chat.history()[:2]
    forked = run(conversations.fork(chat.session.id, at=2, new_conversation_id="other"))
    assert texts(forked.messages)[-1] == first.answer
    told = run(conversations.read_record(chat.fork(at=2).session.id))
    assert told is not None
    assert (told.forked_from, told.forked_at) == (chat.session.id, chat.messages()[1].id)
    by_name.messages.append(question("three"))
    run(conversations.save(by_name))
    assert chat.history() == by_name.messages
    assert run(conversations.load("nowhere")) is None


def test_an_answer_that_is_asked_for_anew_is_sent_by_the_next_chat() -> None:
    with open_store("memory:") as store:
        conversations = ConversationStore(store, user=ANN)
        old = run(begun(conversations, question("a?"), answer("a."), question("b?"), answer("b.")))
        new = run(conversations.branch("trip", at=3, expected_revision=old.revision))
        new.messages.append(answer("better b."))
        run(conversations.save(new))
        sent = Chat("trip", store=store, user=ANN, model="demo").prepare("c?").window
        assert texts(list(sent.messages)) == ["a?", "a.", "b?", "better b."]
        assert sent.messages == tuple(new.messages)


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        ([question("a"), answer("b"), question("c"), answer("d")], [2, 2]),
        ([ModelRequest(parts=[SystemPromptPart("s")]), question("a"), answer("b")], [3]),
        ([question("a"), call(), result(), answer("b")], [4]),
        ([question("a"), call(), result("1", UserPromptPart(["the picture"])), answer("b")], [4]),
        ([question("a"), question("b"), answer("c")], [1, 2]),
        ([answer("a"), question("b")], [1, 1]),
    ],
    ids=["questions", "system prompt", "tool", "tool with a file", "unanswered", "answer first"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_turn_is_opened_at_each_user_message(
    store: Store, conversations: ConversationStore, messages: list[ModelMessage], turns: list[int], at_once: bool
) -> None:
    conversation = Conversation(conversation_id="trip")
    for part in [messages] if at_once else [[message] for message in messages]:
        conversation.messages += part
        run(conversations.save(conversation))
    placed = rows(store, "SELECT turn_id, position FROM messages ORDER BY seq")
    found = [len([row for row in placed if row[0] == turn]) for turn in dict.fromkeys(row[0] for row in placed)]
    if not at_once and isinstance(messages[0].parts[0], SystemPromptPart):
        turns = [1, *turns[1:], 2]  # nothing tells that a question will follow
    assert found == turns
    assert [row[1] for row in placed] == [n for length in turns for n in range(length)]
    assert count(store, "turns") == len(turns)


# -- conflicts ---------------------------------------------------------------------------------------------------------


def test_of_two_writers_one_wins_and_the_other_is_told_and_nothing_is_lost(place: Callable[[], Store]) -> None:
    writers = [ConversationStore(place(), user=ANN) for _ in range(3)]
    conflicts = 0

    async def write(number: int) -> None:
        nonlocal conflicts
        for turn in range(2):
            while True:
                conversation = await writers[number].load("trip")
                assert conversation is not None
                conversation.messages += [question(f"{number}: {turn}?"), answer(f"{number}: {turn}.")]
                try:
                    await writers[number].save(conversation)
                    break
                except ConversationConflict:
                    conflicts += 1

    async def all_at_once() -> list[object]:
        await begun(writers[0])
        first = [await writer.load("trip") for writer in writers[:2]]
        for conversation in first:
            assert conversation is not None
            conversation.messages.append(question("first?"))
        results = await asyncio.gather(
            *(writer.save(one) for writer, one in zip(writers, first, strict=False) if one), return_exceptions=True
        )
        await asyncio.gather(*(write(number) for number in range(3)))
        return [type(one) for one in results]

    assert sorted(map(str, run(all_at_once()))) == sorted(map(str, [list, ConversationConflict]))
    stored = run(writers[0].load("trip"))
    assert stored is not None
    said = texts(stored.messages)
    assert said[0] == "first?"
    assert sorted(said[1:]) == sorted(f"{n}: {turn}{end}" for n in range(3) for turn in range(2) for end in "?.")
    assert all(said[n][:-1] == said[n + 1][:-1] for n in range(1, len(said), 2))
    seqs = rows(place(), "SELECT seq FROM messages ORDER BY seq")
    assert [seq for (seq,) in seqs] == list(range(1, 14))


def test_two_who_begin_the_same_conversation_do_not_share_it(place: Callable[[], Store]) -> None:
    writers = [ConversationStore(place(), user=ANN) for _ in range(2)]

    async def both() -> list[object]:
        begin = [begun(writer, question(f"{n}?")) for n, writer in enumerate(writers)]
        return await asyncio.gather(*begin, return_exceptions=True)

    results = run(both())
    assert sorted(type(one).__name__ for one in results) == ["Conversation", "ConversationConflict"]
    assert count(place(), "messages") == count(place(), "sessions") == 1


def test_a_fork_that_is_made_while_its_source_is_deleted_is_whole_or_not_there(place: Callable[[], Store]) -> None:
    writers = [ConversationStore(place(), user=ANN) for _ in range(2)]

    async def at_once(name: str) -> None:
        source = await begun(writers[0], question("a?"), answer("a."), name=name)
        made, _ = await asyncio.gather(
            writers[1].fork(name, new_conversation_id=f"fork of {name}"),
            writers[0].delete(name),
            return_exceptions=True,
        )
        fork = await writers[0].load(f"fork of {name}")
        if isinstance(made, Conversation):
            assert fork is not None and fork.messages == source.messages
        else:
            assert isinstance(made, UserError) and fork is None
        assert await writers[0].load(name) is None

    for name in "abcdef":
        run(at_once(name))


def test_a_conflict_leaves_nothing_behind(store: Store, conversations: ConversationStore) -> None:
    entry = ConversationEntry(parent_id="gone", message=question("a?"))
    record = ConversationRecord(conversation_id="trip", head_id=entry.id)
    with pytest.raises(ConversationConflict):
        run(conversations.write_record(record, new_entries=[entry], expected_revision=None))
    with pytest.raises(ConversationConflict):
        run(conversations.write_record(replace(record, head_id="gone"), expected_revision=None))
    with pytest.raises(ConversationConflict):
        run(conversations.delete_record("trip", expected_revision="none"))
    assert [count(store, table) for table in ("sessions", "branches", "messages", "conversations")] == [0, 0, 0, 0]


def test_a_save_that_is_tried_again_after_its_commit_counts_once(
    store: Store, conversations: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = ConversationEntry(parent_id=None, message=question("a?"))
    record = ConversationRecord(conversation_id="trip", head_id=entry.id)
    run(conversations.write_record(record, new_entries=[entry], expected_revision=None))
    with pytest.raises(ConversationConflict):
        run(conversations.write_record(record, new_entries=[entry], expected_revision=None))
    monkeypatch.setattr(SqliteTx, "again", True)
    run(conversations.write_record(record, new_entries=[entry], expected_revision=None))
    assert count(store, "messages") == count(store, "turns") == 1
    run(conversations.delete_record("trip", expected_revision=record.revision))
    run(conversations.delete_record("trip", expected_revision=record.revision))
    assert count(store, "messages") == 0


# -- what goes and what stays ------------------------------------------------------------------------------------------


def test_deleting_removes_what_no_fork_shares(place: Callable[[], Store]) -> None:
    store = place()
    conversations = ConversationStore(store, user=ANN)
    picture, secret = (BinaryContent(data=data, media_type="application/pdf") for data in (b"picture", b"secret"))
    shown = ModelRequest(parts=[UserPromptPart(["look", picture])])
    hidden = ModelRequest(parts=[UserPromptPart(["this too", secret])])
    seen = answer("A tea pot.")
    run(begun(conversations, shown, seen, hidden, call(), result(), answer("A cup.")))
    fork = run(conversations.fork("trip", at=2, new_conversation_id="pots"))
    run(conversations.delete("trip"))
    assert run(conversations.load("trip")) is None
    assert run(conversations.load("pots")) == fork
    assert fork.messages == [shown, seen]
    assert [count(store, table) for table in ("messages", "turns", "tool_calls", "files")] == [2, 1, 0, 1]
    run(conversations.delete("pots"))
    tables = ("sessions", "branches", "messages", "turns", "files", "lineage", "conversations")
    assert [count(store, table) for table in tables] == [0] * len(tables)
    run(begun(conversations, question("again?")))
    assert run(conversations.list_conversations())[0].branches == []


def test_what_was_kept_of_a_session_that_another_interface_purged_does_not_come_back(
    store: Store, conversations: ConversationStore
) -> None:
    conversation = Conversation(conversation_id="trip", usage=RunUsage(requests=7))
    run(conversations.save(conversation, scope="alice"))
    session = store.find_session("trip", user=ANN)
    store.purge_session(session)
    assert run(conversations.load("trip")) is None
    store.create_session(replace(session, created_at=session.created_at + timedelta(seconds=1)))
    again = run(conversations.read_record("trip"))
    assert again is not None and again.scope is None and again.usage == RunUsage()
    assert run(conversations.list_conversations(scope="alice")) == []
    assert run(conversations.list_conversations())[0].usage == RunUsage()


def test_a_softly_deleted_session_is_not_there_and_its_id_can_begin_again(
    store: Store, conversations: ConversationStore
) -> None:
    run(begun(conversations, question("old?"), answer("old.")))
    chat = Chat("trip", store=store, user=ANN, model="demo")
    store.delete_session(chat.session)
    assert run(conversations.load("trip")) is None
    assert run(conversations.list_conversations()) == []
    run(begun(conversations, question("new?"), answer("new.")))
    chat.send("newer?")
    record = run(conversations.read_record("trip"))
    assert record is not None and record.branches == []
    assert texts(chat.history())[:2] == ["new?", "new."]
    assert count(store, "messages") == 6  # what was deleted softly is still a branch of the session
    assert len(chat.branches()) == 2


def test_others_conversations_are_not_seen(store: Store, conversations: ConversationStore) -> None:
    (entry,) = run(conversations.save(Conversation(conversation_id="trip", messages=[question("mine?")])))
    for other in (ConversationStore(store, user="bob"), ConversationStore(store, user=ANN, collection="work")):
        assert run(other.load("trip")) is None
        assert run(other.list_conversations()) == []
        with pytest.raises(LookupError, match=entry.id):
            run(other.read_entry(entry.id))
        with pytest.raises(UserError):
            run(other.fork("trip"))
        with pytest.raises(ConversationConflict):
            run(other.write_record(ConversationRecord(conversation_id="f", head_id=entry.id), expected_revision=None))
        run(other.delete("trip"))
        run(other.save(Conversation(conversation_id="trip", messages=[question("theirs?")])))
    assert run(conversations.load_entries("trip")) == [entry]


def test_going_back_to_where_a_pause_was_keeps_what_came_after_it(
    store: Store, conversations: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = run(begun(conversations, question("a?"), answer("a.")))
    monkeypatch.setattr(branches, "PAUSE", timedelta(0))
    conversation.messages += [question("b?"), answer("b.")]
    run(conversations.save(conversation))
    back = run(conversations.branch("trip", at=2, expected_revision=conversation.revision))
    back.messages.append(question("c?"))
    run(conversations.save(back))
    session = store.find_session("trip", user=ANN)
    lines = store.lines(session)
    assert [line.tip.last_seq for line in lines] == [4, 3]
    assert [line.current for line in lines] == [False, True]


def test_going_back_and_forth_leaves_no_empty_branches(store: Store, conversations: ConversationStore) -> None:
    conversation = run(begun(conversations, question("a?"), answer("a."), question("b?"), answer("b.")))
    tip = run(conversations.read_record("trip")).head_id  # type: ignore[union-attr]
    for at in (2, 1, 0):
        conversation = run(conversations.branch("trip", at=at, expected_revision=conversation.revision))
    conversation = run(conversations.branch("trip", from_entry=tip, expected_revision=conversation.revision))
    assert len(conversation.messages) == 4
    assert len(store.lines(store.find_session("trip", user=ANN))) == 3  # it stood at 1 and at 2, and says so
    fork = run(conversations.fork("trip", at=3, new_conversation_id="other"))
    run(conversations.branch("other", at=1, expected_revision=fork.revision))
    kinds = [(line.branch.kind, line.tip.last_seq) for line in store.lines(store.find_session("other", user=ANN))]
    assert kinds == [("fork", 3), ("edit", 1)]


def test_a_store_of_the_first_version_takes_conversations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with open_store(url) as store:
        Chat("plans", store=store, user=ANN, model="demo", project="").send("one")
        store._backend.run(lambda tx: tx.rows("DROP TABLE conversations"))
        store._backend.run(lambda tx: tx.rows("DELETE FROM chatnb_schema WHERE step LIKE '1.1%'"))
    with open_store(url) as store:
        conversations = ConversationStore(store, user=ANN)
        loaded = run(conversations.load("plans"))
        assert loaded is not None
        run(conversations.save(loaded))
        assert count(store, "conversations") == 1
