"""The PydanticAI format: what is written is what PydanticAI's own adapter reads back."""

from __future__ import annotations

import dataclasses
import json
import warnings
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import get_args

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import messages as pm
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from chatnb.errors import BadInput
from chatnb.formats.pydantic_ai import FORMAT, UnreadablePayloadWarning, from_record, to_record

PNG = BinaryContent(b"\x89PNG\xff\xfe" * 2000, media_type="image/png")
PDF = BinaryContent(b"%PDF-1.7", media_type="application/pdf", vendor_metadata={"detail": "low"})


def as_the_adapter_reads(message: ModelMessage) -> ModelMessage:
    return ModelMessagesTypeAdapter.validate_json(ModelMessagesTypeAdapter.dump_json([message]))[0]


def round_trip(message: ModelMessage) -> ModelMessage:
    record, files = to_record(message)
    return from_record(record, {file.sha256: file.data for file in files})


def request(*parts: pm.ModelRequestPart) -> ModelRequest:
    return ModelRequest(parts=list(parts), run_id="r1", conversation_id="c1", instructions="Be brief.")


def response(*parts: pm.ModelResponsePart) -> ModelResponse:
    return ModelResponse(parts=list(parts), model_name="demo", provider_name="demo", run_id="r1")


MATCH = {"name": "add", "description": "adds"}
REQUEST_PARTS: list[pm.ModelRequestPart] = [
    pm.SystemPromptPart("Be kind.", dynamic_ref="f", metadata={"a": 1}),
    UserPromptPart("Grüße, 世界 \U0001f600 \0 end"),
    UserPromptPart(
        [
            "look",
            PNG,
            PDF,
            BinaryContent(b"", media_type="text/plain"),
            pm.ImageUrl("https://x.test/a.png"),
            pm.DocumentUrl("https://x.test/no-extension", media_type="application/pdf"),
            pm.AudioUrl("https://x.test/a.mp3", force_download=True),
            pm.VideoUrl("https://youtu.be/abc"),
            pm.UploadedFile("file-123", "openai"),
            pm.TextContent("said", metadata={"k": [1, None]}),
            pm.StructuredContent({"a": 1}, tag="ui_state"),
            pm.CachePoint(),
        ]
    ),
    pm.SpeechPart(speaker="user", transcript="hello", audio=BinaryContent(b"RIFF", media_type="audio/wav")),
    pm.ToolSearchReturnPart(content={"discovered_tools": [MATCH]}),
    pm.LoadCapabilityReturnPart(content={"instructions": "do"}),
    ToolReturnPart(
        "f", {"a": [1, 2.5, True, None, "x"], "file": PNG, "n": {"url": pm.ImageUrl("https://x.test/i.png")}}
    ),
    ToolReturnPart("f", [PNG, "beside", PDF], metadata={"raw": PNG}, outcome="failed"),
    ToolReturnPart("f", (1, datetime(2026, 1, 2, tzinfo=UTC), Decimal("1.5"), b"\xff", {3.5})),
    ToolReturnPart("f", {"kind": "image-url", "url": "https://x.test/i.png", "media_type": "image/png"}),
    ToolReturnPart("f", {"files": ["a"], "sha256": "x", "data": {"sha256": "0" * 64}}),
    pm.RetryFeedbackPart("again", retry=pm.RetryInfo("model_retry", attempt=1, max_retries=2)),
    pm.ToolAvailabilityDeltaPart(tools_added=["add"], tool_call_id="c"),
    pm.CapabilityLoadDeltaPart(loaded=["files"]),
    pm.ModelSettingsDeltaPart(settings={"thinking": "high"}),
    pm.InstructionDeltaPart(id=pm.InstructionId(pm.RunInstructionSource(), name="n"), content="new"),
    pm.InstructionBaselinePart(instructions=[pm.InstructionPart("x"), pm.InstructionDigest(content_hash="0")]),
    pm.CompactionPart("summary"),
]
RESPONSE_PARTS: list[pm.ModelResponsePart] = [
    TextPart(
        "answer \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        citations=[pm.Citation([pm.WebCitationSource("https://x.test")])],
    ),
    TextPart("5 MB " * 1_000_000),
    pm.ToolSearchCallPart(args={"queries": ["a"]}),
    pm.LoadCapabilityCallPart(args={"id": "files"}),
    ToolCallPart("add", {"a": 1, "b": [2, {"c": "ü"}]}),
    ToolCallPart("add", '{"a": 1, "broken'),
    ToolCallPart("look", {"kind": "binary", "data": "aGk=", "media_type": "text/plain"}),
    pm.NativeToolSearchCallPart(args={"queries": ["a"]}),
    pm.NativeToolCallPart("web_search", {"query": "x"}, provider_name="openai", provider_details={"a": 1}),
    pm.NativeToolSearchReturnPart(content={"discovered_tools": [MATCH]}),
    pm.NativeToolReturnPart("web_search", {"hits": [1]}),
    pm.ThinkingPart("hmm", signature="sig", provider_name="anthropic"),
    pm.CompactionPart(id="x", provider_name="openai", provider_details={"encrypted_content": "…"}),
    pm.FilePart(PNG),
    pm.SpeechPart(speaker="assistant", audio=BinaryContent(b"RIFF", media_type="audio/wav")),
]


