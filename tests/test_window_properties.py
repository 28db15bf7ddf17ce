"""What holds for a window over any history: it is valid, whole turns, in the limits, and its beginning stays."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from chatnb.window import Limits, Stored, first_to_read, fit
from tests.rigs.histories import (
    NO_LIMIT,
    answer,
    by_turn,
    cut_turns,
    histories,
    role_of,
    sent_turns,
    stored,
    texts,
    whole_turns,
)

limits_drawn = st.builds(
    Limits,
    max_messages=st.none() | st.integers(1, 9),
    max_tokens=st.none() | st.integers(20, 3_000),
)
thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_valid(messages: Sequence[ModelMessage]) -> None:
    """Written apart from the code: what every provider demands of a history."""
    if messages:
        assert isinstance(messages[0], ModelRequest), "begins with an answer"
        assert isinstance(messages[-1], ModelResponse) or role_of(messages[-1]) == "tool", "ends in a bare prompt"
    open_calls: list[str] = []
    for message in messages:
        assert any(not_empty(part) for part in message.parts), f"an empty message: {message}"
        if isinstance(message, ModelResponse):
            assert not open_calls, f"calls without results: {open_calls}"
            assert message.state in ("complete", "interrupted")
            open_calls = [part.tool_call_id for part in message.parts if isinstance(part, ToolCallPart)]
            continue
        for part in message.parts:
            assert not isinstance(part, SystemPromptPart)
            if isinstance(part, ToolReturnPart):
                assert part.tool_call_id in open_calls, f"a result without its call: {part}"
                open_calls.remove(part.tool_call_id)
        if any(isinstance(part, UserPromptPart) for part in message.parts):
            assert not open_calls, f"a prompt before the results of {open_calls}"
    assert not open_calls, f"ends with calls without results: {open_calls}"


def not_empty(part: ModelRequestPart | ModelResponsePart) -> bool:
    if isinstance(part, TextPart):
        return part.content.strip() != ""
    return not isinstance(part, UserPromptPart) or part.content not in ("", [])


def fits_alone(turn: list[Stored]) -> bool:
    """Whether a turn holds an answer or an answered call, told from its stored messages."""
    for place, one in enumerate(turn):
        parts = one.message.parts
        if isinstance(one.message, ModelRequest):
            continue
        if any(isinstance(part, TextPart) and part.content.strip() for part in parts):
            return True
        calls = {part.tool_call_id for part in parts if isinstance(part, ToolCallPart)}
        after = turn[place + 1].message.parts if place + 1 < len(turn) else []
        if calls & {part.tool_call_id for part in after if isinstance(part, ToolReturnPart)}:
            return True
    return False


@thorough
@given(histories(), limits_drawn, st.integers(0, 30), st.integers(0, 300))
def test_every_window_is_valid_to_send(history: list[Stored], limits: Limits, begins: int, reserved: int) -> None:
    assert_valid(fit(history, limits, window_seq=begins, reserved=reserved).messages)


@thorough
@given(histories(odd=False), limits_drawn, st.integers(0, 30))
def test_the_newest_turn_that_can_be_sent_always_is(history: list[Stored], limits: Limits, begins: int) -> None:
    able = [turn[0].record.turn_id for turn in by_turn(history) if fits_alone(turn)]
    assert sent_turns(fit(history, limits, window_seq=begins))[-1:] == able[-1:]
    assert sent_turns(fit(history, NO_LIMIT)) == able


@thorough
@given(histories(odd=False))
def test_every_text_and_every_answered_call_of_a_sent_turn_is_sent(history: list[Stored]) -> None:
    window = fit(history, NO_LIMIT)
    said = "\n".join(texts(window))
    results = [part for m in window.messages for part in m.parts if isinstance(part, ToolReturnPart)]
    for one in history:
        for part in one.message.parts:
            assert not isinstance(part, TextPart) or not part.content.strip() or part.content in said
            assert not isinstance(part, ToolReturnPart) or any(part is sent for sent in results)


@thorough
@given(histories(), limits_drawn, st.integers(0, 30))
def test_a_window_is_whole_turns_from_the_newest_back(history: list[Stored], limits: Limits, begins: int) -> None:
    everything, window = fit(history, NO_LIMIT), fit(history, limits, window_seq=begins)
    start = len(everything.messages) - len(window.messages)
    if not window.shortened:
        assert window.messages == everything.messages[start:]
    seqs = [line.seq for line in everything.lines]
    assert [line.seq for line in window.lines] == seqs[start:]
    earlier = {line.turn_id for line in everything.lines[:start]}
    assert not earlier & set(sent_turns(window))
    assert window.turns == len(sent_turns(window))
    assert {left.turn_id for left in window.left_out if left.seq is None} == {
        one.record.turn_id for one in history
    } - set(sent_turns(window))


@thorough
@given(histories(odd=False), limits_drawn, st.integers(0, 30), st.integers(0, 300))
def test_a_window_is_over_its_limits_only_when_its_one_turn_is(
    history: list[Stored], limits: Limits, begins: int, reserved: int
) -> None:
    window = fit(history, limits, window_seq=begins, reserved=reserved)
    assert window.tokens == sum(line.tokens for line in window.lines)
    room = None if limits.max_tokens is None else limits.max_tokens - reserved
    assert window.over == (room is not None and window.tokens > room and window.turns > 0)
    assert window.turns == 1 or not (window.over or window.shortened)
    if window.over:
        returns = [part for m in window.messages for part in m.parts if isinstance(part, ToolReturnPart)]
        assert all(len(str(part.content)) < 440 for part in returns), "something was left to shorten"
    said = sum(any(counts(part) for part in message.parts) for message in window.messages)
    assert window.turns <= 1 or limits.max_messages is None or said <= limits.max_messages


def counts(part: ModelRequestPart | ModelResponsePart) -> bool:
    return isinstance(part, UserPromptPart) or (isinstance(part, TextPart) and part.content.strip() != "")


heard: list[ModelMessage] = []


def listen(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    heard[:] = messages
    return ModelResponse(parts=[TextPart("done")])


agent = Agent(FunctionModel(listen))


@settings(parent=thorough, max_examples=80)
@given(histories(), limits_drawn, st.integers(0, 30))
def test_pydantic_ai_sends_a_window_on_without_repairing_it(history: list[Stored], limits: Limits, begins: int) -> None:
    window = fit(history, limits, window_seq=begins)
    assert agent.run_sync("next", message_history=list(window.messages)).output == "done"
    spoken = [part for m in heard for part in m.parts]
    given_parts = [part for m in window.messages for part in m.parts]
    assert isinstance(spoken[-1], UserPromptPart) and spoken[-1].content == "next"
    assert kinds(spoken[:-1]) == kinds(given_parts)
    assert_valid([*heard, answer()])


def kinds(parts: Sequence[ModelRequestPart | ModelResponsePart]) -> list[str]:
    """What PydanticAI may not add to or take from; it turns feedback into a prompt itself."""
    return sorted(part.part_kind for part in parts if not isinstance(part, UserPromptPart | RetryFeedbackPart))


@thorough
@given(st.lists(st.one_of(whole_turns(), whole_turns(), cut_turns()), min_size=4, max_size=14), st.integers(60, 1_500))
def test_the_beginning_stays_the_same_until_a_drop_that_leaves_at_most_half(
    turns: list[list[ModelMessage]], most: int
) -> None:
    history = stored(*turns)
    before = fit([], Limits(max_tokens=most))
    for end in range(1, len(turns) + 1):
        so_far = [one for one in history if int(one.record.turn_id[1:]) <= end]
        unlimited = fit(so_far, NO_LIMIT)
        window = fit(so_far, Limits(max_tokens=most), window_seq=before.from_seq)
        if window.from_seq == before.from_seq or not before.messages:
            assert before.shortened or window.messages[: len(before.messages)] == before.messages
        else:
            assert sum(line.tokens for line in unlimited.lines if line.seq >= before.from_seq) > most
            assert window.tokens <= most // 2 or window.turns == 1
        assert fit(so_far, Limits(max_tokens=most), window_seq=window.from_seq) == window
        before = window


@thorough
@given(histories(), limits_drawn, st.integers(0, 40))
def test_a_window_is_the_same_however_little_was_read(history: list[Stored], limits: Limits, begins: int) -> None:
    whole = fit(history, limits, window_seq=begins)
    assert not whole.needs_more
    for first in range(2, len(history) + 1):
        window = fit(history[first - 1 :], limits, window_seq=begins, first_read=first)
        if not window.needs_more:
            assert (window.messages, window.from_seq, window.lines) == (whole.messages, whole.from_seq, whole.lines)


@thorough
@given(histories(), limits_drawn, st.integers(0, 40))
def test_reading_further_back_comes_to_an_end(history: list[Stored], limits: Limits, begins: int) -> None:
    for attempt in range(12):
        first = first_to_read(limits, window_seq=begins, last_seq=len(history), attempt=attempt)
        window = fit(history[first - 1 :], limits, window_seq=begins, first_read=first)
        if not window.needs_more:
            break
    assert window.messages == fit(history, limits, window_seq=begins).messages
