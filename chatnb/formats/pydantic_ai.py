"""A stored message and the PydanticAI message it holds, in both directions.

The payload is what `ModelMessagesTypeAdapter` writes for one message, with one change: where a `BinaryContent` has its
bytes, `"data"` is `{"sha256": "<hexadecimal>"}`, and a last key `"files"` lists those hashes. The bytes themselves are
`records.File`, so that a store keeps each content once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache

import pydantic
import pydantic_core
from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    BinaryContent,
    CachePoint,
    CompactionPart,
    FilePart,
    FileUrl,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    RetryPromptPart,
    SpeechPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ToolReturnPart,
    UploadedFile,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from chatnb.errors import BadInput
from chatnb.records import File, Message, Role, now

__all__ = ["FORMAT", "UnreadablePayloadWarning", "file_hashes", "from_record", "part_text", "to_record"]

FORMAT = "pydantic-ai/2"
"""Names the writing of a payload: PydanticAI 2's messages, with files by their hash."""

_ATOMS = frozenset({type(None), bool, int, bytes, datetime, date, time, timedelta, Decimal})
_SURROGATE = re.compile("[\ud800-\udfff]")
_URL_SHOWN = 200  # characters: a data: URL holds a whole file


class UnreadablePayloadWarning(UserWarning):
    """A stored payload could not be read; the message shows its readable text instead."""


def to_record(
    message: ModelMessage, *, position: int = 0, origin: str = "pydantic-ai", strict: bool = True
) -> tuple[Message, tuple[File, ...]]:
    """The record of one message, and the files that its payload names by their hash.

    Parameters
    ----------
    message
        The message as PydanticAI has it.
    position
        Its place in its turn, counted from 0.
    origin
        Whose message it was first.
    strict
        Refuse what JSON cannot hold. False stores it as the model was sent it, for a turn that has already been paid:
        NaN and infinities as null, keys as text, a lone surrogate as U+FFFD, an unknown object as its `repr`.

    Raises
    ------
    BadInput
        A value is NaN or infinite, has a lone surrogate, a key that is not text, or has no form in JSON; the error
        names its place, as in `parts[1].args.x: nan is not JSON`.
    """
    binaries: list[BinaryContent] = []
    try:
        _inspect(message, binaries, strict)
        payload = _adapter().dump_json(message, fallback=None if strict else repr).decode()
    except _NotJson as error:
        raise BadInput(f"{error.path()}: {error.reason}") from None
    except RecursionError:
        raise BadInput(f"A message of {len(message.parts)} parts is nested too deeply, or holds itself.") from None
    except (pydantic_core.PydanticSerializationError, UnicodeError) as error:
        if strict:
            raise BadInput(f"The message has no form in JSON: {error}") from error
        cleaned = _cleaned(_adapter().dump_python(message, mode="json", fallback=repr))
        payload = json.dumps(cleaned, ensure_ascii=False, separators=(",", ":"))
    files = tuple({file.sha256: file for file in map(_file, binaries)}.values())
    response = message if isinstance(message, ModelResponse) else None
    measured = response is not None and response.usage.has_values()
    record = Message(
        position=position,
        role=_role(message),
        content=_text(message),
        payload=_with_hashes(payload, files) if files else payload,
        format=FORMAT,
        origin=origin,
        model=response.model_name if response else None,
        provider=response.provider_name if response else None,
        input_tokens=response.usage.input_tokens if response and measured else None,
        output_tokens=response.usage.output_tokens if response and measured else None,
        cost=_cost(response) if response else None,
        created_at=_created_at(message),
    )
    return record, files


def from_record(message: Message, files: Callable[[str], bytes] | Mapping[str, bytes] | None = None) -> ModelMessage:
    """The message that a record holds, as `ModelMessagesTypeAdapter` itself would read it back.

    A payload that can no longer be read gives a message that shows `content`, with an `UnreadablePayloadWarning`.

    Parameters
    ----------
    message
        The record.
    files
        Gives a file's bytes by its SHA-256, or raises `LookupError`. Needed only when the payload names files.
    """
    payload = message.payload
    try:
        if '"files":' in payload and '"sha256"' in payload:
            payload = _with_data(payload, files or {})
        return _adapter().validate_json(payload)
    except (ValueError, LookupError, RecursionError) as error:  # ValueError: pydantic's and json's own errors
        warnings.warn(
            f"Message {message.id} ({message.format}) cannot be read and shows its text instead: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            UnreadablePayloadWarning,
            stacklevel=2,
        )
        return _stand_in(message)


