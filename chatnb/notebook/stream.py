"""Draw a turn while it goes on: Markdown in one display that is updated, tool calls and thinking folded away."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from IPython.display import DisplayHandle

from chatnb.agents.events import RunEnded, TextDelta, ThinkingDelta, ToolEnded, ToolStarted
from chatnb.chat import failure
from chatnb.notebook.closing import closing_line
from chatnb.notebook.markdown import fenced, folded, inline_code, literal, safe
from chatnb.records import Turn
from chatnb.transfer.shown import mark
from chatnb.turn import Closed, Opening, TurnEvent

__all__ = ["Drawing"]

INTERVAL = 1 / 15
"""Seconds between two updates: more cannot be seen and makes long answers slow."""

SHARE = 5
"""A drawing that took long is followed by a pause this many times as long, so that drawing never holds an answer up."""

RESULT_SHOWN = 4_000
"""Characters of a tool's result that are shown; the whole of it is stored."""


@dataclass
class _Text:
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class _Thinking(_Text):
    pass


@dataclass
class _Tool:
    started: ToolStarted
    began: float = field(default_factory=time.monotonic)
    ended: ToolEnded | None = None
    took: float = 0.0


class Drawing:
    """One turn on the screen.

    Parameters
    ----------
    heading
        A line above the answer, or ''.
    """

    def __init__(self, heading: str = "") -> None:
        self._heading = heading
        self._parts: list[_Text | _Tool] = []
        self._waiting_for = ""
        self._closed: Closed | None = None
        self._handle = DisplayHandle()
        self._shown = ""
        self._next_at = 0.0
        self._due: asyncio.TimerHandle | None = None

    def take(self, event: TurnEvent, heading: str = "") -> None:
        """Draw what an event brings, now or at the next update."""
        if isinstance(event, Opening):
            self._heading = heading
            self._waiting_for = event.prepared.model_name
        elif isinstance(event, TextDelta):
            self._last(_Text).pieces.append(event.text)
        elif isinstance(event, ThinkingDelta):
            self._last(_Thinking).pieces.append(event.text)
        elif isinstance(event, ToolStarted):
            self._parts.append(_Tool(event))
        elif isinstance(event, ToolEnded):
            self._end_tool(event)
        elif isinstance(event, Closed):
            self._closed = event
        elif not isinstance(event, RunEnded):
            return
        at_once = not isinstance(event, TextDelta | ThinkingDelta)
        self._draw() if at_once or time.monotonic() >= self._next_at else self._draw_later()

    def _last(self, kind: type[_Text]) -> _Text:
        last = self._parts[-1] if self._parts else None
        if isinstance(last, _Text) and type(last) is kind:
            return last
        self._parts.append(part := kind())
        return part

    def _end_tool(self, event: ToolEnded) -> None:
        for part in reversed(self._parts):
            if isinstance(part, _Tool) and part.started.call_id == event.call_id and part.ended is None:
                part.ended, part.took = event, time.monotonic() - part.began
                return

    def _draw_later(self) -> None:
        """Draw when the interval is over, should no event come before."""
        if self._due is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # without a loop of ours the next event draws
        self._due = loop.call_later(self._next_at - time.monotonic(), self._draw)

    def _draw(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        began = time.monotonic()
        text = self.markdown()
        if text == self._shown:
            return
        first, self._shown = not self._shown, text
        data = {"text/markdown": text, "text/plain": self.plain()}
        show = self._handle.display if first else self._handle.update
        show(data, metadata=self._metadata(), raw=True)
        ended = time.monotonic()
        self._next_at = ended + max(INTERVAL, SHARE * (ended - began))

    def _metadata(self) -> dict[str, object]:
        """What the saved notebook says of the turn, so that importing it does not double what the store has."""
        return {"chatnb": mark(self._closed.prepared.session, self._closed.turn)} if self._closed else {}

    def markdown(self) -> str:
        """The turn as Markdown."""
        blocks = [f"<small>{literal(self._heading)}</small>"] if self._heading else []
        blocks += [_drawn(part) for part in self._parts]
        if self._closed is None and not self._parts:
            blocks.append(f"*asking {safe(self._waiting_for)} …*")
        if self._closed is not None:
            blocks += [fenced(self._closed.turn.answer, "json")] if _is_object(self._closed.turn) else []
            blocks += _problems(self._closed)
            blocks.append(f"<small>{literal(closing_line(self._closed))}</small>")
        return "\n\n".join(block for block in blocks if block)

    def plain(self) -> str:
        """The turn as text, where Markdown is not drawn."""
        blocks = [self._heading] if self._heading else []
        for part in self._parts:
            if type(part) is _Text:
                blocks.append(part.text.strip())
            elif isinstance(part, _Tool):
                blocks.append(f"[{part.started.tool}({_arguments(part.started)})]")
        if self._closed is not None:
            blocks += [self._closed.turn.answer] if _is_object(self._closed.turn) else []
            blocks += [problem.removeprefix("> ") for problem in _problems(self._closed)]
            blocks.append(closing_line(self._closed))
        return "\n\n".join(block for block in blocks if block)


def _is_object(turn: Turn) -> bool:
    """Whether the answer is an object that was asked for: its JSON was no part of the text."""
    return turn.status == "ok" and not isinstance(turn.output, str)


def _problems(closed: Closed) -> list[str]:
    """What is not as it should be; an error that the cell raises is shown by the cell."""
    found = []
    if closed.turn.error and failure(closed) is None:
        found.append(f"> {safe(closed.turn.error)}")
    if closed.store_error is not None:
        found.append(
            f"> **Not in the store yet.** {safe(str(closed.store_error))} The turn waits in a journal until it can."
        )
    return found


def _drawn(part: _Text | _Tool) -> str:
    if isinstance(part, _Thinking):
        return folded("thinking", safe(part.text).strip())
    if isinstance(part, _Text):
        return safe(part.text).strip()
    call = f"{part.started.tool}({_arguments(part.started)})"
    summary = inline_code(call if len(call) <= 90 else call[:89] + "…")
    arguments = fenced(json.dumps(part.started.arguments, ensure_ascii=False, indent=1, default=str), "json")
    if part.ended is None:
        return folded(f"{summary} …", arguments)
    failed = part.ended.error is not None
    said = (part.ended.error if failed else part.ended.result) or ""
    if len(said) > RESULT_SHOWN:
        said = f"{said[:RESULT_SHOWN]}\n… {len(said) - RESULT_SHOWN:,} more characters are stored"
    state = f"failed, {part.took:.1f} s" if failed else f"{part.took:.1f} s"
    return folded(f"{summary} · {state}", f"{arguments}\n\n{fenced(said)}")


def _arguments(started: ToolStarted) -> str:
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in started.arguments.items()
    )
