"""Bad input is one line that says what to do, and nothing that was stored is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.rigs.cells import Notebook

SETUP = """
from pydantic_ai import Agent
planner = Agent(name="planner")
settings = {"a": 1}
threshold = 0.5
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with Notebook(tmp_path_factory.mktemp("bad"), {"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}) as notebook:
        notebook.ok(SETUP)
        notebook.ok("%%chat planning -m demo\nMy name is Alice.")
        notebook.ok("%%chat planning\nWhat is my name?")
        notebook.ok("%%chat other -m demo\nHello.")
        notebook.ok("%chat use planning")
        yield notebook


CELLS = {
    "an unknown model": ("%%chat new -m demmo\nHi.", ["'demmo'", "Did you mean 'demo'?"]),
    "an unknown provider": ("%%chat new -m opnai:gpt-5\nHi.", ["'opnai:gpt-5'", "'openai:gpt-5'"]),
    "a model without its key": ("%%chat new -m openai:gpt-5\nHi.", ["OPENAI_API_KEY", "-m demo"]),
    "no model anywhere": ("%%chat new\nHi.", ["No model is chosen", "CHATNB_MODEL", "-m demo"]),
    "an unknown model in an old session": ("%%chat planning -m demmo\nHi.", ["Did you mean 'demo'?"]),
    "an unknown agent": ("%%chat planning -a planer\nHi.", ["'planer'", "Did you mean 'planner'?"]),
    "an agent like nothing": ("%%chat planning -a opem\nHi.", ["'opem'", "Define it in a cell first."]),
    "an agent that is none": ("%%chat planning -a settings\nHi.", ["dict", "not an agent", "Agent of pydantic_ai"]),
    "an agent that is none, in a new session": ("%%chat new -m demo -a settings\nHi.", ["not an agent"]),
    "an agent without a model": ("%%chat new -a planner\nHi.", ["No model is chosen"]),
    "unknown dependencies": ("%%chat planning -a planner --deps setings\nHi.", ["Did you mean 'settings'?"]),
    "an unknown option": ("%%chat planning --dryrun\nHi.", ["'--dryrun'", "Did you mean '--dry-run'?"]),
    "an option without its value": ("%%chat planning -m\nHi.", ["-m/--model", "expected one argument", "%%chat?"]),
    "a number that is none": ("%%chat planning -n many\nHi.", ["-n/--max", "'many'", "%%chat?"]),
    "a number below zero": ("%%chat planning -n -1\nHi.", ["-n -1", "below 0"]),
    "no requests at all": ("%%chat planning --max-requests 0\nHi.", ["--max-requests 0", "1 or more"]),
    "a name that is none": ("%%chat planning -o 2x\nHi.", ["'2x'", "-o answer"]),
    "a name that Python keeps": ("%%chat planning -o class\nHi.", ["'class'", "-o answer"]),
    "two that exclude each other": ("%%chat planning --append --replace\nHi.", ["exclude each other"]),
    "an unknown setting": ("%%chat planning --opt temperatur=1\nHi.", ["Did you mean 'temperature'?"]),
    "a setting without a value": ("%%chat planning --opt seed\nHi.", ["NAME=VALUE"]),
    "a setting of another type": ("%%chat planning --opt max_tokens=many\nHi.", ["'many'", "max_tokens"]),
    "a prompt on the line": ("%%chat planning what is it\nHi.", ["'what is it'", "below the %%chat line"]),
    "an unclosed quote": ('%%chat planning -s "be brief\nHi.', ["quote that is not closed"]),
    "an apostrophe": ("%%chat planning -s don't\nHi.", ["quote that is not closed"]),
    "an empty session name": ("%%chat '' -m demo\nHi.", ["session", "name"]),
    "a blank session name": ("%%chat '  ' -m demo\nHi.", ["session", "name"]),
    "an empty cell": ("%%chat planning\n", ["no prompt", "below the %%chat line"]),
    "a blank prompt": ("%%chat planning\n   \n\t\n", ["no prompt"]),
    "a prompt whose values are blank": ("%%chat planning\n{{ ' ' }}", ["no prompt"]),
    "an undefined name": (
        "%%chat planning\nIs it {{ treshold }}?",
        ["'treshold'", "Did you mean 'threshold'?", "--raw"],
    ),
    "an expression that fails": ("%%chat planning\n{{ 1 / 0 }}", ["ZeroDivisionError", "--raw"]),
    "a format that does not fit": ("%%chat planning\n{{ settings:.2f }}", ["settings:.2f", "Mend the format."]),
    "an unknown command": ("%chat lss", ["'lss'", "Did you mean 'ls'?", "%chat help"]),
    "a question on a line": ("%chat what is my name", ["%%chat", "two percent signs"]),
    "an unknown option of a command": ("%chat ls --tga x", ["'--tga'", "Did you mean '--tag'?"]),
    "a command without its argument": ("%chat use", ["%chat use", "session", "%chat help"]),
    "an unclosed quote of a command": ("%chat use 'plan", ["quote that is not closed"]),
    "an unknown session to use": ("%chat use planing", ["'planing'", "Did you mean 'planning'?", "%chat ls"]),
    "an unknown session to show": ("%chat show planing", ["Did you mean 'planning'?"]),
    "an unknown session to delete": ("%chat rm planning othr", ["Did you mean 'other'?"]),
    "an unknown session to restore": ("%chat restore planing", ["'planing'"]),
    "a session that was not deleted": ("%chat restore planning", ["'planning'", "not deleted"]),
    "deleting nothing": ("%chat rm", ["Name a session", "--older-than 90d"]),
    "a length of time that is none": ("%chat rm --older-than 90", ["'90'", "90d"]),
    "a setting that a session lacks": ("%chat set nme=x", ["'nme'", "Did you mean 'name'?"]),
    "a setting without its value": ("%chat set name", ["KEY=VALUE"]),
    "a setting that is no number": ("%chat set max_history_tokens=few", ["whole number", "'few'"]),
    "an unknown model to set": ("%chat set model=demmo", ["Did you mean 'demo'?"]),
    "an unknown model for a new session": ("%chat new fresh model=demmo", ["Did you mean 'demo'?"]),
    "an empty name to set": ("%chat set name=", ["name"]),
    "a name that is taken": ("%chat new other", ["'other'", "exists already", "%chat use other"]),
    "taking back more than there is": ("%chat undo 3", ["'planning'", "2 turns"]),
    "taking back nothing": ("%chat undo 0", ["0"]),
    "going on where nothing was stopped": ("%chat continue", ["has ended", "next question"]),
    "an unknown model to retry": ("%chat retry -m demmo", ["Did you mean 'demo'?"]),
    "an unknown branch": ("%chat branches zzz", ["'zzz'", "%chat branches"]),
    "a fork beyond the end": ("%chat fork late --at 99", ["99"]),
    "listing less than nothing": ("%chat ls -n -1", ["-1"]),
    "showing less than nothing": ("%chat show -n -1", ["-1"]),
    "help for an unknown command": ("%chat help lss", ["'lss'", "Did you mean 'ls'?"]),
    "a query that is none": ("%chatsql", ["There is no query", "SELECT"]),
    "a query that writes": ("%chatsql DELETE FROM turns", ["SELECT"]),
    "an unknown table": ("%chatsql SELECT * FROM turnz", ["turnz"]),
    "an unclosed quote of a query": ("%%chatsql -o 'x\nSELECT 1", ["quote that is not closed"]),
}


@pytest.mark.parametrize(("cell", "words"), CELLS.values(), ids=CELLS)
def test_is_one_line_that_says_what_to_do(notebook: Notebook, cell: str, words: list[str]) -> None:
    before = notebook.rows()
    said = notebook.refused(cell)
    for word in words:
        assert word in said
    assert notebook.rows() == before
    waiting = [path for path in notebook.cwd.glob("*.journal/*.jsonl") if path.stat().st_size]
    assert not waiting, "a turn that was never asked waits for its end"


def test_the_session_goes_on_as_if_nothing_had_been_wrong(notebook: Notebook) -> None:
    notebook.refused("%%chat planning -a settings\nHi.")
    assert "Alice" in notebook.ok("%%chat planning\nWhat is my name?")


def test_a_system_prompt_keeps_the_quotes_in_it(tmp_path: Path) -> None:
    prompts = {
        '-s "be \\"brief\\""': 'be "brief"',
        "-s 'say \"yes\"'": 'say "yes"',
        '-s "don\'t"': "don't",
        "-s x": "x",
    }
    with Notebook(tmp_path) as notebook:
        for number, option in enumerate(prompts):
            notebook.ok(f"%%chat quoted-{number} -m demo {option}\nHi.")
        stored = {row["name"]: row["system_prompt"] for row in notebook.rows("sessions")["sessions"]}
    assert [stored[f"quoted-{number}"] for number in range(len(prompts))] == list(prompts.values())


def test_debug_shows_the_traceback(notebook: Notebook) -> None:
    notebook.ok("%config ChatMagics.debug = True")
    try:
        for cell in ("%%chat planning -m demmo\nHi.", "%chat use planing"):
            result = notebook.run(cell)
            assert result.status == "error" and len(result.traceback.splitlines()) > 5
            assert "chatnb/" in result.traceback and "Did you mean" in result.traceback
    finally:
        notebook.ok("%config ChatMagics.debug = False")
    notebook.refused("%chat use planing")


# -- stores that cannot be used ----------------------------------------------------------------------------------------


def foreign(path: Path) -> Path:
    path.write_bytes(b"name,rows\norders,1240\n" * 200)
    return path


def newer(path: Path) -> Path:
    """A file whose tables a later chatnb changed so that this one cannot use them."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, chatnb; chatnb.Chat('eda', model='demo', store=sys.argv[1]).send('Hi.')",
            path,
        ],
        check=True,
        env={**os.environ, "CHATNB_DEMO_DELAY": "0"},
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO chatnb_schema VALUES (2, 0, '2.0 everything is different')")
    return path


def below_a_file(path: Path) -> Path:
    path.write_text("no folder")
    return path / "deeper" / "chat.duckdb"


STORES = {
    "a file that is no database": (foreign, ["not a DuckDB database", "name another store"]),
    "a file of a newer chatnb": (newer, ["tables of version 2", "pip install -U chatnb"]),
    "a folder that cannot be written": (below_a_file, ["cannot be written", "CHATNB_STORE", "--no-store"]),
}


@pytest.mark.parametrize(("make", "words"), STORES.values(), ids=STORES)
def test_a_store_that_cannot_be_used_is_one_line_and_is_left_as_it_is(
    notebook: Notebook, tmp_path: Path, make: object, words: list[str]
) -> None:
    path = make(tmp_path / "store.duckdb")  # type: ignore[operator]
    file = tmp_path / "store.duckdb"
    before = file.read_bytes()
    notebook.ok(f"%config ChatMagics.store = {str(path)!r}")
    try:
        for cell in ("%%chat eda -m demo\nHi.", "%chat ls", "%chat", "%%chat -m demo\nHi.", "%chatsql SELECT 1"):
            said = notebook.refused(cell)
            assert str(path if make is not below_a_file else path.parent) in said
            for word in words:
                assert word in said
        assert "Hello." in notebook.ok("%%chat --no-store -m demo\nHello.")
    finally:
        notebook.ok("%config ChatMagics.store = ''")
    assert file.read_bytes() == before


def test_a_store_of_an_unknown_kind_is_one_line(notebook: Notebook) -> None:
    notebook.ok("%config ChatMagics.store = 'duckdbb:///x'")
    assert "Did you mean 'duckdb'?" in notebook.refused("%chat")
    notebook.ok("%config ChatMagics.store = ''")


# -- another extension -------------------------------------------------------------------------------------------------

OTHER = """
from IPython.core.magic import register_cell_magic, register_line_magic

def load_ipython_extension(shell):
    @register_cell_magic
    def chat(line, cell):
        print("the other answers", cell.strip())
"""


def test_another_owner_of_the_magic_is_left_in_place_and_named(tmp_path: Path) -> None:
    (tmp_path / "otherchat.py").write_text(OTHER)
    with Notebook(tmp_path) as notebook:
        notebook.ok("%unload_ext chatnb\n%load_ext otherchat")
        said = notebook.run("%load_ext chatnb").expect_ok()
        assert said.stderr == "%%chat belongs to otherchat; chatnb is here as %%chatnb.\n"
        assert notebook.ok("%%chat eda\nWho?") == "the other answers Who?\n"
        assert "Hello Alice." in notebook.ok("%%chatnb eda -m demo\nMy name is Alice.")
        assert "session: eda" in notebook.ok("%chatnb")


# -- the command -------------------------------------------------------------------------------------------------------


def command(*words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from chatnb.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("make", "words"), STORES.values(), ids=STORES)
def test_the_command_says_one_line_too(tmp_path: Path, make: object, words: list[str]) -> None:
    path = make(tmp_path / "store.duckdb")  # type: ignore[operator]
    before = (tmp_path / "store.duckdb").read_bytes()
    ended = command("doctor", "--store", str(path))
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if not line.startswith("✓")]
    assert ended.returncode == 1 and len(said) == 1
    for word in words:
        assert word in said[0]
    assert (tmp_path / "store.duckdb").read_bytes() == before


def test_an_unknown_command_or_option_of_the_command_names_what_there_is(tmp_path: Path) -> None:
    unknown = command("docter")
    assert unknown.returncode == 2 and "'docter'" in unknown.stderr and "doctor" in unknown.stderr
    assert "Traceback" not in unknown.stderr
    assert command().returncode == 2
    assert command("doctor", "--store", "duckdbb:///x").stderr.startswith("chatnb: ")
