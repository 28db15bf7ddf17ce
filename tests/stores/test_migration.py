"""Old stores open, many processes make or migrate one at once, and newer ones are used or refused as promised."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import duckdb
import psycopg
import pytest

from chatnb.cli import main
from chatnb.errors import SchemaTooNew
from chatnb.stores import ddl
from chatnb.stores.opening import open_store
from chatnb.stores.schema import STEPS, Column, Step, Table, View
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store
from tests.rigs.parts import missing
from tests.stores.making import ANN, ask, count, session, texts

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
FILES = pytest.mark.parametrize("url", ["duckdb", "sqlite", "postgresql"], indirect=True)
SHARED = pytest.mark.parametrize("url", ["duckdb", "sqlite", "json", "postgresql"], indirect=True)


def path_of(url: str) -> str:
    return url.partition("///")[2]


def run_sql(url: str, *statements: str) -> None:
    """Run statements with the database's own driver, as another version of chatnb would."""
    makers: dict[str, Callable[[], duckdb.DuckDBPyConnection | sqlite3.Connection | psycopg.Connection]] = {
        "duckdb": lambda: duckdb.connect(path_of(url), config={"storage_compatibility_version": "v1.4.0"}),
        "sqlite": lambda: sqlite3.connect(path_of(url), isolation_level=None),
        "postgresql": lambda: psycopg.connect(url, autocommit=True),
    }
    connection = makers[url.partition(":")[0]]()
    for statement in statements:
        connection.execute(statement)
    connection.close()


def steps(store: Store) -> list[str]:
    rows = store._backend.run(lambda tx: tx.rows(f"SELECT step FROM {ddl.SCHEMA_TABLE} ORDER BY step"))
    return [str(step) for (step,) in rows]


def golden(url: str) -> None:
    """Put the store that the first version made in a place."""
    kind = url.partition(":")[0]
    if kind == "json":
        shutil.copytree(GOLDEN / "json", path_of(url))
    else:
        run_sql(url, *(GOLDEN / f"{kind}.sql").read_text().rstrip(";\n").split(";\n\n"))


@SHARED
def test_a_store_made_by_the_first_version_opens(url: str) -> None:
    golden(url)
    with open_store(url) as store:
        chat = store.find_session("golden", user=ANN, project="/p")
        assert (chat.id, chat.metadata, chat.tags, chat.message_count) == ("0190", {"k": ["ü"]}, ("x",), 4)
        assert texts(store, chat) == ["What is the mean of Zoë's values?", "3.5", "And the sum?", "7"]
        assert [line.current for line in store.lines(chat)] == [False, True]
        turn = store.turn(store.messages(chat)[0].turn_id)
        assert [(call.tool, call.arguments) for call in turn.calls] == [("mean", {"a": [3, 4]})]
        assert turn.cost == 0.25
        ask(store, chat, "more", "yes")
        assert count(store, "history") == 6
        assert steps(store) == [step.name for step in STEPS]


OPENER = """
import sys
from chatnb.stores import ddl
from chatnb.stores.opening import open_store
from chatnb.stores.schema import Column, Step, Table, View
from tests.stores.making import ask, session
if sys.argv[2] == "later":
    moods = Table("moods", "How it went.", (Column("id", "text", "its id"),), key=("id",))
    listed = View("listed_moods", "All of them.", moods.columns, "SELECT id FROM moods")
    ddl.STEPS = (*ddl.STEPS, Step("1.8 moods", (moods,), (listed,)))
print("ready", flush=True)
sys.stdin.readline()
with open_store(sys.argv[1]) as store:
    ask(store, store.create_session(session(sys.argv[3])))
"""


def open_at_once(url: str, version: str, processes: int = 3) -> None:
    """Processes that wait for each other, then open the place and store a turn."""
    command = [sys.executable, "-W", "error", "-c", OPENER, url, version]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [
        subprocess.Popen([*command, f"chat {who}"], text=True, cwd=ROOT, **pipes)  # type: ignore[call-overload]
        for who in range(processes)
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        _, problems = process.communicate(timeout=60)
        assert (process.returncode, problems) == (0, "")


@SHARED
def test_processes_that_open_an_empty_place_at_once_make_it_once(url: str) -> None:
    open_at_once(url, "now")
    with open_store(url) as store:
        assert steps(store) == [step.name for step in STEPS]
        found, total = store.list_sessions(SessionFilter(), order="name")
        assert ([one.name for one in found], total) == ([f"chat {who}" for who in range(3)], 3)
        assert all(texts(store, one) == ["hello?", "hello."] for one in found)


@FILES
def test_processes_that_open_an_old_store_at_once_migrate_it_once(url: str) -> None:
    golden(url)
    open_at_once(url, "later")
    with open_store(url) as store:
        assert steps(store) == [*(step.name for step in STEPS), "1.8 moods"]
        assert store.list_sessions(SessionFilter())[1] == 4
    run_sql(url, "INSERT INTO moods VALUES ('fine')")


@FILES
def test_two_that_see_the_same_step_missing_take_it_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    golden(url)
    seen = threading.Barrier(2, timeout=1)
    pending = ddl.pending

    def met(rows: list[tuple[object, ...]]) -> list[Step]:
        found = pending(rows)
        with suppress(threading.BrokenBarrierError):  # under a lock they cannot meet
            seen.wait()
        return found

    moods = Table("moods", "How it went.", (Column("id", "text", "its id"),), key=("id",))
    listed = View("listed_moods", "All of them.", moods.columns, "SELECT id FROM moods")
    monkeypatch.setattr(ddl, "STEPS", (*ddl.STEPS, Step("1.8 moods", (moods,), (listed,))))
    monkeypatch.setattr(ddl, "pending", met)

    def enter(number: int) -> int:
        with open_store(url) as store:
            store.create_session(session(f"eda {number}"))
            return store.list_sessions(SessionFilter())[1]

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(enter, range(2))) == 3
    with open_store(url) as store:
        assert steps(store) == [*(step.name for step in STEPS), "1.8 moods"]


