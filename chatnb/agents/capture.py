"""What a run would send, without sending it: the agent runs against a model that only looks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from chatnb.agents.events import RunRequest
from chatnb.agents.pydantic_ai import AgentRun
from chatnb.errors import AgentError

__all__ = ["Captured", "capture"]


@dataclass
class Captured:
    """The first request of a run: its messages, the instructions that go first, and the tools that are offered."""

    messages: list[ModelMessage] = field(default_factory=list)
    instructions: str | None = None
    tools: list[str] = field(default_factory=list)


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

    def look(messages: list[ModelMessage], info: AgentInfo) -> None:
        seen.messages = list(messages)
        seen.instructions = info.instructions
        seen.tools = [tool.name for tool in (*info.function_tools, *info.output_tools)]

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        look(messages, info)
        if seen.messages:
            raise _Looked
        yield ""

    run = AgentRun(replace(request, model=FunctionModel(stream_function=stream), settings={}))
    async for _ in run.events():
        pass
    if not seen.messages:
        raise AgentError("The agent failed before its first request. Await it in a cell to see why.")
    return seen
