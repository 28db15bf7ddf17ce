"""One run of a PydanticAI agent, or of a bare model, told as events."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, nullcontext, suppress
from dataclasses import replace
from typing import NoReturn, cast

from pydantic_ai import Agent, CancellationToken, DeferredToolRequests, RunContext, UsageLimits
from pydantic_ai.agent import AbstractAgent, AgentRunEvents
from pydantic_ai.capabilities import AbstractCapability, ReinjectSystemPrompt
from pydantic_ai.exceptions import RunCancelled, UsageLimitExceeded, UserError
from pydantic_ai.messages import (
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelMessage,
    ModelResponse,
    NativeToolCallPart,
    NativeToolReturnPart,
    PartDeltaEvent,
    PartEndEvent,
    PartStartEvent,
    RetryPromptPart,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolReturnPart,
    repair_messages,
)
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.run import AgentRunResultEvent
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RunUsage

from chatnb import models
from chatnb.agents.events import (
    Event,
    MessageDone,
    RunEnded,
    RunRequest,
    TextDelta,
    ThinkingDelta,
    ToolEnded,
    ToolStarted,
)
from chatnb.agents.failures import sentence
from chatnb.agents.inline import InlineExecutor
from chatnb.agents.loops import model_for_this_loop
from chatnb.errors import AgentError
from chatnb.formats.pydantic_ai import part_text
from chatnb.records import Usage

__all__ = ["AgentRun", "InlineExecutor", "check_agent", "model_for_this_loop", "run"]

_Agent = AbstractAgent[object, object]
_Stream = AgentRunEvents[object]


class AgentRun:
    """One run: `events()` goes through it, `cancel()` ends it early, `messages` has what it made.

    Parameters
    ----------
    request
        What to run. Its `agent` is a PydanticAI agent, or None for the bare model; its `model` a name, a model, or
        None for the agent's own.
    executor
        Where synchronous tools run; PydanticAI's worker threads when None. `InlineExecutor` runs them in the thread of
        the event loop, and a Ctrl-C in one cancels the run.

    Attributes
    ----------
    messages
        The run's messages so far. When `events()` is over, however it ended, also the partial response
        (`state='interrupted'`) and the results of the tools that finished.
    usage
        What the run used so far.

    Raises
    ------
    AgentError
        The agent is not one of PydanticAI's.
    BadInput
        The model cannot be used, or none is named.
    """

    def __init__(self, request: RunRequest, executor: Executor | None = None) -> None:
        self._request = request
        self._executor = executor
        self._agent = _agent(request)
        self._model = _model(request, self._agent)
        self._token = CancellationToken()
        self._stream: _Stream | None = None
        self._told: asyncio.Queue[Event | None] = asyncio.Queue()
        self._announced = 0
        self._calls: dict[str, ToolCallPart | NativeToolCallPart] = {}
        self._open: set[str] = set()
        self._failed: dict[str, Exception] = {}
        self.messages: list[ModelMessage] = []
        self.usage = Usage()
        if isinstance(executor, InlineExecutor) and executor.on_interrupt is None:
            executor.on_interrupt = self.cancel

    def cancel(self) -> None:
        """Stop the run, from any thread; `events()` then gives what there is, and `RunEnded('interrupted')`."""
        self._token.cancel()

    async def events(self, *, to_the_end: bool = False) -> AsyncGenerator[Event]:
        """The run, event by event; the last is `RunEnded`, whatever the model or a tool did.

        No request is sent and no tool runs before what led to it has been taken, and the next event asked for: who
        stores each message as it comes has stored it by then. Cancelling the task that goes through the events, or
        closing them, ends the run; `messages` then has the partial ones.

        Parameters
        ----------
        to_the_end
            A cancelled task cancels the run but not the iteration, which goes on to `RunEnded('interrupted')`.
        """
        driver = asyncio.create_task(self._drive())
        driver.add_done_callback(lambda _: self._told.put_nowait(None))
        try:
            while (event := await self._next(to_the_end)) is not None:
                yield event
                self._told.task_done()
            await driver
        finally:
            driver.cancel()
            await asyncio.wait([driver])
            if not driver.cancelled():
                driver.exception()  # it was raised above, or whoever closed the events does not want it

    async def _next(self, to_the_end: bool) -> Event | None:
        while True:
            try:
                return await self._told.get()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not to_the_end or task is None:
                    raise
                task.uncancel()
                self.cancel()

    async def _drive(self) -> None:
        try:
            ended = await self._go()
        finally:
            self._collect()
        self._announce()
        if ended.status in ("error", "interrupted"):
            for call_id in [one for one in self._calls if one in self._open]:
                error = self._failed.get(call_id)
                said = f"{type(error).__name__}: {error}" if error else "Stopped before it gave a result."
                self._tell(ToolEnded(call_id=call_id, tool=self._calls[call_id].tool_name, error=said))
        self._tell(replace(ended, usage=self.usage))

    async def _go(self) -> RunEnded:
        """Run the agent, and say how it ended."""
        model = model_for_this_loop(self._model)
        try:
            with Agent.using_thread_executor(self._executor) if self._executor else nullcontext():
                output = await self._stream_events(model)
        except RunCancelled as error:
            return RunEnded(status="interrupted", error="Interrupted; what there is is kept.", cause=error)
        except UsageLimitExceeded as error:
            return RunEnded(status="interrupted", error=self._limit_sentence(), cause=error)
        except Exception as error:  # noqa: BLE001  a run ends with an event, whatever model or tool raised
            tool = next((self._calls[one].tool_name for one, own in self._failed.items() if own is error), None)
            said = f"Tool {tool!r} failed: {type(error).__name__}: {error}" if tool else sentence(error, model.system)
            return RunEnded(status="error", error=said, cause=error)
        waiting = isinstance(output, DeferredToolRequests)
        return RunEnded(status="waiting" if waiting else "ok", output=output)

    async def _stream_events(self, model: Model) -> object:
        request, limit = self._request, self._request.max_requests
        stream = self._agent.run_stream_events(
            request.prompt,
            message_history=_history(request),
            model=None if model is self._agent.model else model,
            deps=request.deps,
            instructions=request.system_prompt,
            model_settings=cast(ModelSettings, dict(request.settings)) or None,
            usage_limits=UsageLimits(request_limit=limit) if limit is not None else None,
            cancellation_token=self._token,
            run_id=request.run_id,
            conversation_id=request.conversation_id,
            capabilities=[ReinjectSystemPrompt(), _Steps(self)],
            infer_name=False,
        )
        async with stream as self._stream:
            async for event in self._stream:
                if isinstance(event, AgentRunResultEvent):
                    return event.result.output
                if not isinstance(event, PartDeltaEvent):
                    self._announce()
                self._translate(event)
        raise RuntimeError("PydanticAI ended a run without a result.")

    def _translate(self, event: object) -> None:
        """Tell what one of PydanticAI's events says."""
        match event:
            case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
                if text:
                    self._tell(TextDelta(text))
            case PartStartEvent(part=ThinkingPart(content=thought)):
                if thought:
                    self._tell(ThinkingDelta(thought))
            case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str() as thought)):
                self._tell(ThinkingDelta(thought))
            case FunctionToolCallEvent(part=call):
                self._calls[call.tool_call_id] = call  # it may still be refused; `_Steps` tells when it runs
            case PartEndEvent(part=NativeToolCallPart() as call):
                self._start(call)
            case FunctionToolResultEvent(part=part) | PartEndEvent(part=NativeToolReturnPart() as part):
                self._end(part)

    def _start(self, call: ToolCallPart | NativeToolCallPart) -> None:
        self._calls[call.tool_call_id] = call
        self._open.add(call.tool_call_id)
        self._tell(ToolStarted(call_id=call.tool_call_id, tool=call.tool_name, arguments=call.args_as_dict()))

    def _end(self, part: ToolReturnPart | NativeToolReturnPart | RetryPromptPart) -> None:
        call = self._calls.get(part.tool_call_id)
        if call is not None and call.tool_call_id not in self._open:
            self._start(call)  # refused before it ran
        self._open.discard(part.tool_call_id)
        name, text = part.tool_name or "", part_text(part)
        good = not isinstance(part, RetryPromptPart) and part.outcome == "success"
        result, error = (text, None) if good else (None, text)
        self._tell(ToolEnded(call_id=part.tool_call_id, tool=name, result=result, error=error))

    def _tell(self, event: Event) -> None:
        self._told.put_nowait(event)

    def _announce(self) -> None:
        """Tell the messages that are complete and not yet told."""
        self._collect()
        for message in self.messages[self._announced :]:
            self._tell(MessageDone(message))
        self._announced = max(self._announced, len(self.messages))

    def _collect(self) -> None:
        """Bring `messages` and `usage` up to date; before the run has begun there is nothing to bring."""
        if self._stream is not None:
            with suppress(UserError):
                made = self._stream.new_messages()  # a request that failed leaves an empty response behind
                self.messages[:] = [one for one in made if one.parts or one.state != "interrupted"]
                self.usage = _usage(self._stream.usage, self.messages)

    def _limit_sentence(self) -> str:
        limit = self._request.max_requests
        asked = f"{limit} {'request' if limit == 1 else 'requests'}" if limit is not None else "its limit of requests"
        return f"Stopped after {asked} to the model; %chat continue goes on from here."