def file_hashes(message: Message) -> list[str]:
    """The SHA-256 of every file that a record's payload names; none where it can no longer be read."""
    if '"files":' not in message.payload or '"sha256"' not in message.payload:
        return []
    try:
        tree = json.loads(message.payload)
    except (ValueError, RecursionError):  # `from_record` warns of it
        return []
    return list(tree.get("files", ())) if isinstance(tree, dict) else []


@cache
def _adapter() -> pydantic.TypeAdapter[ModelMessage]:
    return pydantic.TypeAdapter(
        ModelMessage, config=pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    )


class _NotJson(Exception):
    """A value that JSON cannot hold; each frame of the walk adds its step to `steps` on the way out."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.steps: list[str] = []

    def path(self) -> str:
        return "".join(reversed(self.steps)).removeprefix(".") or "message"


def _inspect(value: object, binaries: list[BinaryContent], strict: bool) -> None:
    """Collect the binary contents within `value`; when `strict`, refuse what JSON cannot hold."""
    if type(value) in _ATOMS:
        return
    if isinstance(value, str):
        if strict and (found := _surrogate(value)):
            raise _NotJson(f"a lone surrogate (\\u{ord(found):04x}) is not JSON")
    elif isinstance(value, float):
        if strict and not math.isfinite(value):
            raise _NotJson(f"{value} is not JSON")
    elif isinstance(value, Mapping):
        _inspect_mapping(value, binaries, strict)
    elif isinstance(value, list | tuple | set | frozenset):
        kinds = set(map(type, value))
        if kinds <= _ATOMS or (kinds == {float} and all(map(math.isfinite, value))):
            return  # a column of plain values, tested without a step of Python for each
        for index, item in enumerate(value):
            try:
                _inspect(item, binaries, strict)
            except _NotJson as error:
                error.steps.append(f"[{index}]")
                raise
    elif is_dataclass(value) or isinstance(value, pydantic.BaseModel):
        if isinstance(value, BinaryContent):
            binaries.append(value)
        for name, item in getattr(value, "__dict__", {}).items():
            try:
                _inspect(item, binaries, strict)
            except _NotJson as error:
                error.steps.append(f".{name}")
                raise
    elif strict and not isinstance(value, int | Enum):
        try:
            pydantic_core.to_jsonable_python(value)
        except (pydantic_core.PydanticSerializationError, UnicodeError):
            raise _NotJson(f"{type(value).__qualname__} is not JSON") from None


def _inspect_mapping(mapping: Mapping[object, object], binaries: list[BinaryContent], strict: bool) -> None:
    for key, item in mapping.items():
        if strict and not isinstance(key, str):
            raise _NotJson(f"the key {key!r} is not text")
        try:
            if strict:
                _inspect(key, binaries, strict)
            _inspect(item, binaries, strict)
        except _NotJson as error:
            error.steps.append(f".{key}")
            raise


def _surrogate(text: str) -> str | None:
    """The first lone surrogate; encoding finds out ten times as fast as a search would."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return text[error.start]
    return None


def _cleaned(value: object) -> object:
    """JSON-like `value` with each lone surrogate as U+FFFD and each number that JSON lacks as None."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_SURROGATE.sub("\ufffd", str(key)): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list | tuple) else value


def _file(content: BinaryContent) -> File:
    return File(sha256=hashlib.sha256(content.data).hexdigest(), media_type=content.media_type, data=content.data)


def _with_hashes(payload: str, files: Iterable[File]) -> str:
    """`payload` with each file's hash for its bytes. Quotes within JSON text are escaped, so only keys can match."""
    for file in files:
        data = base64.urlsafe_b64encode(file.data).decode()
        payload = payload.replace(f'"data":"{data}"', f'"data":{{"sha256":"{file.sha256}"}}')
    hashes = json.dumps([file.sha256 for file in files], separators=(",", ":"))
    return f'{payload[:-1]},"files":{hashes}}}'


def _with_data(payload: str, files: Callable[[str], bytes] | Mapping[str, bytes]) -> str:
    """The inverse of `_with_hashes`; only the hashes that the payload itself lists are looked up."""
    tree = json.loads(payload)
    hashes = tree.pop("files", ())
    read = files.__getitem__ if isinstance(files, Mapping) else files
    data = {sha256: base64.urlsafe_b64encode(read(sha256)).decode() for sha256 in hashes}

    def restore(value: object) -> object:
        if isinstance(value, list):
            return [restore(item) for item in value]
        if not isinstance(value, dict):
            return value
        named = value.get("data")
        if isinstance(named, dict) and named.keys() == {"sha256"} and named["sha256"] in data:
            value = {**value, "data": data[named["sha256"]]}
        return {key: restore(item) for key, item in value.items()}

    return json.dumps(restore(tree))


