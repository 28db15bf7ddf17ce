"""llm's logs from 0.32 on: `threads` of `turns`, and `messages` as a tree."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_ai.messages import ModelRequest, ToolCallPart, UserContent
from pydantic_ai.usage import RequestUsage

from chatnb.transfer.llm_rows import Logs, Said, answer, attached, prompt, result, say, usage

__all__ = ["thread_of"]

_CHAIN = """
WITH RECURSIVE chain(hash, parent_hash, role, depth) AS (
  SELECT hash, parent_hash, role, 0 FROM messages WHERE hash = ?
  UNION ALL
  SELECT messages.hash, messages.parent_hash, messages.role, chain.depth + 1
  FROM messages JOIN chain ON messages.hash = chain.parent_hash
)
SELECT hash, role FROM chain ORDER BY depth DESC"""


def thread_of(logs: Logs, thread_id: str) -> list[list[Said]]:
    """The ways a thread went, each from its start; a call of the model that goes on from another repeats it."""
    if not logs.threaded:
        return []
    turns = logs.rows("SELECT * FROM turns WHERE thread_id = ? ORDER BY datetime_utc, id", thread_id)
    chains = [[(row["hash"], row["role"]) for row in logs.rows(_CHAIN, turn["tip_message_hash"])] for turn in turns]
    owners: dict[str, sqlite3.Row] = {}
    for turn, chain in zip(turns, chains, strict=True):
        for hash_, _ in chain:
            owners.setdefault(hash_, turn)  # the first call that has a message is the one it was made in
    return [[_said(logs, hash_, role, owners[hash_]) for hash_, role in chain] for chain in chains]


def _said(logs: Logs, hash_: str, role: str, turn: sqlite3.Row) -> Said:
    parts = [_part(logs, row) for row in _parts(logs, hash_)]
    text = "\n\n".join(str(part.get("text") or "") for part in parts if part["type"] == "text")
    if role == "assistant":
        reasoning = "\n\n".join(str(part.get("text") or "") for part in parts if part["type"] == "reasoning")
        calls = [
            ToolCallPart(
                part["name"], part.get("arguments") or {}, tool_call_id=part.get("tool_call_id") or part["name"]
            )
            for part in parts
            if part["type"] == "tool_call"
        ]
        own = turn["tip_message_hash"] == hash_
        model = turn["resolved_model"] or turn["model"]
        return say(role, answer(text, reasoning, calls, model, usage(turn) if own else RequestUsage()), text, turn)
    if role == "tool":
        found = [part for part in parts if part["type"] == "tool_result"]
        returned = [
            result(part["name"], part.get("output"), part.get("tool_call_id"), part.get("exception")) for part in found
        ]
        text = "\n".join(str(part.content) for part in returned)
        return say(role, ModelRequest(parts=returned), text, turn)
    if role == "system":
        return say(role, None, text, turn)
    return say("user", prompt(text, _attachments(logs, parts)), text, turn)


def _parts(logs: Logs, hash_: str) -> list[sqlite3.Row]:
    return logs.rows("SELECT * FROM parts WHERE message_hash = ? ORDER BY position", hash_)


def _part(logs: Logs, row: sqlite3.Row) -> dict[str, Any]:
    """A part with its text in place; text that borrows from fragments names them (llm/logs.py, text_ref)."""
    part: dict[str, Any] = {**json.loads(row["payload"] or "{}"), "type": row["type"]}
    if row["text"] is not None:
        part["text"] = row["text"]
    elif "text_ref" in part:
        part["text"] = "".join(_piece(logs, piece) for piece in part["text_ref"])
    return part


def _piece(logs: Logs, piece: Mapping[str, Any]) -> str:
    if "literal" in piece:
        return str(piece["literal"])
    rows = logs.rows("SELECT content FROM fragments WHERE id = ?", piece["fragment"])
    return str(rows[0]["content"]) if rows else ""


def _attachments(logs: Logs, parts: Sequence[Mapping[str, Any]]) -> list[UserContent]:
    ids = [part["attachment"]["id"] for part in parts if part["type"] == "attachment" and part.get("attachment")]
    rows = [row for one in ids for row in logs.rows("SELECT * FROM attachments WHERE id = ?", one)]
    return [attached(row) for row in rows]