class _Steps(AbstractCapability[object]):
    """Holds a run at its steps until what led to them has been taken, and learns which tool failed."""

    def __init__(self, run: AgentRun) -> None:
        self._run = run

    async def prepare_model_request(
        self, ctx: RunContext[object], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        self._run._announce()
        await self._run._told.join()
        return request_context

    async def before_tool_execute(
        self, ctx: RunContext[object], *, call: ToolCallPart, tool_def: ToolDefinition, args: dict[str, object]
    ) -> dict[str, object]:
        self._run._announce()
        self._run._start(call)
        await self._run._told.join()
        return args

    async def on_tool_execute_error(
        self,
        ctx: RunContext[object],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, object],
        error: Exception,
    ) -> NoReturn:
        self._run._failed[call.tool_call_id] = error
        raise error


async def run(request: RunRequest, *, executor: Executor | None = None) -> AsyncIterator[Event]:
    """The events of one run, for callers who need neither `cancel()` nor the partial messages of a cancelled task.

    Parameters
    ----------
    request
        What to run; see `AgentRun`.
    executor
        Where synchronous tools run; see `AgentRun`.
    """
    async with aclosing(AgentRun(request, executor).events()) as events:
        async for event in events:
            yield event


def check_agent(agent: object) -> None:
    """Refuse what cannot answer, before anything is stored for it; None stands for the bare model.

    Raises
    ------
    AgentError
        When it is not an agent.
    """
    if agent is not None and not isinstance(agent, AbstractAgent):
        raise AgentError(
            f"{reprlib.repr(agent)} is {type(agent).__qualname__}, not an agent. Give an Agent of pydantic_ai "
            "(with the LangChain formats, a runnable or a LangGraph graph)."
        )


