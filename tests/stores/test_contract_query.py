"""What every store does, whatever it lies on: one DuckDB SELECT over the public tables, and nothing else."""

from __future__ import annotations

import pytest

from chatnb.errors import BadInput
from chatnb.records import Session, ToolCall
from chatnb.stores import copied, select
from chatnb.stores.schema import HISTORY_COLUMNS, PUBLIC_TABLES, VIEWS
from chatnb.stores.store import Store
from tests.stores.making import ask, session


@pytest.fixture
def chat(store: Store) -> Session:
    made = store.create_session(session("eda", model="m", tags=("x",), metadata={"k": {"n": 3}}, project="p"))
    ask(store, made, "q0", "a0", cost=0.5, model="m", calls=[ToolCall(turn_id="", call_id="c", tool="t", arguments={})])
    ask(store, made, "q1", "a1", cost=0.25, model="m")
    other = store.create_session(session("other", user_id="bob"))
    ask(store, other, "b0", "b1")
    return made


def test_every_relation_has_its_columns_and_types_on_every_store(store: Store, chat: Session) -> None:
    for relation in (*PUBLIC_TABLES, *VIEWS):
        described = store.query(f"DESCRIBE SELECT * FROM {relation.name}").to_pylist()
        types = {
            row["column_name"]: row["column_type"].replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
            for row in described
        }
        assert types == {column.name: select.TYPES[column.type] for column in relation.columns}


def test_rows_of_every_relation_are_the_same_on_every_store(store: Store, chat: Session) -> None:
    table = store.query("SELECT name, tags, metadata, is_active, message_count, expires_at FROM sessions ORDER BY name")
    assert table.to_pylist()[0] == {
        "name": "eda", "tags": '["x"]', "metadata": '{"k":{"n":3}}', "is_active": True, "message_count": 4,
        "expires_at": None,
    }  # fmt: skip
    moments = store.query("SELECT started_at FROM turns").schema.field(0).type
    assert (moments.unit, moments.tz) in {("us", "UTC"), ("us", "Etc/UTC")}
    usage = store.query("SELECT user_id, project, model, turns, cost FROM usage_daily ORDER BY user_id").to_pylist()
    assert usage == [
        {"user_id": "ann", "project": "p", "model": "m", "turns": 2, "cost": 0.75},
        {"user_id": "bob", "project": "", "model": None, "turns": 1, "cost": 0.0},
    ]
    days = store.query("SELECT day = CAST(now() AT TIME ZONE 'UTC' AS DATE) AS today FROM usage_daily").to_pylist()
    assert all(row["today"] for row in days)


