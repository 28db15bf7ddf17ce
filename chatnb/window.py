"""What of a history the model sees: the newest whole turns within the limits, in a shape every model takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelResponse,
    SystemPromptPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)

from chatnb.errors import BadInput
from chatnb.records import Message, Role
from chatnb.sendable import ends_as_sent, goes_on, has_text, is_counted, sendable, shortened
from chatnb.tokens import Stored, count, estimate, part_files, part_text

__all__ = ["LeftOut", "Limits", "Line", "Stored", "Window", "first_to_read", "fit"]

PREVIEW_CHARACTERS = 80
"""How long the preview of a message is at most."""


@dataclass(frozen=True)
class Limits:
    """How much history is sent; None is no limit, 0 is no history.

    `max_messages` counts user prompts and answers with text, not tool traffic. `max_tokens` counts tokens.
    """

    max_messages: int | None = None
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a limit."""
        for name, value in (("max_messages", self.max_messages), ("max_tokens", self.max_tokens)):
            if value is not None and value < 0:
                raise BadInput(f"{name} is {value!r}, and a limit cannot be below 0. Leave it out for no limit.")


@dataclass(frozen=True)
class Line:
    """One sent message, for people to read; `tokens` is what it takes, `preview` how it begins."""

    role: Role
    origin: str
    seq: int
    turn_id: str
    tokens: int
    preview: str


@dataclass(frozen=True)
class LeftOut:
    """A turn, or with `seq` one message of it, that was read and is not sent; `tokens` is what it would take."""

    turn_id: str
    seq: int | None
    why: str
    tokens: int


@dataclass(frozen=True)
class Window:
    """What the model sees of a history.

    `from_seq` is where it begins, to be given back as the next turn's `window_seq`. `turns` of the `turns_read` whole
    turns that were read are sent; `turns_read` is all of them when the history was read from its start. `shortened`
    tool results were cut to fit, and `over` says that it still takes more `tokens` than the limit. With `needs_more`,
    too little was read to tell: read from further back and fit again.
    """

    messages: tuple[ModelMessage, ...]
    lines: tuple[Line, ...]
    left_out: tuple[LeftOut, ...]
    from_seq: int
    tokens: int
    turns: int
    turns_read: int
    shortened: int
    over: bool
    needs_more: bool


@dataclass(frozen=True)
class _Unit:
    """Turns that are sent together or not at all, nearly always one: as stored, as sent, and what each takes."""

    stored: tuple[Stored, ...]
    sent: tuple[Stored, ...]
    tokens: tuple[int, ...]

    @property
    def first_seq(self) -> int:
        return self.stored[0].record.seq

    @property
    def last_seq(self) -> int:
        return self.stored[-1].record.seq

    @property
    def total(self) -> int:
        return sum(self.tokens)

    @property
    def counted(self) -> int:
        return sum(is_counted(stored.message) for stored in self.sent)


@dataclass(frozen=True)
class _Choice:
    """The first unit that is sent, whether more must be read to be sure, and which limit left the others out."""

    start: int
    needs_more: bool
    why: str = ""


def fit(
    history: Sequence[Stored], limits: Limits, *, window_seq: int = 0, reserved: int = 0, first_read: int = 1
) -> Window:
    """Choose what of a history the model sees.

    Whole turns are sent, the newest always. An interrupted turn is sent up to its last answered tool call, and its
    partial text is marked. With `max_tokens` alone the window goes on from where it began until that is over the
    limit, and then drops to half of it at once, so that the beginning stays the same for many turns and the
    provider's cache works. With `max_messages` it holds the newest turns that both limits allow.

    Parameters
    ----------
    history
        The newest stored messages, oldest first; how many, `first_to_read` tells.
    limits
        What the session allows.
    window_seq
        Where the window of the turn before began (`Window.from_seq`); 0 for the start.
    reserved
        Tokens of the limit that the system prompt and the new prompt take.
    first_read
        The `seq` that the history was read from. Above 1, its first turn may be cut and is not sent.

    Returns
    -------
    Window
        What is sent, what is not and why.
    """
    whole = first_read <= 1
    units = _units(history)[0 if whole else 1 :]
    budget = None if limits.max_tokens is None else limits.max_tokens - reserved
    choice = _choose(units, limits, budget, window_seq, whole)
    chosen = [unit for unit in units[choice.start :] if unit.sent]
    sent = [stored for unit in chosen for stored in unit.sent]
    tokens = [number for unit in chosen for number in unit.tokens]
    cuts = 0
    if budget is not None and len(chosen) == 1:
        sent, tokens, cuts = shortened(sent, tokens, budget)
    return Window(
        messages=tuple(stored.message for stored in sent),
        lines=tuple(_line(stored, number) for stored, number in zip(sent, tokens, strict=True)),
        left_out=tuple(
            entry for i, unit in enumerate(units) for entry in _left_out(unit, choice.why if i < choice.start else "")
        ),
        from_seq=chosen[0].first_seq if chosen else window_seq,
        tokens=sum(tokens),
        turns=_turns(sent),
        turns_read=_turns([stored for unit in units for stored in unit.stored]),
        shortened=cuts,
        over=budget is not None and bool(chosen) and sum(tokens) > budget,
        needs_more=choice.needs_more,
    )