def _role(message: ModelMessage) -> Role:
    if isinstance(message, ModelResponse):
        return "assistant"
    if any(isinstance(part, UserPromptPart | SpeechPart) for part in message.parts):
        return "user"
    tool = any(isinstance(part, ToolReturnPart | RetryPromptPart) for part in message.parts)
    return "tool" if tool else "system"


def _created_at(message: ModelMessage) -> datetime:
    stamps = (message.timestamp, *(getattr(part, "timestamp", None) for part in message.parts))
    stamp = next((stamp for stamp in stamps if stamp is not None), None) or now()
    return stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp.astimezone(UTC)


def _cost(response: ModelResponse) -> float | None:
    if response.usage.cost is not None:
        return float(response.usage.cost)
    if not response.model_name or not response.usage.has_values():
        return None
    try:
        return float(response.cost().total_price)
    except (LookupError, ValueError):  # genai-prices does not know the model, or cannot price this usage
        return None


def _text(message: ModelMessage) -> str:
    """What a person reads of it. A user's message is the prompt alone; a response that only calls tools, the calls."""
    parts: Iterable[ModelRequestPart | ModelResponsePart] = message.parts
    if isinstance(message, ModelRequest) and _role(message) == "user":
        parts = [part for part in parts if isinstance(part, UserPromptPart | SpeechPart)]
    texts = [text for part in parts if (text := part_text(part))]
    if not texts:
        calls = [part for part in message.parts if isinstance(part, BaseToolCallPart)]
        texts = [f"{call.tool_name}({_arguments(call)})" for call in calls]
    separator = "" if all(isinstance(part, TextPart) for part in message.parts) else "\n\n"
    text = separator.join(texts).replace("\0", "␀")  # no database takes NUL in a text, nor a lone surrogate
    return _SURROGATE.sub("\ufffd", text) if _surrogate(text) else text


def part_text(part: ModelRequestPart | ModelResponsePart) -> str:
    """What a person reads of one part; '' for what is not for reading, such as thinking."""
    if isinstance(part, UserPromptPart):
        if isinstance(part.content, str):
            return part.content
        return "\n\n".join(text for item in part.content if (text := _item_text(item)))
    if isinstance(part, BaseToolReturnPart):
        items = part.content_items(mode="raw") if part.files else [part.content]
        return "\n\n".join(text for item in items if (text := _item_text(item)))
    if isinstance(part, RetryPromptPart | RetryFeedbackPart):
        return part.model_response()
    if isinstance(part, FilePart):
        return _item_text(part.content)
    if isinstance(part, SpeechPart):
        return part.content or (_item_text(part.audio) if part.audio else "")
    if isinstance(part, TextPart | SystemPromptPart | CompactionPart):
        return part.content or ""
    return ""


def _item_text(item: object) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, TextContent):
        return item.content
    if isinstance(item, BinaryContent):
        return f"[{item.media_type}, {_size(len(item.data))}]"
    if isinstance(item, FileUrl):
        return f"[{getattr(item, 'kind', 'file').removesuffix('-url')} {item.url[:_URL_SHOWN]}]"
    if isinstance(item, UploadedFile):
        return f"[file {item.file_id}]"
    if item is None or isinstance(item, CachePoint):
        return ""
    return _as_json(item)


def _as_json(value: object) -> str:
    try:
        text = pydantic_core.to_json(value, bytes_mode="base64", inf_nan_mode="null", fallback=repr).decode()
    except (ValueError, UnicodeError):
        return repr(value)
    return str(json.loads(text)) if text.startswith('"') else text


def _arguments(call: BaseToolCallPart) -> str:
    return ", ".join(f"{name}={_as_json_text(value)}" for name, value in call.args_as_dict().items())


def _as_json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        return repr(value)


def _size(count: int) -> str:
    """
    >>> [_size(count) for count in (12, 12_345, 3_400_000)]
    ['12 B', '12 KB', '3.4 MB']
    """
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} KB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def _stand_in(message: Message) -> ModelMessage:
    if message.role == "assistant":
        usage = RequestUsage(input_tokens=message.input_tokens or 0, output_tokens=message.output_tokens or 0)
        return ModelResponse(
            parts=[TextPart(message.content)],
            usage=usage,
            model_name=message.model,
            provider_name=message.provider,
            timestamp=message.created_at,
        )
    part = SystemPromptPart if message.role == "system" else UserPromptPart
    return ModelRequest(parts=[part(message.content, timestamp=message.created_at)], timestamp=message.created_at)
