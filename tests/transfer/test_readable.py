"""What is written for people and for other programs: Markdown, notebooks, OpenAI's fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from chatnb.stores.copying import snapshot
from chatnb.stores.opening import open_store
from chatnb.stores.schema import TURNS
from chatnb.stores.store import Store
from chatnb.transfer import export, import_
from tests.notebook.kernels import chat_kernel
from tests.rigs.kernel import Result
from tests.stores.making import ask, count, session, texts
from tests.transfer.histories import everything, filled, listed, named

SAMPLES = Path(__file__).parent / "samples"
HOSTILE = "<script>alert(1)</script> ![x](https://example.com/a.png)\n\n```html\n<b>code</b>\n```"


@pytest.fixture
def store() -> Store:
    return open_store("memory:")


def test_markdown_tells_the_current_history(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "eda.md"
    export(store, filled(store)[0], path)
    text = path.read_text()
    assert text.startswith("# eda\n\n*3 turns · begun ")
    assert "> My name is Alice." in text and "**openai:gpt-5**" in text
    assert '<summary><code>add</code></summary>\n\n```json\n{\n "a": 2\n}\n```\n\n```\n5\n```' in text
    assert "Drei." in text and "Three." not in text


def test_a_fence_in_an_answers_result_does_not_end_its_block(store: Store, tmp_path: Path) -> None:
    from chatnb.transfer.markdown import fenced

    assert fenced("```\nx\n```") == "````\n```\nx\n```\n````"


def test_openais_lines_hold_the_calls_their_results_and_the_tools(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    chats = filled(store)
    export(store, chats, path, "openai")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 2  # a session without an answer teaches nothing
    first = lines[0]
    assert [message["role"] for message in first["messages"]] == [
        "system", "user", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip
    call = first["messages"][4]
    assert call["tool_calls"] == [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":2}'}}]
    assert first["messages"][5] == {"role": "tool", "tool_call_id": "c1", "content": "5"}
    assert first["tools"][0]["function"]["name"] == "add"


def test_openais_client_knows_every_message(store: Store, tmp_path: Path) -> None:
    from openai.types.chat import ChatCompletionMessageParam
    from pydantic import TypeAdapter

    path = tmp_path / "train.jsonl"
    export(store, filled(store), path, "openai")
    for line in path.read_text().splitlines():
        TypeAdapter(list[ChatCompletionMessageParam]).validate_python(json.loads(line)["messages"])


def test_a_turn_that_failed_teaches_nothing(store: Store, tmp_path: Path) -> None:
    chat = store.create_session(session("eda"))
    ask(store, chat, "Good?", "Yes.")
    turn = snapshot(store, chat).turns[0]
    store.transact(lambda tx: tx.change(TURNS, (turn.id,), {"status": "error"}))
    export(store, chat, tmp_path / "train.jsonl", "openai")
    assert (tmp_path / "train.jsonl").read_text() == ""


# -- notebooks -------------------------------------------------------------------------------------------------------


def written(store: Store, chats: Any, path: Path) -> Any:
    export(store, chats, path, overwrite=True)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_a_notebook_has_a_chat_cell_for_each_turn_with_its_answer_saved(store: Store, tmp_path: Path) -> None:
    notebook = written(store, filled(store), tmp_path / "eda.ipynb")
    sources = [cell.source for cell in notebook.cells]
    assert sources[0] == "%load_ext chatnb"
    assert sources[1:3] == ["# eda", "%%chat eda\nMy name is Alice."]
    assert "%%chat 'eda (fork)'\nAnd in the fork?" in sources
    output = notebook.cells[3].outputs[0]
    assert output.data["text/plain"] == "Let me add.\n\n[add(a=2)]\n\nIt is 5."


def test_no_text_of_a_model_is_html_in_a_notebook(store: Store, tmp_path: Path) -> None:
    mistune, markdown_it = pytest.importorskip("mistune"), pytest.importorskip("markdown_it")
    chat = store.create_session(session("<img src=x onerror=alert(1)>"))
    ask(store, chat, "Hm?", HOSTILE)
    ask(store, chat, "`", "`\n\n<script>alert(2)</script>\n\n`")
    ask(store, chat, "list", "- x\n  ```\n<script>alert(3)</script>\n  ```")
    notebook = written(store, chat, tmp_path / "eda.ipynb")
    drawn = [
        cell.outputs[0].data["text/markdown"] for cell in notebook.cells if cell.cell_type == "code" and cell.outputs
    ]
    drawn.append(notebook.cells[1].source)
    for text in drawn:
        for page in (mistune.create_markdown(escape=False)(text), markdown_it.MarkdownIt("commonmark").render(text)):
            assert "<script" not in page and "<img" not in page
    assert "```html\n<b>code</b>\n```" in drawn[0]


def test_a_prompt_with_braces_is_exported_to_be_sent_as_it_is(store: Store, tmp_path: Path) -> None:
    chat = store.create_session(session("eda"))
    ask(store, chat, "What is {{ x }} in Jinja?", "A variable.")
    assert written(store, chat, tmp_path / "eda.ipynb").cells[2].source.startswith("%%chat eda --raw\n")


def test_an_exported_notebook_imports_to_the_same_history(store: Store, tmp_path: Path) -> None:
    chats = filled(store)
    written(store, chats[:2], tmp_path / "eda.ipynb")
    other = open_store("memory:")
    done = import_(other, tmp_path / "eda.ipynb", user="ann")
    assert (done.sessions, done.turns) == (2, 4)
    (eda,) = [chat for chat in listed(other) if chat.name == "eda"]
    assert eda.id == chats[0].id
    assert texts(other, eda) == texts(store, chats[0])
    first, second = snapshot(other, eda).turns[:2]
    original = snapshot(store, chats[0]).turns[0]
    assert (first.id, first.cost, first.model, first.started_at, first.input_tokens) == (
        original.id, 0.25, "openai:gpt-5", original.started_at, 10,
    )  # fmt: skip
    assert second.tool_calls == 1
    assert import_(other, tmp_path / "eda.ipynb", user="ann").known == 2


def test_an_exported_notebook_adds_nothing_to_the_store_it_came_from(store: Store, tmp_path: Path) -> None:
    chats = filled(store)
    before = [everything(store, chat) for chat in chats]
    written(store, chats[:2], tmp_path / "eda.ipynb")
    done = import_(store, tmp_path / "eda.ipynb", user="ann")
    assert (done.sessions, done.grown, done.known) == (0, 0, 2)
    assert [everything(store, chat) for chat in chats] == before


def test_a_colleagues_notebook_becomes_ones_own(store: Store, tmp_path: Path) -> None:
    chats = filled(store)
    written(store, chats[0], tmp_path / "eda.ipynb")
    assert import_(store, tmp_path / "eda.ipynb", user="bob").sessions == 1
    (bobs,) = listed(store, user="bob")
    store.purge_session(bobs)
    assert texts(store, chats[0])[-1] == "Drei."


def test_jupyter_ais_cells_come_in_with_their_model_and_time(store: Store) -> None:
    done = import_(store, SAMPLES / "jupyter_ai.ipynb")
    assert (done.sessions, done.turns) == (1, 2)
    chat = named(store, "jupyter_ai")
    assert texts(store, chat) == [
        "Why use the median?", "The median is robust:\n- `<b>` is a tag", "And the mean?", "It moves with outliers.",
    ]  # fmt: skip
    first = snapshot(store, chat).turns[0]
    assert first.model == "openai-chat:gpt-4"
    assert first.started_at.isoformat() == "2026-02-03T10:00:00.500000+00:00"
    assert first.cell_id == "aa-2"


def saved(cells: list[tuple[str, str, Result | None]], path: Path) -> None:
    """A notebook as JupyterLab saves it after these cells ran."""
    notebook = nbformat.v4.new_notebook()
    for cell_id, source, result in cells:
        cell = nbformat.v4.new_code_cell(source, id=cell_id)
        for output in result.displays if result is not None else ():
            cell.outputs.append(nbformat.v4.new_output("display_data", data=output.data, metadata=output.metadata))
        notebook.cells.append(cell)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def test_chats_that_were_only_saved_in_a_notebook_come_in_from_their_outputs(store: Store, tmp_path: Path) -> None:
    sources = [
        ("c-1", "%%chat eda\nMy name is Alice."),
        ("c-2", "%%chat\nWhat is my name?"),
        ("c-3", "%%chat tools -a clerk\nWhere is the office? Call where()."),
        ("c-4", "x = 1"),
        ("c-5", "%%chat eda --no-store\nNot to be kept."),
    ]
    agent = "from pydantic_ai import Agent\nclerk = Agent()\n@clerk.tool_plain\ndef where() -> str:\n    return 'Lyon'"
    with chat_kernel(tmp_path) as kernel:
        kernel.run(agent).expect_ok()
        ran = [(cell_id, source, kernel.run(source, cell_id=cell_id).expect_ok()) for cell_id, source in sources]
    path = tmp_path / "saved.ipynb"
    saved([*ran, ("c-6", "%%chat eda\nNever run.", None)], path)
    done = import_(store, path)
    assert (done.sessions, done.turns, done.problems) == (2, 3, [])
    with open_store(tmp_path / "chat.duckdb") as original:
        for name in ("eda", "tools"):
            there = snapshot(original, named(original, name))
            here = snapshot(store, named(store, name))
            assert [turn.answer for turn in here.turns] == [turn.answer for turn in there.turns]
            assert [turn.prompt for turn in here.turns] == [turn.prompt for turn in there.turns]
            assert [turn.model for turn in here.turns] == [turn.model for turn in there.turns]
            assert [turn.input_tokens for turn in here.turns] == [turn.input_tokens for turn in there.turns]
            assert [(c.tool, c.arguments, c.result) for c in here.calls] == [
                (c.tool, c.arguments, c.result) for c in there.calls
            ]
    assert count(store, "tool_calls") == 1
    assert import_(store, path).known == 2


def test_a_cell_that_was_run_again_since_is_another_way_from_there(store: Store, tmp_path: Path) -> None:
    chat = store.create_session(session("eda"))
    for number in (1, 2, 3):
        ask(store, chat, f"Question {number}", f"Answer {number}")
    notebook = written(store, chat, tmp_path / "eda.ipynb")
    for cell in notebook.cells[2:]:
        cell.outputs[0].metadata = {}
    nbformat.write(notebook, tmp_path / "eda.ipynb")
    other = open_store("memory:")
    import_(other, tmp_path / "eda.ipynb")
    notebook.cells[3].outputs[0].data["text/plain"] = notebook.cells[3].outputs[0].data["text/markdown"] = "Anew 2"
    nbformat.write(notebook, tmp_path / "eda.ipynb")
    done = import_(other, tmp_path / "eda.ipynb")
    assert (done.sessions, done.grown, done.turns) == (0, 1, 2)
    (eda,) = listed(other)
    assert texts(other, eda)[3::2] == ["Anew 2", "Answer 3"]
    assert len(other.lines(eda)) == 2
