"""The offline model answers from the messages it is sent, and from nothing else."""

from __future__ import annotations

import asyncio
import datetime
import re
import socket
from typing import Any

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import Agent, ModelRetry, NativeOutput, PromptedOutput
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart

from chatnb.agents import demo
from chatnb.agents.demo import NOTE, DemoModel
from chatnb.agents.demo_rules import calculate
from chatnb.agents.events import RunEnded, RunRequest, TextDelta
from chatnb.agents.pydantic_ai import AgentRun
from chatnb.errors import BadInput


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATNB_DEMO_DELAY", "0")


class Talk:
    """A conversation; `say` gives the answer without the note that this is a demo."""

    def __init__(self, **options: Any) -> None:
        self.agent: Agent[None, Any] = Agent(DemoModel(), **options)
        self.messages: list[ModelMessage] = []

    def say(self, text: str) -> Any:
        result = asyncio.run(self.agent.run(text, message_history=self.messages))
        self.messages = result.all_messages()
        return result.output.removeprefix(NOTE).strip() if isinstance(result.output, str) else result.output


def test_the_first_answer_says_that_it_is_a_demo_and_the_next_ones_do_not() -> None:
    agent = Agent(DemoModel())
    first = asyncio.run(agent.run("Hello"))
    assert first.output.startswith(NOTE)
    assert NOTE not in asyncio.run(agent.run("Hello", message_history=first.all_messages())).output


def test_a_name_is_known_while_the_message_that_tells_it_is_sent() -> None:
    talk = Talk()
    assert talk.say("My name is Alice").startswith("Hello Alice.")
    assert talk.say("What is my name?") == "Your name is Alice."
    assert talk.say("who am I?") == "Your name is Alice."


def test_what_is_not_in_the_messages_is_not_known() -> None:
    talk = Talk()
    assert talk.say("What is my name?") == "I do not know your name: I was sent no earlier turn."
    assert "I do not know your city" in talk.say("What is my city?")


@pytest.mark.parametrize(
    ("told", "asked", "answer"),
    [
        ("My favourite colour is dark blue.", "What is my favourite colour?", "Your favourite colour is dark blue."),
        ("My dog is Rex and my cat is Tom.", "what's my cat?", "Your cat is Tom."),
        ("The secret number is 42.", "What is the secret number?", "The secret number is 42."),
        ("I am a biologist", "What am I?", "You are a biologist."),
        ("I'm Bob.", "What's my name?", "Your name is Bob."),
        ("I like green tea.", "What do I like?", "You like green tea."),
        ("Remember that the meeting moved", "What do you remember?", "I remember:\n\n- note: the meeting moved"),
    ],
)
def test_simple_statements_are_remembered(told: str, asked: str, answer: str) -> None:
    talk = Talk()
    talk.say(told)
    assert talk.say(asked) == answer


def test_a_later_statement_replaces_an_earlier_one() -> None:
    talk = Talk()
    talk.say("My city is Oslo.")
    talk.say("My city is Rome.")
    assert talk.say("What is my city?") == "Your city is Rome."


def test_earlier_questions_are_quoted_and_counted() -> None:
    talk = Talk()
    talk.say("Tell me about rivers")
    talk.say("And about lakes")
    assert talk.say("What did I ask first?") == "Your first question that I see was: “Tell me about rivers”"
    before = talk.say("What did I ask before?")
    assert "1. “Tell me about rivers”" in before and "2. “And about lakes”" in before
    assert talk.say("How many turns do you see?") == "I was sent 4 earlier turns and this one."
    assert Talk().say("What did I ask before?").startswith("I was sent no earlier question")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("what is 12 * 7?", "12 * 7 = **84**"),
        ("What is 2 plus 3 times 4", "2 + 3 * 4 = **14**"),
        ("compute (1+2)^10", "(1+2)**10 = **59049**"),
        ("3.5 x 2", "3.5 * 2 = **7**"),
        ("10 / 4", "10 / 4 = **2.5**"),
        ("10/0", "10/0 divides by zero, which has no result."),
    ],
)
def test_sums_are_computed(asked: str, answer: str) -> None:
    assert Talk().say(asked) == answer


@pytest.mark.parametrize("text", ["9**9**9", "2024-01-05", "__import__('os')", "10**400 * 1.5", "(" * 300 + "1"])
def test_what_is_no_sum_or_too_large_is_not_computed(text: str) -> None:
    assert Talk().say(text).startswith("You said:")


def test_only_numbers_are_calculated() -> None:
    for text in ("a + 1", "'x' * 3", "[1]", "f(1)", "True + 1", "1 if 1 else 2"):
        with pytest.raises(ValueError, match=re.escape(text)):
            calculate(text)


def test_instructions_are_told_and_followed() -> None:
    assert Talk(instructions="Be kind.", system_prompt="You count.").say("What are your instructions?") == (
        "My instructions are: “You count.\n\nBe kind.”"
    )
    assert Talk().say("What is your system prompt?") == "I was given no instructions."
    word = Talk(instructions="Answer in one word.")
    word.say("My name is Alice")
    assert word.say("What is my name?") == "Alice"
    assert "\n" not in Talk(instructions="Be brief.").say("Show me a table")


@pytest.mark.parametrize(
    ("asked", "has"), [("a table", "|:---"), ("a list", "1. "), ("some code", "```python"), ("some Markdown", "# A")]
)
def test_markdown_of_each_kind_can_be_shown(asked: str, has: str) -> None:
    assert has in Talk().say(f"Show me {asked}")


