"""chatnb's own files: everything comes back, twice adds nothing, and what is broken is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_ai.messages import BinaryContent, ModelRequest, UserPromptPart

from chatnb.chat import Chat
from chatnb.errors import BadInput
from chatnb.records import Session
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from chatnb.transfer import export, import_
from tests.stores.making import ask, count, session, texts
from tests.transfer.histories import PIXEL, everything, filled, listed, named, ways

LOSSLESS = ("history.jsonl", "history.parquet")


@pytest.fixture
def source(tmp_path: Path) -> Store:
    return open_store(tmp_path / "source.duckdb")


@pytest.fixture
def target() -> Store:
    return open_store("memory:")


@pytest.fixture(params=LOSSLESS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_everything_comes_back_as_it_was(source: Store, target: Store, file: Path) -> None:
    sessions = filled(source)
    export(source, sessions, file)
    done = import_(target, file)
    assert (done.sessions, done.turns, done.problems) == (3, 5, [])
    for chat in sessions:
        assert everything(target, chat) == everything(source, chat)
        assert target.lines(chat) == source.lines(chat)
        assert target.history_turns(chat) == source.history_turns(chat)
        assert ways(target, chat) == ways(source, chat)


def test_a_picture_is_still_the_picture(source: Store, target: Store, file: Path) -> None:
    export(source, filled(source), file)
    import_(target, file)
    asked = Chat(named(target, "eda"), store=target).history()[2]
    assert isinstance(asked, ModelRequest) and isinstance(asked.parts[0], UserPromptPart)
    picture = asked.parts[0].content[1]
    assert isinstance(picture, BinaryContent) and picture.data == PIXEL.data


def test_importing_twice_adds_nothing(source: Store, target: Store, file: Path) -> None:
    sessions = filled(source)
    export(source, sessions, file)
    import_(target, file)
    before = [everything(target, chat) for chat in sessions]
    rows = [count(target, table) for table in ("sessions", "branches", "messages", "turns", "tool_calls", "files")]
    done = import_(target, file)
    assert (done.sessions, done.grown, done.known, done.turns, done.messages) == (0, 0, 3, 0, 0)
    assert [everything(target, chat) for chat in sessions] == before
    assert [
        count(target, table) for table in ("sessions", "branches", "messages", "turns", "tool_calls", "files")
    ] == rows


def test_importing_into_the_store_it_came_from_adds_nothing(source: Store, file: Path) -> None:
    sessions = filled(source)
    before = [everything(source, chat) for chat in sessions]
    export(source, sessions, file)
    assert import_(source, file).known == 3
    assert [everything(source, chat) for chat in sessions] == before


def test_a_session_that_grew_gets_its_new_turns_and_the_rest_stays(source: Store, target: Store, file: Path) -> None:
    sessions = filled(source)
    export(source, sessions, file)
    import_(target, file)
    ask(source, sessions[0], "Fourth?", "Four.")
    source.rewind(sessions[1], 2)
    ask(source, sessions[1], "Anew?", "Yes.")
    export(source, sessions, file, overwrite=True)
    done = import_(target, file)
    assert (done.sessions, done.grown, done.known, done.turns) == (0, 2, 1, 2)
    for chat in sessions[:2]:
        assert texts(target, chat) == texts(source, chat)
        assert ways(target, chat) == ways(source, chat)
    assert [line.tip.turn_count for line in target.lines(sessions[0])] == [3, 4]


def test_what_was_said_here_meanwhile_stays_the_current_way(source: Store, target: Store, file: Path) -> None:
    chat = source.create_session(session("eda"))
    ask(source, chat, "One?", "1")
    export(source, chat, file)
    import_(target, file)
    ask(target, chat, "Two, here?", "2 here")
    ask(source, chat, "Two, there?", "2 there")
    export(source, chat, file, overwrite=True)
    assert import_(target, file).turns == 1
    assert texts(target, chat) == ["One?", "1", "Two, here?", "2 here"]
    assert sorted(ways(target, chat)) == [
        ["One?", "1", "Two, here?", "2 here"],
        ["One?", "1", "Two, there?", "2 there"],
    ]
    assert import_(target, file).known == 1
    assert len(target.lines(chat)) == 2


def test_a_resumed_session_is_still_found_when_its_source_goes_on(
    source: Store, target: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = source.create_session(session("eda"))
    ask(source, chat, "One?", "1")
    export(source, chat, file)
    import_(target, file)
    with monkeypatch.context() as patch:  # the session has rested in the target, and goes on in a resume branch
        patch.setattr("chatnb.stores.branches.PAUSE", timedelta(days=-1))
        ask(target, chat, "Two, here?", "2 here")
    ask(source, chat, "Two, there?", "2 there")
    export(source, chat, file, overwrite=True)
    import_(target, file)
    found = sorted(ways(target, chat))
    assert found == [["One?", "1", "Two, here?", "2 here"], ["One?", "1", "Two, there?", "2 there"]]
    assert texts(target, chat) == ["One?", "1", "Two, here?", "2 here"]


def test_a_fork_alone_brings_what_it_shares_and_its_source_takes_that_back_later(
    source: Store, target: Store, file: Path
) -> None:
    eda, fork, _ = filled(source)
    export(source, fork, file)
    import_(target, file)
    assert texts(target, fork) == texts(source, fork)
    assert [chat.name for chat in listed(target)] == ["eda (fork)"]
    export(source, eda, file, overwrite=True)
    import_(target, file)
    assert target.lines(eda) == source.lines(eda)
    assert ways(target, eda) == ways(source, eda)
    assert texts(target, fork) == texts(source, fork)
    target.purge_session(fork)
    assert texts(target, eda) == texts(source, eda)
    assert count(target, "messages") == 12 - 2


def test_a_fork_that_is_removed_for_good_leaves_nothing_of_what_it_shared(
    source: Store, target: Store, file: Path
) -> None:
    export(source, filled(source)[1], file)
    import_(target, file)
    target.purge_session(named(target, "eda (fork)"))
    assert [count(target, table) for table in ("sessions", "branches", "messages", "turns")] == [0, 0, 0, 0]


def test_a_colleagues_history_becomes_mine_beside_theirs(source: Store, file: Path) -> None:
    sessions = filled(source)
    export(source, sessions, file)
    assert import_(source, file, user="bob").sessions == 3
    assert import_(source, file, user="bob").known == 3
    mine = listed(source, user="bob")
    assert [chat.name for chat in mine] == ["eda", "eda (fork)", "nothing yet"]
    assert ways(source, mine[0]) == ways(source, sessions[0])
    source.purge_session(mine[0])
    assert texts(source, sessions[0])[-1] == "Drei."


def test_every_store_takes_what_another_gives(store: Store, source: Store, file: Path) -> None:
    sessions = filled(source)
    export(source, sessions, file)
    import_(store, file)
    assert [ways(store, chat) for chat in sessions] == [ways(source, chat) for chat in sessions]
    again = file.with_name(f"again{file.suffix}")
    export(store, sessions, again)
    assert import_(source, again).known == 3


def test_a_bad_line_is_told_with_its_place_and_the_rest_goes_on(source: Store, target: Store, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    export(source, filled(source), path)
    lines = path.read_text().splitlines()
    lines[2] = '{"table": "branches", "id": 3'
    path.write_text("\n".join(lines))
    done = import_(target, path)
    assert [str(problem) for problem in done.problems] == [
        "history.jsonl, line 3: this is no row in JSON; its session is left out."
    ]
    assert [chat.name for chat in listed(target)] == ["eda (fork)", "nothing yet"]


def test_a_file_that_was_cut_off_gives_its_whole_sessions(source: Store, target: Store, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    export(source, filled(source), path)
    text = path.read_text()
    path.write_text(text[: int(len(text) * 0.85)])
    done = import_(target, path)
    assert done.sessions >= 1
    assert len(done.problems) == 1 and "history.jsonl, line" in str(done.problems[0])


def test_another_version_of_the_file_is_refused(target: Store, tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text('{"chatnb":"chatnb/9"}\n')
    with pytest.raises(BadInput, match=r"was written as 'chatnb/9', and this chatnb reads 'chatnb/1'"):
        import_(target, path)


def test_a_parquet_folder_that_was_sorted_anew_is_still_read(source: Store, target: Store, tmp_path: Path) -> None:
    import pyarrow.compute as pc
    from pyarrow import parquet

    path = tmp_path / "history.parquet"
    sessions = filled(source)
    export(source, sessions, path)
    for name in ("messages", "turns", "branches"):
        table = parquet.read_table(path / f"{name}.parquet")
        parquet.write_table(table.take(pc.sort_indices(table, [("id", "descending")])), path / f"{name}.parquet")
    import_(target, path)
    assert [everything(target, chat) for chat in sessions] == [everything(source, chat) for chat in sessions]


def test_parquet_reads_like_the_tables(source: Store, tmp_path: Path) -> None:
    import pandas as pd

    path = tmp_path / "history.parquet"
    export(source, filled(source), path)
    turns = pd.read_parquet(path / "turns.parquet")
    assert str(turns["started_at"].dtype) == "datetime64[us, UTC]"
    assert turns["cost"].max() == 0.25


def test_what_is_there_is_not_overwritten_unless_it_is_said(source: Store, file: Path) -> None:
    chats = filled(source)
    export(source, chats[2], file)
    with pytest.raises(BadInput, match="is there already"):
        export(source, chats, file)
    assert export(source, chats, file, overwrite=True).sessions == 3


def test_a_failed_export_leaves_the_old_file(source: Store, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    chats = filled(source)
    export(source, chats, path)
    before = path.read_bytes()
    gone = Session(id="gone", user_id="ann")
    with pytest.raises(LookupError):
        export(source, [*chats, gone], path, overwrite=True)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".history")] == []


@pytest.mark.parametrize(("name", "says"), [("x.jsnl", "ends in '.jsnl'"), ("x", "has no suffix")])
def test_a_suffix_that_tells_no_format_names_those_that_do(source: Store, tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as told:
        export(source, filled(source), tmp_path / name)
    assert "jsonl (.jsonl)" in str(told.value) and "openai" in str(told.value)
    with pytest.raises(BadInput, match="Did you mean 'parquet'"):
        export(source, filled(source), tmp_path / name, "parkett")


def test_a_file_of_another_kind_is_one_sentence_and_nothing_is_stored(target: Store, tmp_path: Path) -> None:
    for name, text in (("notes.txt", "Dear diary"), ("x.json", '{"a": 1}'), ("y.jsonl", '{"messages": []}')):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(BadInput, match="is none of the files that can be imported") as told:
            import_(target, path)
        assert "the logs database of llm (llm); ChatGPT's data export (chatgpt)" in str(told.value)
        assert str(told.value).count("\n") == 0
    with pytest.raises(BadInput, match="There is no file"):
        import_(target, tmp_path / "missing.jsonl")
    assert count(target, "sessions") == 0


KILLED = """
import sys
from chatnb.stores import merging
from chatnb.stores.opening import open_store
from chatnb.transfer import import_, importing

