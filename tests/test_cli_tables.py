"""`chatnb sql` and `chatnb sessions`, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import chatnb
from chatnb.cli import main
from tests.stores.making import ANN, ask, session


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with a session of Ann's, who asks, and one of Bob's."""
    monkeypatch.setenv("JUPYTERHUB_USER", ANN)
    path = str(tmp_path / "chat.duckdb")
    with chatnb.open_store(path) as store:
        ask(store, store.create_session(session("eda", tags=("a",))), "Zoë said\nhi \x1b[31m")
        ask(store, store.create_session(session("bobs", user_id="bob")))
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert main(words) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_sql_prints_a_table_in_which_nothing_moves_the_cursor(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(
        capsys, "sql", "SELECT role, content FROM history WHERE session_name = 'eda' ORDER BY seq", "--store", url
    )
    assert out.splitlines()[0].split() == ["role", "content"]
    assert len(out.splitlines()) == 3
    assert "Zoë said\\nhi" in out
    assert "\x1b" not in out


def test_sql_prints_csv_and_json(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT name, message_count AS n, expires_at, encode('ü') AS raw FROM sessions ORDER BY name"
    csv = said(capsys, "sql", query, "--store", url, "--format", "csv")
    assert csv.splitlines() == ["name,n,expires_at,raw", "bobs,2,,c3bc", "eda,2,,c3bc"]
    rows = json.loads(said(capsys, "sql", query, "--store", url, "--format", "json"))
    assert rows[1] == {"name": "eda", "n": 2, "expires_at": None, "raw": "c3bc"}


def test_sql_refuses_a_write_in_one_line(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    err = said(capsys, "sql", "DELETE FROM messages", "--store", url, status=1)
    assert err.count("\n") == 1
    assert "can only be read" in err


def test_sessions_are_ones_own_unless_everybodys_are_asked_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    own = said(capsys, "sessions", "--store", url)
    assert own.splitlines()[0].split() == ["name", "message_count", "last_message_at", "model", "tags", "id"]
    assert "eda" in own
    assert "bobs" not in own
    assert "bobs" in said(capsys, "sessions", "--store", url, "--user", "bob")
    everybody = json.loads(said(capsys, "sessions", "--store", url, "--everybody", "--format", "json"))
    assert [(row["user_id"], row["name"], row["tags"]) for row in everybody] == [
        ("bob", "bobs", []),
        (ANN, "eda", ["a"]),
    ]
    assert everybody[0]["created_at"].endswith("Z")
    assert said(capsys, "sessions", "--store", url, "--user", "nobody").startswith("No rows: name")
