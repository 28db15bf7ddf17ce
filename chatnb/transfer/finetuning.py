"""OpenAI's file for fine-tuning: a session a line, `{"messages": […]}` with tool calls.

The shape is that of OpenAI's supervised fine-tuning (FineTuneChatRequestInput in its OpenAPI description): chat
messages, where an assistant's has `content` or `tool_calls`, and `tools` that describe the functions it calls. Turns
that did not end well, thinking and files are left out: a model is not to learn from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from chatnb.formats.pydantic_ai import part_text
from chatnb.stores.copying import Whole
from chatnb.transfer.base import Format
from chatnb.transfer.current import turns

__all__ = ["FORMAT"]

Said = dict[str, object]


def _write(wholes: Iterable[Whole], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for whole in wholes:
            line = _line(whole)
            if line is not None:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _line(whole: Whole) -> Said | None:
    """One session as a training example; None when it holds no answer."""
    said: list[Said] = []
    tools: dict[str, set[str]] = {}
    for turn, messages in turns(whole):
        if turn.status == "ok":
            for _, message in messages:
                said += _said(message, tools)
    if not any(one["role"] == "assistant" for one in said):
        return None
    prompt = whole.session.system_prompt
    if prompt and said[0]["role"] != "system":
        said.insert(0, {"role": "system", "content": prompt})
    seen = set[str]()
    said = [one for one in said if one["role"] != "system" or not (str(one) in seen or seen.add(str(one)))]  # type: ignore[func-returns-value]
    return {"messages": said, **({"tools": [_tool(name, tools[name]) for name in tools]} if tools else {})}


def _said(message: ModelMessage, tools: dict[str, set[str]]) -> list[Said]:
    if isinstance(message, ModelResponse):
        return _answered(message, tools)
    found: list[Said] = []
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            found.append({"role": "system", "content": part.content})
        elif isinstance(part, UserPromptPart):
            found.append({"role": "user", "content": part_text(part)})
        elif isinstance(part, ToolReturnPart) or (isinstance(part, RetryPromptPart) and part.tool_name):
            found.append({"role": "tool", "tool_call_id": part.tool_call_id, "content": part_text(part)})
    return found


def _answered(message: ModelResponse, tools: dict[str, set[str]]) -> list[Said]:
    text = "".join(part.content for part in message.parts if isinstance(part, TextPart))
    calls: Sequence[ToolCallPart] = [part for part in message.parts if isinstance(part, ToolCallPart)]
    if not text and not calls:
        return []
    said: Said = {"role": "assistant"}
    if text:
        said["content"] = text
    if calls:
        said["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.tool_name, "arguments": call.args_as_json_str()},
            }
            for call in calls
        ]
    for call in calls:
        tools.setdefault(call.tool_name, set()).update(call.args_as_dict())
    return [said]


def _tool(name: str, arguments: set[str]) -> Said:
    """A tool as far as its calls show it; the store does not keep its description."""
    properties: Said = {argument: {} for argument in sorted(arguments)}
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


FORMAT = Format(name="openai", says="OpenAI's file for fine-tuning", write=_write)
"""OpenAI's file for fine-tuning; only written, and named by hand since its files end in .jsonl too."""
