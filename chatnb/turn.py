"""One turn, from what is asked to what is stored. The only file that knows both stores and agents."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from anyio import to_thread
from pydantic_ai import DeferredToolRequests
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, UserPromptPart
from pydantic_core import to_jsonable_python

from chatnb.agents.events import (
    Event,
    MessageDone,
    RunEnded,
    TextDelta,
    ThinkingDelta,
    ToolEnded,
    ToolStarted,
)
from chatnb.agents.pydantic_ai import AgentRun, check_agent
from chatnb.errors import StoreError, TurnInterrupted
from chatnb.formats.pydantic_ai import to_record
from chatnb.prepare import Ask, Prepared, prepare
from chatnb.records import File, Message, ToolCall, Turn, now
from chatnb.stores.journal import InFlight, owner
from chatnb.stores.store import Store

__all__ = ["Closed", "Hooks", "Opening", "TurnEvent", "TurnRun"]


@dataclass(frozen=True)
class Opening:
    """The turn is safe in its store and its request goes out now."""

    prepared: Prepared


@dataclass(frozen=True, kw_only=True)
class Closed:
    """The turn is over and stored. `store_error` says why it waits in the journal instead.

    `took_back` are the turns that it left as a branch.
    """

    turn: Turn
    prepared: Prepared
    took_back: tuple[Turn, ...] = ()
    store_error: StoreError | None = None
    cause: BaseException | None = None


TurnEvent = Opening | Event | Closed

T = TypeVar("T")


@dataclass(frozen=True)
class Hooks:
    """What others do around a turn: change or check what is sent, look at what was stored."""

    before_request: Sequence[Callable[[Prepared], Prepared]] = ()
    after_turn: Sequence[Callable[[Turn], None]] = ()


@dataclass
class _Progress:
    """What a turn has so far."""

    messages: list[Message] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    calls: dict[str, ToolCall] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)
    unsaved: list[tuple[Message, Sequence[File]]] = field(default_factory=list)
    first_token_ms: float | None = None

    def add(self, message: ModelMessage) -> None:
        """Take in a completed message."""
        record, files = to_record(message, position=len(self.messages), strict=False)
        self.messages.append(record)
        self.files.extend(files)
        self.unsaved.append((record, files))


class TurnRun:
    """One turn on its way. Iterate `events()` once; the last event is `Closed`.

    Parameters
    ----------
    store
        Where the turn is stored; None stores nothing.
    ask
        What is asked.
    executor
        Where the agent's synchronous tools run; None means worker threads.
    hooks
        What others do around the turn.
    """

    def __init__(
        self, store: Store | None, ask: Ask, *, executor: Executor | None = None, hooks: Hooks = Hooks()
    ) -> None:
        self._store = store
        self._ask = ask
        self._executor = executor
        self._hooks = hooks
        self._run: AgentRun | None = None
        self._cancelled = False
        self._progress = _Progress()

    def cancel(self) -> None:
        """Stop the turn; what it has is kept. Safe from any thread."""
        self._cancelled = True
        if self._run is not None:
            self._run.cancel()

    async def events(self) -> AsyncGenerator[TurnEvent]:
        """Run the turn and tell what happens, ending with `Closed`.

        Cancelling the task that iterates cancels the turn, and the iteration goes on to its end. Closing the iterator
        early stops the turn and stores what it has.

        Raises
        ------
        BadInput, SessionNotFound, StoreError, TurnInterrupted
            Before anything was sent.
        """
        check_agent(self._ask.agent)
        prepared = await self._prepare()
        self._run = AgentRun(prepared.request, executor=self._executor)
        state = self._opened(prepared)
        if self._store is not None:
            await self._through(lambda store: store.open_turn(state))
        clock = time.perf_counter()
        ended = RunEnded(status="interrupted", error="The turn was stopped before its request was sent.")
        try:
            yield Opening(prepared)
            if not self._cancelled:
                async with aclosing(self._run.events(to_the_end=True)) as events:
                    async for event in events:
                        if isinstance(event, RunEnded):
                            ended = event
                        else:
                            await self._note(event, state, clock)
                            yield event
            closed = await self._close(self._ended(state, ended, clock), prepared, ended)
        except GeneratorExit:
            await self._leave(self._run, state, prepared, clock)
            raise
        yield ended
        yield closed

    async def _prepare(self) -> Prepared:
        try:
            prepared = await to_thread.run_sync(prepare, self._store, self._ask, abandon_on_cancel=True)
        except asyncio.CancelledError as error:
            _take_cancellation()
            raise TurnInterrupted("Stopped before anything was sent.") from error
        for hook in self._hooks.before_request:
            prepared = hook(prepared)
        return prepared

    async def _through(self, work: Callable[[Store], T]) -> T:
        """Do what the store has to do in a thread, to its end: a cancellation meanwhile only stops the turn."""
        assert self._store is not None
        working = asyncio.ensure_future(to_thread.run_sync(work, self._store))
        while True:
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                if working.cancelled():
                    raise
                _take_cancellation()
                self.cancel()

    async def _leave(self, run: AgentRun, state: InFlight, prepared: Prepared, clock: float) -> None:
        """Store what there is when nobody wants the rest."""
        for message in run.messages[len(self._progress.messages) :]:
            self._progress.add(message)
        ended = RunEnded(status="interrupted", error="The turn was left before its end.", usage=run.usage)
        await self._close(self._ended(state, ended, clock), prepared, ended)

    def _opened(self, prepared: Prepared) -> InFlight:
        """The turn's first state."""
        ask = prepared.ask
        cell = ask.cell
        turn = Turn(
            session_id=prepared.session.id,
            branch_id=prepared.branch.id,
            user_id=prepared.session.user_id,
            collection=prepared.session.collection,
            prompt=ask.prompt or "",
            agent=ask.agent_name,
            model=prepared.model_name,
            options=ask.options,
            sent_messages=len(prepared.window.messages),
            sent_tokens=prepared.window.tokens,
            started_at=now(),
            notebook=cell.notebook,
            cell_id=cell.cell_id,
            cell_source=cell.source,
            execution_count=cell.execution_count,
            host=owner(),
            messages=_asked(ask.prompt),
        )
        return InFlight(
            turn=turn,
            rewind_seq=prepared.rerun.rewind_seq,
            rewind_turns=tuple(left.id for left in prepared.rerun.turns),
            window_seq=prepared.window.from_seq,
        )

    async def _note(self, event: Event, state: InFlight, clock: float) -> None:
        """Keep what an event brings, and make completed messages safe: what is sent before it is sent.

        The prompt is safe since the opening. A response waits for the event after it: when that is the end, the turn is
        stored whole at once.
        """
        progress = self._progress
        if isinstance(event, MessageDone):
            progress.add(event.message)
        answered = isinstance(event, MessageDone) and isinstance(event.message, ModelResponse)
        if not answered and len(progress.messages) > len(state.turn.messages):
            await self._save(state)
        if isinstance(event, TextDelta | ThinkingDelta):
            if progress.first_token_ms is None:
                progress.first_token_ms = _since(clock)
            if isinstance(event, TextDelta):
                progress.text.append(event.text)
        elif isinstance(event, ToolStarted):
            progress.began[event.call_id] = time.perf_counter()
            progress.text.clear()
            progress.calls[event.call_id] = ToolCall(
                turn_id=state.turn.id, call_id=event.call_id, tool=event.tool, arguments=event.arguments
            )
        elif isinstance(event, ToolEnded) and event.call_id in progress.calls:
            took = _since(progress.began[event.call_id])
            progress.calls[event.call_id] = replace(
                progress.calls[event.call_id], result=event.result, error=event.error, duration_ms=took
            )

    async def _save(self, state: InFlight) -> None:
        """Make completed messages safe. Where that fails the run goes on: its end tries again, and tells."""
        unsaved = self._progress.unsaved
        if not unsaved or self._store is None:
            return
        new = tuple(record for record, _ in unsaved)
        files = tuple(file for _, own in unsaved for file in own)
        with suppress(StoreError):
            await self._through(lambda store: store.add_messages(replace(state, files=files), new))
            unsaved.clear()

    def _ended(self, state: InFlight, ended: RunEnded, clock: float) -> InFlight:
        """The turn's last state."""
        progress = self._progress
        output = None if isinstance(ended.output, str) else to_jsonable_python(ended.output, fallback=repr)
        usage = ended.usage
        turn = replace(
            state.turn,
            status=ended.status,
            answer=_answer(ended, output, "".join(progress.text)),
            output=output,
            provider=next((m.provider for m in reversed(progress.messages) if m.provider), None),
            requests=usage.requests,
            tool_calls=usage.tool_calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cost=usage.cost,
            currency=usage.currency,
            first_token_ms=progress.first_token_ms,
            duration_ms=_since(clock),
            error=ended.error,
            messages=tuple(progress.messages) or state.turn.messages,
            calls=tuple(progress.calls.values()),
        )
        return replace(state, turn=turn, files=tuple(progress.files))

    async def _close(self, done: InFlight, prepared: Prepared, ended: RunEnded) -> Closed:
        """Store the turn; a second interrupt cannot part it from the store."""
        turn, error = done.turn, None
        if self._store is not None:
            try:
                turn = await self._through(lambda store: store.close_turn(done))
            except StoreError as problem:
                error = problem
        turn = replace(turn, output=ended.output if ended.status == "ok" else turn.answer)
        for hook in self._hooks.after_turn:
            hook(turn)
        rewound = done.rewind_seq is not None and (not turn.messages or turn.messages[0].seq == done.rewind_seq + 1)
        return Closed(
            turn=turn,
            prepared=prepared,
            took_back=prepared.rerun.turns if rewound else (),
            store_error=error,
            cause=ended.cause,
        )


def _asked(prompt: str | None) -> tuple[Message, ...]:
    """The prompt as the message that stands for it until the agent has made its own."""
    if prompt is None:
        return ()
    record, _ = to_record(ModelRequest(parts=[UserPromptPart(prompt)]), position=0, strict=False)
    return (record,)


def _answer(ended: RunEnded, output: object, text: str) -> str:
    """The answer's text; an object that was asked for is its answer as JSON."""
    if isinstance(ended.output, str):
        return ended.output
    if ended.output is None or isinstance(ended.output, DeferredToolRequests):
        return text
    return json.dumps(output, ensure_ascii=False)


def _take_cancellation() -> None:
    """The running task's cancellation has been heard: what follows is not cancelled by it."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _since(clock: float) -> float:
    return (time.perf_counter() - clock) * 1000
