"""From an address to a store: what cannot be opened is one sentence, and nothing is changed by trying."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatnb.errors import BadInput, StoreError
from chatnb.stores.opening import open_store, shared_store
from tests.stores.making import ANN, ask, session, texts


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlit:///chat.db", "'sqlit'. Did you mean 'sqlite'?"),
        ("postgre://host/db", "Did you mean 'postgres"),
        ("mysql://host/db", "No store has the scheme 'mysql'. There are cockroachdb, duckdb, json"),
        ("", "is empty"),
        ("duckdb://", "has no path"),
        ("json:///", "has no folder"),
    ],
)
def test_an_address_that_names_no_store_is_one_sentence(url: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_store(url)
    assert says in str(caught.value)


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite"])
def test_a_file_that_is_no_store_is_left_as_it_is(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes, not a database " * 400)
    with open_store(f"{scheme}:///{path}") as store:
        for work in (lambda: store.create_session(session("x")), lambda: store.find_session("x", user=ANN)):
            with pytest.raises(
                StoreError, match=r"notes\.txt.* is not a .*name another|notes\.txt is not .*Name another"
            ):
                work()
    assert path.read_text() == "my notes, not a database " * 400


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite", "json"])
def test_a_place_that_cannot_be_made_is_one_sentence(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "file").write_text("")
    store = open_store(f"{scheme}:///{tmp_path / 'file' / 'sub' / 'chat'}")
    with store, pytest.raises(StoreError, match="Not a directory") as caught:
        store.create_session(session("x"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["duckdb", "sqlite", "json"])
def test_a_path_may_hold_anything_and_stays_when_the_working_directory_changes(
    tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_store(f"{scheme}:///my%20ch%C3%A4ts/a'b.x") as store:
        made = store.create_session(session("eda"))
        monkeypatch.chdir(tmp_path / "elsewhere")
        ask(store, made)
        assert (tmp_path / "my chäts" / "a'b.x").exists()
        assert str(tmp_path / "my chäts" / "a'b.x") in store.url
    with open_store(f"{scheme}:///{tmp_path}/my chäts/a'b.x") as store:
        assert texts(store, made) == ["hello?", "hello."]


def test_a_process_shares_one_store_of_an_address(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'chat.db'}"
    store = shared_store(url)
    assert shared_store(url) is store
    store.close()