def named(part: object) -> str:
    return type(part).__name__


@pytest.mark.parametrize("part", REQUEST_PARTS, ids=named)
def test_every_request_part_comes_back_as_the_adapter_itself_reads_it(part: pm.ModelRequestPart) -> None:
    assert round_trip(request(part)) == as_the_adapter_reads(request(part))


@pytest.mark.parametrize("part", RESPONSE_PARTS, ids=named)
def test_every_response_part_comes_back_as_the_adapter_itself_reads_it(part: pm.ModelResponsePart) -> None:
    message = response(part)
    assert round_trip(message) == as_the_adapter_reads(message)


@pytest.mark.parametrize(
    ("union", "samples"), [(pm.ModelRequestPart, REQUEST_PARTS), (pm.ModelResponsePart, RESPONSE_PARTS)]
)
def test_the_samples_have_every_part_type_of_the_installed_pydantic_ai(union: object, samples: list[object]) -> None:
    kinds = set()
    for member in get_args(get_args(union)[0]):
        kind = get_args(member)[0]
        kinds.add(get_args(kind)[0] if get_args(kind) else kind)  # SerializeAsAny[X] for the legacy members
    # PydanticAI reads a stored retry-prompt as another part and never writes one.
    assert kinds - {type(sample) for sample in samples} <= {pm.RetryPromptPart}


def test_a_payload_without_files_is_exactly_what_the_adapter_writes() -> None:
    message = request(UserPromptPart("hi"), ToolReturnPart("f", {"a": 1}))
    assert f"[{to_record(message)[0].payload}]".encode() == ModelMessagesTypeAdapter.dump_json([message])


def test_a_payload_holds_each_files_hash_and_the_file_once() -> None:
    message = request(UserPromptPart([PNG, PNG, PDF]))
    record, files = to_record(message)
    assert [file.data for file in files] == [PNG.data, PDF.data]
    assert {file.media_type for file in files} == {"image/png", "application/pdf"}
    assert json.loads(record.payload)["parts"][0]["content"][1]["data"] == {"sha256": files[0].sha256}
    assert len(record.payload) < 1500


def test_a_payload_that_a_json_tool_has_written_anew_reads_the_same() -> None:
    message = request(UserPromptPart(["x", PNG]))
    record, files = to_record(message)
    tidy = dataclasses.replace(record, payload=json.dumps(json.loads(record.payload), indent=1, sort_keys=True))
    assert from_record(tidy, {file.sha256: file.data for file in files}.__getitem__) == as_the_adapter_reads(message)


