"""Large stores, made at once in the shape that chatnb itself writes, straight into its tables.

What is simulated is a busy place over a year: some sessions are active at a time and take turns at random; a session
that has had its share of messages leaves and a new one comes. One message in twenty belongs to an old session that is
taken up again: a turn in a `resume` branch, which chatnb opens after a pause. Ids are UUIDv7 of the simulated time, so
they lie as they would. A turn is two messages, a prompt and an answer.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import duckdb
import pyarrow as pa

from chatnb.formats.pydantic_ai import FORMAT
from chatnb.stores.opening import open_store
from chatnb.stores.schema import BRANCHES, LINEAGE, MESSAGES, SESSIONS, TURNS, Table
from chatnb.stores.sqlitetx import plain

__all__ = ["ACTIVE", "PER_SESSION", "Made", "make_duckdb", "make_sqlite"]

ACTIVE = 500
"""Sessions that are active at a time."""

PER_SESSION = 50
"""Messages of a session before it leaves."""

RESUMED = 20
"""One turn in so many belongs to an old session."""

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)
CHUNK = 50_000
"""Turns that are held in memory at a time."""

Row = tuple[object, ...]


@dataclass
class _Session:
    """A session while it is simulated: its branches as (id, parent, parent_seq, kind, last_seq, turns, made at)."""

    id: str
    began: datetime
    branches: list[list[object]]
    last: int = 0
    turns: int = 0
    at: datetime = BEGIN


@dataclass(frozen=True)
class Made:
    """What a store holds: sessions that were in use at the end, and sessions that were taken up again."""

    messages: int
    active: list[str]
    resumed: list[str]


@dataclass
class Simulation:
    """The sessions and turns of one store, in the order of time; the same for the same number of messages."""

    messages: int
    chance: random.Random = field(default_factory=lambda: random.Random(42))
    sessions: list[_Session] = field(default_factory=list)
    active: list[_Session] = field(default_factory=list)
    left: list[_Session] = field(default_factory=list)

    def id_at(self, moment: datetime) -> str:
        """A UUIDv7 (RFC 9562) of this time."""
        bits = self.chance.getrandbits(74)
        head = f"{int(moment.timestamp() * 1000):012x}"
        a, b = bits >> 62, (bits & (1 << 62) - 1) | 1 << 63
        tail = f"{b:016x}"
        return f"{head[:8]}-{head[8:]}-7{a:03x}-{tail[:4]}-{tail[4:]}"

    def _begin(self, moment: datetime) -> _Session:
        session = _Session(self.id_at(moment), moment, [])
        session.branches.append([self.id_at(moment), None, 0, "start", 0, 0, moment])
        self.sessions.append(session)
        return session

    def _take_up(self, moment: datetime) -> _Session:
        """An old session goes on in a branch of its own."""
        session = self.chance.choice(self.left)
        parent = session.branches[-1]
        session.branches.append([self.id_at(moment), parent[0], session.last, "resume", session.last, 0, moment])
        return session

    def turns(self) -> Iterator[tuple[_Session, str, list[object], int, datetime]]:
        """Each turn: its session, its id, its branch, its first seq and its time."""
        count = self.messages // 2
        step = YEAR / count
        full = max(PER_SESSION // 2, 1)
        for number in range(count):
            moment = BEGIN + step * number
            if number % RESUMED == RESUMED - 1 and self.left:
                session = self._take_up(moment)
            elif len(self.active) < ACTIVE and (len(self.active) < number // 10 + 1):
                session = self._begin(moment)
                self.active.append(session)
            else:
                place = self.chance.randrange(len(self.active))
                session = self.active[place]
                if session.turns >= full:
                    self.left.append(session)
                    session = self.active[place] = self._begin(moment)
            branch = session.branches[-1]
            first = session.last + 1
            session.last, session.turns, session.at = first + 1, session.turns + 1, moment
            branch[4], branch[5] = session.last, session.turns
            yield session, self.id_at(moment), branch, first, moment

    def made(self) -> Made:
        """Which sessions to read."""
        resumed = [session.id for session in self.left if len(session.branches) > 1]
        return Made(self.messages, [s.id for s in self.active if s.last >= 20][-200:], resumed[-200:])


def _message_rows(simulation: Simulation, turn: tuple[_Session, str, list[object], int, datetime]) -> list[Row]:
    session, turn_id, branch, first, moment = turn
    rows: list[Row] = []
    for position, (role, kind, said) in enumerate((("user", "request", 60), ("assistant", "response", 90))):
        content = f"{role} {first + position}: {turn_id[: said // 3]} " + "what was said and why it matters, " * 2
        part = "user-prompt" if role == "user" else "text"
        payload = (
            f'{{"parts":[{{"content":"{content}","timestamp":"{moment.isoformat()}","part_kind":"{part}"}}],'
            f'"kind":"{kind}","run_id":null,"metadata":null}}'
        )
        rows.append(
            (
                simulation.id_at(moment), session.id, branch[0], first + position, turn_id, position, role, content,
                payload, FORMAT, "pydantic-ai", "{}", "bench", "bench", 900, 60, 0.001, moment,
            )
        )  # fmt: skip
    return rows


def _turn_row(turn: tuple[_Session, str, list[object], int, datetime]) -> Row:
    session, turn_id, branch, first, moment = turn
    values: dict[str, object] = dict.fromkeys(TURNS.names)
    values |= {
        "id": turn_id, "session_id": session.id, "branch_id": branch[0], "user_id": "bench", "collection": "",
        "status": "ok", "prompt": f"user {first}", "answer": f"assistant {first + 1}", "options": "{}",
        "model": "bench", "provider": "bench", "requests": 1, "tool_calls": 0, "input_tokens": 900,
        "output_tokens": 60, "cache_read_tokens": 0, "cache_write_tokens": 0, "cost": 0.001, "currency": "USD",
        "sent_messages": 20, "sent_tokens": 800, "started_at": moment, "first_token_ms": 300.0,
        "duration_ms": 900.0, "notebook": "bench.ipynb", "cell_id": turn_id[-4:], "cell_source": f"user {first}",
        "execution_count": 1, "host": "bench:1", "metadata": "{}",
    }  # fmt: skip
    return tuple(values.values())


def _session_row(number: int, session: _Session) -> Row:
    values: dict[str, object] = dict.fromkeys(SESSIONS.names)
    values |= {
        "id": session.id, "user_id": "bench", "project": "bench", "collection": "", "name": f"session {number}",
        "model": "bench", "branch_id": session.branches[-1][0], "metadata": "{}", "tags": "[]", "is_active": True,
        "revision": session.turns, "message_count": session.last, "created_at": session.began,
        "updated_at": session.at, "last_message_at": session.at,
    }  # fmt: skip
    return tuple(values.values())


def _branch_rows(sessions: Sequence[_Session]) -> Iterator[Row]:
    """Branches in the order in which they were opened."""
    opened = [(branch, session) for session in sessions for branch in session.branches]
    opened.sort(key=lambda pair: str(pair[0][0]))
    for (branch, parent, parent_seq, kind, last, turns, moment), session in opened:
        known = {
            "id": branch, "session_id": session.id, "user_id": "bench", "collection": "",
            "parent_branch_id": parent, "parent_seq": parent_seq, "kind": kind, "last_seq": last,
            "turn_count": turns, "window_seq": 1, "created_at": moment,
        }  # fmt: skip
        yield tuple(known.get(name) for name in BRANCHES.names)


def _lineage_rows(sessions: Sequence[_Session]) -> Iterator[Row]:
    """Segments, those of a session together and in the order in which sessions got their newest branch."""
    for session in sorted(sessions, key=lambda session: str(session.branches[-1][0])):
        for place, (branch, _, parent_seq, _, last, _, _) in enumerate(session.branches):
            upto = None if place == len(session.branches) - 1 else last
            yield session.id, "bench", "", branch, int(parent_seq) + 1, upto  # type: ignore[call-overload]


def _chunks(simulation: Simulation) -> Iterator[tuple[Table, list[Row]]]:
    """The rows of every table, in runs."""
    turns = simulation.turns()
    while chunk := list(islice(turns, CHUNK)):
        yield MESSAGES, [row for turn in chunk for row in _message_rows(simulation, turn)]
        yield TURNS, [_turn_row(turn) for turn in chunk]
    sessions = simulation.sessions
    made = (_session_row(number, session) for number, session in enumerate(sessions))
    for table, rows in ((SESSIONS, made), (BRANCHES, _branch_rows(sessions)), (LINEAGE, _lineage_rows(sessions))):
        while some := list(islice(rows, CHUNK)):
            yield table, some


def make_duckdb(path: Path, messages: int) -> Made:
    """Make a DuckDB store, through Arrow."""
    with open_store(path) as store:
        store.recover()
        store.notebook_session(user="bench", notebook="")  # makes the tables
    simulation = Simulation(messages)
    connection = duckdb.connect(str(path), config={"storage_compatibility_version": "v1.4.0"})
    for table, rows in _chunks(simulation):
        batch = pa.table(dict(zip(table.names, map(list, zip(*rows, strict=True)), strict=True)))
        connection.register("batch", batch)
        target = f"{table.name}_base" if table in (MESSAGES, TURNS) else table.name
        connection.execute(f"INSERT INTO {target} SELECT * FROM batch")
        connection.unregister("batch")
    connection.close()
    return simulation.made()


def make_sqlite(path: Path, messages: int) -> Made:
    """Make an SQLite store."""
    with open_store(f"sqlite:///{path}") as store:
        store.notebook_session(user="bench", notebook="")
    simulation = Simulation(messages)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -1000000")
    for table, rows in _chunks(simulation):
        marks = ", ".join("?" * len(table.columns))
        connection.execute("BEGIN")
        connection.executemany(
            f"INSERT INTO {table.name} VALUES ({marks})", ([plain(value) for value in row] for row in rows)
        )
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return simulation.made()
