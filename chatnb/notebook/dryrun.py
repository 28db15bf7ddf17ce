"""`--dry-run`: what would be sent and what would not, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from anyio import to_thread
from pydantic_ai.messages import ModelMessage, ModelRequest, SystemPromptPart

from chatnb.agents.capture import Captured, capture
from chatnb.prepare import Ask, Prepared, prepare
from chatnb.stores.store import Store
from chatnb.tokens import estimate, estimate_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["table"]

_SHOWN = 100


async def table(store: Store | None, ask: Ask) -> pd.DataFrame:
    """Everything a turn would send, in order, and below it what it would leave out and why.

    Columns: sent (bool), role, origin ('instructions', 'agent', 'history', 'prompt', 'tools'), seq (place in the
    history), tokens (counted by the provider where it was sent before, else estimated), content, why.
    """
    import pandas as pd

    prepared = await to_thread.run_sync(prepare, store, replace(ask, dry=True))
    rows = [*_sent(prepared, await capture(prepared.request)), *_left_out(prepared)]
    frame = pd.DataFrame(rows, columns=["sent", "role", "origin", "seq", "tokens", "content", "why"])
    return frame.astype({"seq": "Int64", "tokens": "Int64"})


def _sent(prepared: Prepared, captured: Captured) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    if captured.instructions:
        rows.append(_row("system", "instructions", captured.instructions, estimate_text(captured.instructions)))
    if captured.tools:
        rows.append(_row("system", "tools", ", ".join(captured.tools), None))
    history = {id(message): line for message, line in zip(prepared.window.messages, prepared.window.lines, strict=True)}
    lines = list(history.values())
    for message in captured.messages:
        rows += _agent_prompts(message)
        if all(isinstance(part, SystemPromptPart) for part in message.parts):
            continue
        if lines:
            line = lines.pop(0)
            rows.append((True, line.role, "history", line.seq, line.tokens, line.preview, ""))
        else:
            rows.append(_row("user", "prompt", prepared.ask.prompt or "", estimate(_without_system(message))))
    return rows


def _without_system(message: ModelMessage) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message
    return replace(message, parts=[part for part in message.parts if not isinstance(part, SystemPromptPart)])


def _agent_prompts(message: ModelMessage) -> list[tuple[object, ...]]:
    texts = [part.content for part in message.parts if isinstance(part, SystemPromptPart)]
    return [_row("system", "agent", text, estimate_text(text)) for text in texts]


def _row(role: str, origin: str, content: str, tokens: int | None) -> tuple[object, ...]:
    flat = " ".join(content.split())
    return True, role, origin, None, tokens, flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…", ""


def _left_out(prepared: Prepared) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (False, "turn", "history", left.seq, left.tokens, "", left.why) for left in prepared.window.left_out
    ]
    for turn in prepared.rerun.turns:
        rows.append((False, "turn", "history", None, None, turn.prompt[:_SHOWN], "taken back by this run of the cell"))
    return rows
