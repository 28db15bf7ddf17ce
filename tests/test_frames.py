"""Histories as DataFrames: their rows, their dtypes, whose they are, and what other tools do with `connect()`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import get_args

import duckdb
import numpy as np
import pandas as pd
import pytest

import chatnb
from chatnb import frames
from chatnb.errors import BadInput, SessionNotFound
from chatnb.records import ToolCall
from chatnb.stores.schema import HISTORY_COLUMNS, PUBLIC_TABLES, SESSIONS, TOOL_CALLS, TURNS, VIEWS, Column
from chatnb.stores.store import Store
from tests.rigs.kernel import REPOSITORY, Kernel
from tests.rigs.parts import missing
from tests.stores.making import ANN, ask, session

SATURDAY = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
SUNDAY = datetime(2026, 11, 22, 8, tzinfo=UTC)

DTYPES = {
    "text": "str",
    "bigint": "Int64",
    "double": "float64",
    "boolean": "boolean",
    "timestamp": "datetime64[us, UTC]",
    "date": "datetime64[ms]",
    "json": "object",
    "tags": "object",
}


@pytest.fixture(params=["duckdb", "sqlite", "json"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with chatnb.open_store(f"{request.param}:///{tmp_path / 'store'}") as opened:
        yield opened


@pytest.fixture
def filled(store: Store) -> Store:
    """Two sessions of Ann's (one a fork of the other) and one of Bob's with an id that Ann has too."""
    eda = store.create_session(session("eda", id="eda-id", tags=("a", "b"), metadata={"k": [1]}, project="/p"))
    call = ToolCall(turn_id="", call_id="c1", tool="add", arguments={"a": 1}, result="2", started_at=SATURDAY)
    spent = {"input_tokens": 100, "output_tokens": 10, "requests": 1, "tool_calls": 1}
    ask(store, eda, "first", "one", calls=[call], model="m1", started_at=SATURDAY, cost=0.5, **spent)
    ask(store, eda, "second", "two", model="m2", started_at=SUNDAY, input_tokens=7, output_tokens=3)
    store.fork_session(eda, name="fork", at=2)
    bob = store.create_session(session("bobs", id="eda-id", user_id="bob"))
    ask(store, bob, "secret", "hush", model="m1", started_at=SUNDAY, cost=9.0)
    return store


def need_package(module: str, name: str) -> None:
    if find_spec(module) is None:
        import os

        missing(f"This test needs {name} (dependency group `test`).", fails=bool(os.environ.get("CI")))


def all_frames(store: Store) -> list[tuple[pd.DataFrame, tuple[Column, ...]]]:
    return [
        (chatnb.sessions(user=ANN, store=store), SESSIONS.columns),
        (chatnb.messages(user=ANN, store=store), HISTORY_COLUMNS),
        (chatnb.turns(user=ANN, store=store), TURNS.columns),
        (chatnb.tool_calls(user=ANN, store=store), TOOL_CALLS.columns),
    ]


def expected_dtypes(columns: tuple[Column, ...]) -> dict[str, str]:
    repeated = {"role", "status", "format", "origin", "model", "provider", "currency", "tool"}
    return {one.name: "category" if one.name in repeated else DTYPES[one.type] for one in columns}


def test_the_columns_are_the_documented_ones_with_real_dtypes_whether_there_are_rows_or_not(store: Store) -> None:
    for data, columns in all_frames(store):
        assert len(data) == 0
        assert data.dtypes.astype(str).to_dict() == expected_dtypes(columns)
    chat = store.create_session(session("eda"))
    ask(store, chat, calls=[ToolCall(turn_id="", call_id="c1", tool="add", arguments={})])
    for data, columns in all_frames(store):
        assert len(data) > 0
        assert data.dtypes.astype(str).to_dict() == expected_dtypes(columns)


def test_integers_stay_integers_and_json_is_read(filled: Store) -> None:
    eda = chatnb.sessions(user=ANN, store=filled).set_index("name").loc["eda"]
    assert eda["tags"] == ["a", "b"]
    assert eda["metadata"] == {"k": [1]}
    assert eda["max_history_messages"] is pd.NA
    assert eda["message_count"] == 4
    assert chatnb.tool_calls(user=ANN, store=filled).iloc[0]["arguments"] == {"a": 1}
    turns = chatnb.turns(user=ANN, store=filled)
    assert turns["started_at"].tolist() == [pd.Timestamp(SATURDAY), pd.Timestamp(SUNDAY)]
    assert turns["cost"].isna().tolist() == [False, True]


def test_rows_are_the_users_own_unless_everybodys_are_asked_for(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "bob")
    assert chatnb.sessions(store=filled)["name"].tolist() == ["bobs"]
    assert chatnb.messages(store=filled)["content"].tolist() == ["secret", "hush"]
    assert chatnb.turns(store=filled)["prompt"].tolist() == ["secret"]
    assert len(chatnb.tool_calls(store=filled)) == 0
    assert chatnb.usage(store=filled)["cost"].tolist() == [9.0]
    assert "secret" not in chatnb.messages(user=ANN, store=filled)["content"].tolist()
    for read, rows in ((chatnb.sessions, 3), (chatnb.messages, 8), (chatnb.turns, 3), (chatnb.tool_calls, 1)):
        assert len(read(user=None, store=filled)) == rows  # type: ignore[operator]  # four functions of one shape


def test_one_session_is_named_by_id_or_name_and_shows_its_own_history_alone(filled: Store) -> None:
    assert chatnb.messages("eda", user=ANN, store=filled)["content"].tolist() == ["first", "one", "second", "two"]
    assert chatnb.messages("eda-id", user=ANN, store=filled)["seq"].tolist() == [1, 2, 3, 4]
    assert chatnb.messages("fork", user=ANN, store=filled)["content"].tolist() == ["first", "one"]
    assert chatnb.messages("eda-id", user="bob", store=filled)["content"].tolist() == ["secret", "hush"]
    assert chatnb.messages("bobs", user=None, store=filled)["content"].tolist() == ["secret", "hush"]
    ask(filled, filled.create_session(session("eda-id", project="/q")), "named like an id")
    assert "first" in chatnb.messages("eda-id", user=ANN, store=filled)["content"].tolist()  # an id comes first
    with pytest.raises(SessionNotFound, match="Did you mean 'fork'"):
        chatnb.messages("forks", user=ANN, store=filled)
    with pytest.raises(SessionNotFound):
        chatnb.messages("eda", user=ANN, project="/elsewhere", store=filled)


def test_usage_adds_up_and_an_unknown_price_is_never_a_zero(filled: Store) -> None:
    models = chatnb.usage(by="model", user=ANN, store=filled).set_index("model")
    assert models.index.tolist() == ["m1", "m2"]  # the most tokens first
    assert models["input_tokens"].tolist() == [100, 7]
    assert models["cost"].iloc[0] == 0.5
    assert np.isnan(models["cost"].iloc[1])
    assert models["unpriced"].tolist() == [0, 1]
    days = chatnb.usage(user=ANN, store=filled)
    assert days["day"].tolist() == [pd.Timestamp("2026-11-21"), pd.Timestamp("2026-11-22")]
    assert chatnb.usage(by="project", user=ANN, store=filled)["project"].tolist() == ["/p"]
    assert chatnb.usage(by="user", user=None, store=filled).set_index("user")["turns"].to_dict() == {ANN: 2, "bob": 1}
    sessions = chatnb.usage(by="session", user=None, store=filled)
    assert sessions[["session", "session_id", "turns"]].to_numpy().tolist() == [
        ["eda", "eda-id", 2],
        ["bobs", "eda-id", 1],
    ]


def test_days_hours_and_weekdays_are_those_of_the_time_zone(filled: Store) -> None:
    vienna = chatnb.usage(by=("weekday", "hour"), user=ANN, tz="Europe/Vienna", store=filled)
    assert vienna[["weekday", "hour"]].to_numpy().tolist() == [["Sunday", 0], ["Sunday", 9]]
    utc = chatnb.usage(by="weekday", user=ANN, store=filled)
    assert utc["weekday"].tolist() == ["Saturday", "Sunday"]
    assert utc["weekday"].cat.ordered
    assert utc["weekday"].cat.categories[0] == "Monday"


@pytest.mark.parametrize("by", get_args(frames.By))
def test_usage_has_the_same_dtypes_with_rows_and_without(filled: Store, by: frames.By) -> None:
    some = chatnb.usage(by=by, user=ANN, store=filled)
    none = chatnb.usage(by=by, user="nobody", store=filled)
    assert len(none) == 0
    assert [str(kind) for kind in none.dtypes] == [str(kind) for kind in some.dtypes]
    known = {column.name for column in frames.USAGE_COLUMNS}
    assert set(some.columns) <= known
    assert {"turns", "cost", "unpriced"} <= set(some.columns)
    assert str(some["input_tokens"].dtype) == "Int64"


def test_what_usage_does_not_know_names_the_nearest(store: Store) -> None:
    with pytest.raises(BadInput, match=r"'weekdays'.*Did you mean 'weekday'"):
        chatnb.usage(by="weekdays", store=store)  # type: ignore[arg-type]  # a person's slip
    with pytest.raises(BadInput, match="Did you mean 'Europe/Vienna'"):
        chatnb.usage(tz="Europe/Viena", store=store)
    with pytest.raises(BadInput, match="Give day, model"):
        chatnb.usage(by=(), store=store)


def test_sql_binds_values_and_gives_numbers_that_are_numbers(filled: Store) -> None:
    data = chatnb.sql(
        "SELECT model, sum(input_tokens) AS tokens, 1.5 AS half, max(started_at) - min(started_at) AS took,"
        " NULL::INTEGER AS none FROM turns WHERE user_id = $who AND model IN $models GROUP BY model",
        who=ANN,
        models=["m1", "x"],
        store=filled,
    )
    assert data["tokens"].tolist() == [100]
    assert [str(kind) for kind in data.dtypes] == ["str", "Int64", "float64", "timedelta64[us]", "Int32"]
    huge = chatnb.sql(
        "SELECT 2::HUGEINT ** 80 AS a, 170141183460469231731687303715884105727::HUGEINT AS b", store=filled
    )
    assert huge["b"].tolist() == [pytest.approx(1.7014e38, rel=1e-3)]


def test_columns_of_one_name_are_kept_apart(store: Store) -> None:
    assert chatnb.sql("SELECT 1 AS a, 'x' AS a", store=store).shape == (1, 2)


def test_a_connection_has_every_public_table_as_it_was_and_holds_no_lock(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", ANN)
    connection = chatnb.connect(store=filled)
    relations = (*PUBLIC_TABLES, *VIEWS)
    assert {name for (name,) in connection.sql("SHOW TABLES").fetchall()} == {one.name for one in relations}
    for relation in relations:
        described = connection.sql(f"DESCRIBE {relation.name}").fetchall()
        assert [row[0] for row in described] == [column.name for column in relation.columns]
    ask(filled, filled.find_session("eda-id", user=ANN), "third", "three")  # nothing is locked
    kept = connection.sql("SELECT content FROM history WHERE session_name = 'eda' ORDER BY seq").fetchall()
    assert kept == [("first",), ("one",), ("second",), ("two",)]
    assert connection.sql("SELECT count(*) FROM history").fetchall() == [(6,)]
    assert connection.sql("SELECT metadata->>'$.k[0]' FROM sessions WHERE name = 'eda'").fetchall() == [("1",)]
    assert connection.sql("SELECT DISTINCT user_id FROM turns").fetchall() == [(ANN,)]
    assert connection.sql("SELECT count(*) FROM messages WHERE content = 'secret'").fetchall() == [(0,)]
    everybody = chatnb.connect(user=None, store=filled)
    assert everybody.sql("SELECT count(*) FROM sessions").fetchall() == [(3,)]


def test_a_connections_views_agree_with_the_stores(filled: Store) -> None:
    connection = chatnb.connect(user=None, store=filled)
    for view in VIEWS:
        names = ", ".join(column.name for column in view.columns)
        query = f"SELECT {names} FROM {view.name} ORDER BY ALL"
        assert connection.sql(query).to_arrow_table().to_pylist() == filled.query(query).to_pylist()


def test_polars_reads_the_connection(filled: Store) -> None:
    need_package("polars", "polars")
    import polars as pl

    connection = chatnb.connect(user=ANN, store=filled)
    turns = connection.sql("SELECT model, started_at, input_tokens FROM turns ORDER BY started_at").pl()
    assert turns.schema["started_at"] == pl.Datetime("us", "UTC")
    assert turns["input_tokens"].to_list() == [100, 7]
    read = pl.read_database("SELECT role, count(*) AS n FROM history GROUP BY role ORDER BY role", connection)
    assert read.rows() == [("assistant", 3), ("user", 3)]


@pytest.mark.filterwarnings("ignore")  # ibis 12.0 uses what DuckDB 2.0 and pandas 3 warn of
def test_ibis_reads_the_connection(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    need_package("ibis", "ibis-framework[duckdb]")
    import ibis

    # DuckDB 2.0 dropped two old names that ibis 12.0 still calls (mended in ibis-project/ibis#12001, not released yet).
    for old, new in (("fetch_arrow_table", "to_arrow_table"), ("fetch_record_batch", "to_arrow_reader")):
        if not hasattr(duckdb.DuckDBPyConnection, old):
            monkeypatch.setattr(duckdb.DuckDBPyConnection, old, getattr(duckdb.DuckDBPyConnection, new), raising=False)
    backend = ibis.duckdb.from_connection(chatnb.connect(user=ANN, store=filled))
    assert {"history", "sessions", "turns"} <= set(backend.list_tables())
    history = backend.table("history")
    counted = history.group_by("role").agg(n=history.count()).order_by("role").to_pandas()
    assert counted["n"].tolist() == [3, 3]
    assert str(backend.table("turns").started_at.type()) == "timestamp('UTC', 6)"


def test_jupysql_queries_the_connection_in_a_kernel(tmp_path: Path) -> None:
    need_package("sql", "jupysql")
    path = tmp_path / "chat.duckdb"
    env = {
        "CHATNB_STORE": str(path),
        "CHATNB_DEMO_DELAY": "0",
        "PLOOMBER_STATS_ENABLED": "false",  # a test tells nobody that it ran
        "PLOOMBER_VERSION_CHECK_DISABLED": "true",
        "PYTHONPATH": str(REPOSITORY),
    }
    with Kernel(tmp_path, env) as kernel:
        kernel.run("%load_ext chatnb\n%load_ext sql\nimport chatnb").expect_ok()
        kernel.run("%%chat eda -m demo\nMy name is Alice.").expect_ok()
        kernel.run("history = chatnb.connect()\n%sql history --alias history").expect_ok()
        asked = kernel.run("%%sql\nSELECT session_name, role FROM history ORDER BY seq").expect_ok()
        assert [asked.text.count(word) for word in ("eda", "user", "assistant")] == [2, 1, 1]
        kernel.run("%config SqlMagic.autopandas = True").expect_ok()
        typed = kernel.run("read = %sql SELECT model, output_tokens FROM turns\nprint(read.to_dict('records'))")
        assert "'model': 'demo'" in typed.expect_ok().stdout
        kernel.run("%%chat eda\nWhat is my name?").expect_ok()  # the connection holds no lock


def test_a_large_result_has_no_limit_of_rows_or_batches(tmp_path: Path) -> None:
    with chatnb.open_store(tmp_path / "chat.duckdb") as store:
        data = chatnb.sql("SELECT range AS n, 'text ' || range AS text FROM range(300000)", store=store)
    assert len(data) == 300_000
    assert all(b - a == 1 for a, b in pairwise(data["n"].iloc[::1][:1000]))
    assert data["text"].iloc[-1] == "text 299999"


@pytest.mark.parametrize("function", [chatnb.usage, chatnb.sessions, chatnb.turns, chatnb.connect, chatnb.search])
def test_every_parameter_is_documented(function: Callable[..., object]) -> None:
    import inspect

    said = inspect.getdoc(function) or ""
    for name in inspect.signature(function).parameters:
        assert f"\n{name}\n" in said or f"\n{name}," in said, name
