"""Every option of `%%chat` does what it says, and the magics document themselves."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatnb.notebook.commandline import parser
from chatnb.notebook.magics import ChatMagics
from tests.rigs.cells import Notebook

SETUP = """
import json, os
from dataclasses import dataclass
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext

@dataclass
class Shop:
    city: str

class City(BaseModel):
    city: str

guide = Agent(instructions="You guide.")
typed = Agent(output_type=City)
clerk = Agent(deps_type=Shop, system_prompt="You sell.")
@clerk.tool
def where(ctx: RunContext[Shop]) -> str:
    return ctx.deps.city
home, away = Shop("Lyon"), Shop("Oslo")
x, name, table = 2.5, "Ada", {"a": {"b": 1}}
"""
OPTIONS = [action for action in ChatMagics.chat.parser._actions if action.dest != "help"]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with Notebook(tmp_path_factory.mktemp("options")) as notebook:
        notebook.ok(SETUP)
        yield notebook


def dry(notebook: Notebook, line: str, prompt: str = "Hello?") -> list[dict[str, Any]]:
    """The table of a dry run."""
    notebook.ok(f"shown = get_ipython().run_cell_magic('chat', {line + ' --dry-run'!r}, {prompt!r})")
    rows: list[dict[str, Any]] = notebook.value("json.loads(shown.to_json(orient='records'))")
    return rows


def sent(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["origin"], row["content"]) for row in rows if row["sent"]]


# -- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("magic", ["%%chat?", "%chat?", "%%chatnb?", "?%chat"])
def test_the_help_tells_every_option_and_every_command_in_lines_that_can_be_read(
    notebook: Notebook, magic: str
) -> None:
    text = notebook.run(magic).help
    lines = text.splitlines()
    assert "  %%chat [-m MODEL] [-a AGENT]" in text and "%%%" not in text and "<" not in text
    for action in OPTIONS:
        assert action.help and all(f"  {option}" in text or f", {option}" in text for option in action.option_strings)
        assert " ".join(action.help.replace("%%", "%").split()) in " ".join(text.split())
    for command, says in commands().items():
        usage = next(n for n, line in enumerate(lines) if line.startswith(f"  %chat {command}"))
        assert lines[usage + 1].strip() == says
    assert max(len(line) for line in lines) <= 110


def commands() -> dict[str, str]:
    """Every command and what its help says."""
    (top,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return {action.dest: str(action.help) for action in top._choices_actions}


def test_the_help_command_tells_each_commands_options(notebook: Notebook) -> None:
    whole = notebook.ok("%chat help")
    for command, says in commands().items():
        assert f"%chat {command}" in whole and says in whole
    one = notebook.ok("%chat help rm")
    assert "--older-than AGE" in one and "Those not used for this long, as in 90d, 12h or 2w." in one


def test_the_settings_are_listed_with_what_they_do(notebook: Notebook) -> None:
    text = notebook.ok("%config ChatMagics")
    for setting in ("model", "store", "user", "rerun", "debug"):
        assert f"ChatMagics.{setting}=" in text


# -- prompts -----------------------------------------------------------------------------------------------------------

PROMPTS = {
    "Is it {{ x }}?": "Is it 2.5?",
    "{{x:.2f}} and {{ x:>6 }}|": "2.50 and    2.5|",
    "{{ name.upper() }} {{ f'{x!r}' }}": "ADA 2.5",
    "{{ table['a'] }} {{ {'a': {'b': 1}} }}": "{'b': 1} {'a': {'b': 1}}",
    "{{ [n for n in range(3)] }} {{ len(name) }}": "[0, 1, 2] 3",
    "{x} {} {{}} { {x} }": "{x} {} {{}} { {x} }",
    "{% for a in b %}{# no comment #}": "{% for a in b %}{# no comment #}",
    r"\frac{1}{2} $\sum_{i=1}^{n}$ \textbf{{bold text}}": r"\frac{1}{2} $\sum_{i=1}^{n}$ \textbf{{bold text}}",
    '{"a": {"b": [1, 2]}} $HOME !ls %time': '{"a": {"b": [1, 2]}} $HOME !ls %time',
    "first\n\n    indented\n\tx = {{ x }}": "first\n\n    indented\n\tx = 2.5",
}


@pytest.mark.parametrize(("written", "meant"), PROMPTS.items())
def test_values_of_the_notebook_stand_in_a_prompt_and_everything_else_is_untouched(
    notebook: Notebook, written: str, meant: str
) -> None:
    notebook.ok(f"%%chat prompts -m demo\n{written}")
    assert notebook.turns("prompts")[-1]["prompt"] == meant


def test_raw_sends_the_braces_too(notebook: Notebook) -> None:
    notebook.ok("%%chat raw -m demo --raw\nIs it {{ x }} or {{ nothing }}?")
    assert notebook.turns("raw")[0]["prompt"] == "Is it {{ x }} or {{ nothing }}?"


def test_a_table_stands_in_a_prompt_with_all_its_columns(notebook: Notebook) -> None:
    notebook.ok("import pandas as pd\nwide = pd.DataFrame({f'column_{n}': [n, n] for n in range(30)})")
    notebook.ok("%%chat frames -m demo\n{{ wide }}")
    prompt = notebook.turns("frames")[0]["prompt"]
    assert all(f"column_{number}" in prompt for number in range(30)) and "..." not in prompt


# -- what holds how long -----------------------------------------------------------------------------------------------


def test_a_sessions_first_options_become_its_settings_and_later_ones_hold_for_their_turn(notebook: Notebook) -> None:
    notebook.ok("%%chat sticky -m demo -s 'Be brief.' -n 2 --temperature 0.5 --opt seed=7\nOne.")
    (session,) = [row for row in notebook.rows("sessions")["sessions"] if row["name"] == "sticky"]
    assert (session["model"], session["system_prompt"], session["max_history_messages"]) == ("demo", "Be brief.", 2)
    once = sent(dry(notebook, "sticky -m test -s 'Be long.' -n 0 --temperature 0.9"))
    assert once[:2] == [("model", "test · temperature=0.9, seed=7"), ("system prompt", "Be long.")]
    notebook.ok("%%chat sticky -m test -s 'Be long.' -n 0 --temperature 0.9\nTwo.")
    notebook.ok("%%chat sticky\nThree.")
    notebook.ok("%%chat sticky\nFour.")
    rows = dry(notebook, "sticky")
    assert sent(rows)[:2] == [("model", "demo · temperature=0.5, seed=7"), ("system prompt", "Be brief.")]
    assert [content for origin, content in sent(rows) if origin == "history"][::2] == ["Four."]
    models = [turn["model"] for turn in notebook.turns("sticky")]
    assert models == ["demo", "test", "demo", "demo"]


def test_the_model_is_the_options_then_the_sessions_then_the_configured_then_the_environments(
    notebook: Notebook,
) -> None:
    def model(line: str) -> str:
        return sent(dry(notebook, line))[0][1]

    notebook.ok("%%chat chosen -m demo\nHi.")
    assert "No model is chosen" in notebook.refused("%%chat unchosen --dry-run\nHi.")
    try:
        notebook.ok("os.environ['CHATNB_MODEL'] = 'test'")
        assert (model("unchosen"), model("chosen"), model("chosen -m test")) == ("test", "demo", "test")
        notebook.ok("%config ChatMagics.model = 'demo'")
        assert (model("unchosen"), model("unchosen -m test"), model("chosen -m test")) == ("demo", "test", "test")
        notebook.ok("%%chat configured\nHi.")
        notebook.ok("%config ChatMagics.model = ''")
        assert model("configured") == "test"  # what was only configured is no setting of the session
    finally:
        notebook.ok("%config ChatMagics.model = ''\ndel os.environ['CHATNB_MODEL']")


def test_an_agents_own_model_gives_way_to_an_option_and_to_what_the_session_chose_with_it(notebook: Notebook) -> None:
    notebook.ok("own = Agent('test')")
    notebook.ok("%%chat agents-model -a own\nHi.")
    assert notebook.turns("agents-model")[0]["model"] == "test:test"
    notebook.ok("%%chat agents-choice -a own -m demo\nHi.")
    notebook.ok("%%chat agents-choice\nHi.")
    assert [turn["model"] for turn in notebook.turns("agents-choice")] == ["demo", "demo"]
    notebook.ok("%%chat agents-later -m demo\nHi.")
    notebook.ok("%%chat agents-later -a own\nHi.")
    assert [turn["model"] for turn in notebook.turns("agents-later")] == ["demo", "test:test"]


def test_the_kernel_remembers_a_sessions_agent_and_dependencies(notebook: Notebook) -> None:
    assert "Lyon" in notebook.ok("%%chat shop -m demo -a clerk --deps home\nUse the tool.")
    assert "Lyon" in notebook.ok("%%chat shop\nUse the tool.")
    assert "Oslo" in notebook.ok("%%chat shop --deps away\nUse the tool.")
    notebook.ok("%%chat elsewhere -m demo\nUse the tool.")
    assert [turn["agent"] for turn in notebook.turns("shop")] == ["clerk", "clerk", "clerk"]
    assert notebook.turns("elsewhere")[0]["agent"] is None


# -- one option at a time ----------------------------------------------------------------------------------------------


def test_the_answer_is_bound_to_a_name_and_the_turn_is_the_cells_value(notebook: Notebook) -> None:
    notebook.ok("%%chat bound -m demo -o answer\nMy name is Ada.")
    assert notebook.value("[answer, _.answer, _.status, _.model]") == [
        notebook.turns("bound")[0]["answer"], notebook.turns("bound")[0]["answer"], "ok", "demo",
    ]  # fmt: skip
    notebook.ok("%%chat bound-object -m demo -a typed -o place\nI live in Lyon.")
    assert notebook.value("[type(place).__name__, place.city]") == ["City", "Lyon"]


def test_a_limit_of_requests_stops_a_turn_which_then_goes_on(notebook: Notebook) -> None:
    stopped = notebook.ok("%%chat limited -m demo -a clerk --deps home --max-requests 1\nUse the tool.")
    assert "Stopped after 1 request to the model; %chat continue goes on from here." in stopped
    assert notebook.turns("limited")[-1]["status"] == "interrupted"
    rows = dry(notebook, "limited", "And now?")
    assert [(row["role"], row["origin"]) for row in rows if row["sent"]][2:] == [
        ("system", "agent"), ("user", "history"), ("assistant", "history"), ("tool", "history"), ("user", "prompt"),
    ]  # fmt: skip
    assert [row["seq"] for row in rows if row["origin"] == "history"] == [1, 2, 3]
    assert "Lyon" in notebook.ok("%chat continue")
    assert [turn["status"] for turn in notebook.turns("limited")] == ["interrupted", "ok"]


def test_a_dry_run_makes_no_session_and_stores_nothing(notebook: Notebook) -> None:
    notebook.ok("%%chat dry -m demo -s 'Be brief.'\nFirst.")
    before = notebook.rows()
    rows = dry(notebook, "dry -n 0", "Second {{ x }}.")
    assert sent(rows) == [("model", "demo"), ("system prompt", "Be brief."), ("prompt", "Second 2.5.")]
    assert [(row["sent"], row["content"], row["why"]) for row in rows if not row["sent"]] == [
        (False, "First.", "no history is sent")
    ]
    assert sent(dry(notebook, "dry-new -m demo", "Hi.")) == [("model", "demo"), ("prompt", "Hi.")]
    assert notebook.rows() == before
    assert "session: dry " in notebook.ok("%chat")  # and the kernel's current session is what it was


def test_a_dry_run_counts_what_it_cannot_read_and_what_a_run_of_the_cell_takes_back(notebook: Notebook) -> None:
    for number in range(14):
        notebook.ok(f"%%chat long -m demo -n 2\nQuestion {number}.", cell_id=f"long-{number}")
    rows = dry(notebook, "long")
    left = [(row["content"], row["why"]) for row in rows if not row["sent"]]
    unread = int(left[0][0].split()[0]) if left[0][0].endswith("older turns") else 0
    assert unread + len(left) - bool(unread) == 13
    assert left[-1] == ("Question 12.", "over the limit of 2 messages")
    notebook.ok("%%chat long --dry-run\nQuestion 13.", cell_id="long-13")
    again = notebook.value("json.loads(_.to_json(orient='records'))")
    assert [row["content"] for row in again if row["why"] == "taken back by this run of the cell"] == ["Question 13."]
    assert next(row["content"] for row in again if row["origin"] == "history" and row["sent"]) == "Question 12."


def test_a_cell_is_added_or_replaced_as_its_option_or_the_setting_says(notebook: Notebook) -> None:
    def current() -> list[str]:
        return notebook.value("[m.content for m in chatnb.Chat('again').messages() if m.role == 'user']")  # type: ignore[no-any-return]

    notebook.ok("import chatnb")
    notebook.ok("%%chat again -m demo\nOne.", cell_id="again")
    notebook.ok("%%chat again --append\nOne.", cell_id="again")
    assert current() == ["One.", "One."]
    notebook.ok("%%chat again --replace\nTwo.", cell_id="again")
    assert current() == ["One.", "Two."]
    notebook.ok("%config ChatMagics.rerun = 'append'")
    notebook.ok("%%chat again\nTwo.", cell_id="again")
    notebook.ok("%config ChatMagics.rerun = 'auto'")
    assert current() == ["One.", "Two.", "Two."]


def test_without_the_store_the_model_sees_the_prompt_alone_and_nothing_is_kept(notebook: Notebook) -> None:
    notebook.ok("%%chat kept -m demo\nMy name is Ada.")
    before = notebook.rows()
    shown = notebook.ok("%%chat kept --no-store -m demo -o alone\nWhat is my name?")
    assert "Ada" not in shown and "no history" in shown
    assert notebook.value("alone") in shown
    assert notebook.rows() == before
    assert "Ada" in notebook.ok("%%chat\nWhat is my name?")  # the current session is still the one before


def test_without_the_store_it_need_not_be_reachable(notebook: Notebook) -> None:
    notebook.ok("%config ChatMagics.store = '/proc/nowhere/chat.duckdb'")
    try:
        assert "--no-store" in notebook.refused("%%chat -m demo\nHi.")
        assert "Hello Ada." in notebook.ok("%%chat --no-store -m demo\nMy name is Ada.")
        assert sent(dry(notebook, "--no-store -m demo", "Hi."))[1:] == [("prompt", "Hi.")]
    finally:
        notebook.ok("%config ChatMagics.store = ''")


# -- which session -----------------------------------------------------------------------------------------------------


def test_without_a_name_the_session_is_the_kernels_and_in_a_new_kernel_the_notebooks(notebook: Notebook) -> None:
    with Notebook(notebook.cwd, name="study.ipynb") as first:
        first.ok("%%chat -m demo\nMy name is Bo.")  # a session of the notebook's own name
        assert "Bo" in first.ok("%%chat study\nWhat is my name?")
        first.ok("%%chat aside -m demo\nMy name is Cy.")
        assert "Cy" in first.ok("%%chat\nWhat is my name?")
        first.ok("%chat use study")
        assert "Bo" in first.ok("%%chat\nWhat is my name?")
        first.restart()
        first.run("%load_ext chatnb").expect_ok()
        shown = first.ok("%%chat\nWhat is my name?")
        assert shown.startswith("continuing study: 3 turns, last just now, study.ipynb\n") and "Bo" in shown
        assert not first.ok("%%chat\nAnd again?").startswith("continuing")


def test_a_session_can_be_named_by_its_id(notebook: Notebook) -> None:
    notebook.ok("%%chat by-id -m demo\nMy name is Di.")
    (session,) = [row for row in notebook.rows("sessions")["sessions"] if row["name"] == "by-id"]
    assert "Di" in notebook.ok(f"%%chat {session['id']}\nWhat is my name?")
    assert len(notebook.turns("by-id")) == 2


def test_a_kernel_without_a_notebook_has_a_session_too(notebook: Notebook) -> None:
    with Notebook(notebook.cwd, name=None) as alone:
        assert alone.ok("%%chat -m demo\nHi.").splitlines()[-1].startswith("chat · demo · ")


def test_every_option_is_used_by_a_test() -> None:
    used = set(re.findall(r" (--?[a-z][a-z-]*)", Path(__file__).read_text()))
    assert [action.dest for action in OPTIONS if not used & set(action.option_strings)] == ["session"]
