"""`%chat export`, `%chat import`, `chatnb export` and `chatnb import`, as a person types them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook, new_output

from chatnb.settings import default_user
from chatnb.stores.opening import open_store
from tests.rigs.cells import Notebook
from tests.stores.making import texts
from tests.transfer.histories import filled, listed, named

SAMPLES = Path(__file__).parent / "samples"


def chatnb(*words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("chatnb")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_store_goes_to_a_file_and_into_another_store_by_hand(tmp_path: Path) -> None:
    here, there, file = tmp_path / "here.duckdb", f"sqlite:///{tmp_path / 'there.db'}", str(tmp_path / "all.jsonl")
    with open_store(here) as store:
        chats = filled(store)
    ended = chatnb("export", file, "--store", str(here), "--user", "ann")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"Wrote 3 sessions (5 turns) to {file} as jsonl.\n"
    ended = chatnb("import", file, "--store", there)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"Imported 3 new sessions (5 turns) from {file} (jsonl).\n"
    with open_store(there) as store:
        assert texts(store, chats[0])[-1] == "Drei."


def test_only_the_sessions_that_are_named_are_exported(tmp_path: Path) -> None:
    here, file = tmp_path / "here.duckdb", str(tmp_path / "eda.md")
    with open_store(here) as store:
        filled(store)
    ended = chatnb("export", "eda", file, "--store", str(here), "--user", "ann")
    assert ended.stdout.startswith("Wrote 1 session (3 turns)"), ended.stderr
    ended = chatnb("export", "edda", file, "--store", str(here), "--user", "ann")
    assert ended.returncode == 1
    assert ended.stderr == "chatnb: No session named 'edda'. Did you mean 'eda'? chatnb sessions lists them.\n"


def test_what_could_not_be_imported_is_told_and_the_exit_status_says_so(tmp_path: Path) -> None:
    store = str(tmp_path / "chat.duckdb")
    ended = chatnb("import", str(SAMPLES / "chatgpt.json"), "--store", store)
    assert ended.returncode == 1
    assert ended.stdout.startswith("Imported 2 new sessions (5 turns) from ")
    assert "chatgpt.json, conversation 2 ('Broken')" in ended.stdout
    ended = chatnb("import", __file__, "--store", store)
    assert ended.returncode == 1
    assert ended.stderr.startswith("chatnb: ") and ended.stderr.count("\n") == 1
    assert "is none of the files that can be imported" in ended.stderr


def test_a_notebook_exports_its_session_and_takes_it_in_again(tmp_path: Path) -> None:
    with Notebook(tmp_path, {"CHATNB_MODEL": "demo"}) as notebook:
        notebook.ok("%%chat eda\nMy name is Alice.")
        assert notebook.ok("%chat export eda.jsonl") == "Wrote 1 session (1 turn) to eda.jsonl as jsonl."
        assert "is there already" in notebook.refused("%chat export eda.jsonl")
        notebook.ok("%%chat other\nHello.")
        assert "Wrote 2 sessions (2 turns)" in notebook.ok("%chat export eda other both.ipynb")
        assert "Wrote 2 sessions (2 turns)" in notebook.ok("%chat export --all eda.jsonl --overwrite")
        assert "Wrote 1 session" in notebook.ok("%chat export eda train.jsonl --format openai")
        assert "2 sessions had nothing new." in notebook.ok("%chat import both.ipynb")
        assert "2 sessions had nothing new." in notebook.ok("%chat import eda.jsonl")
        said = notebook.ok(f"%chat import {SAMPLES / 'claude.json'}")
        assert said.startswith("Imported 2 new sessions (3 turns)")
        assert "is none of the files" in notebook.refused("%chat import chat.duckdb")
        assert "Plotting in matplotlib" in notebook.ok("%chat ls")
        assert notebook.run("%chat import eda.jsonl").expect_ok().stderr == ""
    with open_store(notebook.store) as store:
        assert named(store, "Plotting in matplotlib").user_id == default_user()
        assert len(listed(store)) == 4


def test_a_saved_notebook_is_not_doubled_where_its_chats_were_stored(tmp_path: Path) -> None:
    questions = ("My name is Alice.", "What is my name?", "What is my name?")
    with Notebook(tmp_path, {"CHATNB_MODEL": "demo"}) as notebook:
        cells = []
        for question in questions:
            (shown,) = notebook.run(source := f"%%chat eda\n{question}").expect_ok().displays
            output = new_output("display_data", data=shown.data, metadata=shown.metadata)
            cells.append(new_code_cell(source, outputs=[output]))
        nbformat.write(new_notebook(cells=cells), tmp_path / "saved.ipynb")
        assert default_user() not in str(shown.metadata)
        notebook.ok("%chat undo")
        assert "1 session had nothing new." in notebook.ok("%chat import saved.ipynb")
        assert notebook.ok("import chatnb\nprint(len(chatnb.turns()), len(chatnb.Chat('eda').history()))").split() == [
            "3",
            "4",
        ]
    there = f"sqlite:///{tmp_path / 'there.db'}"
    assert "1 new session (3 turns)" in chatnb("import", str(tmp_path / "saved.ipynb"), "--store", there).stdout
    with open_store(there) as store:
        assert [turn.input_tokens > 0 for turn in store.history_turns(named(store, "eda"))] == [True] * 3
        assert texts(store, named(store, "eda"))[:3:2] == list(questions[:2])