def toolbox() -> Talk:
    talk = Talk()

    @talk.agent.tool_plain
    def add(a: int, b: int) -> int:
        return a + b

    @talk.agent.tool_plain
    def get_weather(city: str, days: int = 3) -> str:
        return f"{city}, {days} days: sunny"

    @talk.agent.tool_plain
    def run_sql(query: str) -> str:
        return f"ran {query}"

    @talk.agent.tool_plain
    def plot(xs: list[float], title: str = "", kind: str | None = None) -> str:
        return f"{xs} {title} {kind}"

    @talk.agent.tool_plain
    def pick(word: str) -> str:
        raise ModelRetry("the word must be longer")

    return talk


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Use add with 4 and 5", "`add` gave: 9"),
        ("What is the weather in Paris?", "`get_weather` gave: Paris, 3 days: sunny"),
        ("get_weather for 'New York', 7 days", "`get_weather` gave: New York, 7 days: sunny"),
        ('run the sql "select 1"', "`run_sql` gave: ran select 1"),
        ("plot 1 2 3.5 titled 'hello'", "`plot` gave: [1.0, 2.0, 3.5] hello None"),
        ("use the tool", "`add` gave: 2"),
    ],
)
def test_a_tool_that_the_prompt_asks_for_is_called_with_what_the_prompt_has(asked: str, answer: str) -> None:
    assert toolbox().say(asked) == answer


def test_several_tools_in_one_prompt_each_get_their_own_piece_of_it() -> None:
    said = toolbox().say("Use add with 4 and 5, then get_weather for 'Oslo' with 7")
    assert said == "- `add` gave: 9\n- `get_weather` gave: Oslo, 7 days: sunny"


def test_a_tool_that_asks_for_a_retry_is_reported_with_an_apology() -> None:
    said = toolbox().say("pick 'a'")
    assert said.startswith("Sorry") and "`pick`" in said and "the word must be longer" in said


def test_tools_are_left_alone_when_the_prompt_does_not_ask_for_them() -> None:
    assert toolbox().say("Hello") == "Hello. What is your name?"


def test_calls_have_ids_that_are_new_to_the_conversation() -> None:
    talk = toolbox()
    talk.say("add 1 and 2")
    talk.say("add 3 and 4")
    calls = [part for one in talk.messages for part in one.parts if isinstance(part, ToolCallPart)]
    assert [call.tool_call_id for call in calls] == ["demo-1", "demo-2"]


class Place(BaseModel):
    name: str
    population: int = Field(ge=1000)
    founded: datetime.date
    kind: str = Field(json_schema_extra={"enum": ["city", "village"]})
    tags: list[str] = Field(min_length=1)
    parent: Place | None = None


@pytest.mark.parametrize("mode", [lambda kind: kind, NativeOutput, PromptedOutput])
def test_a_structured_answer_is_filled_from_the_prompt(mode: Any) -> None:
    place = Talk(output_type=mode(Place)).say("Tell me about Oslo, a village")
    assert (place.name, place.population, place.kind) == ("Oslo", 1000, "village")
    assert place == Talk(output_type=mode(Place)).say("Tell me about Oslo, a village")


def test_numbers_in_the_prompt_fill_a_list_of_numbers() -> None:
    assert Talk(output_type=list[int]).say("Sort 3, 1 and 2") == [3, 1, 2]


def test_it_is_free_counts_tokens_and_names_itself() -> None:
    result = asyncio.run(Agent(DemoModel()).run("Hello"))
    response = result.all_messages()[-1]
    assert isinstance(response, ModelResponse)
    assert (response.model_name, response.provider_name, response.usage.cost) == ("demo", "demo", 0)
    assert response.usage.input_tokens == 2
    assert response.usage.output_tokens == -(-len(result.output) // 4)


def streamed(prompt: str) -> tuple[list[str], RunEnded]:
    async def go() -> list[Any]:
        return [event async for event in AgentRun(RunRequest(prompt=prompt, model="demo")).events()]

    events = asyncio.run(go())
    assert isinstance(events[-1], RunEnded)
    return [event.text for event in events if isinstance(event, TextDelta)], events[-1]


def test_a_streamed_answer_comes_word_by_word_and_is_the_same_as_the_whole_one() -> None:
    words, ended = streamed("Show me a table")
    assert len(words) > 10
    whole = asyncio.run(Agent(DemoModel()).run("Show me a table"))
    assert "".join(words) == ended.output == whole.output
    assert (ended.usage.input_tokens, ended.usage.output_tokens) == (
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    )


def test_each_word_waits_a_little_and_a_long_answer_no_longer_than_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(demo.asyncio, "sleep", note)
    monkeypatch.delenv("CHATNB_DEMO_DELAY")
    words, _ = streamed("Hello")
    assert set(waits) == {0.01} and len(waits) == len(words)
    waits.clear()
    monkeypatch.setenv("CHATNB_DEMO_DELAY", "60")
    streamed("What can you do?")
    assert sum(waits) == pytest.approx(2)


def test_a_delay_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHATNB_DEMO_DELAY", "soon")
    _, ended = streamed("Hello")
    assert ended.status == "error" and isinstance(ended.cause, BadInput)
    assert ended.error == "CHATNB_DEMO_DELAY is 'soon', not a number of seconds, such as 0.01."


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.usefixtures("no_network")
def test_it_needs_no_network() -> None:
    assert streamed("What is 1 + 1?")[1].status == "ok"
