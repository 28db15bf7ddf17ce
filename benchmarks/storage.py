"""A durable turn and a window on every backend: beside its raw engine, bare statements, hand-made classes and peers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parts.bare import BareStatements
from benchmarks.parts.handmade import HandmadeJson, HandmadePostgres, HandmadeSqlite
from benchmarks.parts.peers import peer
from benchmarks.parts.places import folder, own_schema, postgres
from benchmarks.parts.raw import Engine, RawDuckdb, RawJson, RawPostgres, RawSqlite
from benchmarks.parts.timing import Row, Side, alternate, show
from benchmarks.parts.work import ANSWER, PROMPT, WINDOW, StoreWork, text
from chatnb.stores.opening import open_store

__all__ = ["main"]

DISK = (
    f"A prompt of {PROMPT} and an answer of {ANSWER:,} characters; a window is the last {WINDOW} messages.",
    "Every side syncs at each commit: DuckDB its WAL, SQLite in WAL mode with synchronous=FULL, PostgreSQL with fsync",
    "and synchronous_commit on, JSON Lines with fsync. chatnb makes the prompt durable before the answer.",
)


def main(options: argparse.Namespace) -> None:
    """Print the tables."""
    rounds, filled = (5, 10) if options.quick else (100, 1000)
    with folder() as place:
        held(place, rounds)
        with postgres(place) as server:
            engines(place, server, rounds)
            sqlite_peers(place, rounds, filled)
            if server is not None:
                postgres_peers(place, server, rounds, filled)


def held(place: Path, rounds: int) -> None:
    """One durable turn on a held DuckDB store beside the same statements as bare SQL."""
    with open_store(place / "ours.duckdb") as store, ExitStack() as stack:
        ours = StoreWork(store)
        bare = stack.enter_context(closing(BareStatements(place / "bare.duckdb", opening=True)))
        least = stack.enter_context(closing(BareStatements(place / "least.duckdb", opening=False)))
        stack.enter_context(store.hold())
        for side in (ours.whole, bare.whole, least.whole):
            for _ in range(WINDOW // 2):
                side()
        sides = {
            "ours": Side(ours.whole),
            "bare": Side(bare.whole, before=bare.prepare),
            "least": Side(least.whole, before=least.prepare),
        }
        took = alternate(sides, rounds)
    rows = [
        Row("turn and window, held DuckDB", took["ours"], "its statements as bare SQL", took["bare"], bar=1.3),
        Row("turn and window, held DuckDB", took["ours"], "the same, nothing durable before the end", took["least"]),
    ]
    show("A durable turn on a held DuckDB store", rows, DISK)


def engines(place: Path, server: str | None, rounds: int) -> None:
    """A turn and a window on every backend beside its raw engine."""
    sides: list[tuple[str, str, Callable[[], Engine]]] = [
        ("duckdb", str(place / "held.duckdb"), lambda: RawDuckdb(place / "raw.duckdb")),
        ("sqlite", f"sqlite:///{place / 'ours.sqlite'}", lambda: RawSqlite(place / "raw.sqlite")),
        ("memory", "memory:", lambda: RawSqlite(None)),
        ("json", f"json:///{place / 'ours.json'}", lambda: RawJson(place / "raw.jsonl")),
    ]
    if server is not None:
        sides.append(("postgresql", own_schema(server), lambda: RawPostgres(own_schema(server))))
    rows: list[Row] = []
    for kind, address, raw in sides:
        rows += beside_raw(kind, address, raw(), rounds)
    show("Every backend beside its raw engine (one INSERT of two messages, one SELECT)", rows)


def beside_raw(kind: str, address: str, raw: Engine, rounds: int) -> Iterator[Row]:
    """The rows of one backend."""
    with open_store(address) as store:
        ours = StoreWork(store)
        ways: dict[str, Callable[[], object]] = {"": ours.turn, " window": ours.window}
        for _ in range(WINDOW // 2):
            raw.turn()
            ours.turn()
        for what, run_ours in ways.items():
            run_raw = raw.window if what else raw.turn
            sides = {"ours": Side(run_ours), "raw": Side(run_raw)}
            if kind == "duckdb":
                closed = alternate({"ours": Side(run_ours)}, max(rounds // 4, 3))["ours"]
                with store.hold():
                    took = alternate(sides, rounds)
                yield Row(f"duckdb, closed:{what or ' turn'}", closed, "raw DuckDB, held", took["raw"])
                yield Row(f"duckdb, held:{what or ' turn'}", took["ours"], "raw DuckDB, held", took["raw"])
                continue
            took = alternate(sides, rounds)
            yield Row(f"{kind}:{what or ' turn'}", took["ours"], f"raw {kind}", took["raw"])


class _Handmade:
    """A hand-made class with one chat."""

    def __init__(self, history: HandmadeJson | HandmadeSqlite | HandmadePostgres) -> None:
        self._history = history
        self._count = 0

    def turn(self) -> None:
        """Two calls of add_message."""
        self._count += 1
        self._history.add_message("bench", {"role": "user", "content": text(PROMPT, self._count)})
        self._history.add_message("bench", {"role": "assistant", "content": text(ANSWER, -self._count)})

    def window(self) -> object:
        """All messages, of which the last count."""
        return self._history.get_chat_history("bench")[-WINDOW:]


@dataclass(frozen=True)
class _Other:
    """Somebody else's history, and how many times slower ours may be (None: it is no database of the same kind)."""

    name: str
    history: Any
    bar: float | None


