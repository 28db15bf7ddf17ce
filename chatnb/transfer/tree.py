"""Another program's conversation, a tree of messages, as a session with branches and turns.

Ids are made of the source's own, so that importing twice gives the same ones: a UUID whose time is the source's and
whose other bits are a hash of the names (RFC 9562 version 7, where those bits are the maker's to choose). They sort by
time like every id of chatnb, which keeps one history's rows together on disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart

from chatnb.formats.pydantic_ai import part_text, to_record
from chatnb.records import Branch, File, Message, Session, ToolCall, Turn
from chatnb.stores.copying import Whole
from chatnb.stores.merging import SOURCE_ID
from chatnb.stores.plainjson import SURROGATE, cleaned
from chatnb.transfer.base import Reader

__all__ = ["Conversation", "Node", "assembled", "joined", "moment", "stable_id", "tool_calls"]

_TICK = timedelta(milliseconds=1)
_BEGINNING = datetime.fromtimestamp(0, UTC)

UNANSWERED = "The source has no answer."
"""The `error` of a turn that its source shows without one."""


def stable_id(at: datetime | None, *names: str) -> str:
    """An id that is always the same for the same time and names.

    >>> stable_id(None, "a", "b") == stable_id(None, "a", "b") != stable_id(None, "ab")
    True
    """
    digest = int.from_bytes(hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).digest()[:10], "big")
    milliseconds = max(int(at.timestamp() * 1000), 0) if at is not None else 0
    value = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | (digest >> 68) << 64 | 2 << 62 | digest & (1 << 62) - 1
    return str(UUID(int=value))


def moment(value: object) -> datetime | None:
    """A time as other programs write it, or None: seconds since 1970, or ISO 8601, which without a zone is UTC.

    >>> moment(1700000000.5).isoformat()
    '2023-11-14T22:13:20.500000+00:00'
    >>> moment("2026-01-02T03:04:05Z") == moment("2026-01-02 03:04:05")
    True
    """
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


@dataclass(frozen=True, kw_only=True)
class Node:
    """What one message of the source says, after another; `asks` when a turn begins with it.

    `at` is when; the messages get it as their time. `turn` are values for the turn's row, such as its duration; an
    `id` among them is kept.
    """

    id: str
    parent: str | None
    messages: tuple[ModelMessage, ...]
    asks: bool = False
    at: datetime | None = None
    turn: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """A conversation as another program keeps it. `current` is the node that its current history ends in.

    `written_at` stands for its times where the source has none.
    """

    id: str
    source: str
    nodes: Sequence[Node]
    name: str | None = None
    current: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    written_at: datetime | None = None
    system_prompt: str | None = None
    is_active: bool = True
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Told:
    """One turn: its key, the nodes it is told by, and the key of the turn before it."""

    key: str
    path: tuple[Node, ...]
    before: str | None


def assembled(conversation: Conversation, reader: Reader) -> Whole:
    """The conversation as a session: its first line is the main branch, every other way it went an edit branch."""
    return _Assembly(conversation, reader).whole()


class _Assembly:
    def __init__(self, conversation: Conversation, reader: Reader) -> None:
        self._conversation = conversation
        self._reader = reader
        self._files: dict[str, File] = {}
        self._calls: list[ToolCall] = []
        self._messages: list[Message] = []
        self._turns: list[Turn] = []
        self._branches: dict[str, Branch] = {}
        self._ends: dict[str, tuple[str, int]] = {}  # a turn's key -> its branch and its last seq
        self._begun: dict[str, tuple[datetime | None, datetime]] = {}  # a turn's key -> its time for ids, and shown

    def whole(self) -> Whole:
        conversation = self._conversation
        times = [node.at for node in conversation.nodes if node.at is not None]
        created = conversation.created_at or min(times, default=conversation.written_at or _BEGINNING)
        updated = conversation.updated_at or max(times, default=created)
        session = Session(
            id=conversation.id,
            user_id=self._reader.me,
            project=self._reader.project,
            name=SURROGATE.sub("\ufffd", conversation.name) if conversation.name else None,
            system_prompt=conversation.system_prompt,
            metadata=cleaned({"source": conversation.source, **conversation.metadata}),  # type: ignore[arg-type]
            is_active=conversation.is_active,
            created_at=created,
            updated_at=max(updated, created),
            last_message_at=updated if times or conversation.nodes else None,
        )
        told = list(_turns(conversation.nodes))
        for turn in told:
            self._tell(session, turn)
        if not self._branches:
            self._open(session, None, None)
        current = self._current(told)
        last = self._ends[current.key][0] if current else next(iter(self._branches))
        tip = self._branches[last]
        return Whole(
            session=replace(session, branch_id=tip.id, message_count=tip.last_seq),
            branches=tuple(self._branches.values()),
            turns=tuple(self._turns),
            messages=tuple(self._messages),
            calls=tuple(self._calls),
            files=tuple(self._files.values()),
        )

    def _current(self, told: Sequence[_Told]) -> _Told | None:
        """The turn that holds the current node; without one, the newest."""
        wanted = self._conversation.current
        holding = [turn for turn in told if any(node.id == wanted for node in turn.path)]
        ending = [turn for turn in holding if turn.path[-1].id == wanted]
        times = {turn.key: turn.path[-1].at or _BEGINNING for turn in told}
        return next(iter(ending or holding), None) or max(told, key=lambda turn: times[turn.key], default=None)

    def _id(self, at: datetime | None, *names: str) -> str:
        return stable_id(at, self._conversation.source, self._reader.me, self._conversation.id, *names)

    def _open(self, session: Session, turn: _Told | None, after: tuple[str, int] | None) -> Branch:
        first = not self._branches
        at = self._conversation.created_at if first or turn is None else turn.path[0].at
        parent = self._branches[after[0]] if after else None
        branch = Branch(
            id=self._id(at, "branch", "" if first or turn is None else turn.key),
            session_id=session.id,
            user_id=session.user_id,
            parent_branch_id=parent.id if parent else None,
            parent_seq=after[1] if after else 0,
            kind="start" if first else "edit",
            last_seq=after[1] if after else 0,
            turn_count=self._before(after),
            created_at=at or session.created_at,
        )
        self._branches[branch.id] = branch
        return branch

    def _before(self, place: tuple[str, int] | None) -> int:
        """How many turns a history that ends at this place holds."""
        count = 0
        while place is not None:
            branch = self._branches[place[0]]
            count += len({m.turn_id for m in self._messages if m.branch_id == branch.id and m.seq <= place[1]})
            place = (branch.parent_branch_id, branch.parent_seq) if branch.parent_branch_id else None
        return count

    def _times(self, session: Session, told: _Told) -> tuple[datetime | None, datetime]:
        """When a turn began, for its ids and to be shown; one without a time comes just after the turn before it.

        Ids take no time that can change from one import to the next, such as a file's.
        """
        own = told.path[0].at
        if own is not None:
            return own, own
        if told.before is None:
            return self._conversation.created_at, session.created_at
        at, begun = self._begun[told.before]
        return (at or _BEGINNING) + _TICK, begun + _TICK

    def _tell(self, session: Session, told: _Told) -> None:
        """Add one turn, on the branch that ends where it begins or on a new one."""
        after = self._ends[told.before] if told.before is not None else None
        branch = self._branches[after[0]] if after else None
        if branch is None or branch.last_seq != (after or ("", 0))[1]:
            branch = self._open(session, told, after)
        at, begun = self._begun[told.key] = self._times(session, told)
        turn_id = str(told.path[0].turn.get("id") or self._id(at, "turn", told.key))
        placed = []
        spoken = joined([_timed(one, node.at or begun) for node in told.path for one in node.messages])
        for position, message in enumerate(spoken):
            record, files = to_record(message, position=position, origin=self._conversation.source, strict=False)
            self._files |= {file.sha256: file for file in files}
            placed.append(
                replace(
                    record,
                    id=self._id(at, "message", told.key, str(position)),
                    session_id=session.id,
                    branch_id=branch.id,
                    turn_id=turn_id,
                    seq=branch.last_seq + position + 1,
                )
            )
        calls = tool_calls(turn_id, spoken)
        turn = _turn_row(session, told, spoken, placed)
        self._turns.append(replace(turn, id=turn_id, branch_id=branch.id, started_at=begun, tool_calls=len(calls)))
        self._messages += placed
        self._calls += calls
        grown = replace(branch, last_seq=branch.last_seq + len(placed), turn_count=branch.turn_count + 1)
        self._branches[branch.id] = grown
        self._ends[told.key] = (branch.id, grown.last_seq)


def _turn_row(session: Session, told: _Told, spoken: Sequence[ModelMessage], placed: Sequence[Message]) -> Turn:
    responses = [message for message in spoken if isinstance(message, ModelResponse)]
    answer = _answer(responses[-1]) if responses and spoken[-1] is responses[-1] else ""
    costs = [m.cost for m in placed if m.role == "assistant"]
    row = Turn(
        session_id=session.id,
        branch_id="",
        user_id=session.user_id,
        status="ok" if answer else "interrupted",
        error=None if answer else UNANSWERED,
        prompt=next((m.content for m in placed if m.role == "user"), ""),
        answer=answer,
        output=answer or None,
        model=next((m.model for m in reversed(placed) if m.model), None),
        provider=next((m.provider for m in reversed(placed) if m.provider), None),
        requests=len(responses),
        input_tokens=sum(m.input_tokens or 0 for m in placed),
        output_tokens=sum(m.output_tokens or 0 for m in placed),
        cache_read_tokens=sum(response.usage.cache_read_tokens for response in responses),
        cache_write_tokens=sum(response.usage.cache_write_tokens for response in responses),
        cost=None if not costs or None in costs else sum(cost or 0.0 for cost in costs),
        metadata={SOURCE_ID: told.key},
    )
    for node in told.path:
        row = replace(row, **_combined(row, node.turn))  # type: ignore[arg-type]
    return row


def _timed(message: ModelMessage, at: datetime) -> ModelMessage:
    """The message with the source's time in place of the moment it was made here."""
    if isinstance(message, ModelResponse):
        return replace(message, timestamp=at)
    stamp: dict[str, Any] = {"timestamp": at}
    parts = [replace(part, **stamp) if hasattr(part, "timestamp") else part for part in message.parts]
    return replace(message, parts=parts, timestamp=at)


