"""`Chat` in Python: in plain code and inside a running event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

import chatnb
from chatnb.agents.events import TextDelta
from chatnb.chat import Chat
from chatnb.errors import BadInput, ModelError, ModelNotChosen, SessionNotFound, StoreFull, TurnInterrupted
from chatnb.prepare import Prepared
from chatnb.stores.journal import InFlight
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from chatnb.turn import Closed, Hooks, Opening, TurnRun


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATNB_DEMO_DELAY", "0")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "chat.duckdb") as store:
        yield store


@pytest.fixture
def chat(store: Store) -> Chat:
    return Chat("eda", model="demo", store=store)


def model(*texts: str, then: BaseException | None = None, hangs: bool = False) -> FunctionModel:
    """A model that streams these texts, and then raises, or never goes on."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for text in texts:
            yield text
        if hangs:
            await asyncio.Event().wait()
        if then is not None:
            raise then

    return FunctionModel(stream_function=stream, model_name="scripted")


def asked(chat: Chat) -> list[str]:
    return [str(m.content) for m in chat.store.messages(chat.session) if m.role == "user"]


def test_a_turn_is_returned_when_it_is_stored(chat: Chat, store: Store) -> None:
    turn = chat.send("My name is Alice.")
    assert (turn.status, turn.prompt, turn.model, turn.output) == ("ok", "My name is Alice.", "demo", turn.answer)
    assert [message.seq for message in turn.messages] == [1, 2]
    stored = store.turn(turn.id)
    assert (stored.answer, stored.messages) == (turn.answer, turn.messages)
    assert chat.send("What is my name?").answer == "Your name is Alice."


def test_another_chat_of_the_same_name_goes_on_with_it(chat: Chat, store: Store) -> None:
    chat.send("My name is Alice.")
    assert "Alice" in Chat("eda", model="demo", store=store).send("What is my name?").answer
    assert "Alice" in Chat(chat.session.id, model="demo", store=store).send("What is my name?").answer
    assert "Alice" in Chat(chat.session, model="demo", store=store).send("What is my name?").answer
    assert "Alice" not in Chat("other", model="demo", store=store).send("What is my name?").answer


def test_an_answer_streams_piece_by_piece(chat: Chat) -> None:
    pieces = list(chat.stream("My name is Alice."))
    assert len(pieces) > 3
    assert "".join(pieces) == chat.store.newest_turn(chat.session).answer  # type: ignore[union-attr]


def test_a_stream_that_is_left_keeps_what_came(store: Store) -> None:
    chat = Chat("left", model=model("one ", "two ", hangs=True), store=store)
    for piece in chat.stream("Count."):
        if piece == "two ":
            break
    (turn,) = chat.store.history_turns(chat.session)
    assert (turn.status, turn.answer) == ("interrupted", "one two ")
    assert store.recover() == []


def test_a_stream_that_was_never_begun_asks_nothing(chat: Chat) -> None:
    chat.stream("Hello.").close()  # type: ignore[attr-defined]
    with pytest.raises(SessionNotFound):
        assert chat.session


def test_it_works_inside_a_running_event_loop(chat: Chat) -> None:
    async def cell() -> list[str]:
        first = chat.send("My name is Alice.")  # as a notebook's cell calls it
        streamed = "".join(chat.stream("My city is Oslo."))
        name, city = await chat.asend("What is my name?"), await chat.asend("What is my city?")
        return [first.status, streamed, name.answer, city.answer]

    status, streamed, name, city = asyncio.run(cell())
    assert status == "ok" and "Oslo" in streamed
    assert (name, city) == ("Your name is Alice.", "Your city is Oslo.")


def test_a_cancelled_turn_is_stored_and_raises_that_it_was_interrupted(store: Store) -> None:
    async def go() -> None:
        chat = Chat("cancelled", model=model("one ", hangs=True), store=store)
        begun = asyncio.Event()

        async def cell() -> None:
            async for event in chat.aevents("Count."):
                if isinstance(event, TextDelta):
                    begun.set()
                if isinstance(event, Closed):
                    assert (event.turn.status, event.turn.answer) == ("interrupted", "one ")

        task = asyncio.create_task(cell())
        await begun.wait()
        task.cancel()
        await task

    asyncio.run(go())
    assert store.recover() == []


