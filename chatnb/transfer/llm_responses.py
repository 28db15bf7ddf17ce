"""llm's logs up to 0.31: `responses`, one row for each answer of a model."""

from __future__ import annotations

import json
import sqlite3

from pydantic_ai.messages import ModelRequest, ToolCallPart

from chatnb.transfer.llm_rows import Logs, Said, answer, attached, column, prompt, result, say, usage

__all__ = ["responses_of"]

_FRAGMENTS = (
    "SELECT fragments.content FROM {table} JOIN fragments ON fragments.id = {table}.fragment_id"
    ' WHERE {table}.response_id = ? ORDER BY {table}."order"'
)
_ATTACHMENTS = (
    "SELECT attachments.* FROM prompt_attachments JOIN attachments ON attachments.id = prompt_attachments.attachment_id"
    ' WHERE prompt_attachments.response_id = ? ORDER BY prompt_attachments."order"'
)


def responses_of(logs: Logs, conversation_id: str) -> list[Said]:
    """Everything that was said in a conversation, in order."""
    if "responses" not in logs.tables:
        return []
    rows = logs.rows("SELECT * FROM responses WHERE conversation_id = ? ORDER BY datetime_utc, id", conversation_id)
    return [said for row in rows for said in _said(logs, row)]


def _fragments(logs: Logs, table: str, response_id: str, text: str | None) -> str:
    """A prompt as it was sent: its fragments come before it (llm/models.py, Prompt.prompt)."""
    rows = logs.optional(table, _FRAGMENTS.format(table=table), response_id)
    return "\n".join([*(row["content"] for row in rows), *([text] if text else [])])


def _said(logs: Logs, row: sqlite3.Row) -> list[Said]:
    found: list[Said] = []
    system = _fragments(logs, "system_fragments", row["id"], row["system"])
    if system:
        found.append(say("system", None, system, row))
    results = logs.optional("tool_results", "SELECT * FROM tool_results WHERE response_id = ? ORDER BY id", row["id"])
    returned = [result(one["name"], one["output"], one["tool_call_id"], column(one, "exception")) for one in results]
    if returned:
        text = "\n".join(str(part.content) for part in returned)
        found.append(say("tool", ModelRequest(parts=returned), text, row))
    attachments = [attached(one) for one in logs.optional("prompt_attachments", _ATTACHMENTS, row["id"])]
    asked = _fragments(logs, "prompt_fragments", row["id"], row["prompt"])
    if asked or attachments or not returned:
        found.append(say("user", prompt(asked, attachments), asked, row))
    rows = logs.optional("tool_calls", "SELECT * FROM tool_calls WHERE response_id = ? ORDER BY id", row["id"])
    calls = [
        ToolCallPart(one["name"], json.loads(one["arguments"] or "{}"), tool_call_id=one["tool_call_id"] or one["name"])
        for one in rows
    ]
    text, reasoning = row["response"] or "", column(row, "reasoning") or ""
    if text or calls:
        model = column(row, "resolved_model") or row["model"]
        found.append(say("assistant", answer(text, reasoning, calls, model, usage(row)), text, row))
    return found
