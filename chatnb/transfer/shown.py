"""What a chat cell's saved output says: the answer, its tool calls, and the facts of its closing line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)

from chatnb.records import Session, Turn
from chatnb.transfer.tree import moment

__all__ = ["Shown", "called", "mark", "shown"]

_CLOSING = re.compile(
    r"(?:(?P<status>interrupted|error|waiting) · )?(?P<session>.+?) · (?P<model>[^·\n]+) · (?P<sent>[\d,]+) in"
    r"(?: \((?P<cached>[\d,]+) cached\))? \+ (?P<got>[\d,]+) out · \$(?P<cost>[\d.,e-]+|\?)(?: \([^)]*\))?"
    r" · (?P<took>[\d.,]+) s · [^\n]*"
)
"""The closing line (notebook/closing.py)."""

_HEADING = re.compile(r"continuing [^\n]+: [\d,]+ turns?[^\n]*")
_CALL = re.compile(
    r"<details>\n<summary><code>(?P<call>.*?)</code>(?P<state>[^<\n]*)</summary>\n\n"
    r"(?P<fence>`{3,})json\n(?P<arguments>.*?)\n(?P=fence)"
    r"(?:\n\n(?P<other>`{3,})\n(?P<result>.*?)\n(?P=other))?\n\n</details>",
    re.DOTALL,
)


@dataclass(frozen=True)
class _Call:
    tool: str
    arguments: Mapping[str, Any]
    result: str | None
    failed: bool


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One output. `plain` is the answer's text with its marks of tool calls; ids are known where chatnb left them."""

    plain: str
    calls: tuple[_Call, ...] = ()
    session: str | None = None
    session_id: str | None = None
    turn_id: str | None = None
    owner: str | None = None
    model: str | None = None
    at: datetime | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def is_of(self, user: str) -> bool:
        """Whether this is a turn of this user, by the mark that chatnb left."""
        return self.turn_id is not None and self.owner == _owner(user, self.turn_id)

    def messages(self, model: str | None) -> list[ModelMessage]:
        """The answer as messages: text and calls, each followed by its result."""
        found: list[ModelMessage] = []
        rest = self.plain
        for number, call in enumerate(self.calls):
            before, mark, after = rest.partition(f"[{called(call.tool, call.arguments)}]")
            text, rest = (before, after) if mark else ("", rest)
            call_id = f"call-{number}"
            parts: list[ModelResponsePart] = [TextPart(text.strip())] if text.strip() else []
            parts.append(ToolCallPart(call.tool, dict(call.arguments), tool_call_id=call_id))
            found.append(ModelResponse(parts=parts, model_name=model))
            if call.result is not None:
                returned = ToolReturnPart(
                    call.tool, call.result, tool_call_id=call_id, outcome="failed" if call.failed else "success"
                )
                found.append(ModelRequest(parts=[returned]))
        if rest.strip():
            found.append(ModelResponse(parts=[TextPart(rest.strip())], model_name=model))
        return found


def mark(session: Session, turn: Turn) -> dict[str, object]:
    """What the metadata of a turn's output says of it, as `chatnb`: enough to know it again, without a user's name."""
    return {
        "turn_id": turn.id,
        "session_id": session.id,
        "session": session.label,
        "owner": _owner(session.user_id, turn.id),
        "started_at": turn.started_at.isoformat(),
    }


def _owner(user: str, turn_id: str) -> str:
    return hashlib.sha256(f"{user}\0{turn_id}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def called(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call as a chat cell writes it.

    >>> called("add", {"a": 1, "b": "x"})
    'add(a=1, b="x")'
    """
    given = (f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in arguments.items())
    return f"{tool}({', '.join(given)})"


def shown(outputs: Sequence[Mapping[str, Any]]) -> Shown | None:
    """What a cell's outputs say; None when none of them is an answer."""
    found: Shown | None = None
    for output in outputs:
        if output.get("output_type") not in ("display_data", "execute_result"):
            continue
        data = {kind: _joined(value) for kind, value in (output.get("data") or {}).items()}
        about = output.get("metadata") or {}
        plain = data.get("text/plain") if "jupyter_ai" not in str(about) else None
        text = plain or data.get("text/markdown") or ""
        if isinstance(about.get("chatnb"), Mapping):
            return _with_facts(text, data.get("text/markdown", ""), about["chatnb"])
        closed = _closed(text, data.get("text/markdown", ""))
        if closed is not None:
            return closed
        if found is None and "text/markdown" in data:
            found = Shown(plain=data["text/markdown"], model=_jupyter_ai(about))
    return found if found is not None and found.plain.strip() else None


def _joined(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _jupyter_ai(about: Mapping[str, Any]) -> str | None:
    """The model that jupyter-ai's metadata names; it stands by itself or under the output's type."""
    named = about.get("jupyter_ai") or (about.get("text/markdown") or {}).get("jupyter_ai") or {}
    parts = [named.get("provider_id"), named.get("model_id")]
    return ":".join(str(part) for part in parts if part) or None


def _with_facts(text: str, markdown: str, about: Mapping[str, Any]) -> Shown:
    """An output whose metadata tells of its turn; a cell that ran has a closing line as well."""
    known = {"turn_id", "session_id", "session", "owner", "started_at"}
    facts = {name: value for name, value in about.items() if name not in known}
    told = _closed(text, markdown) or Shown(plain=text, calls=_calls(markdown))
    return replace(
        told,
        session=about.get("session"),
        session_id=about.get("session_id"),
        turn_id=about.get("turn_id"),
        owner=about.get("owner"),
        model=about.get("model") or told.model,
        at=moment(about.get("started_at")),
        facts={**told.facts, **facts},
    )


def _closed(text: str, markdown: str) -> Shown | None:
    """An output that ends in a closing line."""
    blocks = text.split("\n\n")
    closing = _CLOSING.fullmatch(blocks[-1].strip())
    if closing is None:
        return None
    said = blocks[1:-1] if _HEADING.fullmatch(blocks[0]) else blocks[:-1]
    status = closing["status"] or "ok"
    error = said.pop() if status != "ok" and said else None
    facts: dict[str, object] = {
        "status": status,
        "error": error,
        "input_tokens": _number(closing["sent"]),
        "output_tokens": _number(closing["got"]),
        "cache_read_tokens": _number(closing["cached"] or "0"),
        "cost": None if closing["cost"] == "?" else float(closing["cost"].replace(",", "")),
        "duration_ms": float(closing["took"].replace(",", "")) * 1000,
    }
    return Shown(
        plain="\n\n".join(said),
        calls=_calls(markdown),
        session=closing["session"],
        model=closing["model"],
        facts=facts,
    )


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _calls(markdown: str) -> tuple[_Call, ...]:
    """The tool calls that a Markdown output folds away."""
    found = []
    for part in _CALL.finditer(markdown.replace("\u2060", "")):
        try:
            arguments = json.loads(part["arguments"])
        except ValueError:
            continue
        tool = part["call"].partition("(")[0]
        if isinstance(arguments, dict):
            found.append(_Call(tool, arguments, part["result"], "failed" in part["state"]))
    return tuple(found)
