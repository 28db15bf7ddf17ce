"""A scripted answer in the JSON of OpenAI's two APIs: Chat Completions and Responses (pure).

Sources: platform.openai.com/docs/api-reference/chat and .../responses; only what clients read is sent.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Json = dict[str, Any]
CREATED = 1_760_000_000  # seconds since 1970; fixed, so that answers are the same each time


@dataclass(frozen=True)
class Usage:
    """Token counts; `cached` is the part of `input` that came from the provider's cache."""

    input: int = 10
    output: int = 5
    cached: int = 0


@dataclass(frozen=True)
class Call:
    """A tool call of the model."""

    tool: str
    arguments: Mapping[str, Any] | str
    id: str = ""  # made from its place when empty

    @property
    def text(self) -> str:
        """The arguments as the wire carries them; a str goes as it is, valid or not."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True)
class Answer:
    """What the model says, and how the connection behaves while it does.

    A stream sends its text word by word and each call's arguments in one go; the ``*_after`` numbers count these
    words and calls. A body that is not streamed is held, cut or spoilt as a whole.

    Attributes
    ----------
    usage
        None sends no usage at all.
    hold, hold_after
        After so many words, wait until the test sets the event.
    drop_after
        After so many words, cut the connection.
    malformed_after
        After so many words, send an event that is not JSON.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    usage: Usage | None = Usage()
    hold: threading.Event | None = None
    hold_after: int = 1
    drop_after: int | None = None
    malformed_after: int | None = None


Piece = tuple[bytes, bool]  # a server-sent event, and whether it carries a word or a call's arguments


class Shape(Protocol):
    """One API's way to say an answer."""

    @staticmethod
    def body(answer: Answer, request: Json, number: int) -> Json: ...

    @staticmethod
    def stream(answer: Answer, request: Json, number: int) -> Iterator[Piece]: ...


def words(text: str) -> list[str]:
    """The text in pieces, each a word with the space before it."""
    return re.findall(r"\s*\S+\s*$|\s*\S+", text)


def call_ids(answer: Answer, number: int) -> list[tuple[str, Call]]:
    return [(call.id or f"call_{number}_{place}", call) for place, call in enumerate(answer.calls)]


def event(data: Json, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


class ChatCompletions:
    """POST /v1/chat/completions."""

    @staticmethod
    def body(answer: Answer, request: Json, number: int) -> Json:
        calls = [
            {"id": id_, "type": "function", "function": {"name": call.tool, "arguments": call.text}}
            for id_, call in call_ids(answer, number)
        ]
        message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
        if calls:
            message["tool_calls"] = calls
        choice = {"index": 0, "message": message, "finish_reason": finish_reason(answer), "logprobs": None}
        body = {**head(request, number, "chat.completion"), "choices": [choice]}
        return body | ({"usage": chat_usage(answer.usage)} if answer.usage else {})

    @staticmethod
    def stream(answer: Answer, request: Json, number: int) -> Iterator[Piece]:
        start = head(request, number, "chat.completion.chunk")

        def chunk(delta: Json, reason: str | None = None, content: bool = False) -> Piece:
            return event({**start, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}), content

        yield chunk({"role": "assistant", "content": ""})
        for word in words(answer.text):
            yield chunk({"content": word}, content=True)
        for place, (id_, call) in enumerate(call_ids(answer, number)):
            named = {"name": call.tool, "arguments": ""}
            yield chunk({"tool_calls": [{"index": place, "id": id_, "type": "function", "function": named}]})
            yield chunk({"tool_calls": [{"index": place, "function": {"arguments": call.text}}]}, content=True)
        yield chunk({}, finish_reason(answer))
        if answer.usage and (request.get("stream_options") or {}).get("include_usage"):
            yield event({**start, "choices": [], "usage": chat_usage(answer.usage)}), False
        yield b"data: [DONE]\n\n", False


def head(request: Json, number: int, kind: str) -> Json:
    return {"id": f"chatcmpl-{number}", "object": kind, "created": CREATED, "model": request.get("model", "")}


def finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def chat_usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


class Responses:
    """POST /v1/responses, which PydanticAI uses for model names that begin with ``openai:``."""

    @staticmethod
    def body(answer: Answer, request: Json, number: int, status: str = "completed") -> Json:
        done = status == "completed"
        return {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "model": request.get("model", ""),
            "output": response_items(answer, number) if done else [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "error": None,
            "incomplete_details": None,
            "usage": response_usage(answer.usage) if done and answer.usage else None,
        }

    @staticmethod
    def stream(answer: Answer, request: Json, number: int) -> Iterator[Piece]:
        events = response_events(answer, request, number)
        for place, (name, data) in enumerate(events):
            yield event({"type": name, "sequence_number": place, **data}, name), name.endswith(".delta")


def response_items(answer: Answer, number: int) -> list[Json]:
    items: list[Json] = []
    if answer.text:
        part = {"type": "output_text", "text": answer.text, "annotations": []}
        message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed"}
        items.append({**message, "content": [part]})
    for place, (id_, call) in enumerate(call_ids(answer, number)):
        named = {"call_id": id_, "name": call.tool, "arguments": call.text}
        items.append({"id": f"fc_{number}_{place}", "type": "function_call", "status": "completed", **named})
    return items


def response_events(answer: Answer, request: Json, number: int) -> Iterator[tuple[str, Json]]:
    yield "response.created", {"response": Responses.body(answer, request, number, "in_progress")}
    for place, item in enumerate(response_items(answer, number)):
        at: Json = {"output_index": place, "item_id": item["id"]}
        empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
        yield "response.output_item.added", {"output_index": place, "item": {**item, "status": "in_progress", **empty}}
        if item["type"] == "message":
            (part,) = item["content"]
            at["content_index"] = 0
            yield "response.content_part.added", {**at, "part": {**part, "text": ""}}
            for word in words(answer.text):
                yield "response.output_text.delta", {**at, "delta": word, "logprobs": []}
            yield "response.output_text.done", {**at, "text": answer.text, "logprobs": []}
            yield "response.content_part.done", {**at, "part": part}
        else:
            yield "response.function_call_arguments.delta", {**at, "delta": item["arguments"]}
            yield "response.function_call_arguments.done", {**at, "arguments": item["arguments"], "name": item["name"]}
        yield "response.output_item.done", {"output_index": place, "item": item}
    yield "response.completed", {"response": Responses.body(answer, request, number)}


def response_usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
