"""What every store does, whatever it lies on: windows, paging, branches, forks, long histories, many writers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from chatnb.errors import BadInput
from chatnb.records import Session, now
from chatnb.stores.store import Store
from tests.stores.making import ANN, ask, count, ended, opening, pair, records, session, texts

Reopen = Callable[[], Store]


@pytest.fixture
def chat(store: Store) -> Session:
    """A session of three turns: q0, a0, q1, a1, q2, a2."""
    made = store.create_session(session("eda"))
    for number in range(3):
        ask(store, made, f"q{number}", f"a{number}")
    return made


def page(store: Store, made: Session, **bounds: int) -> list[str]:
    return [message.content for message in store.messages(made, **bounds)]


def prompts(store: Store, made: Session) -> list[str]:
    return [turn.prompt for turn in store.history_turns(made)]


def test_a_history_is_read_in_pages(store: Store, chat: Session) -> None:
    assert page(store, chat, offset=0, limit=2) == ["q0", "a0"]
    assert page(store, chat, offset=3, limit=2) == ["a1", "q2"]
    assert page(store, chat, offset=5) == ["a2"]
    assert page(store, chat, offset=6) == page(store, chat, offset=99, limit=5) == page(store, chat, limit=0) == []
    for bad in ({"offset": -1}, {"limit": -2}):
        with pytest.raises(BadInput, match="is negative"):
            store.messages(chat, **bad)


def test_a_window_reads_across_branches(store: Store, chat: Session) -> None:
    store.rewind(chat, 4)
    ask(store, chat, "q3", "a3")
    opened = store.open_session(chat, lambda _, branch: branch.last_seq - 2)
    assert [message.content for message in opened.messages] == ["a1", "q3", "a3"]
    assert [message.seq for message in opened.messages] == [4, 5, 6]
    opened = store.open_session(chat, lambda _, branch: branch.last_seq + 1)
    assert opened.messages == ()


def test_going_back_leaves_a_branch_to_return_to(store: Store, chat: Session, reopen: Reopen) -> None:
    changed = store.rewind(chat, 2)
    assert (changed.message_count, texts(store, chat)) == (2, ["q0", "a0"])
    ask(store, chat, "other", "way")
    assert texts(store, chat) == ["q0", "a0", "other", "way"]
    assert prompts(store, chat) == ["q0", "other"]
    first, second = reopen().lines(chat)
    assert (first.current, second.current, second.branch.kind) == (False, True, "edit")
    back = store.switch(chat, first.branch.id)
    assert back.message_count == 6
    assert texts(store, chat) == ["q0", "a0", "q1", "a1", "q2", "a2"]
    ask(store, chat, "q3", "a3")
    store.switch(chat, second.branch.id)
    assert texts(store, chat) == ["q0", "a0", "other", "way"]
    assert count(store, "messages") == 10


def test_a_place_that_is_not_there_is_refused_and_changes_nothing(store: Store, chat: Session) -> None:
    for bad in (-1, 7):
        with pytest.raises(BadInput, match="has messages 0 to 6"):
            store.rewind(chat, bad)
        with pytest.raises(BadInput, match="has messages 0 to 6"):
            store.fork_session(chat, at=bad)
    with pytest.raises(BadInput, match="has no branch 'nope'"):
        store.switch(chat, "nope")
    assert len(store.lines(chat)) == 1
    assert count(store, "sessions") == 1


def test_going_back_to_the_very_start_begins_anew(store: Store, chat: Session) -> None:
    store.rewind(chat, 0)
    assert (texts(store, chat), prompts(store, chat), store.newest_turn(chat)) == ([], [], None)
    ask(store, chat, "anew", "yes")
    assert [message.seq for message in store.messages(chat)] == [1, 2]


def test_a_fork_shares_what_came_before_and_nothing_after(store: Store, chat: Session) -> None:
    forked = store.fork_session(chat, name="fork", at=4)
    assert (forked.forked_from, forked.message_count, forked.name) == (chat.id, 4, "fork")
    ask(store, forked, "own", "1")
    ask(store, chat, "q3", "a3")
    assert texts(store, forked) == ["q0", "a0", "q1", "a1", "own", "1"]
    assert texts(store, chat)[4:] == ["q2", "a2", "q3", "a3"]
    again = store.fork_session(forked, name="again", at=3)
    assert texts(store, again) == ["q0", "a0", "q1"]
    empty = store.fork_session(chat, name="empty", at=0)
    ask(store, empty, "first", "1")
    assert texts(store, empty) == ["first", "1"]
    assert count(store, "messages") == 12  # nothing was copied


def test_forks_of_every_place_of_every_branch_read_right(store: Store, chat: Session) -> None:
    store.rewind(chat, 3)
    ask(store, chat, "b0", "b1")
    store.rewind(chat, 4)
    ask(store, chat, "c0", "c1")
    whole = texts(store, chat)
    assert whole == ["q0", "a0", "q1", "b0", "c0", "c1"]
    for place in range(len(whole) + 1):
        assert texts(store, store.fork_session(chat, at=place)) == whole[:place]


def test_a_turn_that_takes_others_back_opens_a_branch_unless_a_new_one_came(store: Store, chat: Session) -> None:
    second, third = store.history_turns(chat)[1:]
    ask(store, chat, "q1 again", "b1", rewind=(2, (second.id, third.id)))
    assert prompts(store, chat) == ["q0", "q1 again"]
    newest = store.newest_turn(chat)
    assert newest is not None
    ask(store, chat, "from another notebook", "yes")
    ask(store, chat, "q1 once more", "c1", rewind=(2, (newest.id,)))
    assert prompts(store, chat) == ["q0", "q1 again", "from another notebook", "q1 once more"]


def test_a_session_taken_up_after_a_pause_goes_on_in_a_branch_nobody_sees(
    store: Store, chat: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hours in (2, 30, 60):
        monkeypatch.setattr("chatnb.stores.branches.now", lambda hours=hours: now() + timedelta(hours=hours))
        ask(store, chat, f"after {hours}", "yes")
    assert texts(store, chat)[-6:] == ["after 2", "yes", "after 30", "yes", "after 60", "yes"]
    kinds = store.query("SELECT kind, count(*) AS n FROM branches GROUP BY kind ORDER BY kind").to_pylist()
    assert kinds == [{"kind": "resume", "n": 3}, {"kind": "start", "n": 1}]
    (line,) = store.lines(chat)
    assert line.current
    left = store.rewind(chat, 8)
    ask(store, left, "edit", "yes")
    main, edited = store.lines(chat)
    assert (main.current, edited.current) == (False, True)
    store.switch(chat, main.branch.id)
    assert len(texts(store, chat)) == 12
    assert prompts(store, chat)[-1] == "after 60"


def test_a_cells_turn_is_found_where_it_stands(store: Store) -> None:
    made = store.create_session(session("eda"))
    ask(store, made, "one", notebook="n", cell_id="1")
    ask(store, made, "two", notebook="n", cell_id="2")

    def place(cell: str) -> tuple[str, int, list[str]] | None:
        found = store.open_session(made, lambda *_: 1, cell=("n", cell)).cell
        return found and (found.turn.prompt, found.first_seq, [turn.prompt for turn in found.later])

    assert place("1") == ("one", 1, ["two"])
    assert place("2") == ("two", 3, [])
    assert place("3") is None
    store.rewind(made, 2)
    assert place("2") is None
    ask(store, made, "two anew", notebook="n", cell_id="2")
    assert place("2") == ("two anew", 3, [])


def test_a_session_of_ten_thousand_messages_is_read_whole_and_in_part(store: Store) -> None:
    made = store.create_session(session("long"))
    messages, _ = records([one for number in range(5000) for one in pair(f"q{number}", f"a{number}")])
    state = opening(made)
    store.open_turn(state)
    store.close_turn(ended(state, messages))
    ask(store, made, "last", "one")
    assert page(store, made, offset=9_998, limit=3) == ["q4999", "a4999", "last"]
    whole = store.messages(made)
    assert [message.seq for message in whole] == list(range(1, 10_003))
    totals = store.query("SELECT count(*) AS n, max(seq) AS top, min(content) AS low FROM history").to_pylist()
    assert totals == [{"n": 10_002, "top": 10_002, "low": "a0"}]


def test_messages_are_numbered_without_gaps_or_doubles_whoever_writes(store: Store, reopen: Reopen) -> None:
    made = store.create_session(session("eda"))
    turns, problems = 6, list[BaseException]()

    def write(own: Store, who: int) -> None:
        try:
            for number in range(turns):
                ask(own, made, f"{who} {number}", "yes")
        except BaseException as error:  # noqa: BLE001  # whatever it is, the test names it
            problems.append(error)

    threads = [threading.Thread(target=write, args=(reopen(), who)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    found = store.messages(made)
    assert [message.seq for message in found] == list(range(1, 4 * turns * 2 + 1))
    for question, answer in zip(found[::2], found[1::2], strict=True):
        assert question.turn_id == answer.turn_id
    for who in range(4):
        own = [message.content for message in found if message.content.startswith(f"{who} ")]
        assert own == [f"{who} {number}" for number in range(turns)]
    assert store.find_session(made.id, user=ANN).message_count == len(found)


def test_changes_at_once_are_all_kept(store: Store, reopen: Reopen) -> None:
    made = store.create_session(session("eda"))

    def change(own: Store, field: str) -> None:
        for number in range(5):
            own.update_session(made, **{field: f"{field}{number}"})

    threads = [threading.Thread(target=change, args=(reopen(), field)) for field in ("model", "agent", "name")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.find_session(made.id, user=ANN)
    assert (found.model, found.agent, found.name, found.revision) == ("model4", "agent4", "name4", 15)


def test_making_the_same_session_at_once_makes_one(store: Store, reopen: Reopen) -> None:
    made: list[str] = []
    start = threading.Barrier(4)

    def enter(own: Store) -> None:
        start.wait()
        opened = own.open_session("new", lambda *_: 1, make=lambda: session("new"), user=ANN)
        made.append(opened.session.id)

    stores = [reopen() for _ in range(4)]
    threads = [threading.Thread(target=enter, args=(own,)) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(made)), count(store, "sessions")) == (4, 1, 1)


def test_a_store_can_be_held_for_a_batch(store: Store, chat: Session) -> None:
    with store.hold() as held:
        for number in range(3):
            ask(held, chat, f"more {number}")
    assert len(texts(store, chat)) == 12


def test_closing_a_store_loses_nothing_that_others_can_open(store: Store, chat: Session, reopen: Reopen) -> None:
    other = reopen()
    if other is not store:
        store.close()
    assert len(texts(other, chat)) == 6
    assert replace(other.find_session("eda", user=ANN), revision=0).name == "eda"
