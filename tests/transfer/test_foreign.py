"""Histories of llm, ChatGPT and Claude: their times, models, tools and branches, and what is broken in them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import BinaryContent, ModelRequest, ModelResponse, ThinkingPart, UserPromptPart

from chatnb.chat import Chat
from chatnb.errors import BadInput
from chatnb.settings import default_user
from chatnb.stores.copying import Whole, snapshot
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from chatnb.transfer import import_
from tests.stores.making import ask, count, texts
from tests.transfer.histories import PIXEL, listed, named, ways

SAMPLES = Path(__file__).parent / "samples"
ROWS = ("sessions", "branches", "messages", "turns", "tool_calls", "files")


@pytest.fixture
def store() -> Store:
    return open_store("memory:")


def logs(folder: Path, name: str) -> Path:
    """A logs database of llm."""
    path = folder / "logs.db"
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SAMPLES / f"{name}.sql").read_text())
        connection.commit()
    return path


def sample(folder: Path, name: str) -> Path:
    return logs(folder, name) if name.startswith("llm") else shutil.copy(SAMPLES / name, folder)


def whole(store: Store, name: str) -> Whole:
    return snapshot(store, named(store, name))


def rows(store: Store) -> list[int]:
    return [count(store, table) for table in ROWS]


FOREIGN = ("llm-0.31", "llm-0.36", "llm-0.31-then-0.36", "chatgpt.json", "claude.json", "jupyter_ai.ipynb")


@pytest.mark.parametrize("name", FOREIGN)
def test_importing_twice_adds_nothing(store: Store, tmp_path: Path, name: str) -> None:
    path = sample(tmp_path, name)
    first = import_(store, path)
    before = rows(store)
    again = import_(store, path)
    assert first.sessions > 0 and first.turns == count(store, "turns")
    assert (again.sessions, again.grown, again.known, again.turns) == (0, 0, first.sessions, 0)
    assert rows(store) == before


@pytest.mark.parametrize("name", FOREIGN)
def test_a_session_can_be_asked_on_where_it_stopped(store: Store, tmp_path: Path, name: str) -> None:
    path = sample(tmp_path, name)
    import_(store, path)
    for chat in listed(store):
        before = texts(store, chat)
        assert Chat(chat, store=store, model="demo").send("Go on.").status == "ok"
        assert texts(store, chat)[: len(before)] == before
    sessions = len(listed(store))
    assert import_(store, path).known == sessions


@pytest.mark.parametrize("name", FOREIGN)
def test_the_same_history_can_be_two_peoples(store: Store, tmp_path: Path, name: str) -> None:
    path = sample(tmp_path, name)
    one, other = import_(store, path, user="ann"), import_(store, path, user="bob")
    assert (one.sessions, one.turns) == (other.sessions, other.turns)
    for ann, bob in zip(listed(store, user="ann"), listed(store, user="bob"), strict=True):
        assert ways(store, ann) == ways(store, bob)


# -- llm -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llm-0.31", "llm-0.36"])
def test_both_schemas_of_llm_give_the_same(store: Store, tmp_path: Path, name: str) -> None:
    import_(store, logs(tmp_path, name))
    alice = named(store, "My name is Alice.")
    assert alice.system_prompt == "Be brief."
    assert texts(store, alice) == [
        "My name is Alice.", "You said: My name is Alice.", "What is my name?", "You said: What is my name?",
    ]  # fmt: skip
    first = whole(store, "My name is Alice.").turns[0]
    assert (first.model, first.status, first.user_id) == ("echo-1", "ok", default_user())
    assert (first.input_tokens, first.output_tokens, first.cache_read_tokens) == (20, 6, 8)
    assert first.started_at.date() == datetime(2026, 11, 21, tzinfo=UTC).date()


@pytest.mark.parametrize("name", ["llm-0.31", "llm-0.36"])
def test_a_tool_that_llm_called_is_one_turn_with_its_result(store: Store, tmp_path: Path, name: str) -> None:
    import_(store, logs(tmp_path, name))
    found = whole(store, "What is 2 + 3?")
    (turn,) = found.turns
    assert (turn.answer, turn.requests, turn.tool_calls, turn.input_tokens) == ("The sum is 5.", 2, 1, 32)
    (call,) = found.calls
    assert (call.tool, call.arguments, call.result, call.error) == ("add", {"a": 2, "b": 3}, "5", None)


@pytest.mark.parametrize("name", ["llm-0.31", "llm-0.36"])
def test_fragments_and_attachments_of_llm_are_in_the_prompt(store: Store, tmp_path: Path, name: str) -> None:
    import_(store, logs(tmp_path, name))
    asked = Chat(named(store, "Fragment text. What is in it?"), store=store).history()[0]
    assert isinstance(asked, ModelRequest) and isinstance(asked.parts[0], UserPromptPart)
    text, picture = asked.parts[0].content
    assert text == "Fragment text.\nWhat is in it?"
    assert isinstance(picture, BinaryContent) and picture.media_type == "image/png"


def test_a_conversation_that_went_on_in_llms_new_schema_only_gets_the_new_turn(store: Store, tmp_path: Path) -> None:
    import_(store, logs(tmp_path, "llm-0.31"))
    done = import_(store, logs(tmp_path, "llm-0.31-then-0.36"))
    assert (done.sessions, done.grown, done.turns) == (0, 1, 1)
    assert ways(store, named(store, "My name is Alice.")) == [
        [
            "My name is Alice.", "You said: My name is Alice.", "What is my name?", "You said: What is my name?",
            "And now?", "You said: And now?",
        ]
    ]  # fmt: skip


def test_a_broken_row_of_llm_is_told_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    path = logs(tmp_path, "llm-0.31")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tool_calls SET arguments = '{broken'")
        connection.commit()
    done = import_(store, path)
    assert done.sessions == 2
    assert "logs.db, conversation '01m7xprftk5s4wrv37ez6461kv' ('What is 2 + 3?')" in str(done.problems[0])


def test_another_sqlite_file_is_not_llms(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE messages (id)")
        connection.commit()
    with pytest.raises(BadInput, match="is none of the files that can be imported"):
        import_(store, path)
    with pytest.raises(BadInput, match="has no tables of llm's logs"):
        import_(store, path, "llm")


# -- ChatGPT ---------------------------------------------------------------------------------------------------------


def test_what_chatgpt_answered_anew_is_a_branch_and_the_shown_way_is_the_current_one(store: Store) -> None:
    import_(store, SAMPLES / "chatgpt.json")
    chat = named(store, "Correlation of columns")
    assert ways(store, chat) == [
        [
            "What does corr() compute?", "It computes Pearson's r between numeric columns.",
            "[image sediment://file_00000000abcd]\n\nCompute it for this table.", 'python(code="df.corr()")',
            "a  b\na 1.0 0.9", "a and b correlate at 0.9.",
        ],
        ["What does corr() compute?", "Pearson's correlation, pairwise.", "And Spearman?", "Pass method='spearman'."],
    ]  # fmt: skip
    assert chat.id == "6863a1e0-1111-8001-9f00-000000000001"
    assert chat.created_at == datetime.fromtimestamp(1751364000.123456, UTC)
    assert chat.last_message_at == datetime.fromtimestamp(1751367600.5, UTC)
    assert chat.metadata["is_starred"] is True


def test_each_of_chatgpts_answers_keeps_its_model_and_its_time(store: Store) -> None:
    import_(store, SAMPLES / "chatgpt.json")
    found = whole(store, "Correlation of columns")
    answers = {m.content: m for m in found.messages if m.role == "assistant"}
    last = answers["a and b correlate at 0.9."]
    assert (last.model, last.provider) == ("o3", "openai")
    assert last.created_at == datetime.fromtimestamp(1751364208, UTC)
    assert answers["Pass method='spearman'."].model == "gpt-4o"
    assert {turn.model for turn in found.turns} == {"gpt-4o", "o3"}
    assert {turn.cost for turn in found.turns} == {None}
    thinking = [
        part
        for message in Chat(found.session, store=store).history()
        if isinstance(message, ModelResponse)
        for part in message.parts
        if isinstance(part, ThinkingPart)
    ]
    assert [part.content for part in thinking] == ["I read the table first."]


def test_half_a_character_in_chatgpts_export_is_no_reason_to_lose_a_conversation(store: Store) -> None:
    import_(store, SAMPLES / "chatgpt.json")
    (chat,) = [one for one in listed(store) if one.name is None]
    assert texts(store, chat) == ["Hi \ufffd", "Hello! 👋"]


def test_a_bad_conversation_is_told_with_its_place_and_the_rest_goes_on(store: Store) -> None:
    done = import_(store, SAMPLES / "chatgpt.json")
    assert done.sessions == 2
    assert [problem.place for problem in done.problems] == ["chatgpt.json, conversation 2 ('Broken')"]
    assert "1 conversation could not be imported:\n  chatgpt.json, conversation 2 ('Broken'): it has not" in str(done)


def test_chatgpts_archive_in_parts_brings_its_pictures(store: Store, tmp_path: Path) -> None:
    conversations = json.loads((SAMPLES / "chatgpt.json").read_text())
    path = tmp_path / "chatgpt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("user.json", "{}")
        archive.writestr("conversations-001.json", json.dumps(conversations[2:]))
        archive.writestr("conversations-000.json", json.dumps(conversations[:1]))
        archive.writestr("file_00000000abcd-sanitized.png", PIXEL.data)
    assert import_(store, path).sessions == 2
    asked = Chat(named(store, "Correlation of columns"), store=store).history()[2]
    assert isinstance(asked, ModelRequest) and isinstance(asked.parts[0], UserPromptPart)
    picture = asked.parts[0].content[0]
    assert isinstance(picture, BinaryContent) and picture.data == PIXEL.data
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    assert import_(store, folder).known == 2


def test_a_chatgpt_conversation_that_grew_gets_only_its_new_turns(store: Store, tmp_path: Path) -> None:
    conversations = json.loads((SAMPLES / "chatgpt.json").read_text())
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    import_(store, path)
    mapping = conversations[0]["mapping"]
    mapping["a5"]["children"] = ["u6"]
    mapping |= {
        "u6": said("u6", "a5", "user", "Thanks?", ["a6"], later=60),
        "a6": said("a6", "u6", "assistant", "Welcome.", [], later=61),
    }
    mapping["a1"]["children"].append("u7")  # the second question was edited on the other way
    mapping |= {"u7": said("u7", "a1", "user", "And Kendall?", ["a7"]), "a7": said("a7", "u7", "assistant", "Tau.", [])}
    conversations[0]["current_node"] = "a7"
    path.write_text(json.dumps(conversations))
    done = import_(store, path)
    assert (done.sessions, done.grown, done.turns) == (0, 1, 2)
    chat = named(store, "Correlation of columns")
    found = ways(store, chat)
    assert [way[-1] for way in found] == ["Tau.", "Pass method='spearman'.", "Welcome."]
    assert found[0][:2] == ["What does corr() compute?", "Pearson's correlation, pairwise."]
    assert [line.tip.turn_count for line in store.lines(chat)] == [2, 3, 2]


def said(key: str, parent: str, role: str, text: str, children: list[str], *, later: int = 0) -> dict[str, Any]:
    """One node of ChatGPT's tree."""
    content = {"content_type": "text", "parts": [text]}
    message = {"id": key, "author": {"role": role}, "create_time": 1751364300.0 + later, "content": content}
    return {"id": key, "parent": parent, "children": children, "message": message}


