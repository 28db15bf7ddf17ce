"""What every store does, whatever it lies on: sessions and turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from chatnb.errors import BadInput, SessionNotFound
from chatnb.records import Branch, Session, ToolCall, now
from chatnb.stores.journal import InFlight
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store
from tests.stores.making import ANN, ask, count, ended, opening, pair, records, session, texts

NASTY = [
    "x'; DROP TABLE sessions; --",
    'a "quoted" name',
    "100% _sure_ 'really' ? %s $1 {brace}",
    "Zoë 统计 🦆 e\u0301",
    "back\\slash\nand line",
    "nul\0in it",
]

Reopen = Callable[[], Store]


def names(found: tuple[list[Session], int]) -> list[str | None]:
    return [one.name for one in found[0]]


def test_a_session_comes_back_as_it_was_stored(store: Store, reopen: Reopen) -> None:
    made = session(
        "eda",
        project="/p",
        collection="c",
        model="demo",
        agent="helper",
        system_prompt="Be brief.",
        max_history_messages=7,
        max_history_tokens=9_000_000_000,
        metadata={"a": [1, 2.5, None, True, {"ü": "\0 \u2028"}], "empty": {}},
        tags=("x", "a,b", "ü"),
        expires_at=datetime(2031, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    )
    assert store.create_session(made) == made
    assert reopen().find_session(made.id, user=ANN, collection="c") == made


def test_an_id_is_found_before_a_name_and_the_most_recently_used_of_a_name(store: Store) -> None:
    store.create_session(session("eda", id="old"))
    newer = store.create_session(session("eda", id="newer"))
    store.create_session(session("other", id="eda2"))
    assert store.find_session("eda", user=ANN).id == "newer"
    ask(store, store.find_session("old", user=ANN))
    assert store.find_session("eda", user=ANN).id == "old"
    store.create_session(session("old", id="named-old"))
    assert store.find_session("old", user=ANN).id == "old"
    assert store.find_session(newer.id, user=ANN).id == "newer"


def test_sessions_of_another_user_project_or_collection_are_not_found(store: Store) -> None:
    store.create_session(session("eda", id="1", project="p", collection="c"))
    for user, project, collection in (("bob", "p", "c"), (ANN, "q", "c"), (ANN, "p", "d")):
        with pytest.raises(SessionNotFound):
            store.find_session("eda", user=user, project=project, collection=collection)
    with pytest.raises(SessionNotFound):
        store.find_session("1", user="bob", collection="c")


def test_an_unknown_session_names_the_nearest(store: Store) -> None:
    store.create_session(session("planning"))
    with pytest.raises(SessionNotFound, match="Did you mean 'planning'"):
        store.find_session("planing", user=ANN)


def test_the_same_id_twice_is_refused_and_changes_nothing(store: Store) -> None:
    store.create_session(session("first", id="a"))
    with pytest.raises(BadInput, match="'a' exists already"):
        store.create_session(session("second", id="a"))
    assert names(store.list_sessions(SessionFilter(user=ANN))) == ["first"]
    store.create_session(session("third", id="a", user_id="bob"))


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_data_whatever_it_holds(store: Store, name: str) -> None:
    made = store.create_session(session(name, id=name, collection=name, project=name, model=name, tags=(name,)))
    ask(store, made, name, name)
    for ref in (made.id, name):
        assert store.find_session(ref, user=ANN, project=name, collection=name).id == made.id.replace("\0", "␀")
    for where in (SessionFilter(text=name), SessionFilter(tag=name), SessionFilter(model=name)):
        assert store.list_sessions(where)[1] == 1
    assert texts(store, made) == [name.replace("\0", "␀")] * 2
    assert store.query("SELECT name FROM sessions WHERE name = $it", {"it": name.replace("\0", "␀")}).num_rows == 1
    store.purge_session(made)
    assert store.list_sessions(SessionFilter(active=None))[1] == 0


def test_sessions_are_found_by_what_was_said_in_their_current_history(store: Store) -> None:
    first, second = (store.create_session(session(name)) for name in ("one", "two"))
    ask(store, first, "What is a Median?", "The middle.")
    ask(store, second, "And a mean?", "The sum by the count, 100 %.")
    ask(store, second, "Forget the MODE.", "Gone.")
    store.rewind(store.find_session("two", user=ANN), 2)
    store.fork_session(store.find_session("one", user=ANN), name="one's fork")

    def found(text: str) -> list[str]:
        return sorted(names(store.list_sessions(SessionFilter(user=ANN, anywhere=text))))

    assert found("median") == ["one", "one's fork"]
    assert found("100 %") == ["two"]
    assert found("mode") == []
    assert found("TWO") == ["two"]
    assert store.list_sessions(SessionFilter(user="bob", anywhere="median"))[1] == 0


def test_a_listing_filters_sorts_and_pages(store: Store) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for place, (name, model, tags) in enumerate(
        [("beta", "m1", ("x",)), ("Alpha", "m2", ("x", "y_z")), ("Ärger", "m1", ()), ("alpha 2", "m1", ("yyz",))]
    ):
        moment = start + timedelta(days=place)
        store.create_session(
            session(name, model=model, tags=tags, created_at=moment, updated_at=moment, message_count=place % 3)
        )
    store.create_session(session("foreign", user_id="bob", created_at=start, updated_at=start))

    def listed(order: str = "recent", limit: int = 100, offset: int = 0, **where: object) -> list[str | None]:
        mine = SessionFilter(**{"user": ANN, **where})  # type: ignore[arg-type]
        return names(store.list_sessions(mine, order=order, limit=limit, offset=offset))

    assert listed() == listed("created") == ["alpha 2", "Ärger", "Alpha", "beta"]
    assert listed("name") == ["Alpha", "alpha 2", "beta", "Ärger"]
    assert listed("messages")[0] == "Ärger"
    assert listed(text="ALPHA") == ["alpha 2", "Alpha"]
    assert listed(text="äRG") == ["Ärger"]
    assert listed(text="%") == []
    assert listed(model="m1", tag="x") == ["beta"]
    assert listed(tag="y_z") == ["Alpha"]
    assert listed(since=start + timedelta(days=2)) == ["alpha 2", "Ärger"]
    assert listed(until=start + timedelta(days=1)) == ["beta"]
    assert sorted(str(name) for name in listed(user=None, until=start + timedelta(days=1))) == ["beta", "foreign"]
    page, total = store.list_sessions(SessionFilter(user=ANN), limit=2, offset=1)
    assert ([one.name for one in page], total) == (["Ärger", "Alpha"], 4)
    assert store.list_sessions(SessionFilter(user=ANN), limit=0, offset=0) == ([], 4)
    assert store.list_sessions(SessionFilter(user=ANN), limit=5, offset=9) == ([], 4)


@pytest.mark.parametrize("bad", [{"limit": -1}, {"offset": -3}, {"order": "naem"}])
def test_a_listing_that_makes_no_sense_is_one_sentence(store: Store, bad: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"negative|Did you mean 'name'"):
        store.list_sessions(SessionFilter(), **bad)  # type: ignore[arg-type]


def test_an_update_sets_fields_and_moves_the_revision(store: Store, reopen: Reopen) -> None:
    made = store.create_session(session("eda"))
    changed = store.update_session(made, name="deep", tags=("t",), metadata={"k": 1}, expires_at=now())
    assert (changed.name, changed.revision) == ("deep", made.revision + 1)
    assert changed.updated_at > made.updated_at
    assert reopen().find_session("deep", user=ANN) == changed
    with pytest.raises(BadInput, match="Did you mean 'model'"):
        store.update_session(made, modell="x")
    with pytest.raises(BadInput, match="no setting 'revision'"):
        store.update_session(made, revision=9)


def test_two_openings_see_each_others_changes(store: Store, reopen: Reopen) -> None:
    other = reopen()
    made = store.create_session(session("eda"))
    other.update_session(made, name="renamed")
    ask(store, made, "one", "1")
    ask(other, made, "two", "2")
    assert texts(store, made) == texts(other, made) == ["one", "1", "two", "2"]
    assert store.find_session("renamed", user=ANN).revision == 3


def test_a_deleted_session_hides_until_it_is_restored(store: Store) -> None:
    made = store.create_session(session("eda"))
    ask(store, made)
    store.delete_session(made)
    with pytest.raises(SessionNotFound, match=r"was deleted\. Bring it back"):
        store.find_session("eda", user=ANN)
    assert store.list_sessions(SessionFilter(user=ANN))[1] == 0
    assert store.find_session("eda", user=ANN, active=False).id == made.id
    assert store.query("SELECT * FROM history").num_rows == 0
    store.restore_session(made)
    assert texts(store, store.find_session("eda", user=ANN)) == ["hello?", "hello."]


def test_a_purged_session_leaves_no_row_and_its_id_may_start_again(store: Store) -> None:
    made = store.create_session(session("eda", id="a"))
    call = ToolCall(turn_id="", call_id="c1", tool="add", arguments={"a": 1}, result="2")
    ask(store, made, calls=[call])
    store.rewind(made, 0)
    ask(store, made, "again", "yes")
    store.purge_session(made)
    assert {table: count(store, table) for table in ("sessions", "branches", "messages", "turns", "tool_calls")} == {
        "sessions": 0, "branches": 0, "messages": 0, "turns": 0, "tool_calls": 0
    }  # fmt: skip
    again = store.create_session(session("eda", id="a"))
    assert store.messages(again) == []
    with pytest.raises(SessionNotFound):
        store.purge_session(session(id="never"))


def test_purging_a_forks_source_leaves_the_fork_whole(store: Store) -> None:
    source = store.create_session(session("source"))
    for number in range(3):
        ask(store, source, f"q{number}", f"a{number}")
    forked = store.fork_session(source, name="fork", at=4)
    deeper = store.fork_session(forked, name="deeper", at=2)
    ask(store, forked, "own", "yes")
    store.purge_session(source)
    assert texts(store, forked) == ["q0", "a0", "q1", "a1", "own", "yes"]
    assert texts(store, deeper) == ["q0", "a0"]
    assert [turn.prompt for turn in store.history_turns(forked)] == ["q0", "q1", "own"]
    assert count(store, "messages") == 6
    assert count(store, "turns") == 3
    store.purge_session(forked)
    assert texts(store, deeper) == ["q0", "a0"]
    store.purge_session(deeper)
    assert count(store, "messages") == count(store, "turns") == count(store, "branches") == 0


def test_purging_a_fork_leaves_its_source_whole(store: Store) -> None:
    source = store.create_session(session("source"))
    ask(store, source, "q", "a")
    forked = store.fork_session(source)
    ask(store, forked, "own", "yes")
    store.purge_session(forked)
    assert texts(store, source) == ["q", "a"]
    assert count(store, "messages") == 2


def test_old_and_expired_sessions_are_purged_after_a_dry_run(store: Store) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    old = store.create_session(session("old", created_at=start, updated_at=start))
    store.delete_session(store.create_session(session("older", created_at=start, updated_at=start)))
    store.create_session(session("new", expires_at=now() + timedelta(days=1)))
    gone = store.create_session(session("gone", expires_at=now() - timedelta(seconds=1)))
    before = SessionFilter(user=ANN, until=start + timedelta(days=90), active=None)
    assert {one.name for one in store.purge(before, dry_run=True)} == {"old", "older"}
    assert store.find_session("old", user=ANN).id == old.id
    assert {one.name for one in store.purge(before)} == {"old", "older"}
    assert store.purge(before) == []
    assert [one.id for one in store.purge(SessionFilter(expired_at=now()))] == [gone.id]
    assert names(store.list_sessions(SessionFilter(active=None))) == ["new"]


def test_a_turn_comes_back_with_its_messages_and_calls(store: Store, reopen: Reopen) -> None:
    made = store.create_session(session("eda"))
    call = ToolCall(turn_id="", call_id="c", tool="add", arguments={"a": [1]}, error="no", duration_ms=1.5)
    stored = ask(store, made, "q", "a", calls=[call], options={"t": 0.5}, cost=0.25, notebook="n", cell_id="c")
    found = reopen().turn(stored.id)
    assert found == stored
    assert [message.seq for message in found.messages] == [1, 2]
    assert found.calls[0].turn_id == found.id
    assert store.newest_turn(made) == replace(stored, messages=(), calls=())
    assert store.session_cost(made) == (0.25, 0)
    with pytest.raises(BadInput, match="no turn 'nope'"):
        store.turn("nope")


def test_closing_a_turn_twice_stores_it_once(store: Store, reopen: Reopen) -> None:
    made = store.create_session(session("eda"))
    state, (messages, _) = opening(made), records(pair("q", "a"))
    store.open_turn(state)
    done = replace(ended(state, messages), ended=True)
    first = store.close_turn(done)
    assert reopen().close_turn(done) == first
    assert texts(store, made) == ["q", "a"]


def test_a_turn_of_a_session_that_was_purged_meanwhile_is_kept(store: Store) -> None:
    made = store.create_session(session("eda", id="a"))
    state, (messages, _) = opening(made), records(pair("q", "a"))
    store.open_turn(state)
    store.purge_session(made)
    store.close_turn(ended(state, messages))
    assert texts(store, store.find_session("a", user=ANN)) == ["q", "a"]


def test_two_turns_at_once_are_whole_in_the_order_they_finish(store: Store, reopen: Reopen) -> None:
    made = store.create_session(session("eda"))
    one, two = opening(made, "one"), opening(made, "two")
    other = reopen()
    store.open_turn(one)
    other.open_turn(two)
    (first, _), (second, _) = records(pair("one", "1")), records(pair("two", "2"))
    store.add_messages(one, first[:1])
    other.add_messages(two, second[:1])
    other.close_turn(ended(two, second))
    store.close_turn(ended(one, first))
    assert texts(store, made) == ["two", "2", "one", "1"]
    assert [message.seq for message in other.messages(made)] == [1, 2, 3, 4]


def test_a_running_turn_is_left_alone_and_a_dead_ones_is_taken_in(
    store: Store, reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.create_session(session("eda"))
    state, (messages, _) = opening(made, "q"), records(pair("q", "a"))
    store.open_turn(state)
    store.add_messages(state, messages[:1])
    other = reopen()
    assert other.recover(look=True) == []
    _dies(store, monkeypatch)
    taken = [turn for opened in {id(other): other}.values() for turn in opened.recover(look=True)]
    assert [(turn.status, turn.prompt) for turn in taken] == [("interrupted", "q")]
    assert "ended before the answer did" in str(taken[0].error)
    assert texts(other, made) == ["q"]
    assert other.recover(look=True) == []


def _dies(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left when the process of `store` is gone: no lock, no memory, no pid."""
    journal = store._backend.journal
    lock = getattr(journal, "_lock", None)
    if lock is not None:
        lock.release()
    getattr(journal, "_positions", {}).clear()

    def gone(pid: int, signal: int) -> None:
        raise ProcessLookupError(pid)

    monkeypatch.setattr("chatnb.stores.tablejournal.os", SimpleNamespace(kill=gone))


