"""Runs over a real HTTP connection: what providers refuse, what breaks, and whose loop the connection is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider

from chatnb.agents.events import Event, MessageDone, RunEnded, RunRequest, TextDelta
from chatnb.agents.loops import model_for_this_loop
from chatnb.agents.pydantic_ai import AgentRun
from tests.rigs.openai_server import Answer, OpenAIServer, Refusal

T = TypeVar("T")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(otherwise=Answer("Hello there.")) as server:
        yield server


def chat_model(server: OpenAIServer) -> OpenAIChatModel:
    return OpenAIChatModel("gpt-5", provider=OpenAIProvider(**server.client))


async def answer(model: Model, *, close: bool = True) -> list[Event]:
    events = [event async for event in AgentRun(RunRequest(prompt="hi", model=model)).events()]
    if close and isinstance(model, OpenAIChatModel):
        await model.client.close()
    return events


def ended(events: list[Event]) -> RunEnded:
    assert isinstance(events[-1], RunEnded)
    return events[-1]


def test_a_streamed_answer_has_its_tokens_and_its_price(server: OpenAIServer) -> None:
    events = asyncio.run(answer(chat_model(server)))
    usage = ended(events).usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (1, 10, 5)
    assert usage.cost is not None and 0 < usage.cost < 0.001


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal(401, "Incorrect API key provided: sk-secret"), ["401", "OPENAI_API_KEY"]),
        (Refusal(429, "slow down", retry_after=0), ["429", "rate", "again"]),
        (Refusal(429, "no money", "insufficient_quota", retry_after=0), ["429", "credit"]),
        (Refusal(404, "no such model", "model_not_found"), ["404", "gpt-5"]),
        (Refusal(400, "maximum context length is 10 tokens", "context_length_exceeded"), ["400", "too long", "-n 4"]),
        (Refusal(400, "bad temperature"), ["400", "bad temperature"]),
        (Refusal(503, "overloaded", retry_after=0), ["503", "overloaded", "again"]),
    ],
    ids=lambda value: str(value.code) if isinstance(value, Refusal) else "",
)
def test_a_refusal_becomes_one_sentence_that_says_what_to_do(refusal: Refusal, words: list[str]) -> None:
    with OpenAIServer(otherwise=refusal) as server:
        events = asyncio.run(answer(chat_model(server)))
    end = ended(events)
    assert end.status == "error" and end.cause is not None
    assert end.error is not None and "\n" not in end.error and "sk-secret" not in end.error
    assert end.error.startswith("openai ")
    for word in words:
        assert word in end.error
    assert len([event for event in events if isinstance(event, MessageDone)]) == 1  # the prompt is kept


def test_a_dropped_connection_keeps_what_came(server: OpenAIServer) -> None:
    server.reply_with(Answer("one two three four", drop_after=2))
    events = asyncio.run(answer(chat_model(server)))
    assert ended(events).status == "error" and "dropped" in str(ended(events).error)
    partial = [event.message for event in events if isinstance(event, MessageDone)][-1]
    assert isinstance(partial, ModelResponse) and partial.text and partial.text.startswith("one two")


def test_an_address_where_nobody_listens_says_so() -> None:
    client = AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="sk-test", max_retries=0)
    model = OpenAIChatModel("gpt-5", provider=OpenAIProvider(openai_client=client))
    assert "cannot be reached" in str(ended(asyncio.run(answer(model))).error)


def test_a_cancelled_run_hangs_up(server: OpenAIServer) -> None:
    hold = threading.Event()
    server.reply_with(Answer("one two three", hold=hold, hold_after=1))

    async def go() -> list[Event]:
        model = chat_model(server)
        running = AgentRun(RunRequest(prompt="hi", model=model))
        taken: list[Event] = []
        async for event in running.events():
            taken.append(event)
            if isinstance(event, TextDelta):
                running.cancel()
        await model.client.close()
        return taken

    assert ended(asyncio.run(go())).status == "interrupted"
    assert server.requests[0].gone.wait(10)


class Loop:
    """An event loop that runs in a thread of its own."""

    def __enter__(self) -> Loop:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)


def own_client(server: OpenAIServer) -> OpenAIChatModel:
    return OpenAIChatModel("gpt-5", provider=OpenAIProvider(openai_client=AsyncOpenAI(**server.client)))


def inner(model: Model) -> OpenAIChatModel:
    innermost = model.wrapped if isinstance(model, WrapperModel) else model
    assert isinstance(innermost, OpenAIChatModel)
    return innermost


async def run_and_hang_up(agent: Agent[None, str]) -> RunEnded:
    """Run the agent on this loop; then close the connections that the run has opened here."""
    events = [event async for event in AgentRun(RunRequest(prompt="hi", agent=agent)).events()]
    assert isinstance(agent.model, Model)
    twin = model_for_this_loop(agent.model)
    assert twin is not agent.model and twin.model_name == "gpt-5"
    await inner(twin).client.close()
    return ended(events)


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_an_agent_awaited_on_a_loop_that_still_runs_can_be_run_in_the_main_thread_and_back(
    server: OpenAIServer, wrapped: bool
) -> None:
    model = chat_model(server)
    agent = Agent(WrapperModel(model) if wrapped else model)
    with Loop() as other:
        other.wait_for(agent.run("hi"))
        assert asyncio.run(run_and_hang_up(agent)).output == "Hello there."
        assert other.wait_for(agent.run("hi")).output == "Hello there."
        other.wait_for(model.client.close())


@pytest.mark.parametrize("make", [chat_model, own_client], ids=["the provider's client", "a client of one's own"])
def test_an_agent_that_its_owner_awaits_in_the_main_thread_can_be_run_on_a_background_loop_and_back(
    server: OpenAIServer, make: Callable[[OpenAIServer], OpenAIChatModel]
) -> None:
    model = make(server)
    agent = Agent(model)

    async def cell() -> None:
        for _ in range(2):
            assert other.wait_for(run_and_hang_up(agent)).output == "Hello there."  # while this loop runs
            assert (await agent.run("hi")).output == "Hello there."
        await model.client.close()

    with Loop() as other:
        asyncio.run(cell())


def test_a_model_that_only_this_loop_uses_stays_itself(server: OpenAIServer) -> None:
    async def go() -> bool:
        model = chat_model(server)
        await answer(model, close=False)
        same = model_for_this_loop(model) is model
        await model.client.close()
        return same

    assert asyncio.run(go())
