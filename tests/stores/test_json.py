"""The JSON store's own promises: logs that people can read, that only grow, and that a crash does not spoil."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatnb.errors import BadInput, SchemaTooNew, StoreError, StoreFull
from chatnb.stores import schema
from chatnb.stores.jsonlog import TornLineWarning
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from tests.stores.making import ANN, ask, count, session, texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "chats"


@pytest.fixture
def reopen(folder: Path) -> Callable[[], Store]:
    return lambda: open_store(f"json:///{folder}")


def logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("log-*.jsonl"))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_log_can_be_read_by_a_person(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as store:
        made = store.create_session(session("eda", metadata={"why": ["ü"]}, tags=("x",)))
        ask(store, made, "What is Zoë's mean?", "3.5")
    (path,) = logs(folder)
    header, first, turn = lines(path)
    assert header["chatnb"] == {"major": schema.MAJOR, "minor": schema.MINOR}
    assert (first["n"], turn["n"]) == (1, 2)
    added = first["changes"][0]  # type: ignore[index]
    assert added["add"] == "sessions"
    assert (added["row"]["name"], added["row"]["metadata"], added["row"]["tags"]) == ("eda", {"why": ["ü"]}, ["x"])
    assert "system_prompt" not in added["row"]
    assert '"content": "What is Zoë\'s mean?"' in path.read_text()


def test_a_log_only_grows(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as store:
        made = store.create_session(session("eda"))
        before = logs(folder)[0].read_bytes()
        for number in range(3):
            ask(store, made, f"q{number}")
            now = logs(folder)[0].read_bytes()
            assert now.startswith(before) and len(now) > len(before)
            before = now
        store.update_session(made, name="other")
        store.purge_session(made)
        assert logs(folder)[0].read_bytes().startswith(before)
    with reopen() as store:
        assert count(store, "sessions") == count(store, "messages") == 0
    assert len(logs(folder)) == 1  # who only reads writes no log


def test_each_opening_writes_its_own_log_and_reads_the_others(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as one, reopen() as two:
        made = one.create_session(session("eda"))
        for number in range(3):
            ask(one, made, f"one {number}")
            ask(two, made, f"two {number}")
        assert texts(one, made) == texts(two, made)
    assert len(logs(folder)) == 2
    numbers = sorted(line["n"] for path in logs(folder) for line in lines(path)[1:])
    assert numbers == list(range(1, len(numbers) + 1))
    with reopen() as three:
        assert texts(three, made)[::2] == ["one 0", "two 0", "one 1", "two 1", "one 2", "two 2"]


ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from chatnb.stores.opening import open_store
from tests.stores.making import ANN, ask
with open_store(sys.argv[1]) as store:
    chat = store.find_session("eda", user=ANN)
    for number in range(15):
        ask(store, chat, f"{sys.argv[2]} {number}")
        print(number, flush=True)
"""


