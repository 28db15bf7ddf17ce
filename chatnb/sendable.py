"""A turn's messages in a shape that every model takes: no half-made call, no stray result, nothing empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import dropwhile

from pydantic_ai.messages import (
    CachePoint,
    FilePart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    RetryFeedbackPart,
    SpeechPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from chatnb.tokens import Stored, estimate

__all__ = ["INTERRUPTED", "ends_as_sent", "goes_on", "has_text", "is_counted", "sendable", "shortened"]

INTERRUPTED = " [interrupted]"
"""What follows a text that was cut off, so that a model sees that it was."""

HEAD_CHARACTERS = 400
"""How much of a tool result stays when it is shortened."""


def sendable(turn: Sequence[Stored]) -> list[Stored]:
    """A turn as it is sent: up to its last answer or answered tool call, and nothing when it has neither.

    Parameters
    ----------
    turn
        Its messages as they are stored, oldest first.

    Returns
    -------
    list of Stored
        Them without system prompts (the run puts its own first), unanswered calls, results without a call and empty
        messages. A text that was cut off is kept and marked with `INTERRUPTED`.
    """
    opened = list(dropwhile(lambda stored: not _opens(stored.message), turn))
    paired = _paired([stored.message for stored in opened])
    sent = []
    for stored, places in zip(opened, paired, strict=True):
        message = _shaped(stored.message, places)
        if message is not None:
            sent.append(Stored(stored.record, message, message is stored.message))
    while sent and not _closes(sent[-1].message):
        sent.pop()
    return sent


def goes_on(message: ModelMessage) -> bool:
    """Whether a message cannot begin a turn: an answer, a tool's result, a request to try again."""
    return isinstance(message, ModelResponse) or any(
        isinstance(part, ToolReturnPart | RetryFeedbackPart) for part in message.parts
    )


def ends_as_sent(message: ModelMessage) -> bool:
    """Whether a message is a response that ends its turn and is sent just as it is stored."""
    return isinstance(message, ModelResponse) and _shaped(message, set()) is message and _closes(message)


def has_text(message: ModelMessage) -> bool:
    """Whether a message is an answer with text."""
    return isinstance(message, ModelResponse) and any(
        isinstance(part, TextPart | SpeechPart) and part.content.strip() for part in message.parts
    )


def is_counted(message: ModelMessage) -> bool:
    """Whether a limit of messages counts this one: a user's prompt, or an answer with text."""
    return has_text(message) or any(
        isinstance(message, ModelRequest) and isinstance(part, UserPromptPart | SpeechPart) for part in message.parts
    )


def shortened(sent: Sequence[Stored], tokens: Sequence[int], limit: int) -> tuple[list[Stored], list[int], int]:
    """A turn with its oldest tool results cut to their heads until it fits.

    Parameters
    ----------
    sent, tokens
        Its messages as they are sent, and how many tokens each takes.
    limit
        How many tokens it may take in all.

    Returns
    -------
    tuple
        The messages, their tokens, and how many results were cut. It may still not fit.
    """
    messages, numbers, cuts = list(sent), list(tokens), 0
    for index, stored in enumerate(sent):
        for place, part in enumerate(stored.message.parts):
            short = _head(part) if sum(numbers) > limit else None
            message = messages[index].message
            if short is None or not isinstance(message, ModelRequest):
                continue
            message = replace(message, parts=[*message.parts[:place], short, *message.parts[place + 1 :]])
            messages[index] = Stored(stored.record, message, exact=False)
            numbers[index] = min(numbers[index], estimate(message))
            cuts += 1
    return messages, numbers, cuts


def _paired(messages: Sequence[ModelMessage]) -> list[set[int]]:
    """For each message the places of its tool calls and results that answer each other, side by side.

    By place and not by id, because some models number the calls of every response from 0.
    """
    paired: list[set[int]] = [set() for _ in messages]
    calls: list[tuple[ToolCallPart, int, int]] = []
    for index, message in enumerate(messages):
        if isinstance(message, ModelResponse):
            calls = [(part, index, n) for n, part in enumerate(message.parts) if isinstance(part, ToolCallPart)]
            continue
        for place, part in enumerate(message.parts):
            if not isinstance(part, ToolReturnPart):
                continue
            answered = next((one for one in calls if one[0].tool_call_id == part.tool_call_id), None)
            if answered is not None:
                calls.remove(answered)
                paired[index].add(place)
                paired[answered[1]].add(answered[2])
        if any(isinstance(part, UserPromptPart) for part in message.parts):
            calls = []
    return paired


