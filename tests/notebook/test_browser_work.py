"""What the session browser does to sessions, one or many: the store says what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import chatnb
from chatnb.notebook.browser_actions import FORMATS
from chatnb.records import now
from chatnb.stores.store import Store
from tests.notebook.browsing import ME, Elements, ask, browse, click, labels, pressed, resumed, say, session, tell, tick


@pytest.fixture
def store() -> Iterator[Store]:
    with chatnb.open_store("memory:") as opened:
        yield opened


def test_resume_offers_the_line_by_name_where_the_name_means_this_session(store: Store) -> None:
    tell(store, session(store, "my eda"), ask("hi"), say("ho"))
    browser = browse(store)
    click(browser, "my eda")
    assert resumed(browser) == "%%chat 'my eda'"
    filled = Elements(browser.reader.resume.outputs[0]["data"]["text/html"]).found[0][1]["data-commandlinker-args"]
    assert json.loads(filled or "")["args"] == {"text": "%%chat 'my eda'\n"}


@pytest.mark.parametrize("name", ["{1/0}", "$HOME", "-m", "two\nlines", "it's", "a?"])
def test_resume_takes_the_id_where_a_magics_line_would_read_the_name_otherwise(store: Store, name: str) -> None:
    made = session(store, name, id="0192-abc")
    browser = browse(store)
    browser.open(made)
    assert resumed(browser) == "%%chat 0192-abc"


def test_resume_takes_the_id_where_the_name_means_another_session(store: Store) -> None:
    elsewhere = session(store, "eda", id="a1", project="/other")
    session(store, "eda", id="a2", project="/here")
    browser = browse(store, project="/here")
    browser.open(elsewhere)
    assert resumed(browser) == "%%chat a1"


def test_what_no_cell_can_go_on_with_offers_no_resume(store: Store) -> None:
    browser = browse(store, user=None)
    for one in (session(store, "t", collection="table"), session(store, "o", user_id="bob")):
        browser.open(one)
        assert browser.reader.resume not in browser.reader.widget.children


def test_a_fork_goes_on_from_the_message_that_was_chosen_and_is_opened(store: Store) -> None:
    told = tell(store, session(store, "eda"), ask("one"), say("two"), ask("three"), say("four"))
    browser = browse(store)
    click(browser, "eda")
    browser.reader.fork_button(2).click()
    assert browser.session is not None and browser.session.label == "eda (fork)"
    assert browser.session.forked_from == told.id and browser.reader.shown == [1, 2]
    assert sorted(labels(browser)) == ["eda", "eda (fork)"]
    assert len(store.messages(told)) == 4


def test_a_session_is_renamed(store: Store) -> None:
    session(store, "old")
    browser = browse(store)
    click(browser, "old")
    browser.one.rename.click()
    assert browser.one.name.value == "old"
    browser.one.name.value = " new "
    browser.one.save.click()
    assert labels(browser) == ["new"] and store.find_session("new", user=ME).id == "id-old"
    assert "new" in browser.reader.title.value and resumed(browser) == "%%chat new"
    browser.one.rename.click()
    browser.one.name.value = "  "
    browser.one.save.click()
    assert "needs a name" in browser.message and labels(browser) == ["new"]


def test_enter_in_a_form_does_what_its_button_does(store: Store) -> None:
    session(store, "old")
    browser = browse(store)
    click(browser, "old")
    browser.one.rename.click()
    browser.one.name.value = "new"
    browser.one.name._handle_custom_msg({"event": "submit"}, [])
    assert labels(browser) == ["new"]


def test_tags_are_added_and_taken_away_from_many_and_others_changes_stay(store: Store) -> None:
    for name in ("a", "b"):
        session(store, name, tags=("old",))
    browser = browse(store)
    tick(browser, "a", "b")
    store.update_session(store.find_session("a", user=ME), tags=("old", "meanwhile"))
    browser.many.tags.click()
    browser.many.labels.value = "x, y,, old"
    browser.many.add.click()
    found = {name: store.find_session(name, user=ME).tags for name in ("a", "b")}
    assert found == {"a": ("old", "meanwhile", "x", "y"), "b": ("old", "x", "y")}
    browser.many.tags.click()
    browser.many.labels.value = "old"
    browser.many.remove.click()
    assert store.find_session("b", user=ME).tags == ("x", "y")
    assert "x" in [value for _, value in browser.filters.tag.options]


def test_a_deleted_session_can_be_had_back_with_undo_and_with_restore(store: Store) -> None:
    session(store, "eda")
    browser = browse(store)
    click(browser, "eda")
    browser.one.delete.click()
    assert labels(browser) == [] and browser.message == "Deleted 'eda'." and resumed(browser) == ""
    assert "Delete" not in pressed(browser.one.bar.children) and "Restore" in pressed(browser.one.bar.children)
    browser.undoing.click()
    assert labels(browser) == ["eda"] and resumed(browser) == "%%chat eda"
    browser.one.delete.click()
    browser.filters.active.value = False
    tick(browser, "eda")
    browser.many.restore.click()
    assert store.find_session("eda", user=ME).is_active


def test_undo_is_on_offer_until_something_else_is_done(store: Store) -> None:
    for name in ("a", "b"):
        session(store, name)
    browser = browse(store)
    click(browser, "a")
    browser.one.delete.click()
    click(browser, "b")
    browser.filters.text.value = "b"
    assert browser.undoing in browser.status.children
    browser.one.rename.click()
    browser.one.name.value = "bb"
    browser.one.save.click()
    assert browser.undoing not in browser.status.children


def test_many_are_selected_over_pages_and_deleted_and_undone_together(store: Store) -> None:
    for number in range(5):
        session(store, f"s{number}", created_at=now() - timedelta(days=number))
    browser = browse(store, page_size=2)
    browser.all.value = True
    browser.on.click()
    assert browser.all.value is False
    tick(browser, "s3")
    assert [one.label for one in browser.selected] == ["s0", "s1", "s3"]
    assert browser.many.count.value.startswith("<b>3 selected</b>")
    browser.back.click()
    assert [box.value for box in browser.rows.boxes] == [True, True] and browser.all.value is True
    browser.many.delete.click()
    assert labels(browser) == ["s2", "s4"] and browser.selected == []
    browser.undoing.click()
    assert browser.total == 5 and browser.message == "Restored 3 sessions."


def test_one_that_is_missing_does_not_stop_the_others(store: Store) -> None:
    for name in ("a", "b"):
        session(store, name)
    browser = browse(store)
    tick(browser, "a", "b")
    store.purge_session(store.find_session("a", user=ME))
    browser.many.delete.click()
    assert browser.message == "Deleted 'b'. 1 no longer in the store." and browser.total == 0


def test_clearing_the_selection_puts_its_buttons_away(store: Store) -> None:
    session(store, "a")
    browser = browse(store)
    tick(browser, "a")
    assert browser.many.widget in browser.selection.children
    browser.unmarking.click()
    assert browser.selection.children == () and not browser.rows.boxes[0].value


def test_sessions_are_written_to_a_file_in_the_format_that_was_chosen(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my/eda", "other"):
        tell(store, session(store, name), ask(f"about {name}"), say("ho"))
    browser = browse(store)
    click(browser, "my/eda")
    browser.one.export.click()
    assert browser.one.path.value == "my-eda.md"
    browser.one.write.click()
    assert "about my/eda" in (tmp_path / "my-eda.md").read_text()
    browser.one.export.click()
    browser.one.write.click()
    assert "is there already" in browser.message
    tick(browser, "my/eda", "other")
    browser.many.export.click()
    browser.many.format.value = ("jsonl", "jsonl")
    assert browser.many.path.value == "2-sessions.jsonl"
    browser.many.write.click()
    assert browser.message.startswith("Wrote 2 sessions")
    assert "about other" in (tmp_path / "2-sessions.jsonl").read_text()


@pytest.mark.parametrize("chosen", FORMATS, ids=lambda chosen: chosen[0])
def test_every_format_on_offer_can_be_written(
    store: Store, tmp_path: Path, chosen: tuple[str, tuple[str, str]]
) -> None:
    _, (name, suffix) = chosen
    told = tell(store, session(store, "eda"), ask("hi"), say("ho"))
    browse(store).export([told], str(tmp_path / f"eda.{suffix}"), name)
    assert (tmp_path / f"eda.{suffix}").exists()
