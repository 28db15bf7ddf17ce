"""Every command of `%chat` gives its result in a real kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chatnb.notebook.commandline import parser
from chatnb.notebook.commands import COMMANDS
from chatnb.notebook.settings import SETTINGS
from chatnb.stores.opening import open_store
from chatnb.stores.sessions import SessionFilter
from tests.rigs.cells import Notebook

AGENT = """
from pydantic_ai import Agent
clerk = Agent()
@clerk.tool_plain
def where() -> str:
    return "Lyon"
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with Notebook(tmp_path_factory.mktemp("commands"), {"CHATNB_MODEL": "demo"}) as notebook:
        yield notebook


@pytest.fixture
def notebook(shared: Notebook, request: pytest.FixtureRequest) -> Notebook:
    """The kernel with a store of the test's own."""
    store = shared.cwd / f"{request.node.originalname}.duckdb"
    shared.store = store
    shared.run("%unload_ext chatnb").expect_ok()
    shared.run("%load_ext chatnb").expect_ok()
    shared.run(f"%config ChatMagics.store = {str(store)!r}").expect_ok()
    return shared


def frame(notebook: Notebook, command: str) -> list[dict[str, Any]]:
    """A command's DataFrame, as rows."""
    notebook.ok(f"shown = get_ipython().run_line_magic('chat', {command!r})")
    assert notebook.value("[type(shown).__name__, len(shown)]")[0] == "DataFrame"
    rows: list[dict[str, Any]] = notebook.value("json.loads(shown.to_json(orient='records'))")
    return rows


def names(notebook: Notebook, command: str = "ls") -> list[str]:
    return [row["name"] for row in frame(notebook, command)]


def session(notebook: Notebook, name: str) -> dict[str, Any]:
    (found,) = [row for row in notebook.rows("sessions")["sessions"] if row["name"] == name]
    return {**found, "tags": json.loads(found["tags"])}


def age(notebook: Notebook, name: str, days: int) -> None:
    """Make a session look as if it was last used so many days ago."""
    with open_store(notebook.store) as store:
        (found,) = [one for one in store.list_sessions(SessionFilter())[0] if one.name == name]
        store.update_session(found, last_message_at=datetime.now(UTC) - timedelta(days=days))


# -- status, ls, show --------------------------------------------------------------------------------------------------


def test_the_status_tells_the_session_the_store_and_the_model(notebook: Notebook) -> None:
    assert "session: eda (made at its first turn)" in notebook.ok("%chat")
    notebook.ok("%%chat planning\nMy name is Alice.")
    notebook.ok("%chat set tags=a,b model=demo")
    lines = notebook.ok("%chat").splitlines()
    assert lines[0] == "session: planning (2 messages, last just now, model demo, tags a, b)"
    assert lines[1] == f"store: duckdb:///{notebook.store}"
    assert lines[2].startswith("user: ") and lines[3] == f"project: {notebook.cwd}" and lines[4] == "model: demo"


def test_the_list_is_a_dataframe_with_each_sessions_first_question(notebook: Notebook) -> None:
    assert frame(notebook, "ls") == []
    notebook.ok("%%chat planning\nMy name is Alice.")
    notebook.ok("%%chat planning\nWhat is my name?")
    notebook.ok("%%chat eda\nFirst line.\nSecond line.")
    notebook.ok("%chat set tags=alpha,beta")
    notebook.ok("%chat new empty")
    rows = frame(notebook, "ls")
    assert [(row["name"], row["messages"], row["first_question"], row["tags"]) for row in rows] == [
        ("empty", 0, "", []),
        ("eda", 2, "First line. Second line.", ["alpha", "beta"]),
        ("planning", 4, "My name is Alice.", []),
    ]
    assert notebook.value("[str(t) for t in shown.dtypes[['messages', 'last_message_at']]]")[0] == "int64"
    assert notebook.value("str(shown.last_message_at.dt.tz)") == "UTC"
    assert names(notebook, "ls plan") == ["planning"]
    assert names(notebook, "ls --tag beta") == ["eda"] and names(notebook, "ls --tag bet") == []
    assert names(notebook, "ls -n 1") == ["empty"]
    notebook.ok("%chat rm eda")
    assert names(notebook) == ["empty", "planning"] and names(notebook, "ls --deleted") == ["eda"]