def _combined(row: Turn, values: Mapping[str, object]) -> dict[str, object]:
    """What one more node says of the turn: durations add up, a known value is not unsaid."""
    told = {name: value for name, value in values.items() if value is not None}
    if isinstance(told.get("duration_ms"), int | float) and row.duration_ms is not None:
        told["duration_ms"] = row.duration_ms + told["duration_ms"]  # type: ignore[operator]
    if isinstance(metadata := told.get("metadata"), Mapping):
        told["metadata"] = {**row.metadata, **metadata}
    return told


def _answer(response: ModelResponse) -> str:
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def tool_calls(turn_id: str, spoken: Sequence[ModelMessage]) -> list[ToolCall]:
    """The tool calls of a turn's messages with their results."""
    calls: dict[str, ToolCall] = {}
    for message in spoken:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                calls[part.tool_call_id] = ToolCall(
                    turn_id=turn_id,
                    call_id=part.tool_call_id,
                    tool=part.tool_name,
                    arguments=part.args_as_dict(),
                    started_at=message.timestamp or _BEGINNING,
                )
            elif isinstance(part, ToolReturnPart) and part.tool_call_id in calls:
                failed = part.outcome != "success"
                said = {"error" if failed else "result": part_text(part)}
                calls[part.tool_call_id] = replace(calls[part.tool_call_id], **said)  # type: ignore[arg-type]
    return list(calls.values())


