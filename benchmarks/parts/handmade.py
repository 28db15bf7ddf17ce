"""History classes as people write them by hand: a JSON file, an SQLite table, a PostgreSQL table, written plainly.

A JSON class keeps one file, which it reads and writes whole; an SQL class opens a connection for each call, keeps a
message's JSON in a row, and reads a whole chat back. A turn is two calls of `add_message`.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["HandmadeJson", "HandmadePostgres", "HandmadeSqlite"]

Message = dict[str, str]


class HandmadeJson:
    """One JSON file with every chat."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chats: dict[str, list[Message]] = json.loads(path.read_text()) if path.exists() else {}

    def add_message(self, chat: str, message: Message) -> None:
        """Add a message and write the file."""
        self._chats.setdefault(chat, []).append(message)
        self._path.write_text(json.dumps(self._chats, indent=2))

    def get_chat_history(self, chat: str) -> list[Message]:
        """The chat's messages, as they are in memory."""
        return list(self._chats.get(chat, ()))


class HandmadeSqlite:
    """One SQLite file with a row for each message."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS chat_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, chat_id TEXT,"
                " message TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
            )
            connection.execute("CREATE INDEX IF NOT EXISTS by_chat ON chat_messages (chat_id)")

    def add_message(self, chat: str, message: Message) -> None:
        """Add a message."""
        with closing(sqlite3.connect(self._path)) as connection, connection:
            connection.execute(
                "INSERT INTO chat_messages (chat_id, message) VALUES (?, ?)", (chat, json.dumps(message))
            )

    def get_chat_history(self, chat: str) -> list[Message]:
        """The chat's messages."""
        with closing(sqlite3.connect(self._path)) as connection:
            rows = connection.execute("SELECT message FROM chat_messages WHERE chat_id = ? ORDER BY id", (chat,))
            return [json.loads(message) for (message,) in rows]


class HandmadePostgres:
    """One PostgreSQL table with a row for each message, through one connection that stays open."""

    def __init__(self, url: str) -> None:
        import psycopg

        self._connection = psycopg.connect(url)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS chat_messages (id BIGSERIAL PRIMARY KEY, chat_id TEXT, message JSONB,"
            " created_at TIMESTAMPTZ DEFAULT now())"
        )
        self._connection.execute("CREATE INDEX IF NOT EXISTS by_chat ON chat_messages (chat_id)")
        self._connection.commit()

    def add_message(self, chat: str, message: Message) -> None:
        """Add a message."""
        self._connection.execute(
            "INSERT INTO chat_messages (chat_id, message) VALUES (%s, %s)", (chat, json.dumps(message))
        )
        self._connection.commit()

    def get_chat_history(self, chat: str) -> list[Message]:
        """The chat's messages."""
        rows = self._connection.execute("SELECT message FROM chat_messages WHERE chat_id = %s ORDER BY id", (chat,))
        found = [message for (message,) in rows.fetchall()]
        self._connection.commit()
        return found

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
