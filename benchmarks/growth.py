"""A `Chat` turn on a closed DuckDB file beyond the bare agent's run: on a young file, and on one grown turn by turn."""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from benchmarks.parts.places import folder
from benchmarks.parts.raw import CONFIG
from benchmarks.parts.timing import Row, show, spread
from benchmarks.parts.work import PROMPT, StoreWork, text
from chatnb.chat import Chat
from chatnb.drive import wait_for
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store

__all__ = ["main"]

SESSION_TURNS = 20
"""Turns of a session before the next one begins, so that what is sent is alike on both files."""

SIZES = (3_000, 20_000)
"""Characters of an answer."""

RAW_BAR, GROWN_BAR = 3.5, 1.5


def main(options: argparse.Namespace) -> None:
    """Grow files and print the tables."""
    turns = 40 if options.quick else (options.turns or 1000)
    rounds = 6 if options.quick else 140
    with folder() as place:
        for size in SIZES[:1] if options.quick else SIZES:
            one_size(place / str(size), size, turns, rounds)


def model(size: int) -> FunctionModel:
    """A model that answers at once, in pieces."""
    count = 0

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        nonlocal count
        count += 1
        said = text(size, count)
        for start in range(0, size, size // 20):
            yield said[start : start + size // 20]

    return FunctionModel(stream_function=answer)


class Bare:
    """The same agent's run without chatnb; its history is a list."""

    def __init__(self, answering: FunctionModel) -> None:
        self._agent = Agent(answering)
        self._history: list[ModelMessage] = []
        self._count = 0

    async def _run(self, prompt: str) -> None:
        async with self._agent.run_stream_events(prompt, message_history=self._history) as events:
            async for event in events:
                last = event
        self._history = last.result.all_messages()  # type: ignore[union-attr]

    def turn(self) -> None:
        """One run."""
        if self._count % SESSION_TURNS == 0:
            self._history = []
        self._count += 1
        wait_for(self._run(text(PROMPT, self._count)))


class Chats:
    """Turns of `Chat` in one file, in sessions of a few turns."""

    def __init__(self, store: Store, answering: FunctionModel) -> None:
        self._store = store
        self._model = answering
        self._count = 0

    def turn(self) -> None:
        """One turn, the file being closed before and after."""
        name = f"chat {self._count // SESSION_TURNS}"
        self._count += 1
        Chat(name, model=self._model, store=self._store, user="bench").send(text(PROMPT, self._count))


class Raw:
    """One open, one insert, one close of a file with an empty table."""

    def __init__(self, place: Path, size: int) -> None:
        self._empty, self._path = place / "empty.duckdb", place / "raw.duckdb"
        self._said = text(size, 1)
        with duckdb.connect(str(self._empty), config=CONFIG) as connection:
            connection.execute("CREATE TABLE messages (id VARCHAR, role VARCHAR, content VARCHAR)")

    def empty(self) -> None:
        """A file that nothing was ever inserted into."""
        shutil.copyfile(self._empty, self._path)

    def turn(self) -> None:
        """Insert a prompt and an answer."""
        with duckdb.connect(str(self._path), config=CONFIG) as connection:
            connection.execute(
                "INSERT INTO messages VALUES ('1', 'user', ?), ('2', 'assistant', ?)", (self._said[:PROMPT], self._said)
            )


def grow(store: Store, size: int, turns: int) -> None:
    """Turns that each open and close the file, told tenth by tenth."""
    took: list[float] = []
    work = StoreWork(store, size)
    for number in range(turns):
        if number % SESSION_TURNS == 0:
            work.again()
        began = time.perf_counter()
        work.turn()
        took.append(time.perf_counter() - began)
    tenth = max(turns // 10, 1)
    medians = [statistics.median(took[start : start + tenth]) for start in range(0, turns, tenth)]
    print("  while it grows, median of each tenth (ms):", ", ".join(f"{1000 * value:.1f}" for value in medians))
    print(f"  mean {1000 * statistics.mean(took):.1f} ms, slowest (a fold) {1000 * max(took):.0f} ms")


def one_size(place: Path, size: int, turns: int, rounds: int) -> None:
    """One answer's size: young file, grown file, bare run and raw file, measured in turns."""
    place.mkdir()
    print(f"\nA file grows by {turns:,} turns with answers of {size:,} characters …", flush=True)
    with open_store(place / "grown.duckdb") as store:
        grow(store, size, turns)
        took = measure(place, store, size, rounds)
    beyond = {name: [a - b for a, b in zip(took[name], took["bare"], strict=True)] for name in ("young", "grown")}
    whole = f"{(place / 'grown.duckdb').stat().st_size / 1e6:.0f} MB"
    notes = (
        f"chatnb is a turn of Chat beyond the bare agent's run, which takes {spread(took['bare'])}; both stream.",
        "The raw file is opened, gets one INSERT of two messages, and is closed. All sync as DuckDB does by itself.",
    )
    rows = [
        Row("a young file", beyond["young"], "raw open-insert-close", took["raw"], bar=RAW_BAR),
        Row(f"grown by {turns:,} turns ({whole})", beyond["grown"], "raw open-insert-close", took["raw"]),
        Row(f"grown by {turns:,} turns ({whole})", beyond["grown"], "a young file", beyond["young"], bar=GROWN_BAR),
    ]
    show(f"A Chat turn on a closed DuckDB file, answers of {size:,} characters", rows, notes)
    means = [statistics.mean(beyond[name]) for name in ("grown", "young")]
    print(
        f"means, with the folds in them: {1000 * means[0]:.1f} and {1000 * means[1]:.1f} ms, {means[0] / means[1]:.2f}"
    )


def measure(place: Path, grown: Store, size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, one after the other in every round; a young file is made anew for every session."""
    raw, bare = Raw(place, size), Bare(model(size))
    old = Chats(grown, model(size))
    took: dict[str, list[float]] = {"young": [], "grown": [], "bare": [], "raw": []}
    young = None
    for number in range(rounds):
        if number % SESSION_TURNS == 0:
            young = Chats(open_store(place / f"young-{number}.duckdb"), model(size))
            for warm in (young, old, bare):  # the tables are made, and every side has begun its session
                warm.turn()
        assert young is not None
        raw.empty()
        for name, turn in (("young", young.turn), ("grown", old.turn), ("bare", bare.turn), ("raw", raw.turn)):
            began = time.perf_counter()
            turn()
            took[name].append(time.perf_counter() - began)
    return took
