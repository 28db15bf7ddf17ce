"""What a backend must give: transactions over the tables, a journal of turns in flight, a lock to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from chatnb.stores.rows import Row
from chatnb.stores.schema import Table

if TYPE_CHECKING:
    import pyarrow

    from chatnb.stores.filelock import Notice
    from chatnb.stores.journal import Journal

__all__ = ["Backend", "Tx"]

T = TypeVar("T")


class Tx(Protocol):
    """One open transaction. Statements use `?` for values and the table names of `schema`.

    `again` is true when this is not the first try of the work, whose earlier try may have been committed.
    `rows_at_once` is true where turns that run are rows already.
    """

    again: bool
    rows_at_once: bool

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """The rows that a SELECT gives."""
        ...

    def batches(self, sql: str, params: Sequence[object] = ()) -> Iterator[list[Row]]:
        """The rows that a SELECT gives, some thousands at a time, for results that may be large."""
        ...

    def add(self, table: Table, rows: Sequence[Sequence[object]]) -> None:
        """Insert rows; each holds a value for every column of the table, in order."""
        ...

    def change(self, table: Table, key: Sequence[object], values: Mapping[str, object]) -> None:
        """Set columns of the one row whose `table.key` columns equal `key`."""
        ...

    def remove(self, table: Table, where: str, params: Sequence[object] = ()) -> None:
        """Delete the rows that a condition names."""
        ...

    def lock(self, table: Table, key: Sequence[object]) -> None:
        """Keep others from changing this row until the transaction ends."""
        ...


class Backend(Protocol):
    """A place where the tables live.

    `url` is its address without a password. `notice` is told when there is a process to wait for.
    """

    url: str
    journal: Journal
    notice: Notice | None

    def run(self, work: Callable[[Tx], T], *, write: bool = True, serial: bool = False) -> T:
        """Call `work` in one transaction and return what it returns; commit unless it raises.

        Work may be called more than once: it must do everything through its `Tx`. With `serial`, what it does not find
        is not there when it commits either.
        """
        ...

    def hold(self) -> AbstractContextManager[None]:
        """Keep the store open (and its lock) for a batch of work; threads of this process use it meanwhile."""
        ...

    def query(self, sql: str, params: Mapping[str, object] | Sequence[object]) -> pyarrow.Table:
        """The result of one DuckDB SELECT over the public tables and views."""
        ...

    def facts(self) -> dict[str, object]:
        """What `doctor` wants to know: where it is, its size, who holds it."""
        ...

    def close(self) -> None:
        """Let go of connections and locks."""
        ...
