"""What chatnb stores of a turn, in bare SQL: the least statements, on one open DuckDB connection.

It reads the session, its branch and the newest messages in one transaction. Another opens the turn with its prompt,
durable before the request would go out, which chatnb does in its journal. The last reads both again, adds two messages,
ends the turn, and moves the branch and the session on. Its tables are those that chatnb makes. Rows are made before the
clock starts; nothing is converted or checked.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import duckdb

from benchmarks.parts.raw import CONFIG
from benchmarks.parts.work import WINDOW, StoreWork
from chatnb.records import Session, new_id, now
from chatnb.stores import sql
from chatnb.stores.opening import open_store
from chatnb.stores.rows import to_row
from chatnb.stores.schema import MESSAGES, TURNS, Table

__all__ = ["BareStatements"]

_BRANCH = "UPDATE branches SET last_seq = ?, turn_count = ?, window_seq = ? WHERE id = ?"
_SESSION = (
    "UPDATE sessions SET message_count = ?, last_message_at = ?, revision = revision + 1, updated_at = ?"
    " WHERE user_id = ? AND collection = ? AND id = ?"
)


def _insert(table: Table, rows: int) -> str:
    one = f"({', '.join('?' * len(table.columns))})"
    return f"INSERT INTO {table.name}_recent VALUES {', '.join([one] * rows)}"


class BareStatements:
    """One session in a file of its own. Without `opening` a turn is only stored when it ends."""

    def __init__(self, path: Path, *, opening: bool) -> None:
        self._opening = opening
        with open_store(path) as store:
            work = StoreWork(store)
            self._model = work.turn()
            self._session: Session = work.session
        self._connection = duckdb.connect(str(path), config=CONFIG)
        self._count = 1
        self._last = 2
        self._prepared: tuple[list[object], list[object]] | None = None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def prepare(self) -> None:
        """The next turn's rows."""
        turn = replace(self._model, id=new_id(), started_at=now())
        placed = [
            replace(message, id=new_id(), turn_id=turn.id, seq=self._last + place)
            for place, message in enumerate(turn.messages, 1)
        ]
        self._prepared = ([v for m in placed for v in to_row(MESSAGES, m)], list(to_row(TURNS, turn)))

    def whole(self) -> None:
        """The window, and then the turn."""
        if self._prepared is None:
            self.prepare()
        assert self._prepared is not None
        messages, turn = self._prepared
        execute, session = self._connection.execute, self._session
        key = (session.user_id, session.collection, session.id)
        execute("BEGIN TRANSACTION READ ONLY")
        self._read()
        execute(sql.MESSAGES_OF_SEGMENT, (session.branch_id, self._last - WINDOW + 1, self._last)).fetchall()
        execute("COMMIT")
        if self._opening:
            execute(_insert(TURNS, 1), [*turn[:5], "running", turn[6], "", *turn[8:]])
        execute("BEGIN TRANSACTION")
        self._read()
        execute(_insert(MESSAGES, 2), messages)
        if self._opening:
            execute("UPDATE turns_recent SET status = 'ok', answer = ?, requests = 1 WHERE id = ?", (turn[7], turn[0]))
        else:
            execute(_insert(TURNS, 1), turn)
        self._last, self._count, self._prepared = self._last + 2, self._count + 1, None
        execute(_BRANCH, (self._last, self._count, 1, session.branch_id))
        execute(_SESSION, (self._last, now(), now(), *key))
        execute("COMMIT")

    def _read(self) -> None:
        session = self._session
        key = (session.user_id, session.collection, session.id)
        self._connection.execute(sql.SESSION_BY_ID, key).fetchall()
        self._connection.execute(sql.BRANCH_BY_ID, (session.branch_id,)).fetchall()
