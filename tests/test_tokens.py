"""What a message takes: as its provider reported, and estimated only where nobody counted."""

from __future__ import annotations

from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ThinkingPart, UserPromptPart

from chatnb.tokens import FILE_TOKENS, MESSAGE_TOKENS, estimate, estimate_text
from chatnb.window import fit
from tests.rigs.histories import NO_LIMIT, PIXEL, answer, call, interrupted, prompt, reported, result, stored


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