def test_text_that_looks_like_our_placeholder_stays_text() -> None:
    file = to_record(request(UserPromptPart([PDF])))[1][0]
    text = '{"data":{"sha256":"' + file.sha256 + '"}}'
    message = request(UserPromptPart([text, PDF, '"data":"JVBERi0xLjc="']))
    assert round_trip(message) == as_the_adapter_reads(message)


def test_a_message_reads_only_the_files_that_it_lists_itself() -> None:
    message = response(ToolCallPart("f", {"files": [], "data": {"sha256": "a" * 64}}))
    record, _ = to_record(message)

    def refuse(sha256: str) -> bytes:
        raise AssertionError(f"{sha256} was read")

    assert from_record(record, refuse) == as_the_adapter_reads(message)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=200, deadline=None)
@given(json_values, st.text())
def test_any_json_value_and_any_text_come_back(value: object, text: str) -> None:
    for message in (
        request(UserPromptPart(text), ToolReturnPart("f", value, metadata=value)),
        response(TextPart(text)),
    ):
        assert round_trip(message) == as_the_adapter_reads(message)
        assert "\0" not in to_record(message)[0].content


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (response(TextPart("a"), ToolCallPart("f", {"x": float("nan")})), "parts[1].args.x: nan is not JSON"),
        (request(ToolReturnPart("f", [1, float("inf")])), "parts[0].content[1]: inf is not JSON"),
        (request(ToolReturnPart("f", [1.5, float("-inf")])), "parts[0].content[1]: -inf is not JSON"),
        (request(ToolReturnPart("f", {"a": {1: 2}})), "parts[0].content.a: the key 1 is not text"),
        (request(UserPromptPart("a\ud800")), "parts[0].content: a lone surrogate (\\ud800) is not JSON"),
        (response(ToolCallPart("f", {"\udfff": 1})), "a lone surrogate (\\udfff) is not JSON"),
        (request(ToolReturnPart("f", [object()])), "parts[0].content[0]: object is not JSON"),
        (dataclasses.replace(request(), metadata={"x": float("nan")}), "metadata.x: nan is not JSON"),
    ],
)
def test_what_json_cannot_hold_is_refused_and_its_place_named(message: ModelMessage, words: str) -> None:
    with pytest.raises(BadInput) as refusal:
        to_record(message)
    assert words in str(refusal.value)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(BadInput, match="holds itself"):
        to_record(response(ToolCallPart("f", {"x": loop})))


def test_a_number_too_large_for_a_float_is_still_json() -> None:
    message = request(ToolReturnPart("f", [10**400, 1.5]))
    assert round_trip(message) == as_the_adapter_reads(message)


def test_a_turn_that_is_paid_for_is_stored_as_the_model_was_sent_it() -> None:
    value = {2026: float("nan"), "text": "a\ud800b", "thing": object, "plot": PNG}
    record, files = to_record(request(ToolReturnPart("f", value)), strict=False)
    content = json.loads(record.payload)["parts"][0]["content"]
    assert content["2026"] is None and content["text"] == "a\ufffdb" and content["thing"] == "<class 'object'>"
    assert [file.data for file in files] == [PNG.data]
    assert isinstance(from_record(record, {file.sha256: file.data for file in files}), ModelRequest)
    record.content.encode()


@pytest.mark.parametrize(
    ("message", "role", "content"),
    [
        (request(pm.SystemPromptPart("s"), UserPromptPart("hi\0")), "user", "hi␀"),
        (request(UserPromptPart(["see", PNG, pm.ImageUrl("https://x.test/a.png")])), "user",
         "see\n\n[image/png, 12 KB]\n\n[image https://x.test/a.png]"),
        (request(ToolReturnPart("f", {"a": 1}), ToolReturnPart("g", "two")), "tool", '{"a":1}\n\ntwo'),
        (request(ToolReturnPart("f", [1, 2])), "tool", "[1,2]"),
        (request(ToolReturnPart("f", [PNG, "x"])), "tool", "[image/png, 12 KB]\n\nx"),
        (request(pm.SystemPromptPart("s")), "system", "s"),
        (response(TextPart("one "), TextPart("two")), "assistant", "one two"),
        (response(pm.ThinkingPart("hm"), TextPart("yes"), ToolCallPart("f", {})), "assistant", "yes"),
        (response(ToolCallPart("f", '{"a": 1, "b": "x"}'), ToolCallPart("now")), "assistant", 'f(a=1, b="x")\n\nnow()'),
        (response(pm.FilePart(PNG)), "assistant", "[image/png, 12 KB]"),
    ],
)  # fmt: skip
def test_role_and_content_are_what_a_person_reads(message: ModelMessage, role: str, content: str) -> None:
    record, _ = to_record(message, position=3, origin="here")
    assert (record.role, record.content) == (role, content)
    assert (record.position, record.origin, record.format) == (3, "here", FORMAT)