def _shaped(message: ModelMessage, paired: set[int]) -> ModelMessage | None:
    return _response(message, paired) if isinstance(message, ModelResponse) else _request(message, paired)


def _request(message: ModelRequest, paired: set[int]) -> ModelRequest | None:
    """The request without system prompts, which the run puts first itself, and without stray tool results."""
    parts = [
        part
        for place, part in enumerate(message.parts)
        if not isinstance(part, SystemPromptPart) and (not isinstance(part, ToolReturnPart) or place in paired)
    ]
    if not any(_says(part) for part in parts):
        return None
    return message if len(parts) == len(message.parts) else replace(message, parts=parts)


def _response(message: ModelResponse, paired: set[int]) -> ModelResponse | None:
    """The response without unanswered calls; one that was cut off is reduced to its text, or to None."""
    parts = [part for n, part in enumerate(message.parts) if not isinstance(part, ToolCallPart) or n in paired]
    same = len(parts) == len(message.parts)
    if same and message.state == "complete":
        return message if any(_says(part) for part in parts) else None
    if any(isinstance(part, ToolCallPart) for part in parts):
        # Its calls were made, so it had arrived, and a model that thinks wants its thoughts back with them.
        state = message.state if message.state == "complete" else "interrupted"
        return message if same and state == message.state else replace(message, parts=parts, state=state)
    return _cut(message)


def _cut(message: ModelResponse) -> ModelResponse | None:
    """A response that broke off: its text, marked, and its files. Half a thought has no valid signature.

    The parts lose their provider's ids, because a provider takes its own stored copy of a part with an id.
    """
    parts: list[ModelResponsePart] = []
    for part in message.parts:
        if isinstance(part, FilePart) or (isinstance(part, TextPart | SpeechPart) and part.content.strip()):
            parts.append(replace(part, id=None, provider_details=None))
    texts = [index for index, part in enumerate(parts) if not isinstance(part, FilePart)]
    if not texts:
        return None
    last = parts[texts[-1]]
    if isinstance(last, TextPart):
        parts[texts[-1]] = replace(last, content=last.content + INTERRUPTED)
    else:
        parts.append(TextPart(INTERRUPTED.strip()))
    return replace(message, parts=parts, state="interrupted")


def _says(part: ModelRequestPart | ModelResponsePart) -> bool:
    """Whether a part holds anything for a model."""
    match part:
        case SystemPromptPart():
            return False
        case UserPromptPart():
            items = [part.content] if isinstance(part.content, str) else part.content
            return any(_item_says(item) for item in items)
        case TextPart():
            return bool(part.content.strip())
        case ThinkingPart():
            return bool(part.content.strip() or part.signature or part.provider_details)
        case SpeechPart():
            return part.has_content()
        case _:
            return True


def _item_says(item: object) -> bool:
    if isinstance(item, str | TextContent):
        return bool((item if isinstance(item, str) else item.content).strip())
    return not isinstance(item, CachePoint)


def _opens(message: ModelMessage) -> bool:
    """Whether a window can begin with a message."""
    return isinstance(message, ModelRequest) and any(
        _says(part) and not isinstance(part, ToolReturnPart | RetryFeedbackPart) for part in message.parts
    )


def _closes(message: ModelMessage) -> bool:
    """Whether a turn can end with a message: an answer that says something, or a tool's result."""
    if isinstance(message, ModelRequest):
        return any(isinstance(part, ToolReturnPart) for part in message.parts)
    return any(_says(part) and not isinstance(part, ThinkingPart) for part in message.parts)


def _head(part: ModelRequestPart | ModelResponsePart) -> ToolReturnPart | None:
    """A tool result cut to its head, its files kept; None for what is not one, is short, or has a fixed shape."""
    if not isinstance(part, ToolReturnPart) or part.tool_kind is not None:
        return None
    plain: ToolReturnPart = part
    text = plain.model_response_str(wrap_if_error=False)
    head = f"{text[:HEAD_CHARACTERS]}… [shortened, {len(text):,} characters]"
    if len(head) >= len(text):
        return None
    return replace(plain, content=[head, *plain.files] if plain.files else head)
