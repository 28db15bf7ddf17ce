"""A store that is held for a batch of work, on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable

from chatnb.chat import Chat
from chatnb.stores.store import Store
from tests.stores.making import ask, session, texts


def test_a_store_that_is_held_serves_the_other_threads_of_its_process(store: Store) -> None:
    with store.hold(), store.hold():
        turn = Chat("held", model="demo", store=store, user="ann").send("hello")
        assert turn.status == "ok"
    assert len(texts(store, store.find_session("held", user="ann"))) == 2


def test_a_hold_ends_when_its_last_block_does(store: Store, reopen: Callable[[], Store]) -> None:
    eda = store.create_session(session("eda"))
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with store.hold():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    with store.hold():
        second_in.set()
        first_out.wait(10)
        ask(store, eda)
    thread.join()
    other = reopen()  # which would wait for the lock, were it not free
    assert len(texts(other, eda)) == 2