def test_events_that_are_left_early_leave_a_stored_turn(store: Store) -> None:
    async def go() -> None:
        events = Chat("left", model=model("one ", "two ", hangs=True), store=store).aevents("Count.")
        async for event in events:
            if event == TextDelta("two "):
                break
        await events.aclose()

    asyncio.run(go())
    chat = Chat("left", store=store)
    (turn,) = store.history_turns(chat.session)
    assert (turn.status, turn.answer, turn.error) == ("interrupted", "one two ", "The turn was left before its end.")
    assert [message.content for message in store.messages(chat.session)] == ["Count.", "one two "]
    assert store.recover() == []


def test_a_turn_shows_what_was_asked_and_how_it_ended(store: Store) -> None:
    turn = Chat("shown", model="demo", store=store).send("Say " + "much " * 100)
    assert repr(turn).startswith(f"Turn(id='{turn.id}', status='ok', model='demo', prompt='Say much")
    assert len(repr(turn)) < 300 and "branch_id" not in repr(turn)


def test_two_turns_at_once_are_two_whole_turns(store: Store) -> None:
    async def go() -> None:
        await asyncio.gather(*(Chat("both", model="demo", store=store).asend(f"Question {n}.") for n in range(4)))

    Chat("both", model="demo", store=store).send("Hello.")
    asyncio.run(go())
    messages = store.messages(Chat("both", store=store).session)
    assert [message.seq for message in messages] == list(range(1, 11))
    assert all(one.turn_id == other.turn_id for one, other in zip(messages[::2], messages[1::2], strict=True))


def test_a_synchronous_tool_runs_in_the_callers_thread(store: Store) -> None:
    threads: list[threading.Thread] = []

    def count() -> int:
        threads.append(threading.current_thread())
        return 17

    assert "17" in Chat("tools", model="demo", agent=Agent(tools=[count]), store=store).send("Use the tool.").answer
    assert threads == [threading.current_thread()]


def test_a_failing_model_raises_and_keeps_the_prompt(store: Store) -> None:
    chat = Chat("failing", model=model("one ", then=ValueError("no more")), store=store)
    with pytest.raises(ModelError, match="ValueError: no more") as raised:
        chat.send("Count.")
    assert isinstance(raised.value.__cause__, ValueError)
    (turn,) = store.history_turns(chat.session)
    assert (turn.status, turn.answer) == ("error", "one ")
    with pytest.raises(ModelError):
        list(chat.stream("Count."))


def test_the_history_is_what_the_model_would_be_sent(chat: Chat) -> None:
    for number in range(3):
        chat.send(f"Question {number}.")
    assert len(chat.history()) == 6
    short = Chat(chat.session, model="demo", store=chat.store, max_history_messages=2)
    assert len(short.prepare("And?").window.messages) == 2


def test_undo_takes_turns_back_and_the_branch_brings_them_back(chat: Chat) -> None:
    for number in range(3):
        chat.send(f"Question {number}.")
    left = chat.undo(2)
    assert [turn.prompt for turn in left] == ["Question 1.", "Question 2."]
    assert asked(chat) == ["Question 0."]
    chat.send("Another.")
    old, new = chat.branches()
    assert (old.current, new.current) == (False, True)
    chat.switch(old.branch.id)
    assert asked(chat) == ["Question 0.", "Question 1.", "Question 2."]
    chat.switch(new.branch.id)
    assert asked(chat) == ["Question 0.", "Another."]
    with pytest.raises(BadInput, match="has 2 turns; 3 cannot be taken back"):
        chat.undo(3)
    with pytest.raises(BadInput, match="has no branch 'nowhere'"):
        chat.switch("nowhere")


def test_retry_asks_the_newest_question_of_another_model(chat: Chat) -> None:
    chat.send("My name is Alice.")
    chat.send("What is my name?")
    turn = chat.retry(model=model("Alice, I think."))
    assert (turn.prompt, turn.answer, turn.model) == ("What is my name?", "Alice, I think.", "function:scripted")
    assert asked(chat) == ["My name is Alice.", "What is my name?"]
    assert len(chat.branches()) == 2


def test_a_fork_shares_what_came_before_and_goes_its_own_way(chat: Chat) -> None:
    chat.send("My name is Alice.")
    chat.send("My city is Oslo.")
    fork = chat.fork("what-if", at=2)
    assert asked(fork) == ["My name is Alice."]
    assert fork.send("What is my name?").answer == "Your name is Alice."
    assert asked(chat) == ["My name is Alice.", "My city is Oslo."]
    assert chatnb.sessions(store=chat.store).name.tolist() == ["what-if", "eda"]


