"""Writers that are killed at random: what was acknowledged must be there, once, in order, and valid to send.

Eight processes store turns in three sessions that they share. Each acknowledges a turn by a line in a file of its own,
written after `close_turn` has returned. A killer ends one of them with SIGKILL at random moments; it is started again
and goes on. Afterwards every acknowledged turn is looked for. The functions are importable, for the test suite.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

from benchmarks.parts.places import folder, own_schema, postgres
from benchmarks.parts.work import text, write_turn
from chatnb.formats.pydantic_ai import from_record
from chatnb.records import Session, Turn
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from chatnb.window import Limits, Stored, fit

__all__ = ["WRITERS", "Report", "check", "main", "torture", "write"]

WRITERS = 8
SESSIONS = ("s-one", "s-two", "s-three")
USER = "bench"


@dataclass
class Report:
    """What came of one round."""

    acknowledged: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    stored: int = 0
    interrupted: int = 0
    gaps: int = 0
    out_of_order: int = 0
    bad_windows: int = 0
    still_running: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled, out of order or impossible to send."""
        wrong = (self.lost, self.doubled, self.gaps, self.out_of_order, self.bad_windows, self.still_running)
        return not any(wrong)


def write(url: str, log: Path, writer: int, turns: int) -> None:
    """Store turns until `turns` of this writer are acknowledged in `log`; goes on where an earlier process ended.

    A line is one acknowledged turn: its session and its id. A torn last line was never written whole: the turn was
    stored, its acknowledgement was not.
    """
    done = _lines(log)
    chance = random.Random()
    with open_store(url) as store, log.open("a", encoding="utf-8") as acknowledged:
        acknowledged.write("\n" if log.stat().st_size else "")
        for number in range(len(done), turns):
            session = find(store, chance.choice(SESSIONS))
            turn = write_turn(store, session, f"{writer}/{number}", text(chance.choice((50, 3000)), number))
            acknowledged.write(f"{turn.session_id} {turn.id} .\n")
            acknowledged.flush()
            os.fsync(acknowledged.fileno())


def find(store: Store, name: str) -> Session:
    """One of the shared sessions."""
    return store.find_session(name, user=USER)


def _lines(log: Path) -> list[tuple[str, str]]:
    """The acknowledged turns of a log, as (session, turn)."""
    if not log.exists():
        return []
    parts = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
    return [(part[0], part[1]) for part in parts if len(part) == 3]


def prepare(url: str) -> None:
    """Make the sessions."""
    with open_store(url) as store:
        for name in SESSIONS:
            store.create_session(Session(id=name, user_id=USER, name=name))


def _start(url: str, log: Path, writer: int, turns: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.durability", url, str(log), str(writer), str(turns)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "CHATNB_LOCK_WAIT": "120"},
    )


