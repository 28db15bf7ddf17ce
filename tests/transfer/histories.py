"""A store with every kind of thing in it, and what can be compared of two stores."""

from __future__ import annotations

from pydantic_ai.messages import (
    BinaryContent,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from chatnb.records import Branch, File, Message, Session, ToolCall, Turn
from chatnb.stores.copying import snapshot
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store
from tests.stores.making import ask, session

PIXEL = BinaryContent(data=b"\x89PNG\r\n\x1a\n" + bytes(range(40)), media_type="image/png")


def filled(store: Store) -> list[Session]:
    """Three sessions: one with a tool, an image and a branch that was left; a fork of it; an empty one."""
    with store.hold():
        return _filled(store)


def _filled(store: Store) -> list[Session]:
    eda = store.create_session(
        session("eda", tags=("work", "ü"), metadata={"a": [1, None]}, model="demo", system_prompt="Be brief.")
    )
    ask(store, eda, "My name is Alice.", "Hello Alice. <b>Hi</b>", cost=0.25, input_tokens=10, model="openai:gpt-5")
    called = [
        ModelRequest(parts=[UserPromptPart(["What is 2 + 3, and this?", PIXEL])]),
        ModelResponse(
            parts=[ThinkingPart("Hm."), TextPart("Let me add."), ToolCallPart("add", {"a": 2}, tool_call_id="c1")]
        ),
        ModelRequest(parts=[ToolReturnPart("add", 5, tool_call_id="c1")]),
        ModelResponse(parts=[TextPart("It is 5.")], model_name="gpt-5"),
    ]
    call = ToolCall(turn_id="", call_id="c1", tool="add", arguments={"a": 2}, result="5", duration_ms=1.5)
    ask(store, eda, "What is 2 + 3, and this?", messages=called, calls=[call], notebook="/x/eda.ipynb", cell_id="c-1")
    left = ask(store, eda, "Third?", "Three.")
    store.rewind(eda, 6)
    ask(store, eda, "Third, said otherwise?", "Drei.", options={"temperature": 0})
    assert left.messages[0].seq == 7
    fork = store.fork_session(eda, name="eda (fork)", at=2)
    ask(store, fork, "And in the fork?", "Here too.")
    empty = store.create_session(session("nothing yet"))
    return [eda, fork, empty]


Compared = tuple[
    Session, tuple[Branch, ...], tuple[Turn, ...], tuple[Message, ...], tuple[ToolCall, ...], tuple[File, ...]
]


def everything(store: Store, chat: Session) -> Compared:
    """All that a store has of a session, to be held against another store's."""
    whole = snapshot(store, chat)
    return (
        whole.session,
        tuple(sorted(whole.branches, key=lambda one: one.id)),
        tuple(sorted(whole.turns, key=lambda one: one.id)),
        tuple(sorted(whole.messages, key=lambda one: one.id)),
        whole.calls,
        tuple(sorted(whole.files, key=lambda one: one.sha256)),
    )


def listed(store: Store, **where: object) -> list[Session]:
    """Every session of a store by its name."""
    return store.list_sessions(SessionFilter(**where), order="name", limit=1000)[0]  # type: ignore[arg-type]


def named(store: Store, name: str) -> Session:
    return next(one for one in listed(store) if one.name == name)


def ways(store: Store, chat: Session) -> list[list[str]]:
    """Every way a session went, as the texts of its whole history; the current one first."""
    found = []
    with store.hold():
        lines = sorted(store.lines(chat), key=lambda line: not line.current)
        for line in lines:
            there = store.switch(chat, line.tip.id)
            found.append([message.content for message in store.messages(there)])
        store.switch(chat, lines[0].tip.id)
    return found
