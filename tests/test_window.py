"""What the model sees of a history: valid, whole turns, within the limits, the same for as long as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    CachePoint,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    ModelResponseState,
    NativeToolCallPart,
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
from pydantic_ai.models.function import AgentInfo, FunctionModel

from chatnb.errors import BadInput
from chatnb.records import Message, Role
from chatnb.tokens import FILE_TOKENS, MESSAGE_TOKENS, estimate, estimate_text
from chatnb.window import Limits, Stored, Window, first_to_read, fit

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


# What is sent of a turn


def test_a_history_without_limits_is_sent_as_it_is_stored() -> None:
    history = stored([prompt(), call("a"), result("a"), answer()], [prompt("and?"), answer("no.")])
    window = fit(history, NO_LIMIT)
    assert window.messages == tuple(one.message for one in history)
    assert (window.turns, window.turns_read, window.from_seq, window.left_out) == (2, 2, 1, ())
    assert not window.needs_more


def test_an_empty_history_sends_nothing() -> None:
    window = fit([], Limits(max_tokens=100), window_seq=7)
    assert window.messages == () and window.from_seq == 7 and not window.over and not window.needs_more


def test_messages_that_were_stored_as_json_are_sent_unchanged() -> None:
    messages = [prompt(), call("a"), result("a"), answer("x", ThinkingPart("hm", signature="s", provider_name="p"))]
    messages = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(messages))
    assert fit(stored(messages), NO_LIMIT).messages == tuple(messages)


def test_a_turn_with_nothing_but_a_prompt_is_not_sent() -> None:
    window = fit(stored([prompt("lost?")], [prompt(), answer()]), NO_LIMIT)
    assert sent_turns(window) == ["t2"] and why(window) == {"t1": "only a prompt, nothing answered"}
    assert (window.turns, window.turns_read) == (1, 2)


def test_an_interrupted_turn_is_sent_up_to_its_last_completed_tool_result() -> None:
    turn = [prompt(), call("a"), result("a"), call("b")]
    window = fit(stored(turn), NO_LIMIT)
    assert window.messages == tuple(turn[:3])
    assert [(left.seq, left.why) for left in window.left_out] == [(4, "interrupted before its tools answered")]


def test_of_parallel_calls_the_answered_one_is_sent_and_the_unanswered_one_is_not() -> None:
    turn = [prompt(), call("a", "b"), result("b")]
    window = fit(stored(turn), NO_LIMIT)
    assert window.messages[1].parts == [turn[1].parts[1]]
    assert (window.messages[0], *window.messages[2:]) == (turn[0], turn[2])


@pytest.mark.parametrize("state", ["interrupted", "incomplete", "suspended"])
def test_partial_text_is_sent_marked_as_interrupted(state: ModelResponseState) -> None:
    partial = ModelResponse(
        parts=[ThinkingPart("hm"), TextPart("The mean", id="x", provider_name="p"), *call("a").parts],
        state=state,
    )
    window = fit(stored([prompt(), partial]), NO_LIMIT)
    cut = window.messages[1]
    assert isinstance(cut, ModelResponse) and cut.state == "interrupted"
    assert cut.parts == [TextPart("The mean [interrupted]", provider_name="p")]


def test_a_whole_text_before_an_unanswered_call_is_marked_too() -> None:
    assert texts(fit(stored([prompt(), call("a", text="I look it up.")]), NO_LIMIT)) == ["I look it up. [interrupted]"]


@pytest.mark.parametrize(
    "part",
    [TextPart(""), TextPart(" \n"), ThinkingPart("half a th"), NativeToolCallPart("web_search", {}), FilePart(PIXEL)],
    ids=lambda part: part.part_kind,
)
def test_a_broken_off_response_without_text_is_not_sent(part: ModelResponsePart) -> None:
    turn = [prompt(), call("a"), result("a"), interrupted(part)]
    window = fit(stored(turn), NO_LIMIT)
    assert window.messages == tuple(turn[:3])
    assert window.left_out[0].why == "interrupted before any text"


def test_a_turn_does_not_end_in_a_thought() -> None:
    turn = [prompt(), call("a"), result("a"), ModelResponse(parts=[ThinkingPart("hm", signature="s")])]
    assert fit(stored(turn), NO_LIMIT).messages == tuple(turn[:3])


@pytest.mark.parametrize("state", ["interrupted", "suspended"])
def test_a_stopped_response_whose_calls_were_answered_keeps_its_thoughts(state: ModelResponseState) -> None:
    parts = [ThinkingPart("hm", signature="s", provider_name="p"), *call("a").parts]
    window = fit(stored([prompt(), ModelResponse(parts=parts, state=state), result("a")]), NO_LIMIT)
    kept = window.messages[1]
    assert isinstance(kept, ModelResponse) and kept.state == "interrupted" and kept.parts == parts


def test_a_result_that_was_stored_twice_is_sent_once() -> None:
    turn = [prompt(), call("a"), result("a"), result("a"), answer()]
    window = fit(stored(turn), NO_LIMIT)
    assert window.messages == (*turn[:3], turn[4])
    assert [(left.seq, left.why) for left in window.left_out] == [(4, "a tool result without its call")]


def test_a_structured_answer_ends_in_a_tool_result_and_is_sent_whole() -> None:
    turn = [prompt(), call("a"), result("a", content="Final result processed.")]
    window = fit(stored(turn, [prompt(), answer()]), NO_LIMIT)
    assert window.messages[:3] == tuple(turn) and window.turns == 2 and window.left_out == ()


def test_a_retried_tool_call_and_its_feedback_are_sent_whole() -> None:
    retried = ModelRequest(parts=[ToolReturnPart("add", "not a number", tool_call_id="a", outcome="retried")])
    feedback = ModelRequest(parts=[RetryFeedbackPart("Say a number.", retry=RetryInfo("model_retry"))])
    turn = [prompt(), call("a"), retried, answer("two"), feedback, answer("2")]
    assert fit(stored(turn), NO_LIMIT).messages == tuple(turn)


def test_call_ids_that_are_the_same_in_every_response_are_not_mixed_up() -> None:
    window = fit(stored([prompt(), call("0"), result("0"), call("0")], [prompt(), call("0"), result("0")]), NO_LIMIT)
    assert [role_of(message) for message in window.messages] == ["user", "assistant", "tool"] * 2


def test_stored_system_prompts_are_not_sent() -> None:
    alone = ModelRequest(parts=[SystemPromptPart("Be brief.")])
    window = fit(stored([alone, prompt("hi", SystemPromptPart("Be kind.")), answer()], [alone]), NO_LIMIT)
    assert [part.part_kind for message in window.messages for part in message.parts] == ["user-prompt", "text"]
    assert {left.why for left in window.left_out} == {"only a system prompt, and every run sends its own"}


def test_images_are_sent_and_shown_by_their_type() -> None:
    turn = [ModelRequest(parts=[UserPromptPart(["what?", PIXEL, ImageUrl("https://example.com/a.png")])]), answer()]
    window = fit(stored(turn), NO_LIMIT)
    assert window.messages == tuple(turn)
    assert window.lines[0].preview == "what? [image/png] [image-url]"


@pytest.mark.parametrize("content", ["", "  ", [], [CachePoint()]], ids=["nothing", "blank", "no items", "a mark"])
def test_an_empty_prompt_is_never_sent(content: str | list[CachePoint]) -> None:
    window = fit(stored([ModelRequest(parts=[UserPromptPart(content)]), answer()], [prompt(), answer()]), NO_LIMIT)
    assert sent_turns(window) == ["t2"]


def test_a_window_does_not_begin_with_an_answer() -> None:
    window = fit(stored([answer("Welcome.")], [prompt(), answer()]), NO_LIMIT)
    assert sent_turns(window) == ["t2"] and why(window) == {"t1": "an answer without a prompt before it"}


def test_a_turn_that_goes_on_with_the_one_before_is_kept_with_it() -> None:
    history = stored([prompt(), answer()], [prompt(), call("a")], [result("a"), answer("done")])
    window = fit(history, Limits(max_messages=2))
    assert sent_turns(window) == ["t2", "t3"] and len(window.messages) == 4


def test_a_continued_turn_is_sent_without_being_cut_by_a_limit() -> None:
    window = fit(stored([prompt(), answer()], [prompt(), call("a"), result("a")]), Limits(max_messages=1))
    assert [role_of(message) for message in window.messages] == ["user", "assistant", "tool"]


# Limits


def test_a_limit_of_messages_counts_prompts_and_texts_but_no_tool_traffic() -> None:
    tools = [prompt(), call("a"), result("a"), call("b"), result("b"), answer()]
    history = stored(tools, tools, tools)
    assert sent_turns(fit(history, Limits(max_messages=4))) == ["t2", "t3"]
    assert sent_turns(fit(history, Limits(max_messages=5))) == ["t2", "t3"]
    assert why(fit(history, Limits(max_messages=3))) == {
        "t1": "over the limit of 3 messages",
        "t2": "over the limit of 3 messages",
    }


def test_the_newest_turn_is_sent_however_low_the_limit_of_messages() -> None:
    assert sent_turns(fit(stored([prompt(), answer()]), Limits(max_messages=1))) == ["t1"]


def test_a_limit_of_0_sends_no_history() -> None:
    history = stored([prompt(), answer()])
    for limits in (Limits(max_messages=0), Limits(max_tokens=0)):
        window = fit(history, limits)
        assert window.messages == () and why(window) == {"t1": "no history is sent"}


def test_a_limit_below_0_is_refused_with_its_value() -> None:
    with pytest.raises(BadInput, match="max_messages is -1"):
        Limits(max_messages=-1)


def test_a_limit_of_tokens_holds_beside_a_limit_of_messages() -> None:
    turn = [prompt("x" * 400), answer()]
    window = fit(stored(turn, turn, turn), Limits(max_messages=6, max_tokens=300))
    assert sent_turns(window) == ["t2", "t3"] and why(window) == {"t1": "over the limit of 300 tokens"}


def test_what_the_new_prompt_takes_is_not_given_to_the_history() -> None:
    turn = [prompt("x" * 400), answer()]
    history = stored(turn, turn)
    assert fit(history, Limits(max_tokens=300)).turns == 2
    assert fit(history, Limits(max_tokens=300), reserved=100).turns == 1


def test_over_the_limit_the_window_drops_to_half_at_once() -> None:
    turn = [prompt("x" * 392), answer()]  # 102 + 6 tokens
    window = fit(stored(*[turn] * 10), Limits(max_tokens=1_000))
    assert (window.turns, window.tokens, window.from_seq) == (4, 432, 13)
    assert why(window)["t6"] == "over the limit of 1,000 tokens"


def test_the_window_goes_on_from_where_it_began() -> None:
    turn = [prompt("x" * 392), answer()]
    window = fit(stored(*[turn] * 12), Limits(max_tokens=1_000), window_seq=13)
    assert (window.turns, window.from_seq) == (6, 13)


def test_a_window_that_began_beyond_the_history_begins_anew() -> None:
    history = stored([prompt(), answer()], [prompt(), answer()])
    assert fit(history, Limits(max_tokens=1_000), window_seq=40).turns == 2


def test_a_newest_turn_that_is_too_long_has_its_oldest_tool_results_shortened() -> None:
    turn = [
        *[prompt(), call("a"), result("a", content="a" * 8_000)],
        *[call("b"), result("b", content="b" * 2_000), answer("the answer")],
    ]
    window = fit(stored([prompt(), answer()], turn), Limits(max_tokens=1_000))
    first, second = (m.parts[0] for m in window.messages if m.parts[0].part_kind == "tool-return")
    assert first.content == "a" * 400 + "… [shortened, 8,000 characters]" and second.content == "b" * 2_000
    assert (window.shortened, window.over, sent_turns(window)) == (1, False, ["t2"])
    assert window.tokens <= 1_000


def test_parallel_results_are_shortened_one_by_one_and_keep_their_files() -> None:
    parts = [ToolReturnPart("plot", ["z" * 9_000, PIXEL], tool_call_id=one) for one in "ab"]
    window = fit(stored([prompt(), call("a", "b"), ModelRequest(parts=parts)]), Limits(max_tokens=2_300))
    returns = [part for part in window.messages[2].parts if isinstance(part, ToolReturnPart)]
    assert [part.files for part in returns] == [[PIXEL], [PIXEL]]
    assert window.shortened == 2 and not window.over


def test_a_newest_turn_with_nothing_left_to_shorten_is_sent_and_said_to_be_over() -> None:
    window = fit(stored([prompt("x" * 8_000), call("a"), result("a")]), Limits(max_tokens=1_000))
    assert len(window.messages) == 3 and window.over and window.shortened == 0


# Tokens


def test_a_text_is_estimated_at_a_quarter_of_its_bytes() -> None:
    assert [estimate_text(text) for text in ("", "a", "abcd", "abcde", "統計学入門", "\ud800")] == [0, 1, 1, 2, 4, 1]


def test_a_file_is_estimated_at_a_constant() -> None:
    assert estimate(ModelRequest(parts=[UserPromptPart(["abcd", PIXEL])])) == 1 + FILE_TOKENS + MESSAGE_TOKENS


def test_reported_tokens_are_used_within_a_turn() -> None:
    history = reported(stored([prompt(), call("a"), result("a"), answer()]), s2=(100, 30), s4=(190, 50))
    assert [line.tokens for line in fit(history, NO_LIMIT).lines] == [estimate(history[0].message), 30, 60, 50]


def test_reported_tokens_are_used_between_turns_when_they_are_plausible() -> None:
    long = prompt("x" * 400)
    for grown, expected in ((110, 110), (5_000, estimate(long)), (-20, estimate(long)), (3, estimate(long))):
        history = reported(stored([prompt(), answer()], [long, answer()]), s2=(100, 30), s4=(130 + grown, 7))
        assert [line.tokens for line in fit(history, NO_LIMIT).lines][2:] == [expected, 7]


def test_a_prompt_after_a_turn_that_was_not_sent_is_estimated() -> None:
    history = reported(stored([prompt(), answer()], [prompt("lost?")], [prompt(), answer()]), s2=(9, 5), s5=(20, 5))
    assert fit(history, NO_LIMIT).lines[2].tokens == estimate(prompt())


def test_what_lies_beside_a_message_that_was_not_sent_is_estimated() -> None:
    turn = [prompt(), answer(), ModelResponse(parts=[]), prompt("so?"), answer()]
    history = reported(stored(turn), s2=(100, 30), s3=(140, 30), s5=(190, 50))
    assert fit(history, NO_LIMIT).lines[2].tokens == estimate(turn[3])


def test_what_lies_beside_a_message_that_was_changed_is_estimated() -> None:
    history = reported(stored([prompt(), call("a", "b"), result("b"), answer()]), s2=(100, 30), s4=(190, 50))
    assert fit(history, NO_LIMIT).lines[2].tokens == estimate(history[2].message)


def test_a_text_that_was_cut_is_estimated() -> None:
    history = reported(stored([prompt(), interrupted(TextPart("abcd"))]), s2=(100, 900))
    assert fit(history, NO_LIMIT).lines[1].tokens == estimate_text("abcd [interrupted]") + MESSAGE_TOKENS


def test_a_line_shows_what_is_sent_in_one_short_row() -> None:
    long = answer("x" * 200, ThinkingPart("hm"))
    lines = fit(stored([prompt("a\n\n  b"), call("1"), result("1"), long]), NO_LIMIT).lines
    assert [line.preview for line in lines] == ["a b", 'add {"a":1}', "add 2", "x" * 79 + "…"]
    assert [(line.role, line.origin, line.seq, line.turn_id) for line in lines][2] == ("tool", "history", 3, "t1")


# Reading no more than the window


def test_a_turn_that_was_read_by_half_is_not_sent() -> None:
    history = stored([prompt(), call("a"), result("a"), answer()], [prompt(), answer()])
    window = fit(history[2:], Limits(max_messages=20), first_read=3)
    assert sent_turns(window) == ["t2"] and window.needs_more


def test_a_long_session_costs_its_window() -> None:
    assert first_to_read(Limits(max_messages=20), last_seq=1_000_000) == 999_945
    assert first_to_read(Limits(max_tokens=50_000), last_seq=1_000_000) == 999_735
    assert first_to_read(Limits(max_tokens=50_000), window_seq=999_900, last_seq=1_000_000) == 999_899
    assert first_to_read(Limits(max_tokens=50_000), window_seq=2_000_000, last_seq=1_000_000) == 999_735
    assert first_to_read(NO_LIMIT, last_seq=1_000_000) == 1


# Properties, over generated histories


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


def by_turn(history: list[Stored]) -> list[list[Stored]]:
    return [list(group) for _, group in groupby(history, key=lambda one: one.record.turn_id)]


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
