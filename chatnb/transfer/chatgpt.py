"""ChatGPT's data export: `conversations.json`, its numbered parts, or the archive they came in.

OpenAI publishes no schema. The structure is that of the community's specification (mohamed-chs/convoviz,
docs/dev/chatgpt-spec.md, version 3.0 of February 2026) and of mitkury/chatgpt-export-parser: a list of conversations,
each with `mapping`, a tree of nodes by id, and `current_node`, the leaf of the way that is shown. Since 2026 large
exports are split into `conversations-000.json` and so on (mohamed-chs/convoviz#49).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from chatnb.transfer.archive import Archive, opened
from chatnb.transfer.base import Format, Reader, Reading
from chatnb.transfer.foreign import conversations
from chatnb.transfer.tree import Conversation, Node, moment

__all__ = ["FORMAT"]

_QUIET = frozenset({"reasoning_recap", "user_editable_context", "model_editable_context", "tether_browsing_display"})
"""Content that tells of the product and not of the conversation."""


def _recognises(path: Path) -> bool:
    archive = opened(path)
    return archive is not None and b'"mapping"' in archive.head()


def _read(path: Path, reader: Reader) -> Reading:
    archive = opened(path)
    assert archive is not None  # a file or folder that has been recognised, or named as one
    return conversations(archive, reader, lambda value: _conversation(value, archive))


def _conversation(value: Mapping[str, Any], archive: Archive) -> Conversation:
    mapping: dict[str, dict[str, Any]] = value["mapping"]
    heard = _Heard(archive, mapping)
    made = {key: heard.node(key, node) for key, node in mapping.items()}

    def shown(key: str | None) -> str | None:
        """The nearest node at or above this one that says something."""
        seen = set()
        while key in mapping and made[key] is None and key not in seen:
            seen.add(key)
            key = mapping[key].get("parent")
        return key if key in mapping and made[key] is not None else None

    nodes = [
        Node(id=node.id, parent=shown(mapping[key].get("parent")), messages=node.messages, asks=node.asks, at=node.at)
        for key in _ordered(mapping)
        if (node := made[key]) is not None
    ]
    about = {name: value[name] for name in ("gizmo_id", "is_archived", "is_starred") if value.get(name)}
    return Conversation(
        id=str(value.get("conversation_id") or value["id"]),
        source="chatgpt",
        name=value.get("title"),
        nodes=nodes,
        current=shown(value.get("current_node")),
        created_at=moment(value.get("create_time")),
        updated_at=moment(value.get("update_time")),
        metadata=about,
    )


def _ordered(mapping: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The nodes so that siblings stand as their parent lists them."""
    rank = {child: n for node in mapping.values() for n, child in enumerate(node.get("children") or ())}
    return sorted(mapping, key=lambda key: rank.get(key, 0))


