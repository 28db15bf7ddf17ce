"""Histories to fit windows over: made by hand, or drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseState,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from chatnb.records import Message, Role
from chatnb.window import Limits, Stored, Window

NO_LIMIT = Limits()
PIXEL = BinaryContent(data=b"\x89PNG", media_type="image/png")


def prompt(text: str = "hello?", *before: ModelRequestPart) -> ModelMessage:
    return ModelRequest(parts=[*before, UserPromptPart(text)])


def answer(text: str = "hello.", *before: ModelResponsePart) -> ModelMessage:
    return ModelResponse(parts=[*before, TextPart(text)])


def call(*ids: str, text: str = "") -> ModelMessage:
    texts = [TextPart(text)] if text else []
    return ModelResponse(parts=[*texts, *(ToolCallPart("add", {"a": 1}, tool_call_id=one) for one in ids)])


def result(*ids: str, content: str = "2") -> ModelMessage:
    return ModelRequest(parts=[ToolReturnPart("add", content, tool_call_id=one) for one in ids])


def interrupted(*parts: ModelResponsePart) -> ModelMessage:
    return ModelResponse(parts=list(parts), state="interrupted")


def role_of(message: ModelMessage) -> Role:
    if isinstance(message, ModelResponse):
        return "assistant"
    kinds = {part.part_kind for part in message.parts}
    return "user" if "user-prompt" in kinds else "tool" if kinds - {"system-prompt"} else "system"


def stored(*turns: Sequence[ModelMessage]) -> list[Stored]:
    """A history of these turns, `t1` and on, its messages numbered from 1."""
    history: list[Stored] = []
    for number, turn in enumerate(turns, 1):
        for position, message in enumerate(turn):
            record = Message(
                seq=len(history) + 1,
                turn_id=f"t{number}",
                position=position,
                role=role_of(message),
                content="",
                payload="",
                format="pydantic-ai",
            )
            history.append(Stored(record, message))
    return history


def reported(history: list[Stored], **tokens: tuple[int, int]) -> list[Stored]:
    """The history with `s2=(input, output)` reported for the response at seq 2."""
    told = []
    for one in history:
        numbers = tokens.get(f"s{one.record.seq}")
        if numbers is not None:
            one = Stored(replace(one.record, input_tokens=numbers[0], output_tokens=numbers[1]), one.message)
        told.append(one)
    return told


def sent_turns(window: Window) -> list[str]:
    return [turn_id for turn_id, _ in groupby(line.turn_id for line in window.lines)]


def texts(window: Window) -> list[str]:
    return [part.content for m in window.messages for part in m.parts if isinstance(part, TextPart)]


def why(window: Window) -> dict[str, str]:
    return {left.turn_id: left.why for left in window.left_out}


def by_turn(history: list[Stored]) -> list[list[Stored]]:
    return [list(group) for _, group in groupby(history, key=lambda one: one.record.turn_id)]


words = st.sampled_from(["yes", "The mean is 3.", "x" * 90, "統計 " * 20, "y" * 700])
ids = st.sampled_from(["0", "1", "2"])  # few, so that turns share them
pictures: st.SearchStrategy[list[UserContent]] = st.sampled_from(
    [["what is this?", PIXEL], [ImageUrl("https://example.com/a.png")], [PIXEL, PIXEL, "and these?"]]
)
states: st.SearchStrategy[ModelResponseState] = st.sampled_from(["interrupted", "incomplete", "suspended", "complete"])
outcomes: st.SearchStrategy[Literal["success", "retried"]] = st.sampled_from(["success", "success", "retried"])


@st.composite
def prompts(draw: st.DrawFn) -> ModelRequest:
    system = [SystemPromptPart("Be brief.")] if draw(st.booleans()) else []
    return ModelRequest(parts=[*system, UserPromptPart(draw(words | pictures))])


@st.composite
def tool_steps(draw: st.DrawFn) -> list[ModelMessage]:
    thinking = [ThinkingPart("hm", signature="s", provider_name="p")] if draw(st.booleans()) else []
    said = [TextPart(draw(words))] if draw(st.booleans()) else []
    names = draw(st.lists(ids, min_size=1, max_size=3, unique=True))
    calls = [ToolCallPart("add", {"a": 1}, tool_call_id=name) for name in names]
    outcome = draw(outcomes)
    returns = [ToolReturnPart("add", draw(words), tool_call_id=name, outcome=outcome) for name in names]
    return [ModelResponse(parts=[*thinking, *said, *calls]), ModelRequest(parts=draw(st.permutations(returns)))]


@st.composite
def endings(draw: st.DrawFn) -> list[ModelMessage]:
    kind = draw(st.sampled_from(["text", "thought", "object", "feedback"]))
    if kind == "object":
        return [call("out"), result("out", content="Final result processed.")]
    if kind == "feedback":
        feedback = ModelRequest(parts=[RetryFeedbackPart("Again.", retry=RetryInfo("model_retry"))])
        return [draw(st.sampled_from([answer("two"), ModelResponse(parts=[])])), feedback, answer(draw(words))]
    return [answer(draw(words), *([ThinkingPart("so")] if kind == "thought" else []))]


@st.composite
def whole_turns(draw: st.DrawFn) -> list[ModelMessage]:
    steps = draw(st.lists(tool_steps(), max_size=2))
    system = [ModelRequest(parts=[SystemPromptPart("Be kind.")])] if draw(st.booleans()) else []
    return [*system, draw(prompts()), *(message for step in steps for message in step), *draw(endings())]


@st.composite
def cut_turns(draw: st.DrawFn) -> list[ModelMessage]:
    """A turn that was stopped anywhere, in the middle of a message too."""
    turn = draw(whole_turns())
    turn = turn[: draw(st.integers(1, len(turn)))]
    last = turn[-1]
    size = draw(st.integers(0, len(last.parts)))
    if isinstance(last, ModelResponse):
        return [*turn[:-1], replace(last, parts=list(last.parts[:size]), state=draw(states))]
    if len(turn) > 1:
        return [*turn[:-1], ModelRequest(parts=list(last.parts[:size]), state="interrupted")]
    return turn


odd_turns: st.SearchStrategy[list[ModelMessage]] = st.sampled_from(
    [
        [answer("Welcome.")],
        [result("0")],
        [result("0"), answer("went on")],
        [call("0", "1"), result("1"), answer("went on")],
        [prompt(""), answer("to nothing")],
        [prompt(), call("0"), answer("later"), result("0")],
        [prompt(), call("0"), prompt("first this"), result("0"), answer()],
        [prompt(), ModelResponse(parts=[TextPart("")]), answer("again")],
        [prompt(), prompt("and"), answer()],
        [prompt(), call("0"), result("0"), result("0"), answer()],
        [ModelRequest(parts=[SystemPromptPart("Be brief.")])],
    ]
)


@st.composite
def histories(draw: st.DrawFn, *, odd: bool = True) -> list[Stored]:
    kinds = [whole_turns(), whole_turns(), cut_turns()] + ([odd_turns] if odd else [])
    history = stored(*draw(st.lists(st.one_of(kinds), min_size=1, max_size=7)))
    if not draw(st.booleans()):
        return history
    told = {f"s{n}": (draw(st.integers(0, 900)), draw(st.integers(0, 300))) for n in range(1, len(history) + 1)}
    return reported(history, **told)