def beside(title: str, ours: StoreWork, others: Sequence[_Other], rounds: int) -> None:
    """Turn, window, and both together, beside each of the others alone: nobody pays for a third one."""
    rows: list[Row] = []
    for other in others:
        both: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
        for what in ("turn", "window"):
            took = alternate({"ours": Side(getattr(ours, what)), "theirs": Side(getattr(other.history, what))}, rounds)
            rows.append(Row(what, took["ours"], other.name, took["theirs"], bar=other.bar))
            for side, times in took.items():
                both[side].append(times)
        sums = {side: [sum(pair) for pair in zip(*times, strict=True)] for side, times in both.items()}
        rows.append(Row("turn and window", sums["ours"], other.name, sums["theirs"], bar=other.bar))
        if hasattr(other.history, "turn_at_once"):
            took = alternate({"ours": Side(ours.turn), "theirs": Side(other.history.turn_at_once)}, rounds)
            rows.append(Row("turn", took["ours"], f"{other.name}, one call", took["theirs"]))
    show(title, rows)


def _fill(turns: int, *histories: StoreWork | _Handmade) -> None:
    for history in histories:
        for _ in range(turns):
            history.turn()


def sqlite_peers(place: Path, rounds: int, filled: int) -> None:
    """A turn and a window on SQLite beside hand-made classes, LangChain's and OpenAI's."""
    with ExitStack() as stack:
        ours = StoreWork(stack.enter_context(open_store(f"sqlite:///{place / 'peers.sqlite'}")))
        lines, table = _Handmade(HandmadeJson(place / "seed.json")), _Handmade(HandmadeSqlite(place / "seed.sqlite"))
        _fill(filled, ours, lines, table)
        others = [_Other("a hand-made SQLite class", table, 1.0)]
        for name, address, bar in (
            ("langchain", f"sqlite:///{place / 'langchain.sqlite'}", 1.0),
            ("openai-agents", str(place / "agents.sqlite"), 2.0),
        ):
            found = stack.enter_context(peer(name, address, fetch=rounds >= 50))
            if found is not None:
                found.fill(filled)
                others.append(_Other(found.label, found, bar))
        others.append(_Other("a hand-made JSON class", lines, None))
        beside(f"SQLite, a session of {filled:,} turns", ours, others, rounds)


def postgres_peers(place: Path, server: str, rounds: int, filled: int) -> None:
    """A turn and a window on PostgreSQL beside a hand-made class and LangChain's."""
    with ExitStack() as stack:
        ours = StoreWork(stack.enter_context(open_store(own_schema(server))))
        table = _Handmade(stack.enter_context(closing(HandmadePostgres(own_schema(server)))))
        _fill(filled, ours, table)
        others = [_Other("a hand-made PostgreSQL class", table, 1.0)]
        address = own_schema(server).replace("postgresql://", "postgresql+psycopg://")
        found = stack.enter_context(peer("langchain", address, fetch=rounds >= 50))
        if found is not None:
            found.fill(filled)
            others.append(_Other(found.label, found, 1.0))
        beside(f"PostgreSQL, a session of {filled:,} turns", ours, others, rounds)