def test_the_list_is_the_projects_unless_all_is_asked(notebook: Notebook, tmp_path: Path) -> None:
    notebook.ok("%%chat here\nHi.")
    with Notebook(tmp_path, {"CHATNB_STORE": str(notebook.store), "CHATNB_MODEL": "demo"}) as other:
        other.ok("%%chat there\nHi.")
        other.ok("%%chat here\nHi.")  # another project's session of the same name is another session
        assert sorted(names(other)) == ["here", "there"]
        assert sorted(names(other, "ls --all")) == ["here", "here", "there"]
    assert names(notebook) == ["here"]
    assert "another project's. %chat ls --all gives its id" in notebook.refused("%chat use there")


def test_a_history_is_shown_as_markdown_with_tool_calls_folded(notebook: Notebook) -> None:
    notebook.ok(AGENT)
    assert "has no messages" in markdown(notebook, "%chat new talk\n%chat show")
    notebook.ok("%%chat talk -a clerk\nUse the tool.")
    notebook.ok("%%chat talk\nMy name is <b>Alice</b> & 1 < 2.")
    text = markdown(notebook, "%chat show")
    assert text.index("> Use the tool.") < text.index("<details>") < text.index("Lyon") < text.index("Alice")
    assert "<b>" not in text
    last = markdown(notebook, "%chat show talk -n 1")
    assert "Use the tool." not in last and "Alice" in last


def markdown(notebook: Notebook, cell: str) -> str:
    value = notebook.run(cell).expect_ok().value
    assert value is not None
    return str(value.data["text/markdown"])


# -- use, new, set -----------------------------------------------------------------------------------------------------


def test_use_and_new_choose_the_session_of_cells_that_name_none(notebook: Notebook) -> None:
    notebook.ok("%%chat planning\nMy name is Alice.")
    assert notebook.ok("%chat new second max_history_messages=4 tags=x") == (
        "Made second; cells that name no session use it."
    )
    assert (session(notebook, "second")["max_history_messages"], session(notebook, "second")["tags"]) == (4, ["x"])
    assert "Alice" not in notebook.ok("%%chat\nWhat is my name?")
    assert notebook.ok("%chat use planning") == "Using planning (2 messages)."
    assert "Alice" in notebook.ok("%%chat\nWhat is my name?")
    assert notebook.ok("%chat new").startswith("Made eda;") and notebook.ok("%chat new").startswith("Made eda-2;")


VALUES = {
    "name": ("renamed", "renamed"),
    "model": ("test", "test"),
    "system_prompt": ("'Be \"brief\".'", 'Be "brief".'),
    "tags": ("'one, two,'", ["one", "two"]),
    "max_history_messages": ("6", 6),
    "max_history_tokens": ("2000", 2000),
    "project": ("/elsewhere", "/elsewhere"),
}


def test_every_setting_can_be_set_and_taken_away(notebook: Notebook) -> None:
    notebook.ok("%%chat planning -s 'Be long.' -n 2\nHi.")
    identity = session(notebook, "planning")["id"]
    assert {*VALUES, "expires"} == set(SETTINGS)
    for name, (written, stored) in VALUES.items():
        said = notebook.ok(f"%chat set --session {identity} {name}={written}")
        row = session(notebook, "renamed")
        assert row[name] == stored and f"{name} is " in said
    notebook.ok(f"%chat set --session {identity} expires=2w")
    left = session(notebook, "renamed")["expires_at"] - datetime.now(UTC)
    assert timedelta(days=13, hours=23) < left <= timedelta(days=14)
    empty = " ".join(f"{name}=" for name in SETTINGS if name != "name")
    notebook.ok(f"%chat set --session {identity} name=planning {empty}")
    row = session(notebook, "planning")
    assert [row[name] for name in SETTINGS if name != "expires"] == ["planning", None, None, [], None, None, ""]
    assert row["expires_at"] is None


def test_what_is_set_holds_from_the_next_turn_on(notebook: Notebook) -> None:
    notebook.ok("%%chat planning\nMy name is Alice.")
    notebook.ok("%chat set max_history_messages=0 model=test name=plans")
    shown = notebook.ok("%%chat\nWhat is my name?")
    assert "Alice" not in shown and shown.splitlines()[-1].startswith("plans · test · ")


# -- rm, restore -------------------------------------------------------------------------------------------------------


