"""What a run would send, without sending it: the agent runs against a model that only looks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace

from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from chatnb.agents.events import RunEnded, RunRequest
from chatnb.agents.pydantic_ai import AgentRun
from chatnb.errors import AgentError

__all__ = ["Captured", "capture"]


@dataclass
class Captured:
    """The first request of a run: its messages, the instructions that go first, the tools and the settings."""

    messages: list[ModelMessage] = field(default_factory=list)
    instructions: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    settings: Mapping[str, object] = field(default_factory=dict)


class _Looked(Exception):
    """Ends the run once the request was seen."""


async def capture(request: RunRequest) -> Captured:
    """The first request that a run would send. The agent's own functions for prompts are called; no model is.

    Raises
    ------
    AgentError
        When the agent fails before its first request.
    """
    seen = Captured()

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        parts = info.model_request_parameters.instruction_parts
        seen.messages = list(messages)
        seen.instructions = [part.content for part in parts or ()]
        seen.tools = [tool.name for tool in (*info.function_tools, *info.output_tools)]
        seen.settings = dict(info.model_settings or {})
        if seen.messages:
            raise _Looked
        yield ""

    ended = RunEnded(status="error")
    async for event in AgentRun(replace(request, model=FunctionModel(stream_function=stream))).events():
        if isinstance(event, RunEnded):
            ended = event
    if not seen.messages:
        raise AgentError(f"The agent failed before its first request: {ended.error}") from ended.cause
    return seen
