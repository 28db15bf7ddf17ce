"""Sessions and turns for the tests of stores, made the way that `chatnb.turn` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from chatnb.formats.pydantic_ai import to_record
from chatnb.records import File, Message, Session, ToolCall, Turn, new_id
from chatnb.stores.journal import InFlight, owner
from chatnb.stores.store import Store

ANN = "ann"


def session(name: str | None = None, **values: object) -> Session:
    """A session of Ann's that is not stored yet."""
    return Session(**{"id": new_id(), "user_id": ANN, "name": name, **values})  # type: ignore[arg-type]


def pair(prompt: str, answer: str) -> list[ModelMessage]:
    return [ModelRequest(parts=[UserPromptPart(prompt)]), ModelResponse(parts=[TextPart(answer)])]


def records(messages: Sequence[ModelMessage]) -> tuple[tuple[Message, ...], tuple[File, ...]]:
    made = [to_record(message, position=place) for place, message in enumerate(messages)]
    return tuple(record for record, _ in made), tuple(file for _, files in made for file in files)


def opening(chat: Session, prompt: str = "hello?", **values: object) -> InFlight:
    """A turn that begins; nothing is stored yet."""
    turn = Turn(
        session_id=chat.id,
        branch_id=chat.branch_id,
        user_id=chat.user_id,
        collection=chat.collection,
        prompt=prompt,
        host=owner(),
        **values,  # type: ignore[arg-type]
    )
    return InFlight(turn=turn)


def ended(
    state: InFlight, messages: Sequence[Message], files: Sequence[File] = (), calls: Sequence[ToolCall] = ()
) -> InFlight:
    """The same turn when it is over."""
    answer = messages[-1].content if messages else ""
    turn = replace(state.turn, status="ok", answer=answer, output=answer, messages=tuple(messages), calls=tuple(calls))
    return replace(state, turn=turn, files=tuple(files))


def ask(
    store: Store,
    chat: Session,
    prompt: str = "hello?",
    answer: str = "hello.",
    *,
    messages: Sequence[ModelMessage] | None = None,
    calls: Sequence[ToolCall] = (),
    rewind: tuple[int, Sequence[str]] | None = None,
    **values: object,
) -> Turn:
    """One whole turn: opened, each message made safe as it completes, and closed."""
    state = opening(chat, prompt, **values)
    if rewind is not None:
        state = replace(state, rewind_seq=rewind[0], rewind_turns=tuple(rewind[1]))
    made, files = records(messages if messages is not None else pair(prompt, answer))
    store.open_turn(state)
    for message in made:
        own = tuple(file for file in files if file.sha256 in message.payload)
        store.add_messages(replace(state, files=own), (message,))
    return store.close_turn(ended(state, made, files, [replace(call, turn_id=state.turn.id) for call in calls]))


def texts(store: Store, chat: Session) -> list[str]:
    """What the session's current history says, in order."""
    return [message.content for message in store.messages(chat)]


def count(store: Store, table: str) -> int:
    """How many rows a public table has."""
    return int(store.query(f"SELECT count(*) AS n FROM {table}").to_pylist()[0]["n"])