def test_a_deleted_session_comes_back_whole(notebook: Notebook) -> None:
    notebook.ok("%%chat 'my plans'\nMy name is Alice.")
    said = notebook.ok("%chat rm 'my plans'")
    assert said == "Deleted my plans. %chat restore 'my plans' brings it back."
    assert "was deleted. Bring it back with %chat restore 'my plans'." in notebook.refused("%chat use 'my plans'")
    assert "session: eda (made at its first turn)" in notebook.ok("%chat")
    assert notebook.ok("%chat restore 'my plans'") == "Restored my plans (2 messages)."
    assert "Alice" in notebook.ok("%%chat 'my plans'\nWhat is my name?")


def test_sessions_are_deleted_in_bulk_by_age_and_tag_and_first_only_listed(notebook: Notebook) -> None:
    for name in ("old", "older", "young", "tagged"):
        notebook.ok(f"%%chat {name}\nHi.")
    notebook.ok("%chat set tags=draft")
    age(notebook, "old", 100)
    age(notebook, "older", 400)
    notebook.ok("%chat use young")
    before = notebook.rows()
    assert notebook.ok("%chat rm --older-than 90d --dry-run") == "2 sessions would be deleted: old, older."
    assert notebook.ok("%chat rm --older-than 500d") == "No session matches."
    assert notebook.rows() == before
    assert notebook.ok("%chat rm --older-than 90d").startswith("Deleted old, older.")
    assert notebook.ok("%chat rm --tag draft young").startswith("Deleted young, tagged.")
    assert names(notebook) == [] and len(names(notebook, "ls --deleted")) == 4
    assert notebook.ok("%chat restore old") == "Restored old (2 messages)."


def test_deleting_by_age_and_tag_needs_both(notebook: Notebook) -> None:
    for name in ("old", "old-draft", "draft"):
        notebook.ok(f"%%chat {name}\nHi.")
        if "draft" in name:
            notebook.ok("%chat set tags=draft")
    age(notebook, "old", 100)
    age(notebook, "old-draft", 100)
    notebook.ok("%chat rm --older-than 90d --tag draft")
    assert sorted(names(notebook)) == ["draft", "old"]


def test_expired_sessions_are_deleted_when_asked(notebook: Notebook) -> None:
    notebook.ok("%%chat brief\nHi.")
    notebook.ok("%%chat lasting\nHi.")
    with open_store(notebook.store) as store:
        store.update_session(
            store.list_sessions(SessionFilter(text="brief"))[0][0], expires_at=datetime.now(UTC) - timedelta(hours=1)
        )
    assert notebook.ok("%chat rm --expired --dry-run") == "1 session would be deleted: brief."
    assert notebook.ok("%chat rm --expired").startswith("Deleted brief.")
    assert names(notebook) == ["lasting"]


def test_forever_removes_every_row(notebook: Notebook) -> None:
    notebook.ok("%%chat kept\nHi.")
    before = notebook.rows()
    notebook.ok("%%chat secret\nMy name is Alice.")
    notebook.ok("%chat rm secret")
    assert notebook.ok("%chat rm secret --forever --dry-run") == "1 session would be removed for good: secret."
    assert notebook.ok("%chat rm secret --forever") == "Removed secret for good."
    assert notebook.rows() == before
    assert "'secret'" in notebook.refused("%chat restore secret")


# -- fork, undo, retry, continue, branches -----------------------------------------------------------------------------


def test_a_fork_shares_the_history_and_goes_its_own_way(notebook: Notebook) -> None:
    notebook.ok("%%chat main\nMy name is Alice.")
    notebook.ok("%%chat main\nMy town is Lyon.")
    assert notebook.ok("%chat fork side") == "Using side, which shares 4 messages with main."
    assert "Alice" in notebook.ok("%%chat\nWhat is my name?")
    notebook.ok("%%chat side\nMy name is Bob.")
    assert "Alice" in notebook.ok("%%chat main\nWhat is my name?")
    assert notebook.ok("%chat fork --at 2") == "Using main-fork, which shares 2 messages with main."
    assert notebook.ok("%chat fork --session main --at 2").startswith("Using main-fork-2, ")
    assert (session(notebook, "side")["message_count"], session(notebook, "main")["message_count"]) == (8, 6)


