"""How many tokens a message takes: what its provider reported, and an estimate of what was never sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_ai.messages import (
    BaseToolCallPart,
    BaseToolReturnPart,
    CompactionPart,
    FilePart,
    ModelMessage,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    MultiModalContent,
    RetryFeedbackPart,
    SpeechPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    UserPromptPart,
    is_multi_modal_content,
)

from chatnb.records import Message

__all__ = ["FILE_TOKENS", "MESSAGE_TOKENS", "Stored", "count", "estimate", "estimate_text", "part_files", "part_text"]

FILE_TOKENS = 1_000
"""What an image or another file is taken for: about what OpenAI and Anthropic count for one photo of a screen."""

MESSAGE_TOKENS = 4
"""What a message takes beyond its text: its role and the marks around it."""


@dataclass(frozen=True)
class Stored:
    """A stored message and what its payload holds; not `exact` once that was changed from what a provider counted."""

    record: Message
    message: ModelMessage
    exact: bool = True


def estimate_text(text: str) -> int:
    """About how many tokens a text takes: a quarter of its UTF-8 bytes, rounded up.

    Bytes, not characters: the two are one in English and in code, and a Chinese or Hindi character,
    which takes about a token, is three bytes.

    >>> estimate_text("What is a mean?")
    4
    >>> estimate_text("")
    0
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // 4)


def estimate(message: ModelMessage) -> int:
    """About how many tokens a message takes, when nobody has counted it.

    Parameters
    ----------
    message
        A request or a response. Its `instructions` are not counted: a run sends its own.

    Returns
    -------
    int
        `estimate_text` of what its parts say, `FILE_TOKENS` for each file, and `MESSAGE_TOKENS`.
    """
    texts = sum(estimate_text(part_text(part)) for part in message.parts)
    return MESSAGE_TOKENS + texts + FILE_TOKENS * sum(len(part_files(part)) for part in message.parts)


def part_text(part: ModelRequestPart | ModelResponsePart) -> str:
    """What a part says to the model, files left out."""
    match part:
        case UserPromptPart():
            return part.content if isinstance(part.content, str) else _item_text(part.content)
        case BaseToolReturnPart():
            return f"{part.tool_name} {part.model_response_str(wrap_if_error=False)}"
        case BaseToolCallPart():
            return f"{part.tool_name} {part.args if isinstance(part.args, str) else part.args_as_json_str()}"
        case RetryFeedbackPart():
            return part.model_response()
        case TextPart() | ThinkingPart() | SystemPromptPart() | SpeechPart() | CompactionPart():
            return part.content or ""
        case _:
            return ""


def _item_text(items: Sequence[object]) -> str:
    texts = [item.content if isinstance(item, TextContent) else item for item in items]
    return "\n".join(text for text in texts if isinstance(text, str))


def part_files(part: ModelRequestPart | ModelResponsePart) -> list[MultiModalContent]:
    """The images and other files of a part, by value or by address."""
    match part:
        case UserPromptPart() if not isinstance(part.content, str):
            return [item for item in part.content if is_multi_modal_content(item)]
        case BaseToolReturnPart():
            return part.files
        case FilePart():
            return [part.content]
        case _:
            return []


def count(pieces: Sequence[Stored], before: Message | None = None) -> list[int]:
    """How many tokens each message of a turn takes.

    A response takes the `output_tokens` its provider reported. What lies between two responses takes what the
    second one's `input_tokens` grew by beyond the first one's input and output, when both were reported for the
    same model and nothing else lies between. In one turn any growth is believed. From one turn to the next the
    window or the system prompt may have changed, so it is believed only from a quarter of the estimate to four
    times the estimate and 50 more. Everything else is estimated. Providers that report nothing report 0.

    Parameters
    ----------
    pieces
        The messages of one turn as they are sent, oldest first.
    before
        The record of the response that was sent directly before them, or None.

    Returns
    -------
    list of int
        One number of tokens for each piece.
    """
    tokens = [_alone(piece) for piece in pieces]
    previous = before
    between: list[int] = []
    for index, piece in enumerate(pieces):
        if not isinstance(piece.message, ModelResponse):
            between.append(index)
            continue
        if previous is not None and between and all(pieces[i].exact for i in between):
            guesses = [tokens[i] for i in between]
            grown = _growth(previous, piece.record, len(between), sum(guesses))
            for i, share in zip(between, _shares(grown, guesses), strict=True):
                tokens[i] = share
        previous = piece.record if piece.exact else None
        between = []
    return tokens


def _alone(piece: Stored) -> int:
    if piece.exact and isinstance(piece.message, ModelResponse) and piece.record.output_tokens:
        return piece.record.output_tokens
    return estimate(piece.message)


def _growth(first: Message, second: Message, between: int, guess: int) -> int:
    """The tokens between two responses, reported or else the guess."""
    adjacent = second.seq - first.seq == between + 1
    if not (adjacent and first.model == second.model):
        return guess
    if not (first.input_tokens and first.output_tokens and second.input_tokens):
        return guess
    grown = second.input_tokens - first.input_tokens - first.output_tokens
    if first.turn_id == second.turn_id:
        return grown if grown > 0 else guess
    return grown if guess <= 4 * grown and grown <= 4 * guess + 50 else guess


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """A total split by weights, without losing any to rounding."""
    shares = [total * weight // sum(weights) for weight in weights]
    shares[-1] += total - sum(shares)
    return shares
