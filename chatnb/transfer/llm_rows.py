"""What both schemas of llm's logs share: the connection, attachments, and one message of a conversation."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from chatnb.transfer.tree import moment

__all__ = ["Logs", "Said", "answer", "prompt", "result", "say", "turn_values", "usage"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message. `text` is what a reader sees of it; `shown` also names its tool calls, to know it again."""

    role: str
    text: str
    shown: str
    message: ModelMessage | None
    at: datetime | None = None
    turn: Mapping[str, object] = field(default_factory=dict)


class Logs:
    """One open logs database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        self.tables = {str(row["name"]) for row in rows}

    @property
    def usable(self) -> bool:
        """Whether it has the tables of either schema."""
        return {"conversations", "responses"} <= self.tables or self.threaded

    @property
    def threaded(self) -> bool:
        """Whether it has the newer tables."""
        return {"threads", "turns", "messages", "parts"} <= self.tables

    def rows(self, sql: str, *params: object) -> list[sqlite3.Row]:
        """The rows of a statement."""
        return self.connection.execute(sql, params).fetchall()

    def optional(self, table: str, sql: str, *params: object) -> list[sqlite3.Row]:
        """The rows of a statement on a table that older databases lack."""
        return self.rows(sql, *params) if table in self.tables else []

    def conversations(self) -> list[tuple[str, str | None]]:
        """Every conversation with its name, oldest first (ids are ULIDs)."""
        named: dict[str, str | None] = {}
        for table in ("conversations", "threads"):
            for row in self.optional(table, f"SELECT id, name FROM {table}"):
                named.setdefault(row["id"], row["name"])
        return sorted(named.items())


def column(row: sqlite3.Row, name: str) -> Any:
    """A column that older databases lack; None there."""
    return row[name] if name in row.keys() else None  # noqa: SIM118  # a Row is no mapping


def attached(row: sqlite3.Row) -> UserContent:
    """An attachment: its content where the database has it, else where it was."""
    if row["content"]:
        return BinaryContent(bytes(row["content"]), media_type=row["type"] or "application/octet-stream")
    return f"[{row['type'] or 'file'} {row['url'] or row['path']}]"


def prompt(text: str, attachments: Sequence[UserContent]) -> ModelRequest:
    """A prompt with its attachments."""
    content = [*([text] if text else []), *attachments]
    return ModelRequest(parts=[UserPromptPart(text if not attachments else content)])


def result(name: str, output: object, call_id: str | None, exception: str | None) -> ToolReturnPart:
    """What a tool gave back."""
    said = str(output) if output is not None else ""
    outcome = "failed" if exception else "success"
    return ToolReturnPart(name, exception or said, tool_call_id=call_id or name, outcome=outcome)  # type: ignore[arg-type]


def answer(
    text: str, reasoning: str, calls: Sequence[ToolCallPart], model: str | None, used: RequestUsage
) -> ModelResponse:
    """What the model gave."""
    parts: list[ModelResponsePart] = [ThinkingPart(reasoning)] if reasoning else []
    parts += [TextPart(text)] if text else []
    return ModelResponse(parts=[*parts, *calls], model_name=model, usage=used)


def say(role: str, message: ModelMessage | None, text: str, row: sqlite3.Row | None) -> Said:
    """A message with the time and the facts of the call that it belongs to."""
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)] if message is not None else []
    shown = json.dumps([text, *([call.tool_name, call.args_as_json_str()] for call in calls)], ensure_ascii=False)
    at = moment(row["datetime_utc"]) if row is not None else None
    return Said(role=role, text=text, shown=shown, message=message, at=at, turn=turn_values(row, role))


def turn_values(row: sqlite3.Row | None, role: str) -> dict[str, object]:
    """What a call of the model says of its turn."""
    if row is None or role != "assistant":
        return {}
    options = json.loads(row["options_json"] or "{}")
    return {"duration_ms": row["duration_ms"], "model": row["model"], "options": options or None}


def usage(row: sqlite3.Row) -> RequestUsage:
    """The tokens of a call as llm counted them; providers name cached ones in their own way."""
    details = json.loads(column(row, "token_details") or "{}")
    cached = _cached(details) if isinstance(details, dict) else 0
    return RequestUsage(
        input_tokens=column(row, "input_tokens") or 0,
        output_tokens=column(row, "output_tokens") or 0,
        cache_read_tokens=cached,
    )


def _cached(details: Mapping[str, object]) -> int:
    nested = details.get("prompt_tokens_details")
    for found in (details.get("cached"), nested.get("cached_tokens") if isinstance(nested, dict) else None):
        if isinstance(found, int):
            return found
    return 0
