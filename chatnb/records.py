"""Session, Branch, Message, ToolCall, Turn, Usage: the plain values that every part of chatnb passes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import uuid_utils

__all__ = [
    "Branch",
    "BranchKind",
    "File",
    "Message",
    "Role",
    "Session",
    "ToolCall",
    "Turn",
    "TurnStatus",
    "Usage",
    "new_id",
    "now",
]

Role = Literal["user", "tool", "system", "assistant"]
BranchKind = Literal["start", "fork", "edit", "resume"]
TurnStatus = Literal["running", "waiting", "ok", "interrupted", "error"]


def new_id() -> str:
    """A new id: UUIDv7 as text (RFC 9562), so that ids sort by the time they were made."""
    return str(uuid_utils.uuid7())


def now() -> datetime:
    """The present moment in UTC, to the microsecond."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One conversation and its settings; a row of `sessions`.

    `(user_id, collection, id)` names it. `collection` is '' or the table name that a LangChain history was given.
    """

    id: str
    user_id: str
    project: str = ""
    collection: str = ""
    name: str | None = None
    model: str | None = None
    agent: str | None = None
    system_prompt: str | None = None
    max_history_messages: int | None = None
    max_history_tokens: int | None = None
    branch_id: str = field(default_factory=new_id)
    forked_from: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    is_active: bool = True
    revision: int = 0
    message_count: int = 0
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    last_message_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def label(self) -> str:
        """What people call it: its name, or its id."""
        return self.name or self.id


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A run of messages that goes on from a place in another branch; a row of `branches`.

    `parent_seq` is the last message that it shares with its parent, so its own first `seq` is `parent_seq + 1`.
    `last_seq` is the newest message's place in the whole history, 0 when there is none.
    `turn_count` is how many turns its whole history holds. `window_seq` is where the window of the newest turn began,
    so that the next one can begin there too.
    """

    id: str
    session_id: str
    user_id: str
    collection: str = ""
    parent_branch_id: str | None = None
    parent_seq: int = 0
    kind: BranchKind = "start"
    last_seq: int = 0
    turn_count: int = 0
    window_seq: int = 0
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One PydanticAI `ModelMessage` as it is stored; a row of `messages`.

    `payload` is JSON text as `ModelMessagesTypeAdapter` writes one message; `format` names that writing.
    `seq` is its place in the whole history, counted from 1; `position` its place in its turn, counted from 0.
    """

    id: str = field(default_factory=new_id)
    session_id: str = ""
    branch_id: str = ""
    seq: int = 0
    turn_id: str = ""
    position: int = 0
    role: Role
    content: str
    payload: str
    format: str
    origin: str = "pydantic-ai"
    metadata: Mapping[str, object] = field(default_factory=dict)
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call of a tool in a turn; a row of `tool_calls`. Durations are milliseconds; None while unknown."""

    turn_id: str
    call_id: str
    tool: str
    arguments: Mapping[str, object]
    result: str | None = None
    error: str | None = None
    started_at: datetime = field(default_factory=now)
    duration_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class File:
    """A binary part of a message, stored once per content. `sha256` is lower-case hexadecimal."""

    sha256: str
    media_type: str
    data: bytes

    @property
    def size(self) -> int:
        """The content's length in bytes."""
        return len(self.data)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a turn used, as its agent counted it. `cost` is in `currency`: None is not known, 0.0 is free."""

    requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float | None = None
    currency: str = "USD"


@dataclass(frozen=True, kw_only=True, repr=False)
class Turn:
    """One request to an agent and what came of it; a row of `turns`, with its messages and its tool calls.

    `tool_calls` counts them, `calls` holds them. `cost` is in `currency`; None when the price is not known.
    `first_token_ms` and `duration_ms` are milliseconds from `started_at`. `sent_messages` and `sent_tokens` say how
    much history the model saw. `output` is the answer's text, or the object that was asked for.
    """

    id: str = field(default_factory=new_id)
    session_id: str
    branch_id: str
    user_id: str
    collection: str = ""
    status: TurnStatus = "running"
    prompt: str = ""
    answer: str = ""
    output: object = None
    agent: str | None = None
    model: str | None = None
    provider: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float | None = None
    currency: str = "USD"
    sent_messages: int = 0
    sent_tokens: int = 0
    started_at: datetime = field(default_factory=now)
    first_token_ms: float | None = None
    duration_ms: float | None = None
    error: str | None = None
    notebook: str | None = None
    cell_id: str | None = None
    cell_source: str | None = None
    execution_count: int | None = None
    host: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    calls: tuple[ToolCall, ...] = ()

    def __repr__(self) -> str:
        """What was asked and how it ended, short enough to read as a cell's result."""
        names = ["id", "status", "model", "prompt", "answer", *(["error"] if self.error else [])]
        return f"Turn({', '.join(f'{name}={_short(getattr(self, name))}' for name in names)}, …)"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
