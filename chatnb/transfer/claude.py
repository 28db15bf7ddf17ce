"""Claude's data export: `conversations.json`, or the archive it came in.

Anthropic publishes no schema. The structure is that of public samples and parsers (brandtcormorant/claude-json-schema,
Sinity/polylogue, socketteer/Claude-Conversation-Exporter): a list of conversations with `chat_messages`, each from
`human` or `assistant`, with blocks in `content` (text, thinking, tool_use, tool_result) or only `text`. Exports since
2025 name each message's `parent_message_uuid`, so that edits and retries are branches; older ones are one line.
The export does not tell which model answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from chatnb.transfer.archive import opened
from chatnb.transfer.base import Format, Reader, Reading
from chatnb.transfer.foreign import conversations
from chatnb.transfer.tree import Conversation, Node, moment

__all__ = ["FORMAT"]


def _recognises(path: Path) -> bool:
    archive = opened(path)
    return archive is not None and b'"chat_messages"' in archive.head()


def _read(path: Path, reader: Reader) -> Reading:
    archive = opened(path)
    assert archive is not None  # a file or folder that has been recognised, or named as one
    return conversations(archive, reader, _conversation)


def _conversation(value: Mapping[str, Any]) -> Conversation:
    nodes: list[Node] = []
    known: set[str] = set()
    for message in value["chat_messages"]:
        parent = message.get("parent_message_uuid")
        if parent is None and nodes and "parent_message_uuid" not in message:
            parent = nodes[-1].id
        at = moment(message.get("created_at"))
        said = _asked(message) if message["sender"] == "human" else _answered(message)
        nodes.append(
            Node(
                id=message["uuid"],
                parent=parent if parent in known else None,
                messages=tuple(said),
                asks=message["sender"] == "human",
                at=at,
            )
        )
        known.add(message["uuid"])
    return Conversation(
        id=value["uuid"],
        source="claude",
        name=value.get("name"),
        nodes=nodes,
        current=value.get("current_leaf_message_uuid"),
        created_at=moment(value.get("created_at")),
        updated_at=moment(value.get("updated_at")),
        metadata={name: value[name] for name in ("summary", "model", "project_uuid") if value.get(name)},
    )


def _asked(message: Mapping[str, Any]) -> list[ModelMessage]:
    """A prompt, with the text that was drawn from its attachments."""
    texts = [text for block in _blocks(message) if (text := block.get("text"))] or [message.get("text") or ""]
    for attached in message.get("attachments") or ():
        texts.append(
            f"[{attached.get('file_name') or 'attachment'}]\n{attached.get('extracted_content') or ''}".strip()
        )
    shown = {attached.get("file_name") for attached in message.get("attachments") or ()}
    texts += [f"[file {one['file_name']}]" for one in message.get("files") or () if one.get("file_name") not in shown]
    prompt = "\n\n".join(text for text in texts if text)
    return [ModelRequest(parts=[UserPromptPart(prompt)])]


def _answered(message: Mapping[str, Any]) -> list[ModelMessage]:
    """An answer's blocks as responses, with the results of tools between them."""
    said: list[ModelMessage] = []
    parts: list[ModelResponsePart] = []
    calls: list[str] = []
    for number, block in enumerate(_blocks(message) or [{"type": "text", "text": message.get("text") or ""}]):
        kind = block.get("type")
        if kind == "text" and block.get("text"):
            parts.append(TextPart(block["text"]))
        elif kind == "thinking" and block.get("thinking"):
            parts.append(ThinkingPart(block["thinking"]))
        elif kind == "tool_use":
            calls.append(block.get("id") or f"{message['uuid']}-{number}")
            arguments = block.get("input")
            arguments = arguments if isinstance(arguments, dict) else {"input": arguments}
            parts.append(ToolCallPart(block.get("name") or "tool", arguments, tool_call_id=calls[-1]))
        elif kind == "tool_result":
            call_id = block.get("tool_use_id") or (calls.pop() if calls else f"{message['uuid']}-{number}")
            if parts:
                said.append(ModelResponse(parts=parts))
                parts = []
            said.append(ModelRequest(parts=[_result(block, call_id)]))
    if parts:
        said.append(ModelResponse(parts=parts))
    return said


def _result(block: Mapping[str, Any], call_id: str) -> ToolReturnPart:
    content = block.get("content")
    if isinstance(content, list):
        content = [_told(item) for item in content]
        content = "\n\n".join(content) if all(isinstance(item, str) for item in content) else content
    outcome = "failed" if block.get("is_error") else "success"
    return ToolReturnPart(block.get("name") or "tool", content, tool_call_id=call_id, outcome=outcome)  # type: ignore[arg-type]


def _told(item: object) -> object:
    """A result's text where that is all it is; else the item as it stands."""
    plain = isinstance(item, Mapping) and item.get("type") == "text" and isinstance(item.get("text"), str)
    return item["text"] if plain else item  # type: ignore[index]  # it is a mapping then


def _blocks(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [block for block in message.get("content") or () if isinstance(block, Mapping)]


FORMAT = Format(name="claude", says="Claude's data export", recognises=_recognises, read=_read)
"""Claude's data export; only read."""
