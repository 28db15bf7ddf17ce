"""Nothing that was acknowledged is lost: killed writers, a full disk, a folder that cannot be written.

Longer rounds: pytest tests/stores/test_durability.py --durability-turns 400
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import durability
from benchmarks.parts.work import write_turn
from chatnb.records import Session
from chatnb.stores.opening import open_store
from tests.stores.making import ask, count, ended, opening, pair, records, session, texts

KILLS_FOR_FIFTY = 12


@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", ["duckdb", "sqlite", "json", "postgresql"])
def test_killed_writers_lose_no_acknowledged_turn(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, pytestconfig: pytest.Config
) -> None:
    turns = int(pytestconfig.getoption("--durability-turns"))
    url = {"duckdb": str(tmp_path / "s.duckdb"), "sqlite": f"sqlite:///{tmp_path / 's.db'}"}.get(kind)
    if kind == "json":
        url = f"json:///{tmp_path / 's.json'}"
    if url is None:
        url = request.getfixturevalue("postgres_url")
    kills = max(KILLS_FOR_FIFTY * turns // 50, 1)
    report = durability.torture(url, tmp_path, turns=turns, kills=kills, timeout=turns * 30)
    assert report.clean, report
    assert report.acknowledged == durability.WRITERS * turns
    assert report.kills > 0


PLACES: dict[str, Callable[[Path], str]] = {
    "duckdb": lambda folder: str(folder / "s.duckdb"),
    "sqlite": lambda folder: f"sqlite:///{folder / 's.db'}",
    "json": lambda folder: f"json:///{folder / 's.json'}",
}

FULL = """
import resource, signal, sys
from pathlib import Path
from benchmarks.parts.work import write_turn
from chatnb.errors import StoreError
from chatnb.stores.opening import open_store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
url, place = sys.argv[1], Path(sys.argv[2])
store = open_store(url)
session = store.find_session("kept", user="me")
largest = max(path.stat().st_size for path in place.rglob("*") if path.is_file())
resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 300_000, resource.RLIM_INFINITY))
try:
    write_turn(store, session, "too much", "x" * 8_000_000)
except StoreError as error:
    print("full:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write_turn(store, session, "room again", "good")
store.close()
"""


@pytest.mark.parametrize("kind", list(PLACES))
def test_a_full_disk_is_one_error_and_the_store_goes_on_when_there_is_room(kind: str, tmp_path: Path) -> None:
    url = PLACES[kind](tmp_path)
    with open_store(url) as store:
        session = store.create_session(Session(id="kept", user_id="me", name="kept"))
        write_turn(store, session, "before", "kept")
    said = subprocess.run([sys.executable, "-c", FULL, url, str(tmp_path)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("full:"), said.stdout
    assert said.stdout.count("\n") == 1
    with open_store(url) as store:
        prompts = [turn.prompt for turn in store.history_turns(store.find_session("kept", user="me"))]
    assert prompts[0] == "before"
    assert prompts[-1] == "room again"


READ_ONLY = """
import os, sys
from chatnb.errors import StoreError
from chatnb.records import Session
from chatnb.stores.opening import open_store
import chatnb.stores.duckdb, chatnb.stores.jsonlog, chatnb.stores.sqlite, chatnb.stores.store, pytz

os.seteuid(65534)
try:
    open_store(sys.argv[1]).create_session(Session(id="new", user_id="me"))
except StoreError as error:
    print("refused:", error)
"""


@pytest.mark.parametrize("kind", list(PLACES))
def test_a_folder_that_cannot_be_written_is_one_error(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_uid == folder.stat().st_uid and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    said = subprocess.run(
        [sys.executable, "-c", READ_ONLY, PLACES[kind](folder)], capture_output=True, text=True, check=False
    )
    assert said.stdout.startswith("refused:"), said.stdout + said.stderr
    assert said.stdout.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_a_journal_folder_that_others_remove_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from chatnb.stores import journal

    store = open_store(str(tmp_path / "s.duckdb"))
    session = store.create_session(Session(id="kept", user_id="me", name="kept"))
    folder = tmp_path / "s.duckdb.journal"
    real, removals = journal.FileLock.acquire, []

    def acquire(self: journal.FileLock, *args: object, **kwargs: object) -> object:
        if len(removals) < 3 and Path(self.lock_file).parent == folder:
            removals.append(folder.rmdir())
            raise FileNotFoundError(self.lock_file)  # what opening it says when the folder went in between
        return real(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(journal.FileLock, "acquire", acquire)
    assert write_turn(store, session, "asked", "answered").status == "ok"
    assert len(removals) == 3
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_turn_that_was_taken_for_dead_while_it_ran_is_stored_whole(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = PLACES[kind](tmp_path) if kind in PLACES else request.getfixturevalue("postgres_url")
    with open_store(url) as store, open_store(url) as other:
        chat = store.create_session(session("eda"))
        state = opening(chat, "q")
        messages, _ = records(pair("q", "a"))
        store.open_turn(state)
        store.add_messages(state, messages[:1])

        def gone(pid: int, signal: int) -> None:  # as it is for a process of another container with this host's name
            raise ProcessLookupError(pid)

        with monkeypatch.context() as patch:
            patch.setattr("chatnb.stores.tablejournal.os", SimpleNamespace(kill=gone))
            assert [turn.status for turn in other.recover(look=True)] == ["interrupted"]
        ask(other, chat, "meanwhile", "yes")
        store.add_messages(state, messages[1:])
        assert store.close_turn(ended(state, messages)).answer == "a"
        assert texts(store, chat) == ["q", "meanwhile", "yes", "q", "a"]
        assert [turn.status for turn in store.history_turns(chat)] == ["interrupted", "ok", "ok"]
        assert other.recover(look=True) == []


GONE_THEN_KILLED = """
import os, signal, sqlite3, sys
import psycopg
from pydantic_ai.models.function import FunctionModel
from chatnb import Chat
from chatnb.stores.opening import open_store

url = sys.argv[1]

async def answer(messages, info):
    if url.startswith("sqlite"):
        answer.other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        answer.other.execute("BEGIN IMMEDIATE")
    else:
        answer.other = psycopg.connect(url)
        answer.other.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
    yield "Forty-two."

try:
    Chat("eda", model=FunctionModel(stream_function=answer), store=open_store(url), user="ann").send("What?")
except Exception as error:
    print(error, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_answer_that_the_store_could_not_take_outlives_its_process(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = PLACES[kind](tmp_path) if kind in PLACES else request.getfixturevalue("postgres_url")
    done = subprocess.run(
        [sys.executable, "-c", GONE_THEN_KILLED, url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "CHATNB_LOCK_WAIT": "0.2"},
    )
    assert "for more than 0.2 s" in done.stdout, done.stdout + done.stderr
    with open_store(url) as store:
        eda = store.find_session("eda", user="ann")
        (turn,) = store.history_turns(eda)
        assert (turn.status, turn.answer) == ("ok", "Forty-two.")
        assert texts(store, eda) == ["What?", "Forty-two."]
        assert store.recover(look=True) == [] and count(store, "turns") == 1