def test_opening_a_session_reads_all_that_a_turn_needs(store: Store) -> None:
    made = session("eda")

    def first(_: Session, branch: Branch) -> int:
        return max(1, branch.last_seq - 1)

    opened = store.open_session("eda", first, make=lambda: made, user=ANN)
    assert (opened.created, opened.messages, opened.session) == (True, (), made)
    ask(store, made, "one", "1", notebook="n", cell_id="c", cost=1.0)
    ask(store, made, "two", "2")
    opened = store.open_session("eda", first, make=lambda: made, user=ANN, cell=("n", "c"))
    assert not opened.created
    assert [message.content for message in opened.messages] == ["two", "2"]
    assert opened.cell is not None and opened.cell.first_seq == 1
    assert [turn.prompt for turn in opened.cell.later] == ["two"]
    assert (opened.cost, opened.unpriced) == (1.0, 1)
    with pytest.raises(SessionNotFound):
        store.open_session("nope", first, user=ANN)


def test_the_notebooks_own_session_and_first_questions_are_found(store: Store) -> None:
    one, two = store.create_session(session("one")), store.create_session(session("two"))
    ask(store, one, "first question", notebook="a.ipynb")
    ask(store, one, "second", notebook="b.ipynb")
    found = store.notebook_session(user=ANN, notebook="a.ipynb")
    assert found is not None and found.id == one.id
    assert store.notebook_session(user=ANN, notebook="c.ipynb") is None
    assert store.first_questions([one, two]) == {one.id: "first question"}
    assert store.first_questions([]) == {}


