"""Payloads that older and newer PydanticAI wrote are read, and can be sent again."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from chatnb.formats.pydantic_ai import FORMAT, from_record
from chatnb.records import Message

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


def _read(path: Path) -> list[ModelMessage]:
    payloads = [json.dumps(one) for one in json.loads(path.read_text())]
    records = [Message(role="user", content="unreadable", payload=payload, format=FORMAT) for payload in payloads]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*RetryPromptPart.*")  # how PydanticAI 1 wrote a retry
        return [from_record(record) for record in records]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_payload_says_what_it_said(path: Path) -> None:
    messages = _read(path)
    parts = [part for message in messages for part in message.parts]
    assert [part.tool_call_id for part in parts if isinstance(part, ToolCallPart)] == ["call-1", "call-2"]
    assert [part.content for part in parts if isinstance(part, ToolReturnPart)][-1] == {"units": 120}
    assert [m.usage.output_tokens for m in messages if isinstance(m, ModelResponse)] == [9, 8, 4, 3]
    assert any(getattr(file, "data", None) == b"\x89PNG" for part in parts for file in _files(part))


def _files(part: object) -> list[object]:
    content = getattr(part, "content", ())
    return list(content) if isinstance(content, list | tuple) else []


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_a_golden_history_is_accepted_by_a_run(path: Path) -> None:
    seen: list[int] = []

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        seen.append(len(messages))
        yield "fine"

    async def ask() -> str:
        agent = Agent(FunctionModel(stream_function=answer))
        async with agent.run_stream("And now?", message_history=_read(path)) as run:
            return await run.get_output()

    assert asyncio.run(ask()) == "fine"
    assert seen
