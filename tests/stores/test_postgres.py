"""PostgreSQL's own promises: what crosses or breaks costs a wait and never a turn; every error is a sentence."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest

from chatnb.cli import main
from chatnb.errors import BadInput, StoreBusy, StoreError
from chatnb.records import Session
from chatnb.stores import ddl, pgtables, postgres
from chatnb.stores.base import Tx
from chatnb.stores.opening import open_store
from chatnb.stores.postgres import PostgresBackend
from chatnb.stores.schema import STEPS
from chatnb.stores.store import Store
from tests.stores.conftest import serializable
from tests.stores.making import ANN, ask, count, ended, opening, pair, records, session, texts


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    with open_store(postgres_url) as store:
        yield store


def caught(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The errors that were worth another try, from now on."""
    states: list[str | None] = []
    passes = postgres._passes

    def seen(error: BaseException) -> bool:
        again = passes(error)
        if again and isinstance(error, psycopg.Error):
            states.append(error.sqlstate)
        return again

    monkeypatch.setattr(postgres, "_passes", seen)
    return states


def at_once(works: list[Callable[[], object]]) -> None:
    """Run all of them, each in its own thread; the first error is raised."""
    problems: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised below
            problems.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def assert_whole(store: Store, chat: Session, turns: int) -> None:
    found = store.messages(chat)
    assert [message.seq for message in found] == list(range(1, 2 * turns + 1))
    assert all(one.turn_id == two.turn_id for one, two in zip(found[::2], found[1::2], strict=True))
    assert len({message.content for message in found[::2]}) == turns
    assert count(store, "turns") == turns


def test_writers_that_cross_at_serializable_are_tried_again_until_all_are_in(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = caught(monkeypatch)
    with open_store(serializable(postgres_url)) as store:
        chat = store.create_session(session("eda"))
        others = [open_store(serializable(postgres_url)) for _ in range(4)]
        at_once(
            [
                lambda own=own, who=who: [ask(own, chat, f"{who} {n}") for n in range(10)]
                for who, own in enumerate(others)
            ]
        )
        for other in others:
            other.close()
        assert_whole(store, chat, 40)
    assert "40001" in states


def test_server_processes_killed_in_the_middle_of_appends_lose_nothing(
    postgres_url: str, postgres_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = caught(monkeypatch)
    done = threading.Event()
    kills = 0
    with open_store(postgres_url) as store, psycopg.connect(postgres_server, autocommit=True) as killer:
        chat = store.create_session(session("eda"))

        def kill() -> None:
            nonlocal kills
            while not done.wait(0.03):
                found = killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chatnb'"
                    " AND xact_start IS NOT NULL ORDER BY random() LIMIT 1"
                ).fetchall()
                kills += len(found)

        def write() -> None:
            try:
                at_once([lambda who=who: [ask(store, chat, f"{who} {n}") for n in range(25)] for who in range(3)])
            finally:
                done.set()

        at_once([kill, write])
        assert_whole(store, chat, 75)
    assert kills > 5
    assert states


def test_a_commit_whose_answer_was_lost_is_stored_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = store.create_session(session("eda"))
    once = PostgresBackend._once
    lost: list[object] = []

    def loses(self: PostgresBackend, work: Callable[[Tx], object], write: bool, serial: bool, again: bool) -> object:
        result = once(self, work, write, serial, again)
        if write and not again:
            lost.append(result)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return result

    monkeypatch.setattr(PostgresBackend, "_once", loses)
    ask(store, chat, "q0", "a0")
    made = store.create_session(session("other", id="o"))
    forked = store.fork_session(chat, name="fork")
    store.purge_session(made)
    monkeypatch.undo()
    assert len(lost) == 7
    assert texts(store, chat) == texts(store, forked) == ["q0", "a0"]
    assert (count(store, "turns"), count(store, "messages"), count(store, "sessions")) == (1, 2, 2)


def test_a_server_that_is_gone_at_the_end_of_a_turn_gets_it_when_it_is_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = store.create_session(session("eda"))
    state, (messages, _) = opening(chat, "q"), records(pair("q", "a"))
    store.open_turn(state)

    def gone(*_: object, **__: object) -> None:
        raise StoreBusy("gone")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresBackend, "_once", gone)
        with pytest.raises(StoreBusy):
            store.close_turn(ended(state, messages))
    assert texts(store, chat) == ["q", "a"]


def test_more_rows_than_a_statement_has_parameters_go_in(store: Store) -> None:
    chat = store.create_session(session("long"))
    messages, _ = records(pair("q", "a") * 3500)
    state = opening(chat)
    store.open_turn(state)
    store.close_turn(ended(state, messages))
    assert store.find_session("long", user=ANN).message_count == 7000
    wanted = [f"{number:064x}" for number in range(70_000)]
    assert store.files(wanted) == {}


def test_a_session_that_is_locked_too_long_is_one_sentence(postgres_url: str, store: Store) -> None:
    chat = store.create_session(session("eda"))
    impatient = Store(PostgresBackend(postgres_url, wait=0.3))
    with psycopg.connect(postgres_url) as other, impatient:
        other.execute("SELECT 1 FROM sessions FOR UPDATE")
        with pytest.raises(StoreBusy, match=r"locked by another process for more than 0\.3 s"):
            impatient.update_session(chat, name="x")
        assert impatient.find_session("eda", user=ANN).name == "eda"
    assert store.update_session(chat, name="x").name == "x"