def first_to_read(limits: Limits, *, window_seq: int = 0, last_seq: int, attempt: int = 0) -> int:
    """The `seq` to read a history from, so that `fit` can tell the window without the whole of it.

    Read from it, `fit`, and while the window `needs_more`, ask again with the next `attempt`, which reaches back
    twice as far; at 1 nothing is left to read.

    Parameters
    ----------
    limits, window_seq
        As `fit` takes them.
    last_seq
        The newest message's `seq`.
    attempt
        How many times too little was read, from 0.

    Returns
    -------
    int
        A `seq` from 1.
    """
    reach = 1 << attempt
    rows = []
    if limits.max_messages is not None:
        rows.append(2 * limits.max_messages + 16)
    if limits.max_tokens is not None:
        rows.append(limits.max_tokens // 200 + 16)
    if not rows:
        return 1
    # The window begins where it did, one message further back: the first turn that `fit` is given is not sent.
    begins = window_seq - reach if limits.max_messages is None and window_seq <= last_seq else 1
    return max(1, begins, last_seq + 1 - min(rows) * reach)


def _units(history: Sequence[Stored]) -> list[_Unit]:
    groups: list[list[Stored]] = []
    for stored in history:
        # A turn that opens with an answer or a tool result goes on with the one before it (`%chat continue`, a
        # client's tool results), and could not be sent without it.
        if groups and (groups[-1][-1].record.turn_id == stored.record.turn_id or goes_on(stored.message)):
            groups[-1].append(stored)
        else:
            groups.append([stored])
    units = []
    before: Message | None = None
    for group in groups:
        sent = sendable(group)
        units.append(_Unit(tuple(group), tuple(sent), tuple(count(sent, before))))
        before = group[-1].record if ends_as_sent(group[-1].message) else None
    return units


def _choose(units: Sequence[_Unit], limits: Limits, budget: int | None, window_seq: int, whole: bool) -> _Choice:
    if limits.max_messages == 0 or limits.max_tokens == 0:
        return _Choice(len(units), False, "no history is sent")
    over = "" if limits.max_tokens is None else f"over the limit of {limits.max_tokens:,} tokens"
    if limits.max_messages is not None:
        start, stopped = _newest(units, limits.max_messages, budget)
        many = f"over the limit of {limits.max_messages:,} messages"
        return _Choice(start, not (stopped or whole), over if stopped == "tokens" else many)
    if budget is None:
        return _Choice(0, not whole)
    start = next((i for i, unit in enumerate(units) if unit.last_seq >= window_seq), len(units))
    if not any(unit.sent for unit in units[start:]):
        # The window began beyond what there is now: after an undo, or on another branch.
        start = window_seq = 0
    if sum(unit.total for unit in units[start:]) > budget:
        return _Choice(_newest(units, None, budget // 2)[0], False, over)
    reached = whole or (bool(units) and window_seq > 0 and units[0].first_seq <= window_seq)
    return _Choice(start, not reached, over)


def _newest(units: Sequence[_Unit], most: int | None, budget: int | None) -> tuple[int, str]:
    """Where the newest units that fit begin, and the limit that stopped there: 'messages', 'tokens' or ''."""
    counted = tokens = 0
    start, held = len(units), False
    for index in reversed(range(len(units))):
        counted += units[index].counted
        tokens += units[index].total
        # The newest that can be sent is sent, whatever it takes.
        if held and most is not None and counted > most:
            return start, "messages"
        if held and budget is not None and tokens > budget:
            return start, "tokens"
        start, held = index, held or bool(units[index].sent)
    return 0, ""


def _left_out(unit: _Unit, over: str) -> list[LeftOut]:
    """What of a unit is not sent: each turn of which nothing is, and the single messages of the others."""
    sent = {id(stored.record): number for stored, number in zip(unit.sent, unit.tokens, strict=True)}
    entries = []
    for turn_id, turn in _by_turn(unit.stored):
        unsent = [stored for stored in turn if id(stored.record) not in sent]
        if over and len(unsent) < len(turn):
            entries.append(LeftOut(turn_id, None, over, sum(sent.get(id(stored.record), 0) for stored in turn)))
        elif len(unsent) == len(turn):
            entries.append(LeftOut(turn_id, None, _why_not(turn), sum(estimate(stored.message) for stored in turn)))
        else:
            entries.extend(
                LeftOut(turn_id, stored.record.seq, _why_not([stored]), estimate(stored.message)) for stored in unsent
            )
    return entries


def _why_not(unsent: Sequence[Stored]) -> str:
    parts = [part for stored in unsent for part in stored.message.parts]
    if parts and all(isinstance(part, SystemPromptPart) for part in parts):
        return "only a system prompt, and every run sends its own"
    if any(isinstance(part, ToolCallPart) for part in parts):
        return "interrupted before its tools answered"
    if any(isinstance(part, ToolReturnPart) for part in parts):
        return "a tool result without its call"
    if not any(isinstance(stored.message, ModelResponse) for stored in unsent):
        return "only a prompt, nothing answered"
    if any(has_text(stored.message) for stored in unsent):
        return "an answer without a prompt before it"
    return "interrupted before any text"


def _by_turn(stored: Sequence[Stored]) -> list[tuple[str, list[Stored]]]:
    return [(turn_id, list(turn)) for turn_id, turn in groupby(stored, key=lambda one: one.record.turn_id)]


def _turns(stored: Sequence[Stored]) -> int:
    return len(_by_turn(stored))


def _line(stored: Stored, tokens: int) -> Line:
    said = [part for part in stored.message.parts if not isinstance(part, ThinkingPart)]
    texts = [part_text(part)[: 4 * PREVIEW_CHARACTERS] for part in said]
    files = [file.media_type if isinstance(file, BinaryContent) else file.kind for p in said for file in part_files(p)]
    preview = " ".join(" ".join([*texts, *(f"[{file}]" for file in files)]).split())
    if len(preview) > PREVIEW_CHARACTERS:
        preview = preview[: PREVIEW_CHARACTERS - 1] + "…"
    record = stored.record
    return Line(record.role, "history", record.seq, record.turn_id, tokens, preview)