def test_an_export_that_was_cut_off_gives_what_is_whole(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    text = (SAMPLES / "chatgpt.json").read_text()
    path.write_text(text[: text.index("6863a1e0-1111-8001-9f00-000000000003")])
    done = import_(store, path)
    assert done.sessions == 1
    assert str(done.problems[-1]).startswith("conversations.json, conversation 3: this is not JSON")


# -- Claude ----------------------------------------------------------------------------------------------------------


def test_claudes_retry_is_a_branch_and_the_newest_way_is_the_current_one(store: Store) -> None:
    import_(store, SAMPLES / "claude.json")
    chat = named(store, "Plotting in matplotlib")
    asked = "How do I share an axis?\n\n[plot.py]\nfig, ax = subplots(2)\n\n[file shot.png]"
    current, left = ways(store, chat)
    assert current == [asked, "plt.subplots(2, sharex='col')."]
    assert [left[0], left[1], left[3]] == [asked, "Let me look that up.", "Use subplots(2, sharex=True)."]
    assert chat.created_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_claudes_tools_have_their_arguments_and_results(store: Store) -> None:
    import_(store, SAMPLES / "claude.json")
    found = whole(store, "Plotting in matplotlib")
    (call,) = found.calls
    assert (call.tool, call.arguments) == ("web_search", {"query": "matplotlib sharex"})
    assert "sharex=True" in str(call.result)
    assert [turn.tool_calls for turn in found.turns] == [1, 0]


def test_an_older_export_of_claude_without_parents_is_one_line(store: Store) -> None:
    done = import_(store, SAMPLES / "claude.json")
    (chat,) = [one for one in listed(store) if one.name is None]
    assert texts(store, chat) == ["An older export has no parents.", "It is one line."]
    assert str(done.problems[0]).endswith("('No messages at all'): it has no 'chat_messages'.")


def test_a_question_without_an_answer_is_kept_as_interrupted(store: Store, tmp_path: Path) -> None:
    conversations = json.loads((SAMPLES / "claude.json").read_text())[1:2]
    conversations[0]["chat_messages"].pop()
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    import_(store, path)
    (turn,) = snapshot(store, listed(store)[0]).turns
    assert (turn.status, turn.error, turn.prompt) == (
        "interrupted", "The source has no answer.", "An older export has no parents.",
    )  # fmt: skip


def test_a_deleted_import_stays_deleted_and_a_renamed_one_keeps_its_name(store: Store) -> None:
    import_(store, SAMPLES / "claude.json")
    store.update_session(named(store, "Plotting in matplotlib"), name="plots")
    store.delete_session(named(store, "plots"))
    assert import_(store, SAMPLES / "claude.json").known == 2
    assert [chat.name for chat in listed(store, active=False)] == ["plots"]


def test_where_the_source_goes_on_after_this_store_did_both_are_kept(store: Store, tmp_path: Path) -> None:
    conversations = json.loads((SAMPLES / "claude.json").read_text())[1:2]
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps(conversations))
    import_(store, path)
    (chat,) = listed(store)
    ask(store, chat, "Here?", "Yes, here.")
    conversations[0]["chat_messages"] += [
        {"uuid": "o3", "sender": "human", "text": "There?", "created_at": "2024-05-02T08:00:00Z"},
        {"uuid": "o4", "sender": "assistant", "text": "Yes, there.", "created_at": "2024-05-02T08:00:05Z"},
    ]
    path.write_text(json.dumps(conversations))
    assert import_(store, path).turns == 1
    assert [way[-1] for way in ways(store, chat)] == ["Yes, here.", "Yes, there."]


def test_a_way_that_was_chosen_here_stays_chosen_when_nothing_is_new(store: Store) -> None:
    import_(store, SAMPLES / "claude.json")
    chat = named(store, "Plotting in matplotlib")
    left = next(line for line in store.lines(chat) if not line.current)
    before = texts(store, store.switch(chat, left.tip.id))
    assert import_(store, SAMPLES / "claude.json").known == 2
    assert texts(store, chat) == before
