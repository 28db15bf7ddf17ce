"""The statements of a store, each once, for every backend: `?` for values, the names of `schema` for tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatnb.stores.base import Tx
from chatnb.stores.rows import Row, column_list
from chatnb.stores.schema import BRANCHES, FILES, LINEAGE, MESSAGES, SESSIONS, TOOL_CALLS, TURNS

__all__ = [
    "BRANCHES_OF_PARENTS",
    "BRANCHES_OF_SESSION",
    "BRANCH_BY_ID",
    "CALLS_OF_TURN",
    "FILES_KNOWN",
    "FILES_OF_HASHES",
    "FIRST_BRANCHES",
    "FIRST_QUESTIONS",
    "HISTORY_HOLDS",
    "LINEAGE_OF_SESSION",
    "MESSAGES_OF_SEGMENT",
    "MESSAGES_OF_TURN",
    "MESSAGE_BY_ID",
    "MESSAGE_NAMES_FILE",
    "NAME_HOLDS",
    "NOTEBOOK_SESSION",
    "SESSIONS_COUNT",
    "SESSIONS_WHERE",
    "SESSION_BY_ID",
    "SESSION_BY_ID_ANY_USER",
    "SESSION_BY_NAME",
    "SESSION_COST",
    "SESSION_NAMES",
    "SPAN_OF_TURN",
    "TURNS_OF_CELL",
    "TURNS_OF_IDS",
    "TURNS_OF_SEGMENT",
    "TURNS_OF_SESSION",
    "TURN_BY_ID",
    "marks",
]

_SESSION = f"SELECT {column_list(SESSIONS)} FROM sessions"
_BRANCH = f"SELECT {column_list(BRANCHES)} FROM branches"
_MESSAGE = f"SELECT {column_list(MESSAGES)} FROM messages"
_TURN = f"SELECT {column_list(TURNS)} FROM turns"

SESSION_BY_ID = f"{_SESSION} WHERE user_id = ? AND collection = ? AND id = ?"
SESSION_BY_ID_ANY_USER = f"{_SESSION} WHERE collection = ? AND id = ? ORDER BY updated_at DESC LIMIT 1"
SESSION_BY_NAME = (
    f"{_SESSION} WHERE user_id = ? AND project = ? AND collection = ? AND name = ? AND is_active = ?"
    " ORDER BY coalesce(last_message_at, created_at) DESC LIMIT 1"
)
SESSION_NAMES = (
    "SELECT coalesce(name, id), project FROM sessions WHERE user_id = ? AND collection = ? AND is_active = ?"
    " ORDER BY coalesce(last_message_at, created_at) DESC LIMIT 500"
)
SESSIONS_WHERE = f"{_SESSION} WHERE {{where}} ORDER BY {{order}} LIMIT ? OFFSET ?"
NAME_HOLDS = "lower(coalesce(name, id)) LIKE ? ESCAPE '!'"
HISTORY_HOLDS = (
    "EXISTS (SELECT 1 FROM lineage JOIN messages ON messages.branch_id = lineage.branch_id"
    " WHERE lineage.user_id = sessions.user_id AND lineage.collection = sessions.collection"
    " AND lineage.session_id = sessions.id AND messages.seq >= lineage.first_seq"
    " AND (lineage.upto_seq IS NULL OR messages.seq <= lineage.upto_seq)"
    " AND lower(messages.content) LIKE ? ESCAPE '!')"
)
SESSIONS_COUNT = "SELECT count(*) FROM sessions WHERE {where}"

BRANCH_BY_ID = f"{_BRANCH} WHERE id = ?"
BRANCHES_OF_SESSION = f"{_BRANCH} WHERE user_id = ? AND collection = ? AND session_id = ? ORDER BY created_at, id"
BRANCHES_OF_PARENTS = f"{_BRANCH} WHERE parent_branch_id IN ({{marks}})"

LINEAGE_OF_SESSION = (
    f"SELECT {column_list(LINEAGE)} FROM lineage WHERE user_id = ? AND collection = ? AND session_id = ?"
    " ORDER BY first_seq"
)

MESSAGES_OF_SEGMENT = f"{_MESSAGE} WHERE branch_id = ? AND seq >= ? AND seq <= ? ORDER BY seq"
TURNS_OF_SEGMENT = (
    "SELECT turn_id, min(seq), max(seq) FROM messages WHERE branch_id = ? AND seq >= ? AND seq <= ?"
    " GROUP BY turn_id ORDER BY min(seq)"
)
SPAN_OF_TURN = "SELECT min(seq), max(seq) FROM messages WHERE turn_id = ?"
MESSAGE_BY_ID = f"{_MESSAGE} WHERE id = ?"
MESSAGES_OF_TURN = f"{_MESSAGE} WHERE turn_id = ? ORDER BY position"
FIRST_BRANCHES = (
    "SELECT user_id, collection, session_id, branch_id FROM lineage WHERE first_seq = 1 AND session_id IN ({marks})"
)
FIRST_QUESTIONS = "SELECT branch_id, content FROM messages WHERE branch_id IN ({marks}) AND seq = 1"
MESSAGE_NAMES_FILE = "SELECT 1 FROM messages WHERE payload LIKE ? LIMIT 1"

TURN_BY_ID = f"{_TURN} WHERE id = ?"
TURNS_OF_IDS = f"{_TURN} WHERE id IN ({{marks}})"
TURNS_OF_CELL = (
    f"{_TURN} WHERE user_id = ? AND collection = ? AND session_id = ? AND notebook = ? AND cell_id = ?"
    " AND status <> 'running' ORDER BY started_at DESC LIMIT 20"
)
NOTEBOOK_SESSION = (
    "SELECT session_id FROM turns WHERE user_id = ? AND collection = '' AND notebook = ?"
    " ORDER BY started_at DESC LIMIT 1"
)
TURNS_OF_SESSION = "SELECT id FROM turns WHERE user_id = ? AND collection = ? AND session_id = ?"
CALLS_OF_TURN = f"SELECT {column_list(TOOL_CALLS)} FROM tool_calls WHERE turn_id = ? ORDER BY started_at"
SESSION_COST = (
    "SELECT sum(cost), count(*) - count(cost) FROM turns WHERE user_id = ? AND collection = ? AND session_id = ?"
    " AND status <> 'running'"
)

FILES_OF_HASHES = f"SELECT {column_list(FILES)} FROM files WHERE sha256 IN ({{marks}})"
FILES_KNOWN = "SELECT sha256 FROM files WHERE sha256 IN ({marks})"


def marks(count: int) -> str:
    """`count` question marks for an IN list.

    >>> marks(3)
    '?, ?, ?'
    """
    return ", ".join("?" * count)


def batches(values: Sequence[str], size: int = 500) -> Iterator[tuple[str, ...]]:
    """Values in runs that an IN list of every database takes.

    >>> list(batches(["a", "b", "c"], 2))
    [('a', 'b'), ('c',)]
    """
    for start in range(0, len(values), size):
        yield tuple(values[start : start + size])


def each_batch(tx: Tx, statement: str, values: Sequence[str]) -> list[Row]:
    """The rows that a statement with `IN ({marks})` gives for all values, in runs."""
    found: list[Row] = []
    for batch in batches(values):
        found += tx.rows(statement.format(marks=marks(len(batch))), batch)
    return found