def test_an_interrupted_turn_goes_on(store: Store) -> None:
    chat = Chat("again", model=model("one ", hangs=True), store=store)
    for _ in chat.stream("Count."):
        break
    assert Chat("again", model="demo", store=store).resume().prompt == "Continue."
    with pytest.raises(BadInput, match="has ended"):
        chat.resume()


def test_a_session_without_turns_has_nothing_to_go_back_to(chat: Chat) -> None:
    for wanted in (chat.undo, chat.retry, chat.resume, chat.branches):
        with pytest.raises(SessionNotFound, match="No session named 'eda'"):
            wanted()


def test_an_object_that_was_asked_for_is_the_output(store: Store) -> None:
    class City(BaseModel):
        city: str

    agent: Agent[None, City] = Agent(output_type=City)
    turn = Chat("object", model="demo", agent=agent, store=store).send("My city is Oslo.")
    assert (turn.output, turn.answer) == (City(city="Oslo"), '{"city": "Oslo"}')
    assert store.turn(turn.id).output == {"city": "Oslo"}


def test_without_a_model_nothing_is_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHATNB_MODEL", raising=False)
    with pytest.raises(ModelNotChosen):
        Chat("unasked", store=store).send("Hello.")
    with pytest.raises(BadInput, match="not an agent"):
        Chat("unasked", model="demo", agent=store, store=store).send("Hello.")
    with pytest.raises(BadInput, match="There is no prompt"):
        Chat("unasked", model="demo", store=store).send("  \n")
    assert chatnb.sessions(store=store).empty


def test_a_notebooks_code_means_the_notebooks_sessions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/work/somewhere/a.ipynb")
    turn = Chat("eda", model="demo", store=store).send("Hello.")
    assert turn.notebook == "/work/somewhere/a.ipynb"
    assert store.find_session("eda", user=turn.user_id, project="/work/somewhere").id == turn.session_id


def test_hooks_see_what_is_sent_and_what_was_stored(store: Store) -> None:
    seen: list[str] = []

    def before(prepared: Prepared) -> Prepared:
        seen.append(str(prepared.request.prompt))
        return prepared

    async def go() -> None:
        hooks = Hooks(before_request=[before], after_turn=[lambda turn: seen.append(turn.status)])
        ask = Chat("hooked", model="demo", store=store)._asked("Hello.")
        events = [event async for event in TurnRun(store, ask, hooks=hooks).events()]
        assert isinstance(events[0], Opening) and isinstance(events[-1], Closed)

    asyncio.run(go())
    assert seen == ["Hello.", "ok"]


def test_a_journal_that_fails_while_the_turn_runs_costs_no_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreFull("no room")

    monkeypatch.setattr(store, "add_messages", full)
    turn = Chat("full", model="demo", agent=Agent(tools=[len_of]), store=store).send("Use the tool.")
    assert turn.status == "ok" and len(store.turn(turn.id).messages) == 4


def len_of() -> int:
    """A tool."""
    return 3


def test_a_turn_that_was_stopped_before_it_was_sent_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    real = store.open_session

    def slowly(*args: object, **options: object) -> object:
        reading.set()
        assert go_on.wait(10)
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "open_session", slowly)

    async def go() -> None:
        task = asyncio.create_task(Chat("early", model="demo", store=store).asend("Hello."))
        await asyncio.to_thread(reading.wait)
        task.cancel()
        with pytest.raises(TurnInterrupted, match="before anything was sent"):
            await task
        go_on.set()

    asyncio.run(go())
    assert chatnb.turns(store=store).empty


def test_a_turn_that_was_stopped_while_it_opened_keeps_its_prompt(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    real = store.open_turn

    def slowly(state: InFlight) -> None:
        opening.set()
        assert go_on.wait(10)
        real(state)

    monkeypatch.setattr(store, "open_turn", slowly)
    chat = Chat("early", model=model(then=AssertionError("a request was sent")), store=store)

    async def go() -> None:
        task = asyncio.create_task(chat.asend("Hello."))
        await asyncio.to_thread(opening.wait)
        task.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
        with pytest.raises(TurnInterrupted):
            await task

    asyncio.run(go())
    assert asked(chat) == ["Hello."]
    assert [turn.status for turn in chat.store.history_turns(chat.session)] == ["interrupted"]
    assert store.recover() == []
