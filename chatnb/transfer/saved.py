"""Chats in the saved outputs of a notebook: `%%chat` and `%%chatnb` cells, and jupyter-ai's `%%ai` cells.

A chat cell's output is its turn as `notebook/stream.py` draws it: text/plain has the answer's text with `[tool(…)]`
where a tool was called and the closing line at its end; text/markdown has each call's arguments and result, folded.
jupyter-ai's output has the answer, and `jupyter_ai` with the model in its metadata (jupyter_ai_magics/magics.py).
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart

from chatnb.errors import BadInput
from chatnb.stores.copying import Whole
from chatnb.transfer.base import Problem, Reader, Reading
from chatnb.transfer.foreign import UNREADABLE, why
from chatnb.transfer.shown import Shown, called, shown
from chatnb.transfer.tree import Conversation, Node, assembled, moment, stable_id

__all__ = ["called", "read", "recognises"]

_WITH_VALUE = frozenset({
    "-m", "--model", "-a", "--agent", "--deps", "-s", "--system", "-n", "--max", "-w", "--with", "-t", "--tool", "-o",
    "--output", "--as", "--max-requests", "--temperature", "--opt", "-f", "--format",
})  # fmt: skip
"""Options of the magics that take the next word."""


@dataclass(frozen=True)
class _Cell:
    """One chat cell: its magic's line as words, the prompt, what its output says, and where it stands."""

    magic: str
    words: tuple[str, ...]
    prompt: str
    said: Shown
    cell_id: str
    number: int
    at: datetime | None
    execution_count: int | None


def _loaded(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) and isinstance(value.get("cells"), list) else {}


def recognises(path: Path) -> bool:
    """Whether this is a notebook."""
    return path.is_file() and path.suffix == ".ipynb" and bool(_loaded(path))


def read(path: Path, reader: Reader) -> Reading:
    """The chats of a notebook, a session for each name."""
    notebook = _loaded(path)
    if not notebook:
        raise BadInput(f"{str(path)!r} is not a notebook.")
    return Reading(_items(path, notebook, reader))


def _items(path: Path, notebook: Mapping[str, Any], reader: Reader) -> Iterator[Whole | Problem]:
    sessions: dict[str, list[_Cell]] = {}
    current = path.stem
    for number, cell in enumerate(notebook["cells"], start=1):
        try:
            found = _cell(cell, number)
        except UNREADABLE as error:
            yield Problem(f"{path.name}, cell {number}", why(error))
            continue
        if found is not None:
            current = found.said.session or _named(found) or current
            sessions.setdefault(current, []).append(found)
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    for name, cells in sessions.items():
        yield assembled(replace(_conversation(name, cells, reader), written_at=written), reader)


def _cell(cell: Mapping[str, Any], number: int) -> _Cell | None:
    """The chat that a cell holds; None when it holds none, or its answer was not saved."""
    source = _joined(cell.get("source"))
    if cell.get("cell_type") != "code" or not source.startswith(("%%chat", "%%ai")):
        return None
    line, _, body = source.partition("\n")
    magic, _, rest = line[2:].strip().partition(" ")
    if magic not in ("chat", "chatnb", "ai") or not body.strip():
        return None
    words = tuple(_words(rest))
    if {"--no-store", "--dry-run"} & set(words):
        return None
    said = shown(cell.get("outputs") or ())
    if said is None:
        return None
    times = (cell.get("metadata") or {}).get("execution") or {}
    at = said.at or moment(times.get("iopub.execute_input")) or moment(times.get("shell.execute_reply.started"))
    cell_id = str(cell.get("id") or "")
    return _Cell(magic, words, body.strip(), said, cell_id, number, at, cell.get("execution_count"))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _joined(text: object) -> str:
    """A notebook's text, which may be a list of lines."""
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _positional(words: Sequence[str]) -> str | None:
    """The first word that is neither an option nor its value."""
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in _WITH_VALUE
        else:
            return word
    return None


def _named(cell: _Cell) -> str | None:
    return _positional(cell.words) if cell.magic != "ai" else None


def _model(cell: _Cell) -> str | None:
    if cell.said.model:
        return cell.said.model
    if cell.magic == "ai":
        return _positional(cell.words)
    named = [value for option, value in zip(cell.words, cell.words[1:], strict=False) if option in ("-m", "--model")]
    return named[0] if named else None


def _conversation(name: str, cells: Sequence[_Cell], reader: Reader) -> Conversation:
    """The cells of one session, in the order of the notebook."""
    ours = [cell.said for cell in cells if cell.said.session_id and cell.said.is_of(reader.me)]
    first = cells[0]
    session_id = ours[0].session_id if ours else stable_id(None, "notebook", name, first.cell_id or first.prompt)
    nodes: list[Node] = []
    for cell in cells:
        above = nodes[-1].id if nodes else ""
        mine = cell.said.turn_id if cell.said.is_of(reader.me) else None
        told = "\0".join((above, cell.cell_id, cell.prompt, cell.said.plain))
        asked: ModelMessage = ModelRequest(parts=[UserPromptPart(cell.prompt)])
        nodes.append(
            Node(
                id=mine or hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:32],
                parent=above or None,
                messages=(asked, *cell.said.messages(_model(cell))),
                asks=True,
                at=cell.at,
                turn={
                    "cell_id": cell.cell_id or None,
                    "cell_source": cell.prompt,
                    "execution_count": cell.execution_count,
                    "model": _model(cell),
                    "id": mine,
                    **cell.said.facts,
                },
            )
        )
    return Conversation(id=session_id or "", source="notebook", name=name, nodes=nodes, current=nodes[-1].id)
