"""The scripted model server does what the tests that stand on it rely on."""

from __future__ import annotations

import asyncio
import json
import threading

import openai
import pytest
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.rigs.openai_server import Answer, Call, OpenAIServer, Refusal, Request, Usage

QUESTION = {"model": "gpt-5", "messages": [{"role": "user", "content": "How many?"}]}


def test_the_openai_client_gets_a_whole_answer_and_the_request_is_recorded() -> None:
    answer = Answer("Three.", usage=Usage(input=12, output=1, cached=8))
    with OpenAIServer(answer) as server, openai.OpenAI(**server.client) as client:
        reply = client.chat.completions.create(**QUESTION, extra_headers={"X-Rig": "1"})
        assert [model.id for model in client.models.list()] == ["gpt-5"]
    assert reply.choices[0].message.content == "Three." and reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None and reply.usage.prompt_tokens_details is not None
    assert (reply.usage.prompt_tokens, reply.usage.prompt_tokens_details.cached_tokens) == (12, 8)
    (request,) = server.requests
    assert json.loads(request.raw) == request.json == QUESTION
    assert (request.headers["x-rig"], request.headers["authorization"]) == ("1", "Bearer sk-test")


def test_the_openai_client_gets_a_stream_with_calls_and_usage_at_its_end() -> None:
    answer = Answer("Let me  look.", calls=(Call("count", {"of": "rows"}), Call("stop", "{}", id="mine")))
    with OpenAIServer(answer, answer) as server, openai.OpenAI(**server.client) as client:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**QUESTION, **options))
        without = list(client.chat.completions.create(**QUESTION, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Let me  look."
    calls = [call for chunk in chunks[:-1] for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.id) for call in calls if call.id] == [(0, "call_1_0"), (1, "mine")]
    assert "".join(call.function.arguments for call in calls) == '{"of": "rows"}{}'
    assert (chunks[-1].choices, chunks[-1].usage.prompt_tokens, chunks[-2].usage) == ([], 10, None)
    assert without[-1].usage is None and without[-1].choices[0].finish_reason == "tool_calls"


def test_a_refused_request_is_tried_again_by_the_client() -> None:
    script = (Refusal(429, retry_after=0.01), Refusal(500, retry_after=0.01), Answer("At last."))
    with OpenAIServer(*script) as server, openai.OpenAI(**server.client) as client:
        assert client.chat.completions.create(**QUESTION).choices[0].message.content == "At last."
        server.reply_with(Refusal(429, retry_after=2))
        with pytest.raises(openai.RateLimitError) as limited:
            client.with_options(max_retries=0).chat.completions.create(**QUESTION)
        assert limited.value.response.headers["retry-after"] == "2"
        server.reply_with(Refusal(401, "no such key", code="invalid_api_key"))
        with pytest.raises(openai.AuthenticationError, match="no such key"):
            client.chat.completions.create(**QUESTION)
        with pytest.raises(openai.BadRequestError, match="script has ended: this is request 6"):
            client.chat.completions.create(**QUESTION)
    assert [request.headers["x-stainless-retry-count"] for request in server.requests] == ["0", "1", "2", "0", "0", "0"]


def test_a_stream_drops_where_the_script_says() -> None:
    heard: list[str] = []

    def listen(client: openai.OpenAI) -> None:
        for chunk in client.chat.completions.create(**QUESTION, stream=True):
            heard.append(chunk.choices[0].delta.content)

    with (
        OpenAIServer(Answer("one two three", drop_after=2)) as server,
        openai.OpenAI(**server.client) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        listen(client)
    assert heard == ["", "one", " two"]


def test_a_whole_answer_that_drops_is_tried_again() -> None:
    with (
        OpenAIServer(Answer("one two", drop_after=0), Answer("one two")) as server,
        openai.OpenAI(**server.client) as client,
    ):
        assert client.chat.completions.create(**QUESTION).choices[0].message.content == "one two"
    assert len(server.requests) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_malformed_answer_is_not_json(stream: bool) -> None:
    with (
        OpenAIServer(Answer("one two three", malformed_after=1)) as server,
        openai.OpenAI(**server.client) as client,
        pytest.raises(json.JSONDecodeError),
    ):
        list(client.chat.completions.create(**QUESTION, stream=stream))


def test_a_slow_stream_goes_on_when_the_test_says_so() -> None:
    event = threading.Event()
    with OpenAIServer(Answer("one two three", hold=event)) as server, openai.OpenAI(**server.client) as client:
        stream = client.chat.completions.create(**QUESTION, stream=True)
        words = (chunk.choices[0].delta.content for chunk in stream)
        assert [next(words), next(words)] == ["", "one"]
        event.set()
        assert [next(words), next(words)] == [" two", " three"]
        stream.close()


def test_the_server_notices_that_a_client_went_away() -> None:
    with OpenAIServer(Answer("one two", hold=threading.Event())) as server, openai.OpenAI(**server.client) as client:
        with client.chat.completions.create(**QUESTION, stream=True) as stream:
            next(stream)
        assert server.wait_for_request().gone.wait(10)


def test_a_reply_may_be_made_from_the_request() -> None:
    def echo(request: Request) -> Answer:
        return Answer(request.messages[-1]["content"].upper())

    with OpenAIServer(otherwise=echo) as server, openai.OpenAI(**server.client) as client:
        for _ in range(2):
            assert client.chat.completions.create(**QUESTION).choices[0].message.content == "HOW MANY?"


@pytest.mark.parametrize("model", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_pydantic_ai_agent_streams_calls_its_tool_and_counts_tokens(model: type) -> None:
    script = (Answer(calls=(Call("count", {"of": "rows"}),)), Answer("There are 7 rows.", usage=Usage(30, 6, 20)))

    async def ask(server: OpenAIServer) -> list[str]:
        async with openai.AsyncOpenAI(**server.client) as client:
            agent = Agent(model("gpt-5", provider=OpenAIProvider(openai_client=client)))
            agent.tool_plain(lambda of: 7, name="count")
            async with agent.run_stream("How many?") as run:
                heard = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
                usage = run.usage
        assert (usage.requests, usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (2, 40, 11, 20)
        return heard

    with OpenAIServer(*script) as server:
        assert asyncio.run(ask(server)) == ["There", " are", " 7", " rows."]
    assert '"7"' in server.requests[1].raw.decode() and server.requests[0].json["stream"] is True


@pytest.mark.parametrize("model", [OpenAIChatModel, OpenAIResponsesModel])
def test_a_pydantic_ai_agent_gets_an_answer_that_is_not_streamed(model: type) -> None:
    async def ask(server: OpenAIServer) -> str:
        async with openai.AsyncOpenAI(**server.client) as client:
            return (await Agent(model("gpt-5", provider=OpenAIProvider(openai_client=client))).run("Hi")).output

    with OpenAIServer(Answer("Hello.")) as server:
        assert asyncio.run(ask(server)) == "Hello."
