"""The closing line of a turn: what it used, what it cost, how much history it saw, and what happened to others."""

from __future__ import annotations

from datetime import datetime
from math import floor, log10

from chatnb.records import Session, Turn, now
from chatnb.turn import Closed
from chatnb.wording import counted

__all__ = ["ago", "closing_line", "continuing", "money"]


def money(cost: float | None) -> str:
    """A cost in US dollars; `$?` when it is not known.

    >>> money(0.1234), money(0.00412), money(0.0000625), money(0.0), money(None)
    ('$0.12', '$0.0041', '$0.000063', '$0', '$?')
    """
    if cost is None:
        return "$?"
    if cost == 0:
        return "$0"
    places = 2 if cost >= 0.01 else 1 - floor(log10(cost))  # two digits that tell, and never 6.3e-05
    return f"${cost:,.{places}f}"


def ago(moment: datetime, reference: datetime | None = None) -> str:
    """How long ago a moment was, in the largest whole unit.

    >>> from datetime import timedelta
    >>> ago(now() - timedelta(days=22))
    '3 weeks ago'
    """
    seconds = max(((reference or now()) - moment).total_seconds(), 0)
    for unit, length in (
        ("year", 31_557_600),
        ("month", 2_629_800),
        ("week", 604_800),
        ("day", 86_400),
        ("hour", 3600),
    ):
        if seconds >= length:
            return counted(int(seconds // length), unit) + " ago"
    return f"{counted(int(seconds // 60), 'minute')} ago" if seconds >= 60 else "just now"


def closing_line(closed: Closed) -> str:
    """The closing line, as text."""
    turn, prepared = closed.turn, closed.prepared
    label = prepared.session.label
    cached = f" ({turn.cache_read_tokens:,} cached)" if turn.cache_read_tokens else ""
    pieces = [
        label,
        turn.model or "?",
        f"{turn.input_tokens:,} in{cached} + {turn.output_tokens:,} out",
        _cost(closed),
        f"{(turn.duration_ms or 0) / 1000:.1f} s",
        _history(closed),
        *_notes(closed),
    ]
    if turn.status != "ok":
        pieces.insert(0, turn.status)
    return " · ".join(pieces)


def _cost(closed: Closed) -> str:
    turn, prepared = closed.turn, closed.prepared
    # A turn of which nothing was billed has no cost to be unknown.
    cost = turn.cost if turn.requests else turn.cost or 0.0
    unpriced = prepared.unpriced + (cost is None)
    total = prepared.cost + (turn.cost or 0.0)
    whole = money(total) if total or not unpriced else ""
    rest = "" if not unpriced else "+?" if whole else "$?"
    return f"{money(cost)} ({prepared.session.label} {whole}{rest})"


def _history(closed: Closed) -> str:
    window = closed.prepared.window
    if not closed.prepared.history_turns:
        return "no history"
    return f"history {window.turns} of {counted(closed.prepared.history_turns, 'turn')}"


def _notes(closed: Closed) -> list[str]:
    window, notes = closed.prepared.window, []
    if window.shortened:
        notes.append(f"{counted(window.shortened, 'tool result')} shortened to fit")
    if window.over:
        notes.append("the newest turn alone is over the limit")
    if closed.took_back:
        left = f"{counted(len(closed.took_back), 'turn')} left as a branch"
        notes.append(f"{left} (%chat branches {closed.prepared.branch.id[-8:]} goes back to it)")
    elif closed.prepared.rerun.turns:
        notes.append("added at the end, since another turn came meanwhile")
    if closed.prepared.rerun.note:
        notes.append(closed.prepared.rerun.note)
    return notes


def continuing(session: Session, turns: int, newest: Turn | None) -> str:
    """What a kernel's first turn in an older session says."""
    pieces = [f"continuing {session.label}: {counted(turns, 'turn')}"]
    if session.last_message_at is not None:
        pieces.append(f"last {ago(session.last_message_at)}")
    if newest is not None and newest.notebook:
        pieces.append(newest.notebook.rsplit("/", 1)[-1])
    return ", ".join(pieces)
