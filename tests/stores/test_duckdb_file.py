"""A DuckDB file between a process's operations: open only while it is used, whoever else is about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from chatnb.errors import StoreError
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from tests.stores.making import ask, session, texts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "it's a chat.duckdb"


@pytest.fixture
def used(path: Path) -> Store:
    """A store that was written and read, so that its file has been opened in every way."""
    store = open_store(path)
    ask(store, store.create_session(session("eda")))
    assert len(texts(store, store.find_session("eda", user="ann"))) == 2
    return store


def test_another_process_can_open_the_file_between_two_operations(used: Store, path: Path) -> None:
    read = "import duckdb, sys; print(duckdb.connect(sys.argv[1]).execute('SELECT count(*) FROM messages').fetchone())"
    told = subprocess.run([sys.executable, "-c", read, str(path)], capture_output=True, text=True)
    assert told.stdout == "(2,)\n", told.stderr
    ask(used, used.find_session("eda", user="ann"))
    assert not path.with_name(path.name + ".wal").exists()


def test_a_connection_of_the_same_process_is_named_and_nothing_is_lost(used: Store, path: Path) -> None:
    eda = used.find_session("eda", user="ann")
    with duckdb.connect(str(path)), pytest.raises(StoreError, match="open in this process through another DuckDB"):
        ask(used, eda)
    ask(used, eda)
    assert [turn.status for turn in used.history_turns(eda)] == ["ok", "ok", "ok"]  # the middle one waited


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_goes_on_with_the_store_and_ends(path: Path) -> None:
    script = """
import os, sys
from chatnb.stores.opening import open_store
from tests.stores.making import ask, session, texts
store = open_store(sys.argv[1])
eda = store.create_session(session("eda"))
ask(store, eda)
texts(store, eda)
child = os.fork()
ask(store, eda)
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(texts(store, eda)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "0 6\n", done.stderr


BUSY_THEN_KILLED = """
import os, signal, subprocess, sys
from pydantic_ai.models.function import FunctionModel
from chatnb import Chat
from chatnb.stores.opening import open_store

HOLD = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"

async def answer(messages, info):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    answer.holder = subprocess.Popen([sys.executable, "-c", HOLD, sys.argv[1]], **pipes)
    answer.holder.stdout.readline()
    yield "Forty-two."

try:
    Chat("eda", model=FunctionModel(stream_function=answer), store=open_store(sys.argv[1]), user="ann").send("What?")
except Exception as error:
    print(error, flush=True)
answer.holder.kill()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_answer_that_waits_for_a_busy_file_outlives_its_process(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUSY_THEN_KILLED, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "CHATNB_LOCK_WAIT": "0.2"},
    )
    assert "was held open by" in done.stdout, done.stdout + done.stderr
    with open_store(path) as store:
        eda = store.find_session("eda", user="ann")
        (turn,) = store.history_turns(eda)
        assert (turn.status, turn.answer) == ("ok", "Forty-two.")
        assert texts(store, eda) == ["What?", "Forty-two."]
