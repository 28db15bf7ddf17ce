"""The offline model `demo`: no key, no network, the same answer to the same messages.

It answers only from the messages that it is sent, so that a person sees memory working, and forgetting too.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from pydantic_ai import RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponsePart,
    ModelResponseStreamEvent,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from chatnb.agents.demo_calls import Filling, asked_tools, fill
from chatnb.agents.demo_rules import View, prompt_text, reply, report
from chatnb.errors import BadInput

__all__ = ["DemoModel"]

NOTE = "_(demo model: offline and scripted, no real LLM)_"
WORD_DELAY = 0.01  # seconds; CHATNB_DEMO_DELAY overrides it
LONGEST_DELAY = 2.0  # seconds for a whole answer, however long it is


class DemoModel(Model):
    """A model that is a few rules; `resolve("demo")` gives it.

    `CHATNB_DEMO_DELAY` is the pause after each streamed word, in seconds (0.01 if not set; an answer never takes more
    than 2 s).
    """

    def __init__(self) -> None:
        super().__init__(profile=ModelProfile(supports_json_schema_output=True, supports_json_object_output=True))

    @property
    def model_name(self) -> str:
        """'demo'."""
        return "demo"

    @property
    def system(self) -> str:
        """'demo'."""
        return "demo"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The whole answer at once."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        parts = answer(messages, parameters)
        return ModelResponse(parts=parts, usage=usage(messages, parts), model_name="demo", provider_name="demo")

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[object] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The answer word by word."""
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        yield DemoStream(parameters, messages, answer(messages, parameters))


@dataclass
class DemoStream(StreamedResponse):
    """An answer on its way out."""

    sent: list[ModelMessage]
    parts: list[ModelResponsePart]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        self._usage = usage(self.sent, [])
        for index, part in enumerate(self.parts):
            if isinstance(part, ToolCallPart):
                yield self._parts_manager.handle_tool_call_part(
                    vendor_part_id=index,
                    tool_name=part.tool_name,
                    args=part.args_as_dict(),
                    tool_call_id=part.tool_call_id,
                )
            elif isinstance(part, TextPart):
                words = re.findall(r"\S*\s*", part.content)[:-1] or [""]
                delay = min(word_delay(), LONGEST_DELAY / len(words))
                for word in words:
                    await asyncio.sleep(delay)
                    for event in self._parts_manager.handle_text_delta(vendor_part_id=index, content=word):
                        yield event
            self._usage = usage(self.sent, self.parts[: index + 1])

    @property
    def model_name(self) -> str:
        return "demo"

    @property
    def provider_name(self) -> str:
        return "demo"

    @property
    def provider_url(self) -> None:
        return None

    @property
    def timestamp(self) -> datetime:
        return self.started

    async def close_stream(self) -> None:
        """Nothing is open."""


def word_delay() -> float:
    text = os.environ.get("CHATNB_DEMO_DELAY") or str(WORD_DELAY)
    try:
        return max(0.0, float(text))
    except ValueError:
        raise BadInput(f"CHATNB_DEMO_DELAY is {text!r}, not a number of seconds, such as 0.01.") from None


def usage(messages: Sequence[ModelMessage], parts: Sequence[ModelResponsePart]) -> RequestUsage:
    """Estimated tokens, four characters each, at no cost."""
    sent = sum(len(text) for message in messages for text in _texts(message))
    given = sum(len(text) for text in map(_response_text, parts))
    return RequestUsage(input_tokens=-(-sent // 4), output_tokens=-(-given // 4), cost=Decimal(0))


def answer(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[ModelResponsePart]:
    """What the model says, or which tools it calls, after these messages."""
    view = View.of(messages)
    results = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)] if messages else []
    called = [] if results else asked_tools(view.prompt, parameters.function_tools)
    if called:
        return _calls(messages, [(tool, fill(tool, text)) for tool, text in called])
    if parameters.output_tools and not parameters.allow_text_output:
        tool = parameters.output_tools[0]
        return _calls(messages, [(tool, fill(tool, view.prompt, view.facts))])
    if parameters.output_object and parameters.output_mode in ("native", "prompted"):
        schema = parameters.output_object.json_schema
        return [TextPart(json.dumps(Filling(schema, view.prompt, view.facts).value(schema)))]
    text = report(results) if results else reply(view)
    return [TextPart(text if view.answered else f"{NOTE}\n\n{text}")]


def _calls(
    messages: Sequence[ModelMessage], calls: Sequence[tuple[ToolDefinition, dict[str, object]]]
) -> list[ModelResponsePart]:
    """Tool calls with ids that are new to the conversation."""
    used = [part.tool_call_id for one in messages for part in one.parts if isinstance(part, ToolCallPart)]
    numbers = [int(one.removeprefix("demo-")) for one in used if re.fullmatch(r"demo-\d+", one)]
    first = max(numbers, default=0) + 1
    return [
        ToolCallPart(tool.name, arguments, tool_call_id=f"demo-{first + number}")
        for number, (tool, arguments) in enumerate(calls)
    ]


def _texts(message: ModelMessage) -> Iterator[str]:
    """What the model reads of a message."""
    if isinstance(message, ModelResponse):
        yield from map(_response_text, message.parts)
        return
    yield message.instructions or ""
    for part in message.parts:
        if isinstance(part, UserPromptPart):
            yield prompt_text(part)
        elif isinstance(part, ToolReturnPart):
            yield part.model_response_str()
        elif isinstance(part, SystemPromptPart):
            yield part.content


def _response_text(part: ModelResponsePart) -> str:
    if isinstance(part, ToolCallPart):
        return part.tool_name + part.args_as_json_str()
    return part.content if isinstance(part, TextPart) else ""