def test_turns_are_taken_back_and_brought_back(notebook: Notebook) -> None:
    for question in ("One.", "Two.\nand more", "Three."):
        notebook.ok(f"%%chat main\n{question}")
    assert notebook.ok("%chat undo") == "Took back 1 turn (Three.). %chat branches brings it back."
    assert notebook.ok("%chat undo 2") == "Took back 2 turns (One.; Two.). %chat branches brings them back."
    rows = frame(notebook, "branches")
    assert [row["current"] for row in rows].count(True) == 1
    fullest = max(rows, key=lambda row: row["messages"])
    assert fullest["turns"] == 3 and not fullest["current"]
    assert notebook.ok(f"%chat branches {fullest['branch']}") == (
        f"main is back on branch {fullest['branch']} (6 messages)."
    )
    assert "history 3 of 3 turns" in notebook.ok("%%chat main\nFour.")


def test_the_newest_question_is_asked_again_of_another_model(notebook: Notebook) -> None:
    notebook.ok("%%chat main\nMy name is Alice.")
    shown = notebook.ok("%chat retry -m test")
    assert "main · test · " in shown.splitlines()[-1] and "success" in shown
    assert notebook.value("[_.model, _.prompt]") == ["test", "My name is Alice."]
    assert len(notebook.turns("main")) == 2 and session(notebook, "main")["message_count"] == 2
    assert "1 turn left as a branch" in shown
    assert notebook.ok("%chat retry").splitlines()[-1].startswith("main · demo · ")


def test_retry_and_continue_keep_the_agent_and_its_dependencies(notebook: Notebook) -> None:
    notebook.ok(AGENT)
    notebook.ok("%%chat main -a clerk --max-requests 1\nUse the tool.")
    assert "Lyon" in notebook.ok("%chat continue")
    notebook.ok("%%chat main\nUse the tool.")
    assert "Lyon" in notebook.ok("%chat retry")
    assert notebook.turns("main")[-1]["agent"] == "clerk"


def test_commands_that_need_a_turn_say_so_in_a_session_without_one(notebook: Notebook) -> None:
    notebook.ok("%chat new empty")
    for command in ("retry", "continue"):
        assert notebook.refused(f"%chat {command}") == "'empty' has no turn yet. Ask something first."
    assert "'empty' has 0 turns" in notebook.refused("%chat undo")
    assert notebook.ok("%chat fork copy") == "Using copy, which shares 0 messages with empty."


def test_commands_without_any_session_say_what_to_do(notebook: Notebook) -> None:
    for command in ("show", "set tags=a", "fork x", "undo", "retry", "continue", "branches"):
        said = notebook.refused(f"%chat {command}")
        assert "'eda'" in said and "%%chat eda" in said, said


# -- doctor, and all of them -------------------------------------------------------------------------------------------


def test_the_doctor_tells_how_the_store_stands(notebook: Notebook) -> None:
    notebook.ok("%%chat main\nHi.")
    notebook.ok("%%chat gone\nHi.")
    notebook.ok("%chat rm gone")
    lines = notebook.ok("%chat doctor").splitlines()
    assert all(line.startswith("✓ ") for line in lines)
    assert f"The store is duckdb:///{notebook.store} (DuckDB " in lines[0]
    assert "✓ It holds 1 session, and 1 that was deleted and can be restored." in lines
    assert "✓ No turn was left by a process that has ended." in lines


def test_the_doctor_tells_what_a_dead_process_left(notebook: Notebook, tmp_path: Path) -> None:
    tool = "from pydantic_ai import Agent\nimport os, signal\nbad = Agent()\n@bad.tool_plain\ndef stop() -> str:\n    "
    with Notebook(tmp_path, {"CHATNB_STORE": str(notebook.store)}) as other:
        other.ok(tool + "os.kill(os.getpid(), signal.SIGKILL)")
        other.start("%%chat main -m demo -a bad\nUse the tool.").result()
        other.kill9()
    lines = notebook.ok("%chat doctor").splitlines()
    assert "! 1 turn was left by a process that has ended. It is kept as interrupted now." in lines
    assert "✓ No turn was left by a process that has ended." in notebook.ok("%chat doctor").splitlines()
    (turn,) = notebook.turns("main")
    assert (turn["status"], turn["prompt"]) == ("interrupted", "Use the tool.")


def test_every_command_that_is_named_is_done() -> None:
    (top,) = [action for action in parser()._actions if hasattr(action, "_choices_actions")]
    assert set(top.choices or ()) == {*COMMANDS, "retry", "continue"} - {"status"}
