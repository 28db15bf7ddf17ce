"""Markdown for people: the current histories, with tool calls folded away."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ThinkingPart, ToolCallPart

from chatnb.formats.pydantic_ai import part_text
from chatnb.records import Message, ToolCall, Turn
from chatnb.stores.copying import Whole
from chatnb.transfer.base import Format
from chatnb.transfer.current import turns

__all__ = ["FORMAT", "answered", "fenced"]


def _write(wholes: Iterable[Whole], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for number, whole in enumerate(wholes):
            file.write(("\n" if number else "") + "\n\n".join(_session(whole)) + "\n")


def _session(whole: Whole) -> Iterator[str]:
    session = whole.session
    yield f"# {' '.join(session.label.split())}"
    told = turns(whole)
    facts = [f"{len(told)} turn{'' if len(told) == 1 else 's'}", f"begun {_date(session.created_at)}"]
    if session.last_message_at is not None:
        facts.append(f"last {_date(session.last_message_at)}")
    facts += [", ".join(session.tags)] if session.tags else []
    yield f"*{' · '.join(facts)}*"
    if session.system_prompt:
        yield f"**System prompt**\n\n{_quoted(session.system_prompt)}"
    calls = {(call.turn_id, call.call_id): call for call in whole.calls}
    for turn, messages in told:
        yield from _turn(turn, messages, calls)


def _turn(
    turn: Turn, messages: Sequence[tuple[Message, ModelMessage]], calls: dict[tuple[str, str], ToolCall]
) -> Iterator[str]:
    asked = [record.content for record, _ in messages if record.role == "user"] or [turn.prompt]
    yield "---"
    yield f"**You** · {_date(turn.started_at)}"
    yield from (_quoted(text) for text in asked if text)
    state = "" if turn.status == "ok" else f" · {turn.status}"
    yield f"**{turn.model or 'Answer'}**{state}"
    yield from answered(turn, [message for _, message in messages], calls)
    if turn.error:
        yield f"*{turn.error}*"


def answered(
    turn: Turn,
    messages: Sequence[ModelMessage],
    calls: dict[tuple[str, str], ToolCall],
    drawn: Callable[[str], str] = str,
) -> Iterator[str]:
    """What the model said and did in a turn, block by block: texts, and folded tool calls and thinking.

    `drawn` is applied to the model's own Markdown.
    """
    results = {
        getattr(part, "tool_call_id", ""): part_text(part)
        for message in messages
        if not isinstance(message, ModelResponse)
        for part in message.parts
    }
    for message in messages:
        if not isinstance(message, ModelResponse):
            continue
        for part in message.parts:
            if isinstance(part, TextPart) and part.content.strip():
                yield drawn(part.content.strip())
            elif isinstance(part, ThinkingPart) and part.content.strip():
                yield _folded("thinking", drawn(part.content.strip()))
            elif isinstance(part, ToolCallPart):
                call = calls.get((turn.id, part.tool_call_id))
                arguments = fenced(json.dumps(part.args_as_dict(), ensure_ascii=False, indent=1, default=str), "json")
                said = (call.error or call.result) if call is not None else results.get(part.tool_call_id)
                state = " · failed" if call is not None and call.error is not None else ""
                body = arguments if said is None else f"{arguments}\n\n{fenced(said)}"
                yield _folded(f"<code>{html.escape(part.tool_name)}</code>{state}", body)


def fenced(text: str, language: str = "") -> str:
    """Text as a code block whose fence is longer than any in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _folded(summary: str, body: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _date(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


FORMAT = Format(name="markdown", says="Markdown", suffixes=(".md", ".markdown"), write=_write)
"""Markdown for people; only written."""