def writer(folder: Path, who: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, f"json:///{folder}", who], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_two_processes_at_once_lose_nothing(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as store:
        made = store.create_session(session("eda"))
    processes = [writer(folder, who) for who in "ab"]
    assert [process.wait(60) for process in processes] == [0, 0]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()
    with reopen() as store:
        found = store.messages(made)
    assert [message.seq for message in found] == list(range(1, 61))
    for who in "ab":
        own = [message.content for message in found if message.content.startswith(f"{who} ")]
        assert own == [f"{who} {number}" for number in range(15)]


def test_a_killed_writer_loses_nothing_that_it_was_told_is_stored(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as store:
        made = store.create_session(session("eda"))
    process = writer(folder, "a")
    assert process.stdout is not None
    for _ in range(5):
        process.stdout.readline()
    process.kill()
    told = 5 + len(process.stdout.readlines())
    process.wait(10)
    process.stdout.close()
    with reopen() as store:
        store.recover(look=True)
        found = [message.content for message in store.messages(made) if message.content.startswith("a ")]
    assert found[:told] == [f"a {number}" for number in range(told)]
    assert len(found) <= told + 1


def test_a_torn_last_line_is_reported_and_left_out(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as store:
        made = store.create_session(session("eda"))
        ask(store, made, "kept")
        ask(store, made, "torn")
    (path,) = logs(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with reopen() as store:
        with pytest.warns(TornLineWarning, match=r"in the middle of line 4: its process died"):
            assert texts(store, made)[::2] == ["kept"]
        ask(store, made, "after")  # no second warning: warnings are errors here
        assert texts(store, made)[::2] == ["kept", "after"]
    assert path.read_bytes() == whole[:-20]
    with pytest.warns(TornLineWarning), reopen() as store:
        assert texts(store, made)[::2] == ["kept", "after"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line[: len(line) // 2],
        lambda line: b"",
        lambda line: b"[1, 2]",
        lambda line: b'{"n": 2, "changes": [{"add": "turns"}]}',
        lambda line: line.replace(b'"n": 2', b'"n": "2"'),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_overwritten(
    folder: Path, reopen: Callable[[], Store], damage: Callable[[bytes], bytes]
) -> None:
    with reopen() as store:
        made = store.create_session(session("eda"))
        ask(store, made, "one")
        ask(store, made, "two")
    (path,) = logs(folder)
    broken = path.read_bytes().split(b"\n")
    broken[2] = damage(broken[2])
    path.write_bytes(b"\n".join(broken))
    before = path.read_bytes()
    with reopen() as store:
        for work in (lambda: store.messages(made), lambda: store.update_session(made, name="x")):
            with pytest.raises(StoreError, match=r"\.jsonl' is damaged in line 3\. It was left as it is"):
                work()
    assert logs(folder) == [path] and path.read_bytes() == before


def test_a_log_that_was_removed_is_missed(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as one, reopen() as two:
        made = one.create_session(session("eda"))
        ask(two, made, "two")
        ask(one, made, "one")
    logs(folder)[1].unlink()
    with reopen() as store, pytest.raises(StoreError, match="Change 2 is missing from the logs"):
        store.messages(made)


def test_a_write_that_does_not_fit_leaves_what_was_there(
    folder: Path, reopen: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with reopen() as store:
        made = store.create_session(session("eda"))
        ask(store, made, "before")

        def full(handle: int, data: bytes) -> int:
            write(handle, data[:10])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("chatnb.stores.jsonlog.os.write", full)
            with pytest.raises(StoreFull, match="No space left on device"):
                store.update_session(made, name="x")
        assert store.find_session("eda", user=ANN).name == "eda"
        ask(store, made, "after")
        assert texts(store, made)[::2] == ["before", "after"]
    with reopen() as store:
        assert texts(store, made)[::2] == ["before", "after"]


def test_a_newer_minor_version_is_read_and_a_newer_major_one_refused(folder: Path, reopen: Callable[[], Store]) -> None:
    with reopen() as store:
        made = store.create_session(session("eda"))
    (path,) = logs(folder)
    path.write_text(path.read_text().replace(f'"minor": {schema.MINOR}', '"minor": 7'))
    newer = {
        "n": 2,
        "at": "2030-01-01T00:00:00+00:00",
        "changes": [
            {"add": "moods", "row": {"id": "1"}},
            {
                "change": "sessions",
                "key": {"user_id": ANN, "collection": "", "id": made.id},
                "set": {"name": "new", "x": 1},
            },
        ],
    }
    with path.open("a") as log:
        log.write(json.dumps(newer) + "\n")
    with reopen() as store:
        assert store.find_session("new", user=ANN).id == made.id
    path.write_text(path.read_text().replace('"major": 1', '"major": 2'))
    with reopen() as store, pytest.raises(SchemaTooNew, match="tables of version 2"):
        store.find_session("new", user=ANN)


def test_other_files_in_the_folder_are_left_alone(folder: Path, reopen: Callable[[], Store]) -> None:
    folder.mkdir()
    (folder / "data.jsonl").write_text("not ours\n")
    with reopen() as store:
        ask(store, store.create_session(session("eda")))
        assert count(store, "messages") == 2
    assert (folder / "data.jsonl").read_text() == "not ours\n"


def test_an_address_without_a_folder_is_refused() -> None:
    with pytest.raises(BadInput, match="no folder"):
        open_store("json:///")
