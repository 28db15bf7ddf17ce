"""The logs database of `llm` (https://llm.datasette.io): SQLite, in both of its schemas.

Up to llm 0.31 a row of `responses` is one answer of a model with its prompt, and `conversations` groups them. From
0.32 on, `messages` is a tree by content hash with `parts`, `turns` are the calls of a model and `threads` groups them;
the old rows stay (llm 0.36: llm/migrations.py and llm/logs.py). Nodes get their ids from what was said and what came
before, so that a conversation which went on after the change of schema is one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from chatnb.errors import BadInput
from chatnb.stores.copying import Whole
from chatnb.transfer.base import Format, Problem, Reader, Reading
from chatnb.transfer.foreign import UNREADABLE, why
from chatnb.transfer.llm_responses import responses_of
from chatnb.transfer.llm_rows import Logs, Said
from chatnb.transfer.llm_threads import thread_of
from chatnb.transfer.tree import Conversation, Node, assembled, stable_id

__all__ = ["FORMAT"]

_MAGIC = b"SQLite format 3\0"


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def _recognises(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
    try:
        with closing(_connect(path)) as connection:
            return Logs(connection).usable
    except sqlite3.Error:
        return False


def _read(path: Path, reader: Reader) -> Reading:
    try:
        with closing(_connect(path)) as connection:
            logs = Logs(connection)
            if not logs.usable:
                raise BadInput(f"{str(path)!r} has no tables of llm's logs.")
            total = len(logs.conversations())
    except sqlite3.Error as error:
        raise BadInput(f"{str(path)!r} cannot be read: {error}.") from error
    return Reading(_items(path, reader), total)


def _items(path: Path, reader: Reader) -> Iterator[Whole | Problem]:
    with closing(_connect(path)) as connection:
        logs = Logs(connection)
        for conversation_id, name in logs.conversations():
            place = f"{path.name}, conversation {conversation_id!r} ({(name or '')[:60]!r})"
            try:
                yield assembled(_conversation(logs, conversation_id, name), reader)
            except (*UNREADABLE, sqlite3.Error) as error:
                yield Problem(place, why(error))


def _conversation(logs: Logs, conversation_id: str, name: str | None) -> Conversation:
    """A conversation with every way it went; what the older tables have of it comes first, with its times."""
    ways = [responses_of(logs, conversation_id), *thread_of(logs, conversation_id)]
    nodes: dict[str, Node] = {}
    system = None
    current = None
    for way in ways:
        above = None
        for said in way:
            if said.role == "system":
                system = system or said.text
                continue
            current = above = _node(said, above, nodes)
    return Conversation(
        id=conversation_id,
        source="llm",
        name=name,
        nodes=list(nodes.values()),
        current=current,
        system_prompt=system,
    )


def _node(said: Said, above: str | None, nodes: dict[str, Node]) -> str:
    """Add what was said after `above`, unless another way through the conversation had it."""
    key = stable_id(None, above or "", said.role, said.shown)
    known = nodes.get(key)
    if known is None or (known.at is None and said.at is not None):
        nodes[key] = Node(
            id=key,
            parent=above,
            messages=(said.message,) if said.message is not None else (),
            asks=said.role == "user",
            at=said.at,
            turn=said.turn,
        )
    return key


FORMAT = Format(name="llm", says="the logs database of llm", recognises=_recognises, read=_read)
"""The logs database of llm; only read."""
