"""What every store does, whatever it lies on: whatever PydanticAI sends comes out as it went in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    BinaryImage,
    CachePoint,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
    VideoUrl,
)
from pydantic_ai.usage import RequestUsage

from chatnb.formats.pydantic_ai import file_hashes, from_record
from chatnb.stores.store import Store
from tests.stores.making import ask, count, session

PIXEL = bytes(range(256)) * 4
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)

MESSAGES: list[ModelMessage] = [
    ModelRequest(
        parts=[
            SystemPromptPart("Be brief.", timestamp=MOMENT),
            UserPromptPart(
                [
                    "look: \0 \u2028 🦆 e\u0301 'quotes' \"double\" \\ ?",
                    BinaryContent(data=PIXEL, media_type="image/png"),
                    ImageUrl("https://example.com/a.png"),
                    AudioUrl("https://example.com/a.mp3"),
                    VideoUrl("https://example.com/a.mp4"),
                    DocumentUrl("https://example.com/a.pdf"),
                    CachePoint(),
                ],
                timestamp=MOMENT,
            ),
        ],
        instructions="Now.",
        timestamp=MOMENT,
    ),
    ModelResponse(
        parts=[
            ThinkingPart("hm\0", signature="s", provider_name="p"),
            TextPart("calling"),
            ToolCallPart("add", {"a": 1, "b": [None, 2.5, "ü\0"]}, tool_call_id="c1"),
            ToolCallPart("say", '{"x": "raw"}', tool_call_id="c2"),
        ],
        usage=RequestUsage(input_tokens=12, output_tokens=3, cache_read_tokens=4),
        model_name="m",
        provider_name="p",
        timestamp=MOMENT,
    ),
    ModelRequest(
        parts=[
            ToolReturnPart("add", {"sum": 3, "deep": {"ü": [True]}}, tool_call_id="c1", timestamp=MOMENT),
            ToolReturnPart("say", "again", tool_call_id="c2", outcome="retried", timestamp=MOMENT),
            RetryFeedbackPart("Again.", retry=RetryInfo("model_retry"), timestamp=MOMENT),
        ],
        timestamp=MOMENT,
    ),
    ModelResponse(
        parts=[FilePart(BinaryImage(data=PIXEL, media_type="image/png")), TextPart("done")],
        timestamp=MOMENT,
        metadata={"k": "v"},
    ),
]


def test_every_part_comes_back_as_pydantic_ai_itself_would_read_it(store: Store, reopen: Callable[[], Store]) -> None:
    made = store.create_session(session("eda"))
    ask(store, made, messages=MESSAGES)
    other = reopen()
    found = other.messages(made)
    files = other.files([sha for record in found for sha in file_hashes(record)])
    expected = ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json(MESSAGES))
    assert [from_record(record, files) for record in found] == expected


def test_a_binary_part_is_stored_once_per_content_and_goes_with_its_last_message(store: Store) -> None:
    one, two = store.create_session(session("one")), store.create_session(session("two"))
    for made in (one, two, one):
        ask(store, made, messages=MESSAGES)
    assert count(store, "files") == 1
    assert store.query("SELECT size, media_type FROM files").to_pylist() == [{"size": 1024, "media_type": "image/png"}]
    store.purge_session(one)
    sha = file_hashes(store.messages(two)[0])
    assert store.files(sha) == {sha[0]: PIXEL}
    store.purge_session(two)
    assert count(store, "files") == 0
    assert store.files(sha) == {}


@pytest.mark.parametrize("text", ["x" * 5_000_000, "ü🦆\n" * 900_000], ids=["ascii", "unicode"])
def test_five_megabytes_of_text_come_back_whole(store: Store, text: str) -> None:
    made = store.create_session(session("big"))
    ask(store, made, text, text[::-1])
    assert [message.content for message in store.messages(made)] == [text, text[::-1]]
    assert store.query("SELECT max(length(content)) AS n FROM history").to_pylist() == [{"n": len(text)}]


def test_a_nul_never_breaks_a_view_or_a_search(store: Store) -> None:
    made = store.create_session(session("nul", metadata={"k\0": "v\0"}))
    ask(store, made, "with \0 in it", "and \0 back", options={"o": "\0"}, cell_source="\0", error="\0")
    found = store.query("SELECT content FROM history WHERE content ILIKE '%IN IT%'").to_pylist()
    assert found == [{"content": "with ␀ in it"}]
    assert store.query("SELECT metadata FROM sessions").num_rows == 1
    (message, _) = store.messages(made)
    part = from_record(message).parts[0]
    assert isinstance(part, UserPromptPart) and part.content == "with \0 in it"
    assert store.find_session(made.id, user="ann").metadata == {"k\0": "v\0"}
