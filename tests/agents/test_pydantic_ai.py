"""A run of a PydanticAI agent, told as events."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, ModelRetry, RunContext
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel

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
from chatnb.agents.pydantic_ai import AgentRun, InlineExecutor, run
from chatnb.errors import AgentError, BadInput, ModelNotChosen

Piece = str | dict[int, DeltaToolCall] | dict[int, DeltaThinkingPart]
Reply = Sequence[Piece] | Callable[[], Any]


def scripted(*replies: Reply) -> tuple[FunctionModel, list[tuple[list[ModelMessage], AgentInfo]]]:
    """A model that gives one reply a request, and what it was sent. A function among the pieces is called (awaited)."""
    sent: list[tuple[list[ModelMessage], AgentInfo]] = []

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        sent.append((messages, info))
        for piece in replies[min(len(sent), len(replies)) - 1]:  # type: ignore[arg-type]
            if not callable(piece):
                yield piece
                continue
            waited = piece()
            if asyncio.iscoroutine(waited):
                await waited

    return FunctionModel(stream_function=stream, model_name="scripted"), sent


def call(tool: str, arguments: str = "{}", number: int = 1) -> dict[int, DeltaToolCall]:
    return {number: DeltaToolCall(tool, arguments, tool_call_id=f"c{number}")}


async def collect(running: AgentRun) -> list[Event]:
    return [event async for event in running.events()]


def events_of(request: RunRequest, **options: Any) -> list[Event]:
    return asyncio.run(collect(AgentRun(request, **options)))


def end_of(events: list[Event]) -> RunEnded:
    assert [type(event) for event in events].count(RunEnded) == 1
    assert isinstance(events[-1], RunEnded)
    return events[-1]


def messages_of(events: list[Event]) -> list[ModelMessage]:
    return [event.message for event in events if isinstance(event, MessageDone)]


def history(*texts: str) -> list[ModelMessage]:
    turns: list[ModelMessage] = []
    for text in texts:
        turns += [ModelRequest(parts=[UserPromptPart(text)]), ModelResponse(parts=[TextPart(f"answer to {text}")])]
    return turns


def test_an_answer_comes_as_words_then_its_message_then_the_end() -> None:
    model, _ = scripted(["Hello ", "there."])
    events = events_of(RunRequest(prompt="hi", model=model))
    kinds = [type(event) for event in events]
    assert kinds == [MessageDone, TextDelta, TextDelta, MessageDone, RunEnded]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello there."
    request, response = messages_of(events)
    assert isinstance(request, ModelRequest) and isinstance(response, ModelResponse)
    assert (end_of(events).status, end_of(events).output) == ("ok", "Hello there.")
    assert end_of(events).usage.requests == 1 and end_of(events).usage.output_tokens > 0


def test_run_gives_the_same_events_without_an_object() -> None:
    model, _ = scripted(["Hello"])

    async def go() -> list[Event]:
        return [event async for event in run(RunRequest(prompt="hi", model=model))]

    assert end_of(asyncio.run(go())).output == "Hello"


def test_the_price_of_the_demo_is_zero_and_of_an_unknown_model_unknown() -> None:
    model, _ = scripted(["Hello"])
    assert end_of(events_of(RunRequest(prompt="hi", model=model))).usage.cost is None
    assert end_of(events_of(RunRequest(prompt="hi", model="demo"))).usage.cost == 0.0


def test_a_request_is_told_before_the_model_begins_to_answer() -> None:
    request = RunRequest(prompt="hi", model="demo")
    counts: list[int] = []
    model, _ = scripted([lambda: counts.append(len(running.messages)), "Hello"])
    running = AgentRun(dataclasses.replace(request, model=model))
    asyncio.run(collect(running))
    assert counts == [1]


def test_thinking_is_told_apart_from_the_answer() -> None:
    model, _ = scripted([{0: DeltaThinkingPart(content="hm ")}, {0: DeltaThinkingPart(content="so")}, "Yes"])
    events = events_of(RunRequest(prompt="hi", model=model))
    assert "".join(event.text for event in events if isinstance(event, ThinkingDelta)) == "hm so"
    assert end_of(events).output == "Yes"


def test_a_tool_is_told_when_it_starts_and_when_it_ends_and_its_message_before_the_next_answer() -> None:
    told: list[int] = []
    model, _ = scripted([call("add", '{"a": 2, "b": 3}')], [lambda: told.append(len(running.messages)), "It is 5."])
    agent = Agent(model)
    seen: list[Event] = []

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        seen.extend(taken)
        return a + b

    taken: list[Event] = []
    running = AgentRun(RunRequest(prompt="add", agent=agent))

    async def go() -> None:
        async for event in running.events():
            taken.append(event)

    asyncio.run(go())
    assert taken[2] == ToolStarted(call_id="c1", tool="add", arguments={"a": 2, "b": 3})
    assert taken[3] == ToolEnded(call_id="c1", tool="add", result="5")
    assert len(messages_of(seen)) == 2  # the prompt and the call were told before the tool ran
    assert told == [3]  # and its result before the model answered
    assert [type(message) for message in messages_of(taken)] == [ModelRequest, ModelResponse] * 2
    assert end_of(taken).usage.tool_calls == 1


def test_a_tool_that_asks_for_a_retry_ends_with_an_error_and_the_run_goes_on() -> None:
    model, _ = scripted([call("pick")], [call("pick", number=2)], ["Done"])
    agent = Agent(model)
    tries: list[int] = []

    @agent.tool_plain
    def pick() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ModelRetry("not this one")
        return "good"

    events = events_of(RunRequest(prompt="go", agent=agent))
    ended = [event for event in events if isinstance(event, ToolEnded)]
    assert [(event.result, event.error) for event in ended] == [(None, "not this one"), ("good", None)]
    assert end_of(events).status == "ok"


def test_a_bare_model_is_given_the_session_prompt_as_its_instructions() -> None:
    model, sent = scripted(["ok"])
    events_of(RunRequest(prompt="hi", model=model, system_prompt="Be brief."))
    assert sent[0][1].instructions == "Be brief."


def test_an_agent_is_given_the_session_prompt_beside_its_own_instructions() -> None:
    model, sent = scripted(["ok"])
    events_of(RunRequest(prompt="hi", agent=Agent(model, instructions="You count."), system_prompt="Be brief."))
    assert sent[0][1].instructions == "You count.\n\nBe brief."


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "dropped"])
def test_an_agents_own_system_prompt_is_sent_once_and_first_whether_or_not_the_window_kept_it(kept: bool) -> None:
    model, sent = scripted(["ok"])
    earlier = history("one", "two")
    if kept:
        earlier[0] = ModelRequest(parts=[SystemPromptPart("You count."), UserPromptPart("one")])
    events = events_of(RunRequest(prompt="three", agent=Agent(model, system_prompt="You count."), history=earlier))
    parts = [part for message in sent[0][0] for part in message.parts]
    assert [part.content for part in parts if isinstance(part, SystemPromptPart)] == ["You count."]
    assert isinstance(parts[0], SystemPromptPart)
    stored = [part for message in messages_of(events) for part in message.parts]
    assert not any(isinstance(part, SystemPromptPart) for part in stored)
    assert len(messages_of(events)) == 2


def test_settings_and_dependencies_reach_the_agent() -> None:
    model, sent = scripted([call("who")], ["ok"])
    agent = Agent(model, deps_type=str)

    @agent.tool
    def who(context: RunContext[str]) -> str:
        return str(context.deps)

    events = events_of(RunRequest(prompt="hi", agent=agent, deps="Alice", settings={"temperature": 0.5}))
    assert sent[0][1].model_settings == {"temperature": 0.5}
    assert ToolEnded(call_id="c1", tool="who", result="Alice") in events


def test_the_ids_of_run_and_conversation_are_on_every_message() -> None:
    model, _ = scripted(["ok"])
    events = events_of(RunRequest(prompt="hi", model=model, run_id="r9", conversation_id="s9"))
    assert {(message.run_id, message.conversation_id) for message in messages_of(events)} == {("r9", "s9")}


def test_a_request_limit_interrupts_and_the_run_can_go_on_from_there() -> None:
    model, _ = scripted([call("look")], ["Seen."])
    agent = Agent(model)

    @agent.tool_plain
    def look() -> str:
        return "a tree"

    first = events_of(RunRequest(prompt="look", agent=agent, max_requests=1))
    assert end_of(first).status == "interrupted" and "%chat continue" in str(end_of(first).error)
    assert "1 request " in str(end_of(first).error)
    assert [type(part) for part in messages_of(first)[-1].parts] == [ToolReturnPart]
    second = events_of(RunRequest(prompt=None, agent=agent, history=messages_of(first)))
    assert end_of(second).output == "Seen."
    assert len(messages_of(second)) == 1


def test_a_run_without_a_limit_ends_at_pydantic_ais_own() -> None:
    model, _ = scripted([call("look")])
    agent = Agent(model)

    @agent.tool_plain
    def look() -> str:
        return "again"

    ended = end_of(events_of(RunRequest(prompt="look", agent=agent)))
    assert (ended.status, ended.usage.requests) == ("interrupted", 50)


def test_open_calls_in_the_history_are_closed_when_a_new_prompt_follows() -> None:
    model, sent = scripted(["ok"])
    earlier = [*history("one"), ModelRequest(parts=[UserPromptPart("two")]), ModelResponse(parts=[ToolCallPart("f")])]
    events = events_of(RunRequest(prompt="three", model=model, history=earlier))
    assert end_of(events).status == "ok"
    assert any(isinstance(part, ToolReturnPart) for part in sent[0][0][-1].parts)
    assert len(messages_of(events)) == 2


def test_a_cancelled_run_gives_its_partial_answer_and_ends_as_interrupted() -> None:
    async def go() -> tuple[list[Event], AgentRun]:
        model, _ = scripted(["Hello ", "there ", lambda: asyncio.Event().wait(), "never"])
        running = AgentRun(RunRequest(prompt="hi", model=model))
        taken: list[Event] = []
        async for event in running.events():
            taken.append(event)
            if event == TextDelta("there "):
                running.cancel()
        return taken, running

    events, running = asyncio.run(go())
    partial = messages_of(events)[-1]
    assert isinstance(partial, ModelResponse) and partial.state == "interrupted" and partial.text == "Hello there "
    assert end_of(events).status == "interrupted" and "nterrupted" in str(end_of(events).error)
    assert running.messages == messages_of(events)


def test_a_run_can_be_cancelled_from_another_thread() -> None:
    async def go() -> list[Event]:
        model, _ = scripted(["Hello ", lambda: asyncio.Event().wait()])
        running = AgentRun(RunRequest(prompt="hi", model=model))
        taken: list[Event] = []
        async for event in running.events():
            taken.append(event)
            if isinstance(event, TextDelta):
                threading.Thread(target=running.cancel).start()
        return taken

    assert end_of(asyncio.run(go())).status == "interrupted"


def test_a_run_cancelled_before_it_began_sends_nothing() -> None:
    model, sent = scripted(["Hello"])
    running = AgentRun(RunRequest(prompt="hi", model=model))
    running.cancel()
    events = asyncio.run(collect(running))
    assert (end_of(events).status, sent) == ("interrupted", [])


def partial_of(running: AgentRun) -> tuple[str | None, str]:
    last = running.messages[-1]
    assert isinstance(last, ModelResponse)
    return last.text, last.state


def test_a_cancelled_task_leaves_the_partial_answer_in_messages() -> None:
    async def go() -> AgentRun:
        model, _ = scripted(["Hello ", lambda: asyncio.Event().wait()])
        running = AgentRun(RunRequest(prompt="hi", model=model))
        begun = asyncio.Event()

        async def consume() -> None:
            async for event in running.events():
                if isinstance(event, TextDelta):
                    begun.set()

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return running

    assert partial_of(asyncio.run(go())) == ("Hello ", "interrupted")


def test_events_can_be_taken_to_the_end_though_their_task_is_cancelled() -> None:
    async def go() -> list[Event]:
        model, _ = scripted(["Hello ", lambda: asyncio.Event().wait()])
        running = AgentRun(RunRequest(prompt="hi", model=model))
        taken: list[Event] = []
        begun = asyncio.Event()

        async def consume() -> None:
            async for event in running.events(to_the_end=True):
                taken.append(event)
                if isinstance(event, TextDelta):
                    begun.set()
            current = asyncio.current_task()
            assert current is not None and current.cancelling() == 0  # so that timeouts around it still work

        task = asyncio.create_task(consume())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        await task
        return taken

    events = asyncio.run(go())
    assert end_of(events).status == "interrupted"
    partial = messages_of(events)[-1]
    assert isinstance(partial, ModelResponse) and (partial.text, partial.state) == ("Hello ", "interrupted")


def test_events_that_are_closed_early_leave_the_partial_answer_in_messages() -> None:
    async def go() -> AgentRun:
        model, _ = scripted(["Hello ", lambda: asyncio.Event().wait()])
        running = AgentRun(RunRequest(prompt="hi", model=model))
        events = running.events()
        async for event in events:
            if isinstance(event, TextDelta):
                break
        await events.aclose()
        return running

    assert partial_of(asyncio.run(go())) == ("Hello ", "interrupted")


def test_the_results_of_finished_tools_are_kept_when_another_is_cancelled() -> None:
    async def go() -> list[Event]:
        model, _ = scripted([{**call("quick", number=1), **call("slow", number=2)}])
        agent = Agent(model)

        @agent.tool_plain
        async def quick() -> str:
            return "done"

        @agent.tool_plain
        async def slow() -> str:
            await asyncio.Event().wait()
            return "never"

        running = AgentRun(RunRequest(prompt="go", agent=agent))
        taken: list[Event] = []
        async for event in running.events():
            taken.append(event)
            if isinstance(event, ToolEnded) and event.tool == "quick":
                running.cancel()
        return taken

    events = asyncio.run(go())
    assert [part.content for part in messages_of(events)[-1].parts if isinstance(part, ToolReturnPart)] == ["done"]
    ended = {event.tool: event for event in events if isinstance(event, ToolEnded)}
    assert ended["quick"].result == "done" and "Stopped" in str(ended["slow"].error)
    assert end_of(events).status == "interrupted"


def test_an_inline_executor_runs_a_tool_in_the_loops_own_thread() -> None:
    agent = Agent()
    connection = sqlite3.connect(":memory:")  # usable in this thread only

    @agent.tool_plain
    def ask() -> str:
        return str(connection.execute("select 42").fetchone()[0])

    def events(**options: Any) -> list[Event]:
        return events_of(RunRequest(prompt="go", agent=agent, model=scripted([call("ask")], ["ok"])[0]), **options)

    inline = events(executor=InlineExecutor())
    assert ToolEnded(call_id="c1", tool="ask", result="42") in inline
    elsewhere = events()
    connection.close()
    assert end_of(elsewhere).status == "error" and "ProgrammingError" in str(end_of(elsewhere).error)


def test_no_tool_runs_and_no_request_is_sent_before_a_slow_taker_has_taken_what_led_to_it() -> None:
    stored: list[Event] = []
    seen: list[list[str]] = []
    model, _ = scripted([call("act")], [lambda: look(), "ok"])
    agent = Agent(model)

    def look() -> None:
        seen.append([type(event).__name__ for event in stored])

    @agent.tool_plain
    def act() -> str:
        look()
        return "acted"

    async def go() -> None:
        async for event in AgentRun(RunRequest(prompt="go", agent=agent), InlineExecutor()).events():
            for _ in range(20):  # a taker that lets everything else run before it has stored an event
                await asyncio.sleep(0)
            stored.append(event)

    asyncio.run(go())
    assert seen[0] == ["MessageDone", "MessageDone", "ToolStarted"]
    assert seen[1] == ["MessageDone", "MessageDone", "ToolStarted", "ToolEnded", "MessageDone"]


def test_of_parallel_tools_the_one_that_failed_is_named() -> None:
    model, _ = scripted([{**call("wait", number=1), **call("divide", number=2)}])
    agent = Agent(model)

    @agent.tool_plain
    async def wait() -> str:
        await asyncio.Event().wait()
        return "never"

    @agent.tool_plain
    async def divide() -> float:
        return 1 / 0

    events = events_of(RunRequest(prompt="go", agent=agent))
    assert str(end_of(events).error).startswith("Tool 'divide' failed")
    ended = {event.tool: str(event.error) for event in events if isinstance(event, ToolEnded)}
    assert "ZeroDivisionError" in ended["divide"] and "Stopped" in ended["wait"]


def test_a_call_that_is_refused_before_it_runs_is_told_as_started_and_failed() -> None:
    model, _ = scripted([call("add", '{"a": "x"}')], ["Sorry."])
    agent = Agent(model)

    @agent.tool_plain
    def add(a: int) -> int:
        return a

    events = events_of(RunRequest(prompt="go", agent=agent))
    started, ended = [event for event in events if isinstance(event, ToolStarted | ToolEnded)]
    assert isinstance(started, ToolStarted) and started.arguments == {"a": "x"}
    assert isinstance(ended, ToolEnded) and ended.error is not None and "integer" in ended.error


def test_an_executor_of_the_callers_runs_the_tools() -> None:
    model, _ = scripted([call("where")], ["ok"])
    agent = Agent(model)

    @agent.tool_plain
    def where() -> str:
        return threading.current_thread().name

    with ThreadPoolExecutor(thread_name_prefix="mine") as executor:
        events = events_of(RunRequest(prompt="go", agent=agent), executor=executor)
    assert ToolEnded(call_id="c1", tool="where", result="mine_0") in events


def test_an_interrupt_within_an_inline_tool_stops_the_run_and_leaves_the_signal_handler_as_it_was() -> None:
    model, _ = scripted([call("hang")], ["never"])
    agent = Agent(model)
    reached: list[str] = []

    @agent.tool_plain
    def hang() -> str:
        signal.raise_signal(signal.SIGINT)
        reached.append("the end")
        return "never"

    def kernels(number: int, frame: object) -> None:
        raise AssertionError("the kernel's handler was called")

    former = signal.signal(signal.SIGINT, kernels)
    try:
        events = events_of(RunRequest(prompt="go", agent=agent), executor=InlineExecutor())
        # asyncio.run puts its own handler there only where the default one is set
        assert signal.getsignal(signal.SIGINT) is kernels
    finally:
        signal.signal(signal.SIGINT, former)
    assert reached == []
    assert end_of(events).status == "interrupted"
    assert [event.tool for event in events if isinstance(event, ToolEnded)] == ["hang"]
    assert isinstance(messages_of(events)[1], ModelResponse)


def test_an_error_in_a_tool_ends_the_run_with_its_cause_and_names_the_tool() -> None:
    model, _ = scripted(["Let me see. ", call("divide")], ["never"])
    agent = Agent(model)

    @agent.tool_plain
    def divide() -> float:
        return 1 / 0

    events = events_of(RunRequest(prompt="go", agent=agent))
    ended = end_of(events)
    assert ended.status == "error" and isinstance(ended.cause, ZeroDivisionError)
    assert ended.error == "Tool 'divide' failed: ZeroDivisionError: division by zero"
    assert ToolEnded(call_id="c1", tool="divide", error="ZeroDivisionError: division by zero") in events
    assert len(messages_of(events)) >= 2


def test_calls_that_the_caller_must_answer_leave_the_run_waiting() -> None:
    model, _ = scripted([call("ask_user")])
    agent = Agent(model, output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def ask_user() -> str:
        return "asked"

    events = events_of(RunRequest(prompt="go", agent=agent))
    ended = end_of(events)
    assert ended.status == "waiting" and isinstance(ended.output, DeferredToolRequests)
    assert not any(isinstance(event, ToolEnded) for event in events)
    assert len(messages_of(events)) == 2


class Place(BaseModel):
    name: str


def test_a_structured_answer_is_the_object_and_its_output_tool_is_no_tool_call() -> None:
    model, _ = scripted([call("final_result", '{"name": "Oslo"}')])
    events = events_of(RunRequest(prompt="where", agent=Agent(model, output_type=Place)))
    assert end_of(events).output == Place(name="Oslo")
    assert not any(isinstance(event, ToolStarted | ToolEnded) for event in events)


def test_what_is_no_agent_or_no_model_is_refused_before_anything_runs() -> None:
    with pytest.raises(AgentError, match="not an agent"):
        AgentRun(RunRequest(prompt="hi", agent=Path("x")))
    with pytest.raises(ModelNotChosen, match="-m demo"):
        AgentRun(RunRequest(prompt="hi"))
    with pytest.raises(ModelNotChosen, match="-m demo"):
        AgentRun(RunRequest(prompt="hi", agent=Agent()))
    with pytest.raises(BadInput, match="nosuch"):
        AgentRun(RunRequest(prompt="hi", model="nosuch:model"))
    with pytest.raises(AgentError, match="not a model"):
        AgentRun(RunRequest(prompt="hi", model=3))


def test_the_requests_model_is_used_instead_of_the_agents() -> None:
    own, _ = scripted(["own"])
    other, _ = scripted(["other"])
    assert end_of(events_of(RunRequest(prompt="hi", agent=Agent(own), model=other))).output == "other"
