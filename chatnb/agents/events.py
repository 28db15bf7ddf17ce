"""What an agent's run tells while it goes on, whichever framework runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from chatnb.records import Usage

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, UserContent

__all__ = ["Event", "MessageDone", "RunEnded", "RunRequest", "TextDelta", "ThinkingDelta", "ToolEnded", "ToolStarted"]


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """One run of an agent: what it is asked, after which history, under which settings.

    `prompt` is None to go on with a history that ends in an unanswered request. `history` is already windowed.
    `agent` is the notebook's own agent, or None for a bare model. `settings` are PydanticAI model settings.
    """

    prompt: str | Sequence[UserContent] | None
    history: Sequence[ModelMessage] = ()
    model: object = None
    agent: object = None
    deps: object = None
    system_prompt: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    max_requests: int | None = None
    run_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True)
class TextDelta:
    """The answer grew by `text`."""

    text: str


@dataclass(frozen=True)
class ThinkingDelta:
    """The model's thinking grew by `text`."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ToolStarted:
    """The model called a tool; it runs now."""

    call_id: str
    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class ToolEnded:
    """A tool gave its result (`error` holds it when the tool failed or asked for a retry)."""

    call_id: str
    tool: str
    result: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class MessageDone:
    """A message is complete and may be stored."""

    message: ModelMessage


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The run is over. `status` 'waiting' means that the caller must answer tool calls.

    `error` is the one sentence for 'error' and 'interrupted'; `cause` the exception behind it.
    """

    status: Literal["ok", "waiting", "interrupted", "error"]
    output: object = None
    usage: Usage = field(default_factory=Usage)
    error: str | None = None
    cause: BaseException | None = None


Event = TextDelta | ThinkingDelta | ToolStarted | ToolEnded | MessageDone | RunEnded