def merge_and_tell(store, whole):
    added = merging.merge(store, whole)
    print(whole.session.id, flush=True)
    sys.stdin.readline()  # wait to be killed
    return added

importing.merge = merge_and_tell
import_(open_store(sys.argv[1]), sys.argv[2])
"""


def test_an_import_that_was_killed_goes_on_where_it_stopped(source: Store, file: Path, tmp_path: Path) -> None:
    sessions = filled(source)
    export(source, sessions, file)
    place = str(tmp_path / "target.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, place, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout is not None
        first = killed.stdout.readline().strip()
        os.kill(killed.pid, signal.SIGKILL)
    assert first == sessions[0].id
    with open_store(place) as target:
        assert [chat.id for chat in listed(target)] == [first]
        done = import_(target, file)
        assert (done.sessions, done.known) == (2, 1)
        assert [everything(target, chat) for chat in sessions] == [everything(source, chat) for chat in sessions]


def test_a_line_of_the_file_is_a_row_of_a_table(source: Store, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    export(source, filled(source), path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows[0] == {"chatnb": "chatnb/1"}
    turn = next(row for row in rows if row.get("table") == "turns")
    assert turn["prompt"] == "My name is Alice." and turn["cost"] == 0.25 and turn["started_at"].endswith("+00:00")


def test_long_work_shows_how_far_it_is_where_somebody_watches(
    source: Store, target: Store, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tqdm")
    export(source, filled(source), file)
    import_(target, file)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("chatnb.transfer.progress.seen", lambda: True)
    import_(target, file)
    assert "importing" not in capsys.readouterr().err  # it was quick
    monkeypatch.setattr("chatnb.transfer.progress.DELAY", 0.0)
    import_(target, file)
    assert "importing" in capsys.readouterr().err