@pytest.mark.parametrize(
    ("text", "params", "expected"),
    [
        ("SELECT count(*) FROM messages", (), [6]),
        ("SELECT content FROM history WHERE session_name = $n ORDER BY seq", {"n": "eda"}, ["q0", "a0", "q1", "a1"]),
        ("SELECT content FROM history WHERE session_name = ? AND seq > ? ORDER BY seq", ("eda", 2), ["q1", "a1"]),
        ("SELECT CAST(metadata->'k'->>'n' AS INT) FROM sessions WHERE name = 'eda'", (), [3]),
        ("SELECT s.name FROM sessions s JOIN messages m ON m.session_id = s.id WHERE m.content = 'b1'", (), ["other"]),
        ("SELECT NAME FROM Sessions ORDER BY ALL", (), ["eda", "other"]),
        ("SELECT t.prompt FROM turns t LEFT JOIN tool_calls c ON c.turn_id = t.id WHERE c.tool = 't'", (), ["q0"]),
        ("WITH m AS (SELECT content FROM messages) SELECT max(content) FROM m", (), ["q1"]),
        ("WITH messages AS (SELECT content FROM messages WHERE role = 'user') SELECT count(*) FROM messages", (), [3]),
        (
            "SELECT DISTINCT s.name FROM sessions s NATURAL JOIN (SELECT id FROM sessions) ORDER BY 1",
            (),
            ["eda", "other"],
        ),
        ("SELECT first FROM tool_calls AS c(a, b, first)", (), ["t"]),
        ("SELECT messages.content FROM messages WHERE messages.session_id = messages.branch_id", (), []),
        (
            "SELECT m.row.role FROM (SELECT messages AS row FROM messages) m WHERE m.row.content = 'a1'",
            (),
            ["assistant"],
        ),
        ("SELECT kind FROM branches WHERE 'start' = kind LIMIT 1", (), ["start"]),
        ("SELECT unnest(range(3))", (), [0, 1, 2]),
        ("SELECT content FROM history WHERE content ILIKE '%Q%' AND session_name = 'eda' ORDER BY 1", (), ["q0", "q1"]),
    ],
)
def test_a_select_gives_the_same_on_every_store(
    store: Store, chat: Session, text: str, params: object, expected: list[object]
) -> None:
    table = store.query(text, params)  # type: ignore[arg-type]
    assert table.column(0).to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DELETE FROM messages", "kind DELETE"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("", "0 statements"),
        ("SELEC 1", "Write one SELECT"),
        ("SELECT * FROM message", "Did you mean 'messages'"),
        ("SELECT contnt FROM messages", "contnt"),
        ("SELECT * FROM lineage", "no table 'lineage'"),
        ("WITH lineage AS (SELECT * FROM lineage) SELECT * FROM lineage", "lineage"),
        ("SELECT * FROM in_flight", "no table 'in_flight'"),
        ("SELECT * FROM messages_base", "no table 'messages_base'"),
        ("SELECT * FROM information_schema.tables", "no table 'tables'"),
        ("SELECT * FROM duckdb_settings()", r"duckdb_settings\(\) cannot be used"),
        ("SELECT * FROM read_csv('/etc/passwd')", r"read_csv\(\) cannot be used"),
        ("SELECT * FROM '/etc/passwd'", "no table|cannot be used"),
        ("SELECT * FROM params", "no table 'params'"),
        ("ATTACH ':memory:' AS x", "kind ATTACH"),
        ("SELECT * FROM messages WHERE id = $missing", "missing"),
        ("SELECT CAST(content AS INT) FROM messages", "q0|convert"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(store: Store, chat: Session, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        store.query(text)
    assert "\n" not in str(caught.value)


def needed(text: str, params: object = ()) -> dict[str, tuple[list[str], dict[str, str]]]:
    tree = select.check(text, params)  # type: ignore[arg-type]
    return {
        part.relation.name: ([column.name for column in part.columns], dict(part.where))
        for part in copied.parts(tree, params)  # type: ignore[arg-type]
    }


def test_only_the_columns_that_a_query_names_are_copied() -> None:
    assert needed("SELECT count(*) FROM messages") == {"messages": (["id"], {})}
    assert needed("SELECT m.role FROM messages m JOIN sessions s ON s.id = m.session_id WHERE s.name LIKE 'e%'") == {
        "sessions": (["id", "name"], {}),
        "messages": (["session_id", "role"], {}),
    }
    assert needed("SELECT 1") == {}
    everything = [column.name for column in HISTORY_COLUMNS]
    assert needed("SELECT h.*, s.name FROM history h, sessions s")["history"][0] == everything
    assert needed("SELECT h.*, s.name FROM history h, sessions s")["sessions"][0] == ["name"]


def test_a_filter_on_one_session_does_not_copy_the_others() -> None:
    for text, params in (
        ("SELECT content FROM history WHERE session_id = 'x' AND seq > 3", ()),
        ("SELECT content FROM history h WHERE $id = h.session_id AND seq > 3", {"id": "x"}),
        ("SELECT h.content FROM history h LEFT JOIN turns t ON t.id = h.turn_id WHERE h.session_id = ?", ("x",)),
    ):
        assert needed(text, params)["history"][1] == {"session_id": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT content FROM messages WHERE session_id = 'x' OR seq = 1",
        "SELECT content FROM messages WHERE NOT session_id = 'x'",
        "SELECT content FROM messages WHERE seq = 1",
        "SELECT a.content FROM messages a, messages b WHERE a.session_id = 'x'",
        "SELECT (SELECT count(*) FROM messages) FROM messages WHERE session_id = 'x'",
        "SELECT a.content FROM sessions s POSITIONAL JOIN messages a WHERE a.session_id = 'x'",
        "SELECT content FROM messages TABLESAMPLE 5 ROWS WHERE session_id = 'x'",
        "WITH messages AS (SELECT * FROM messages) SELECT content FROM messages WHERE session_id = 'x'",
    ],
)
def test_a_filter_that_does_not_hold_for_every_row_is_left_to_duckdb(text: str) -> None:
    assert needed(text)["messages"][1] == {}
