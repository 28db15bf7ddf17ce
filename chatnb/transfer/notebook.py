"""A notebook: each turn of the current histories is a `%%chat` cell with its answer as saved output.

Written as nbformat 4.5 (https://nbformat.readthedocs.io/en/latest/format_description.html). An output's metadata
holds `chatnb`, the turn's facts, so that the notebook can be imported again without doubling anything.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart

from chatnb.records import Message, Session, ToolCall, Turn
from chatnb.stores.copying import Whole
from chatnb.transfer.base import Format
from chatnb.transfer.current import turns
from chatnb.transfer.markdown import answered
from chatnb.transfer.saved import called, read, recognises
from chatnb.transfer.shown import mark

__all__ = ["FORMAT", "inert"]

FACTS = (
    "status", "model", "provider", "requests", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "cost", "currency", "duration_ms", "error",
)  # fmt: skip
"""What an output's metadata tells of its turn, beside its ids and its time."""

_ACTIVE = re.compile(
    r"(?P<code>^(?P<fence>`{3,})[^`\n]*\n.*?^ {0,3}(?P=fence)`*[ \t]*$)|(?P<mark><(?!https?://)|!(?=\[))", re.M | re.S
)
_JOINER = "\u2060"


def inert(text: str) -> str:
    """Markdown that shows tags as text and loads no images, by an invisible joiner that parts what would be one.

    Only fenced code at the beginning of a line is left alone: it is code in every place where it may stand. Whether
    other text is code would take a parser to tell, and there the joiner cannot be seen.

    >>> inert("<b>hi</b> ![x](http://a/b.png)").replace("\\u2060", "|")
    '<|b>hi<|/b> !|[x](http://a/b.png)'
    """
    return _ACTIVE.sub(lambda found: found[0] + (_JOINER if found["mark"] else ""), text)


def _write(wholes: Iterable[Whole], path: Path) -> None:
    cells: list[dict[str, object]] = [_code("load-chatnb", "%load_ext chatnb", [], None)]
    used = {"load-chatnb"}
    for whole in wholes:
        calls = {(call.turn_id, call.call_id): call for call in whole.calls}
        cells.append(_heading(whole.session, used))
        for turn, messages in turns(whole):
            cells.append(_cell(whole.session, turn, messages, calls, used))
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _heading(session: Session, used: set[str]) -> dict[str, object]:
    title = inert(" ".join(session.label.split()))
    cell: dict[str, object] = {"cell_type": "markdown", "id": _cell_id(session.id, used), "metadata": {}}
    return cell | {"source": f"# {title}"}


def _code(cell_id: str, source: str, outputs: Sequence[object], count: int | None) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": count,
        "id": cell_id,
        "metadata": {},
        "outputs": list(outputs),
        "source": source,
    }


def _cell_id(wanted: str, used: set[str]) -> str:
    """A cell id as nbformat allows it, and no other cell's."""
    plain = re.sub(r"[^a-zA-Z0-9-_]", "-", wanted)[:60] or "cell"
    found, number = plain, 1
    while found in used:
        number += 1
        found = f"{plain}-{number}"
    used.add(found)
    return found


def _cell(
    session: Session,
    turn: Turn,
    messages: Sequence[tuple[Message, ModelMessage]],
    calls: dict[tuple[str, str], ToolCall],
    used: set[str],
) -> dict[str, object]:
    asked = "\n\n".join(record.content for record, _ in messages if record.role == "user") or turn.prompt
    line = f"%%chat {shlex.quote(session.label)}" + (" --raw" if "{{" in asked else "")
    told = [message for _, message in messages]
    blocks = list(answered(turn, told, calls, inert))
    blocks += [f"> {inert(turn.error)}"] if turn.error else []
    facts = {name: getattr(turn, name) for name in FACTS if getattr(turn, name) is not None}
    output = {
        "output_type": "display_data",
        "data": {"text/markdown": "\n\n".join(blocks), "text/plain": _plain(told)},
        "metadata": {"chatnb": {**mark(session, turn), **facts}},
    }
    return _code(_cell_id(turn.cell_id or turn.id, used), f"{line}\n{asked}", [output], turn.execution_count)


def _plain(messages: Sequence[ModelMessage]) -> str:
    """The answer as a chat cell shows it where Markdown is not drawn."""
    blocks = []
    for message in messages:
        for part in message.parts if isinstance(message, ModelResponse) else ():
            if isinstance(part, TextPart):
                blocks.append(part.content.strip())
            elif isinstance(part, ToolCallPart):
                blocks.append(f"[{called(part.tool_name, part.args_as_dict())}]")
    return "\n\n".join(block for block in blocks if block)


FORMAT = Format(
    name="notebook",
    says="a notebook with chats in its saved outputs",
    suffixes=(".ipynb",),
    write=_write,
    recognises=recognises,
    read=read,
)
"""A notebook of chats, ours or any with %%chat or %%ai cells."""
