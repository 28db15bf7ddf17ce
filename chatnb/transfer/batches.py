"""Long work on a store in batches: it is held for each, and let go between them so that others get a chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

from chatnb.stores.store import Store

__all__ = ["BATCH", "holding"]

T = TypeVar("T")

BATCH = 50
"""How many sessions are read or stored while a store is held."""


def holding(store: Store, items: Iterable[T]) -> Iterator[T]:
    """The items, with the store held while each is worked on."""
    with ExitStack() as held:
        for number, item in enumerate(items):
            if number % BATCH == 0:
                held.close()
                held.enter_context(store.hold())
            yield item
