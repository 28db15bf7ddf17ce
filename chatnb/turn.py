"""One turn, from what is asked to what is stored. The only file that knows both stores and agents."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from anyio import to_thread
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
from chatnb.agents.pydantic_ai import AgentRun
from chatnb.errors import StoreError
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
    first_token_ms: float | None = None


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
        self._unsaved: tuple[Message, tuple[File, ...]] | None = None

    def cancel(self) -> None:
        """Stop the turn; what it has is kept. Safe from any thread."""
        self._cancelled = True
        if self._run is not None:
            self._run.cancel()

    async def events(self) -> AsyncIterator[TurnEvent]:
        """Run the turn and tell what happens, ending with `Closed`.

        Cancelling the task that iterates cancels the turn, and the iteration goes on to its end.

        Raises
        ------
        BadInput, SessionNotFound, StoreError
            Before anything was sent.
        """
        prepared = await to_thread.run_sync(prepare, self._store, self._ask)
        for hook in self._hooks.before_request:
            prepared = hook(prepared)
        state = self._opened(prepared)
        if self._store is not None:
            await to_thread.run_sync(self._store.open_turn, state)
        yield Opening(prepared)
        clock = time.perf_counter()
        ended = RunEnded(status="interrupted", error="The turn was stopped before its request was sent.")
        self._run = AgentRun(prepared.request, executor=self._executor)
        if not self._cancelled:
            async for event in self._run.events(to_the_end=True):
                if isinstance(event, RunEnded):
                    ended = event
                else:
                    await self._note(event, state, clock)
                    yield event
        done = self._ended(state, ended, clock)
        yield ended
        yield await self._close(done, prepared, ended)

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
        )
        return InFlight(
            turn=turn,
            rewind_seq=prepared.rerun.rewind_seq,
            rewind_turns=tuple(left.id for left in prepared.rerun.turns),
            window_seq=prepared.window.from_seq,
        )

    async def _note(self, event: Event, state: InFlight, clock: float) -> None:
        """Keep what an event brings, and make completed messages safe.

        The newest message waits for the event after it: when that is the end, the turn is stored whole at once.
        """
        progress = self._progress
        await self._save(state)
        if isinstance(event, MessageDone):
            record, files = to_record(event.message, position=len(progress.messages), strict=False)
            progress.messages.append(record)
            progress.files.extend(files)
            self._unsaved = (record, files)
        elif isinstance(event, TextDelta | ThinkingDelta):
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
        if self._unsaved is None or self._store is None:
            return
        (record, files), self._unsaved = self._unsaved, None
        await to_thread.run_sync(self._store.add_messages, replace(state, files=files), (record,))

    def _ended(self, state: InFlight, ended: RunEnded, clock: float) -> InFlight:
        """The turn's last state."""
        progress = self._progress
        output = ended.output
        answer = output if isinstance(output, str) else "".join(progress.text)
        usage = ended.usage
        turn = replace(
            state.turn,
            status=ended.status,
            answer=answer,
            output=None if isinstance(output, str) else to_jsonable_python(output, fallback=repr),
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
            messages=tuple(progress.messages),
            calls=tuple(progress.calls.values()),
        )
        return replace(state, turn=turn, files=tuple(progress.files))

    async def _close(self, done: InFlight, prepared: Prepared, ended: RunEnded) -> Closed:
        """Store the turn. A second interrupt cannot part it from the store: the thread goes on to its end."""
        turn, error = done.turn, None
        if self._store is not None:
            try:
                stored = await to_thread.run_sync(self._store.close_turn, done)
                turn = stored
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


def _since(clock: float) -> float:
    return (time.perf_counter() - clock) * 1000