def _agent(request: RunRequest) -> _Agent:
    check_agent(request.agent)
    return cast(_Agent, Agent(deps_type=object) if request.agent is None else request.agent)


def _model(request: RunRequest, agent: _Agent) -> Model:
    wanted = request.model if request.model is not None else agent.model
    if isinstance(wanted, str | Model):
        return models.resolve(wanted)
    if wanted is None:
        return models.resolve(models.choose(None))  # which says how to choose one
    raise AgentError(f"{wanted!r} is {type(wanted).__qualname__}, not a model. Give a name, as 'openai:gpt-5'.")


def _history(request: RunRequest) -> list[ModelMessage]:
    """The history; calls that nothing answers are closed when a new prompt follows them."""
    history = list(request.history)
    if request.prompt is not None and history and isinstance(history[-1], ModelResponse) and history[-1].tool_calls:
        return repair_messages(history)
    return history


def _usage(used: RunUsage, messages: Sequence[ModelMessage]) -> Usage:
    """The run's usage; its cost is known only when each response's is."""
    known = all(one.usage.cost is not None for one in messages if isinstance(one, ModelResponse))
    return Usage(
        requests=used.requests,
        tool_calls=used.tool_calls,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cache_read_tokens=used.cache_read_tokens,
        cache_write_tokens=used.cache_write_tokens,
        cost=float(used.cost) if known and used.cost is not None else None,
    )