def joined(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Messages in which requests and responses take turns, as a model sees them."""
    found: list[ModelMessage] = []
    for message in messages:
        last = found[-1] if found else None
        if isinstance(last, ModelRequest) and isinstance(message, ModelRequest):
            found[-1] = replace(last, parts=[*last.parts, *message.parts])
        elif isinstance(last, ModelResponse) and isinstance(message, ModelResponse) and _same_model(last, message):
            found[-1] = replace(
                last,
                parts=[*last.parts, *message.parts],
                usage=last.usage + message.usage,
                model_name=last.model_name or message.model_name,
            )
        else:
            found.append(message)
    return found


def _same_model(one: ModelResponse, other: ModelResponse) -> bool:
    return one.model_name is None or other.model_name is None or one.model_name == other.model_name


def _turns(nodes: Sequence[Node]) -> Iterator[_Told]:
    """The turns of a tree, each after the one it follows.

    A turn begins at a prompt and goes on until the next. Where it was answered anew, each answer is a turn of its own
    with the prompt again, as when chatnb retries. The first way keeps the key of the prompt and the others have that
    of the node where they part, so keys stay when the tree grows.
    """
    ids = {node.id for node in nodes}
    children: dict[str | None, list[Node]] = {}
    for node in nodes:
        children.setdefault(node.parent if node.parent in ids else None, []).append(node)
    waiting: list[tuple[Node, str | None]] = [(node, None) for node in reversed(children.get(None, []))]
    while waiting:
        start, before = waiting.pop()
        following: list[tuple[Node, str | None]] = []
        paths: list[tuple[tuple[Node, ...], str]] = [((start,), start.id)]
        while paths:
            path, key = paths.pop()
            beneath = children.get(path[-1].id, [])
            asked = [node for node in beneath if node.asks]
            going_on = [node for node in beneath if not node.asks]
            if asked or not going_on:
                yield _Told(key, path, before)
                following += [(node, key) for node in asked]
            ended = bool(asked)
            ways = [((*path, node), node.id if ended or n else key) for n, node in enumerate(going_on)]
            paths += reversed(ways)
        waiting += reversed(following)
