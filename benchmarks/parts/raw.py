"""The raw engines: the least that keeps a turn of two messages and reads a window, with the same care for the disk."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any, Protocol

import duckdb

from benchmarks.parts.work import ANSWER, PROMPT, WINDOW, text

__all__ = ["Engine", "RawDuckdb", "RawJson", "RawPostgres", "RawSqlite"]

CONFIG: dict[str, Any] = {"storage_compatibility_version": "v1.4.0"}

_TABLE = "CREATE TABLE IF NOT EXISTS raw_messages (session TEXT, seq BIGINT, role TEXT, content TEXT)"
_INSERT = "INSERT INTO raw_messages VALUES (?, ?, 'user', ?), (?, ?, 'assistant', ?)"
_WINDOW = f"SELECT role, content FROM raw_messages WHERE session = ? ORDER BY seq DESC LIMIT {WINDOW}"


class Engine(Protocol):
    """A raw engine with one session."""

    def turn(self) -> object:
        """Insert two messages durably."""
        ...

    def window(self) -> object:
        """Read the last messages."""
        ...


class _Numbered:
    """Parameters of the next turn."""

    count = 0

    def next_turn(self) -> tuple[object, ...]:
        self.count += 1
        prompt, answer = text(PROMPT, self.count), text(ANSWER, -self.count)
        return ("bench", 2 * self.count - 1, prompt, "bench", 2 * self.count, answer)


class RawDuckdb(_Numbered):
    """DuckDB on a connection that stays open."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path), config=CONFIG)
        self._connection.execute(_TABLE)

    def turn(self) -> object:
        """One INSERT, which commits and syncs."""
        return self._connection.execute(_INSERT, self.next_turn())

    def window(self) -> object:
        """One SELECT."""
        return self._connection.execute(_WINDOW, ("bench",)).fetchall()


class RawSqlite(_Numbered):
    """SQLite in WAL mode with full syncing (as chatnb uses it), on a connection that stays open."""

    def __init__(self, path: Path | None) -> None:
        self._connection = sqlite3.connect(path or ":memory:", isolation_level=None)
        if path:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(_TABLE)
        self._connection.execute("CREATE INDEX raw_index ON raw_messages (session, seq)")

    def turn(self) -> object:
        """One INSERT, which commits and syncs."""
        return self._connection.execute(_INSERT, self.next_turn())

    def window(self) -> object:
        """One SELECT."""
        return self._connection.execute(_WINDOW, ("bench",)).fetchall()


class RawPostgres(_Numbered):
    """PostgreSQL on a connection that stays open."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(_TABLE)
        self._connection.execute("CREATE INDEX raw_index ON raw_messages (session, seq)")

    def turn(self) -> object:
        """One INSERT, which commits and syncs."""
        return self._connection.execute(_INSERT.replace("?", "%s"), self.next_turn())

    def window(self) -> object:
        """One SELECT."""
        return self._connection.execute(_WINDOW.replace("?", "%s"), ("bench",)).fetchall()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class RawJson(_Numbered):
    """A file of JSON Lines that is synced at each turn and read whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def turn(self) -> object:
        """Two lines and one sync."""
        session, _, prompt, _, _, answer = self.next_turn()
        lines = (json.dumps([session, role, said]) for role, said in (("user", prompt), ("assistant", answer)))
        os.write(self._file, ("\n".join(lines) + "\n").encode())
        os.fsync(self._file)
        return None

    def window(self) -> object:
        """All lines, of which the last count."""
        with self._path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines][-WINDOW:]
