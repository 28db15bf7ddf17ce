"""Run All twice and Run All Below as a person does them, in JupyterLab."""

from __future__ import annotations

from pathlib import Path

import chatnb
from chatnb.stores.opening import open_store
from tests.rigs.lab import Lab

ASK = "%%chat eda -m demo\n"


def prompts(store: Path) -> list[str]:
    """The questions of the session's current history, as another process reads them."""
    with open_store(store) as opened:
        messages = chatnb.messages("eda", store=opened)
    return [str(text) for text in messages[messages.role == "user"].content]


def test_run_all_twice_and_run_all_below_rebuild_the_conversation(lab: Lab) -> None:
    store = lab.folder / "chat.duckdb"
    setup = f"import os\nos.environ |= {{'CHATNB_STORE': {str(store)!r}, 'CHATNB_DEMO_DELAY': '0'}}\n%load_ext chatnb"
    questions = ["My name is Alice.", "My city is Oslo.", "What is my city?"]
    lab.write_notebook("reruns.ipynb", [setup, *(ASK + question for question in questions)])
    with lab.open("reruns.ipynb") as page:
        page.run_all()
        assert "Your city is Oslo." in page.cell_output_text(3)
        page.run_all()
        assert prompts(store) == questions
        assert "3 turns left as a branch" in page.cell_output_text(1)

        page.edit_cell(2, ASK + "My city is Bergen.")
        page.run_all_below(2)
        assert prompts(store) == [questions[0], "My city is Bergen.", questions[2]]
        assert "2 turns left as a branch" in page.cell_output_text(2)
        assert "Your city is Bergen." in page.cell_output_text(3)
        with open_store(store) as opened:
            assert len(chatnb.turns(store=opened)) == 8

        page.edit_cell(3, "%%chat eda -m demo\nWhat is my name?")  # the newest turn's own cell: a follow-up
        page.run_cell(3)
        assert prompts(store) == [questions[0], "My city is Bergen.", questions[2], "What is my name?"]
        assert page.problems == []
