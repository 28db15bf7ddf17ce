"""Models for the notebooks of these tests: scripted ones, and one as strict as the strictest provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

__all__ = ["Agent", "calling", "hanging", "pieces", "strict"]

Tool = Callable[..., object]


def pieces(*texts: str) -> Agent[None, str]:
    """An agent that streams these texts. One that is an exception's name and a colon is raised instead."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for text in texts:
            if text.startswith("ValueError: "):
                raise ValueError(text.removeprefix("ValueError: "))
            yield text
            await asyncio.sleep(0)

    return Agent(FunctionModel(stream_function=stream, model_name="pieces"))


def hanging(*texts: str) -> Agent[None, str]:
    """An agent that streams these texts and then never goes on."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        for text in texts:
            yield text
        await asyncio.Event().wait()

    return Agent(FunctionModel(stream_function=stream, model_name="hanging"))


def calling(*tools: Tool, rounds: int = 1, strictly: bool = True) -> Agent[None, str]:
    """An agent that calls all its tools, `rounds` times, and then says what they gave. It is strict as `strict` is."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str | dict[int, DeltaToolCall]]:
        if strictly:
            check(messages)
        turn = messages[max(i for i, one in enumerate(messages) if _asks(one)) :]
        results = [part for one in turn for part in one.parts if isinstance(part, ToolReturnPart)]
        done = sum(isinstance(one, ModelResponse) for one in turn)
        if done < rounds:
            for number, tool in enumerate(info.function_tools):
                yield {number: DeltaToolCall(tool.name, "{}", tool_call_id=f"call-{len(messages)}-{number}")}
        else:
            yield "The tools gave " + ", ".join(part.model_response_str() for part in results) + "."

    return Agent(FunctionModel(stream_function=stream, model_name="calling"), tools=list(tools))


def strict() -> Agent[None, str]:
    """An agent that raises on what providers refuse, and otherwise says how many messages it was sent."""

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        check(messages)
        yield f"Accepted {len(messages)} messages."

    return Agent(FunctionModel(stream_function=stream, model_name="strict"))


def check(messages: Sequence[ModelMessage]) -> None:
    """Refuse what some provider refuses: an empty message, a call without its result, a result without its call."""
    waiting: set[str] = set()
    for place, message in enumerate(messages):
        if not any(_says(part) for part in message.parts):
            raise ValueError(f"message {place} of {len(messages)} is empty: {message}")
        answered = {part.tool_call_id for part in message.parts if isinstance(part, ToolReturnPart)}
        if answered != waiting:
            raise ValueError(f"message {place} answers {sorted(answered)}; open are {sorted(waiting)}: {message}")
        waiting = {part.tool_call_id for part in message.parts if isinstance(part, ToolCallPart)}
        if place and isinstance(message, ModelResponse) and isinstance(messages[place - 1], ModelResponse):
            raise ValueError(f"message {place} is a second answer in a row: {message}")
    if waiting or not messages or not isinstance(messages[-1], ModelRequest):
        raise ValueError("the last message asks nothing")


def _says(part: Any) -> bool:
    content = getattr(part, "content", None)
    return bool(content.strip()) if isinstance(content, str) else True


def _asks(message: ModelMessage) -> bool:
    return any(part.part_kind == "user-prompt" for part in message.parts)