def test_a_value_that_json_cannot_hold_is_refused_with_its_path(store: Store) -> None:
    bad: list[tuple[object, str]] = [
        ({"a": [1, float("nan")]}, r"metadata\.a\[1\]: nan"),
        ({"a": float("inf")}, r"metadata\.a: inf"),
        ({"a": {"b": "\ud800"}}, r"metadata\.a\.b: .*surrogate"),
        ({"a": {1: "x"}}, r"metadata\.a: the key 1"),
        ({"a": object()}, r"metadata\.a: object"),
    ]
    for metadata, path in bad:
        with pytest.raises(BadInput, match=path):
            store.create_session(session(metadata=metadata))
    with pytest.raises(BadInput, match=r"name.*surrogate"):
        store.create_session(session("\ud800"))
    assert store.list_sessions(SessionFilter())[1] == 0


def test_what_a_model_said_is_stored_even_with_a_broken_character(store: Store) -> None:
    made = store.create_session(session("eda"))
    state = opening(made)
    (message, _) = records(pair("q", "a"))[0]
    store.open_turn(state)
    done: InFlight = ended(state, [message])
    stored = store.close_turn(replace(done, turn=replace(done.turn, answer="half \ud83d")))
    assert store.turn(stored.id).answer == "half \ufffd"