class _Heard:
    """Makes nodes of messages; knows the others, since a result does not name its call."""

    def __init__(self, archive: Archive, mapping: Mapping[str, Mapping[str, Any]]) -> None:
        self._archive = archive
        self._mapping = mapping

    def node(self, key: str, node: Mapping[str, Any]) -> Node | None:
        """The node, or None when it says nothing."""
        message = node.get("message")
        if not message:
            return None
        content: Mapping[str, Any] = message.get("content") or {}
        about: Mapping[str, Any] = message.get("metadata") or {}
        role = (message.get("author") or {}).get("role")
        hidden = about.get("is_visually_hidden_from_conversation") or content.get("content_type") in _QUIET
        if hidden and role != "tool":
            return None
        at = moment(message.get("create_time"))
        parts = self._parts(content)
        said: ModelMessage | None
        if role == "user":
            said = ModelRequest(parts=[UserPromptPart(_prompt(parts))]) if parts else None
        elif role == "system":
            text = _text(parts)
            said = ModelRequest(parts=[SystemPromptPart(text)]) if text else None
        elif role == "assistant":
            said = _answer(key, message, content, parts)
        else:
            return self._result(key, node, message, parts, at)
        return None if said is None else Node(id=key, parent=None, messages=(said,), asks=role == "user", at=at)

    def _result(
        self,
        key: str,
        node: Mapping[str, Any],
        message: Mapping[str, Any],
        parts: Sequence[UserContent],
        at: datetime | None,
    ) -> Node:
        """A tool's result. It belongs to the call above it; the export does not show every call."""
        name = (message.get("author") or {}).get("name") or "tool"
        above = (self._mapping.get(node.get("parent") or "") or {}).get("message") or {}
        called = _recipient(above) != "all"
        call_id = f"call-{node['parent']}" if called else f"call-{key}"
        content = list(parts) if any(not isinstance(part, str) for part in parts) else _text(parts)
        result = ModelRequest(parts=[ToolReturnPart(name, content, tool_call_id=call_id)])
        call = ModelResponse(parts=[ToolCallPart(name, {}, tool_call_id=call_id)])
        return Node(id=key, parent=None, messages=(result,) if called else (call, result), at=at)

    def _parts(self, content: Mapping[str, Any]) -> list[UserContent]:
        """What a message holds: texts, and images that are in the archive."""
        found: list[UserContent] = []
        listed = content.get("parts")
        for part in listed if isinstance(listed, list) else [content]:
            if isinstance(part, str):
                found += [part] if part.strip() else []
            elif isinstance(part, Mapping):
                found += self._part(part)
        return found

    def _part(self, part: Mapping[str, Any]) -> list[UserContent]:
        pointer = part.get("asset_pointer")
        if isinstance(pointer, str):
            name = pointer.rpartition("/")[2]
            asset = self._archive.asset(name) if name else None
            kind = mimetypes.guess_type(asset[0])[0] if asset else None
            if asset and kind and kind.startswith("image/"):
                return [BinaryContent(asset[1], media_type=kind)]
            return [f"[{str(part.get('content_type', 'file')).removesuffix('_asset_pointer')} {pointer}]"]
        for key in ("text", "content", "result"):
            if isinstance(part.get(key), str) and part[key].strip():
                return [part[key]]
        return []


def _answer(
    key: str, message: Mapping[str, Any], content: Mapping[str, Any], parts: Sequence[UserContent]
) -> ModelMessage | None:
    model = (message.get("metadata") or {}).get("model_slug")
    recipient = _recipient(message)
    text = _text(parts)
    said: list[TextPart | ThinkingPart | ToolCallPart]
    if content.get("content_type") == "thoughts":
        thoughts = [one for one in content.get("thoughts") or () if isinstance(one, Mapping)]
        text = "\n\n".join(str(one.get("content") or one.get("summary") or "") for one in thoughts).strip()
        said = [ThinkingPart(text)] if text else []
    elif recipient != "all":
        arguments = {"code": text} if content.get("content_type") == "code" else {"text": text}
        said = [ToolCallPart(recipient, arguments, tool_call_id=f"call-{key}")]
    else:
        said = [TextPart(text)] if text else []
    if not said:
        return None
    return ModelResponse(parts=said, model_name=model, provider_name="openai" if model else None)


def _recipient(message: Mapping[str, Any]) -> str:
    """Whom the assistant's message is for: 'all', or a tool."""
    assistant = (message.get("author") or {}).get("role") == "assistant"
    return str(message.get("recipient") or "all") if assistant else "all"


def _prompt(parts: Sequence[UserContent]) -> str | list[UserContent]:
    return _text(parts) if all(isinstance(part, str) for part in parts) else list(parts)


def _text(parts: Sequence[UserContent]) -> str:
    return "\n\n".join(part if isinstance(part, str) else "[image]" for part in parts)


FORMAT = Format(name="chatgpt", says="ChatGPT's data export", recognises=_recognises, read=_read)
"""ChatGPT's data export; only read."""