def test_no_query_of_a_turn_scans_other_sessions(store: Store, postgres_url: str) -> None:
    chat = store.create_session(session("eda"))
    ask(store, chat)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SET enable_seqscan = off")
        for statement, values in (
            ("SELECT 1 FROM messages WHERE branch_id = %s AND seq >= 1 AND seq <= 5 ORDER BY seq", [chat.branch_id]),
            ("SELECT 1 FROM sessions WHERE user_id = %s AND collection = '' AND id = %s FOR UPDATE", [ANN, chat.id]),
            ("SELECT 1 FROM history WHERE session_id = %s AND seq > 3", [chat.id]),
            ("SELECT 1 FROM turns WHERE id = %s", ["x"]),
        ):
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", values).fetchall())
            assert "Seq Scan on messages" not in plan and "Seq Scan on turns" not in plan, plan


@pytest.mark.parametrize(
    "scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg", "cockroachdb"]
)
def test_every_spelling_of_the_address_opens_the_same_store(postgres_url: str, scheme: str) -> None:
    with open_store(postgres_url.replace("postgresql", scheme, 1)) as store:
        store.create_session(session(scheme))
        assert count(store, "sessions") == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/x", "nothing answers there"),
        ("postgresql://ann:s3cret@no-such-host.invalid/x", "host is not known"),
        ("postgresql://ann:s3c/r@et@127.0.0.1:1/x", "postgresql://ann@127.0.0.1:1/x"),
        ("postgresql://ann:s3cret@127.0.0.1:port/x?password=s3cret", "postgresql://ann@127.0.0.1:port/x"),
        ("postgresql://ann:s3cret@127.0.0.1:1/x?sslmode=nonsense", "postgresql://ann@127.0.0.1:1/x"),
    ],
)
def test_a_server_that_cannot_be_reached_is_one_sentence_without_the_password(url: str, says: str) -> None:
    store = open_store(url)
    with pytest.raises(StoreError) as caught:
        store.find_session("x", user=ANN)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    for text in (str(caught.value), store.url, repr(store)):
        assert "s3c" not in text and "r@et" not in text


def test_a_server_that_does_not_answer_is_given_up_within_its_time() -> None:
    import socket
    import time

    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(PostgresBackend(f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/x", wait=2))
        start = time.monotonic()
        with pytest.raises(StoreError, match="did not answer in time"):
            store.find_session("x", user=ANN)
        assert time.monotonic() - start < 6


@pytest.fixture
def account(postgres_server: str) -> Iterator[tuple[str, str]]:
    """A schema, and the address of somebody who may use it and make nothing in it; a password is asked for."""
    name = f"guest_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
        admin.execute(f"CREATE SCHEMA {name}")
        admin.execute(f"GRANT USAGE ON SCHEMA {name} TO {name}")
        admin.execute(f"ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name}")
    options = f"&options={quote(f'-csearch_path={name}')}"
    yield postgres_server.replace("postgres@", f"{name}:right@", 1) + options, postgres_server + options
    with psycopg.connect(postgres_server, autocommit=True) as admin:
        admin.execute(f"DROP SCHEMA {name} CASCADE")
        admin.execute(f"DROP OWNED BY {name}")
        admin.execute(f"DROP ROLE {name}")


def test_an_account_without_the_right_to_make_tables_uses_those_that_init_made(account: tuple[str, str]) -> None:
    guest, admin = account
    with open_store(guest) as store, pytest.raises(StoreError, match=r"may not make them.*chatnb init --store URL"):
        store.create_session(session("eda"))
    assert main(["init", "--store", admin]) == 0
    with open_store(guest) as store:
        chat = store.create_session(session("eda"))
        ask(store, chat)
        assert texts(store, chat) == ["hello?", "hello."]


def test_a_table_of_somebody_else_is_not_taken_for_ours(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE sessions (id int)")
    with open_store(postgres_url) as store, pytest.raises(StoreError, match="'sessions' that chatnb did not make"):
        store.create_session(session("eda"))


def test_tables_are_made_bit_by_bit_where_ddl_has_no_transaction(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgtables, "_take", pgtables._take_bit_by_bit)
    monkeypatch.setattr(pgtables, "VIEW_AGAIN", "CREATE OR REPLACE VIEW ")  # PostgreSQL's words for it
    with monkeypatch.context() as patch:
        patch.setattr(ddl, "step_row", lambda _: (1, 0, None))
        with open_store(postgres_url) as store, pytest.raises(StoreError, match="null value"):
            store.create_session(session("eda"))
    with open_store(serializable(postgres_url)) as store:
        chat = store.create_session(session("eda", metadata={"k": "\0"}, tags=("x",)))
        ask(store, chat)
        assert store.find_session("eda", user=ANN).metadata == {"k": "\0"}
        assert store.query("SELECT metadata FROM sessions WHERE list_contains(CAST(tags AS VARCHAR[]), 'x')").num_rows
        assert texts(store, chat) == ["hello?", "hello."]
    asked = " ".join(text for step in STEPS for text in ddl.statements(step, pgtables.COCKROACH)).upper()
    assert not [word for word in ("SERIAL", "JSON", "ADVISORY", "LISTEN", "UNLOGGED", "COLLATE") if word in asked]


def test_a_missing_driver_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("psycopg", "chatnb.stores.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(BadInput, match=r'pip install "chatnb\[postgres\]"'):
        open_store("postgresql://ann@host/x")


def test_opening_an_address_touches_no_server() -> None:
    assert open_store("postgresql://ann:pw@127.0.0.1:1/x").url == "postgresql://ann@127.0.0.1:1/x"
