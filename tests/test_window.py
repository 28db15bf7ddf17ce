"""What the model sees of a history: whole turns within the limits, in a valid shape."""

from __future__ import annotations

import pytest
from pydantic_ai.messages import (
    CachePoint,
    FilePart,
    ImageUrl,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    ModelResponseState,
    NativeToolCallPart,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolReturnPart,
    UserPromptPart,
)

from chatnb.errors import BadInput
from chatnb.window import Limits, first_to_read, fit
from tests.rigs.histories import (
    NO_LIMIT,
    PIXEL,
    answer,
    call,
    interrupted,
    prompt,
    result,
    role_of,
    sent_turns,
    stored,
    texts,
    why,
)


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


def test_a_result_that_comes_after_another_prompt_is_not_sent_and_nor_is_its_call() -> None:
    turn = [prompt(), call("a"), prompt("first this"), result("a"), answer()]
    assert fit(stored(turn), NO_LIMIT).messages == (turn[0], turn[2], turn[4])


def test_an_answer_without_text_is_not_sent() -> None:
    turn = [prompt(), ModelResponse(parts=[TextPart(" ")]), answer()]
    assert fit(stored(turn), NO_LIMIT).messages == (turn[0], turn[2])


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


def test_a_turn_that_was_read_by_half_is_not_sent() -> None:
    history = stored([prompt(), call("a"), result("a"), answer()], [prompt(), answer()])
    window = fit(history[2:], Limits(max_messages=20), first_read=3)
    assert sent_turns(window) == ["t2"] and window.needs_more


def test_more_is_read_when_the_window_began_beyond_the_history() -> None:
    history = stored([prompt(), answer()], [prompt(), answer()])
    window = fit(history[1:], Limits(max_tokens=1_000), window_seq=40, first_read=2)
    assert sent_turns(window) == ["t2"] and window.needs_more


def test_a_long_session_costs_its_window() -> None:
    assert first_to_read(Limits(max_messages=20), last_seq=1_000_000) == 999_945
    assert first_to_read(Limits(max_tokens=50_000), last_seq=1_000_000) == 999_735
    assert first_to_read(Limits(max_tokens=50_000), window_seq=999_900, last_seq=1_000_000) == 999_899
    assert first_to_read(Limits(max_tokens=50_000), window_seq=2_000_000, last_seq=1_000_000) == 999_735
    assert first_to_read(NO_LIMIT, last_seq=1_000_000) == 1