def test_usage_price_and_time_are_columns() -> None:
    message = ModelResponse(
        parts=[TextPart("x")],
        usage=RequestUsage(input_tokens=1000, output_tokens=10),
        model_name="gpt-5",
        provider_name="openai",
        timestamp=datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
    )
    record, _ = to_record(message)
    assert (record.model, record.provider, record.input_tokens, record.output_tokens) == ("gpt-5", "openai", 1000, 10)
    assert record.cost == pytest.approx(0.00135)
    assert record.created_at == datetime(2026, 1, 2, 1, tzinfo=UTC) and record.created_at.tzinfo is UTC


def test_an_unknown_price_is_none_and_a_free_one_is_zero() -> None:
    unknown = ModelResponse(parts=[], usage=RequestUsage(input_tokens=1), model_name="mine", provider_name="home")
    free = dataclasses.replace(unknown, usage=RequestUsage(input_tokens=1, cost=Decimal(0)))
    silent = ModelResponse(parts=[], model_name="gpt-5", provider_name="openai")
    assert to_record(unknown)[0].cost is None
    assert to_record(free)[0].cost == 0.0
    assert (to_record(silent)[0].cost, to_record(silent)[0].input_tokens) == (None, None)


def test_a_request_without_a_time_of_its_own_takes_its_prompts() -> None:
    stamp = datetime(2026, 1, 2, tzinfo=UTC)
    assert to_record(ModelRequest(parts=[UserPromptPart("x", timestamp=stamp)]))[0].created_at == stamp


@pytest.mark.parametrize("payload", ["", "{", "[]", '{"kind":"request","parts":[{"part_kind":"unheard-of"}]}'])
@pytest.mark.parametrize("message", [request(UserPromptPart("hi")), response(TextPart("hi"))], ids=named)
def test_a_payload_that_cannot_be_read_shows_its_text_with_a_warning(message: ModelMessage, payload: str) -> None:
    record, _ = to_record(message)
    with pytest.warns(UnreadablePayloadWarning, match=record.id):
        shown = from_record(dataclasses.replace(record, payload=payload))
    assert type(shown) is type(message)
    assert to_record(shown)[0].content == "hi"


def test_a_file_that_is_gone_shows_the_text_with_a_warning() -> None:
    record, _ = to_record(request(UserPromptPart(["see", PNG])))
    with pytest.warns(UnreadablePayloadWarning):
        shown = from_record(record)
    assert to_record(shown)[0].content == "see\n\n[image/png, 12 KB]"


def test_a_retry_prompt_of_an_older_pydantic_ai_is_read() -> None:
    record, _ = to_record(request(UserPromptPart("x")))
    part = {"part_kind": "retry-prompt", "content": "no", "tool_name": "f", "tool_call_id": "c"}
    old = dataclasses.replace(record, payload=json.dumps({"kind": "request", "parts": [part]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(from_record(old).parts[0], ToolReturnPart)


def test_a_tool_that_returned_a_pydantic_model_is_stored() -> None:
    class Row(pydantic.BaseModel):
        name: str
        plot: BinaryContent

    message = request(ToolReturnPart("f", Row(name="a", plot=PNG)))
    assert round_trip(message) == as_the_adapter_reads(message)
    assert to_record(message)[1][0].data == PNG.data