@contextmanager
def _all_ended(running: dict[int, subprocess.Popen[bytes]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def torture(
    url: str, place: Path, *, turns: int, writers: int = WRITERS, kills: int | None = None, timeout: float = 3600
) -> Report:
    """Let writers store turns while some are killed, until all have acknowledged theirs; then look at what is there.

    Parameters
    ----------
    url
        An empty store.
    place
        A folder for the writers' logs.
    turns
        Turns of each writer.
    kills
        How many processes are killed, spread over the round; None is one for each ten turns.
    timeout
        Seconds until it is given up.
    """
    prepare(url)
    report = Report()
    began = time.monotonic()
    chance = random.Random()
    logs = {writer: place / f"acknowledged-{writer}.txt" for writer in range(writers)}
    wanted = writers * turns // 10 if kills is None else kills
    moments = sorted(chance.uniform(0, writers * turns * 0.95) for _ in range(wanted))
    running = {writer: _start(url, log, writer, turns) for writer, log in logs.items()}
    with _all_ended(running):
        while running:
            if time.monotonic() - began > timeout:
                raise TimeoutError(f"{len(running)} writers had not ended after {timeout:g} s.")
            _look_after(running, lambda writer: _start(url, logs[writer], writer, turns))
            if moments and running and sum(len(_lines(log)) for log in logs.values()) >= moments[0]:
                moments.pop(0)
                time.sleep(chance.uniform(0, 0.05))
                chance.choice(list(running.values())).kill()
                report.kills += 1
            time.sleep(0.02)
    report.seconds = time.monotonic() - began
    acknowledged = [line for log in logs.values() for line in _lines(log)]
    return check(url, acknowledged, report)


def _look_after(running: dict[int, subprocess.Popen[bytes]], start: Callable[[int], subprocess.Popen[bytes]]) -> None:
    """Start killed writers again and let go of those that are done."""
    for writer, process in list(running.items()):
        code = process.poll()
        if code == 0:
            del running[writer]
        elif code == -signal.SIGKILL:
            running[writer] = start(writer)
        elif code is not None:
            raise RuntimeError(f"Writer {writer} failed with {code}; its traceback is above.")


def check(url: str, acknowledged: Sequence[tuple[str, str]], report: Report) -> Report:
    """Count what the store holds of what was acknowledged. Opening it is all the repair it gets."""
    report.acknowledged = len(acknowledged)
    with open_store(url) as store:
        store.recover(look=True)
        for name in SESSIONS:
            _check_session(
                store, find(store, name), [turn for session, turn in acknowledged if session == name], report
            )
        ((running,),) = (row.values() for row in store.query(_STILL_RUNNING).to_pylist())
        report.still_running = int(running)
    return report


_STILL_RUNNING = "SELECT count(*) AS n FROM turns WHERE status = 'running'"


def _check_session(store: Store, session: Session, acknowledged: Sequence[str], report: Report) -> None:
    messages, turns = store.messages(session), store.history_turns(session)
    counted = Counter(turn.id for turn in turns)
    report.stored += len(turns)
    report.interrupted += sum(turn.status == "interrupted" for turn in turns)
    report.lost += sum(turn not in counted for turn in acknowledged)
    report.doubled += sum(count - 1 for count in counted.values())
    report.doubled += len(messages) - len({message.id for message in messages})
    report.gaps += sum(message.seq != place for place, message in enumerate(messages, 1))
    report.out_of_order += _out_of_order(turns, acknowledged)
    history = [Stored(message, from_record(message, {})) for message in messages]
    for end in {len(history), len(history) // 2}:
        report.bad_windows += not _valid(history[:end])


def _out_of_order(turns: Sequence[Turn], acknowledged: Sequence[str]) -> int:
    """Turns that stand before one which the same writer had stored earlier."""
    places = {turn.id: place for place, turn in enumerate(turns)}
    writers: dict[str, list[int]] = {}
    by_id = {turn.id: turn for turn in turns}
    for turn_id in acknowledged:
        if turn_id in places:
            writers.setdefault(by_id[turn_id].prompt.partition("/")[0], []).append(places[turn_id])
    return sum(a >= b for found in writers.values() for a, b in pairwise(found))


def _valid(history: Sequence[Stored]) -> bool:
    """Whether a window over this history can be sent: it begins with a request, requests and answers alternate."""
    window = fit(history, Limits(max_messages=20, max_tokens=50_000), first_read=1)
    kinds = [message.kind for message in window.messages]
    return kinds[:1] in ([], ["request"]) and all(a != b for a, b in pairwise(kinds))


def main(options: argparse.Namespace) -> None:
    """One round on every backend; print a table."""
    turns = options.turns or (3 if options.quick else 50)
    writers = 3 if options.quick else WRITERS
    print(f"\n## Durability: {writers} processes, {turns} turns each, killed at random\n")
    print(" ".join(["backend".ljust(11), *(field.name.replace("_", " ") for field in fields(Report))]))
    with folder() as place, postgres(place) as server:
        urls = {
            "duckdb": str(place / "store.duckdb"),
            "sqlite": f"sqlite:///{place / 'store.sqlite'}",
            "json": f"json:///{place / 'store.json'}",
        }
        if server is not None:
            urls["postgresql"] = own_schema(server)
        for kind, url in urls.items():
            logs = place / f"{kind}-logs"
            logs.mkdir()
            report = torture(url, logs, turns=turns, writers=writers, kills=2 if options.quick else None)
            cells = []
            for field in fields(Report):
                value = getattr(report, field.name)
                cells.append(f"{value:g}" if isinstance(value, int) else f"{value:.1f}")
                cells[-1] = cells[-1].rjust(len(field.name))
            print(" ".join([kind.ljust(11), *cells, "clean" if report.clean else "NOT CLEAN"]), flush=True)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