@FILES
def test_init_makes_the_tables_ahead_of_time(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--store", url]) == 0
    assert "is ready" in capsys.readouterr().out
    run_sql(url, "SELECT count(*) FROM history")


@FILES
def test_a_store_of_a_newer_minor_version_still_works(url: str) -> None:
    golden(url)
    run_sql(
        url,
        f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (1, 9, '1.9 moods')",
        "ALTER TABLE sessions ADD COLUMN mood TEXT",
        "ALTER TABLE branches ADD COLUMN mood TEXT",
        "CREATE TABLE moods (id TEXT)",
    )
    with open_store(url) as store:
        made = store.create_session(session("new"))
        for number in range(3):
            ask(store, made, f"q{number}")
        store.rewind(made, 2)
        forked = store.fork_session(made)
        assert texts(store, forked) == ["q0", "hello."]
        assert store.query("SELECT * FROM sessions").num_columns >= len(made.__dataclass_fields__)


@FILES
def test_a_store_of_a_newer_major_version_is_refused_and_left_alone(url: str) -> None:
    golden(url)
    run_sql(url, f"INSERT INTO {ddl.SCHEMA_TABLE} VALUES (2, 0, '2.0 other tables')")
    with open_store(url) as store:
        for work in (lambda: store.create_session(session("x")), lambda: store.query("SELECT 1")):
            with pytest.raises(SchemaTooNew, match=r"tables of version 2; this one knows version 1\. Upgrade"):
                work()


@FILES
def test_a_step_that_fails_leaves_nothing_behind(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ddl.statements

    def breaks(step: object, dialect: object) -> list[str]:
        return [*made(step, dialect), "CREATE TABLE broken (id NO SUCH TYPE)) oops"]  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ddl, "statements", breaks)
        with open_store(url) as store, pytest.raises(Exception, match=r"syntax|oops"):
            store.create_session(session("x"))
    with open_store(url) as store:
        store.create_session(session("x"))
        assert steps(store) == [step.name for step in STEPS]


@pytest.fixture(scope="session")
def oldest_duckdb(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment in which Python imports the oldest DuckDB that chatnb supports."""
    folder = tmp_path_factory.mktemp("duckdb-1.5")
    uv = shutil.which("uv")
    command = [str(uv), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    if uv is None or subprocess.run([*command, "duckdb==1.5.5"], check=False).returncode:
        missing("This test needs duckdb 1.5.5: `uv pip install duckdb==1.5.5` must work.", bool(os.environ.get("CI")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


OTHER = """
import sys, duckdb
from chatnb.stores import duckdb as backend
from chatnb.stores.opening import open_store
from tests.stores.making import ANN, ask, session
assert duckdb.__version__.startswith(sys.argv[2]), duckdb.__version__
backend.FOLD_ROWS = 10
with open_store(sys.argv[1]) as store:
    chat = store.open_session("eda", lambda *_: 1, make=lambda: session("eda"), user=ANN).session
    for number in range(8):
        ask(store, chat, f"{number}")
    print(store.query("SELECT count(*) AS n FROM history WHERE session_id = $id", {"id": chat.id}).to_pylist()[0]["n"])
"""


@pytest.mark.parametrize("order", [["1.5", "2.", "1.5"], ["2.", "1.5", "2."]])
def test_duckdb_1_5_and_2_0_open_each_others_file(
    tmp_path: Path, oldest_duckdb: dict[str, str], order: list[str]
) -> None:
    url = f"duckdb:///{tmp_path / 'chat.duckdb'}"
    environments = {"1.5": oldest_duckdb, "2.": dict(os.environ)}
    counts = []
    for version in order:
        command = [sys.executable, "-W", "error", "-c", OTHER, url, version]
        done = subprocess.run(command, env=environments[version], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        counts.append(int(done.stdout))
    assert counts == [16, 32, 48]
