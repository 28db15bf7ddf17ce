"""`--dry-run`: what would be sent and what would not, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from anyio import to_thread
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelRequestPart, ModelResponsePart, SystemPromptPart

from chatnb.agents.capture import Captured, capture
from chatnb.prepare import Ask, Prepared, prepare
from chatnb.stores.store import Store
from chatnb.tokens import estimate, estimate_text, part_files, part_text
from chatnb.window import Line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "table"]

COLUMNS = ("sent", "role", "origin", "seq", "tokens", "content", "why")

_Row = tuple[bool, str, str, int | None, int | None, str, str]
_Part = ModelRequestPart | ModelResponsePart


async def table(store: Store | None, ask: Ask) -> pd.DataFrame:
    """Everything a turn would send, in order, and below it what it would leave out and why.

    Columns: sent (bool), role ('' for what is not a message), origin, seq (place in the history), tokens (counted by
    the provider where it was sent before, else estimated), content (in full), why. The origins are 'model' (its name
    and the settings), 'tools', 'agent' (the agent's own system prompt), 'instructions' (the agent's), 'system prompt'
    (the session's), 'history' and 'prompt'.
    """
    import pandas as pd

    prepared = await to_thread.run_sync(prepare, store, replace(ask, dry=True))
    asked = await to_thread.run_sync(_prompts, store, prepared)
    rows = [*_sent(prepared, await capture(prepared.request)), *_left_out(prepared, asked)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"seq": "Int64", "tokens": "Int64"})


def _sent(prepared: Prepared, captured: Captured) -> Iterator[_Row]:
    settings = ", ".join(f"{name}={value!r}" for name, value in captured.settings.items())
    yield True, "", "model", None, None, " · ".join(filter(None, [prepared.model_name, settings])), ""
    if captured.tools:
        yield True, "", "tools", None, None, ", ".join(captured.tools), ""
    parts = [part for message in captured.messages for part in message.parts]
    for part in parts:
        if isinstance(part, SystemPromptPart):
            yield _system("agent", part.content)
    for text in captured.instructions:
        yield _system("system prompt" if text == prepared.request.system_prompt else "instructions", text)
    stored: dict[int, Line] = {}
    for message, line in zip(prepared.window.messages, prepared.window.lines, strict=True):
        stored.update({id(part): line for part in message.parts})
    said = [part for part in parts if not isinstance(part, SystemPromptPart)]
    for line_or_none, group in groupby(said, key=lambda part: stored.get(id(part))):
        yield _message(line_or_none, list(group))


def _system(origin: str, text: str) -> _Row:
    return True, "system", origin, None, estimate_text(text), text, ""


def _message(line: Line | None, parts: Sequence[_Part]) -> _Row:
    """One message of the history; what no stored message holds is the new prompt."""
    files = [f"[{getattr(file, 'media_type', file.kind)}]" for part in parts for file in part_files(part)]
    content = "\n\n".join([*filter(None, map(part_text, parts)), *files])
    if line is not None:
        return True, line.role, "history", line.seq, line.tokens, content, ""
    prompt: ModelMessage = ModelRequest(parts=list(parts))  # type: ignore[arg-type]  # a response is always stored
    return True, "user", "prompt", None, estimate(prompt), content, ""


def _prompts(store: Store | None, prepared: Prepared) -> dict[str, str]:
    """The prompts of the turns that are left out, by the turn's id."""
    if store is None or prepared.created or not prepared.window.left_out:
        return {}
    return {turn.id: turn.prompt for turn in store.history_turns(prepared.session)}


def _left_out(prepared: Prepared, asked: dict[str, str]) -> Iterator[_Row]:
    window = prepared.window
    older = prepared.history_turns - window.turns_read
    if older > 0:
        yield False, "turn", "history", None, None, f"{older:,} older turns", "beyond the limit of the history"
    for left in window.left_out:
        yield False, "turn", "history", left.seq, left.tokens, asked.get(left.turn_id, ""), left.why
    for turn in prepared.rerun.turns:
        yield False, "turn", "history", None, None, turn.prompt, "taken back by this run of the cell"
