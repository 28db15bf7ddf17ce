"""A DuckDB file opened in a tenth of the time: attached to an instance in memory, which the process keeps.

`duckdb.connect` builds a whole instance, with its functions, settings and threads, for every opening of a file;
`ATTACH` only opens the file, and `DETACH` closes it: its lock is free and its log is written into it. DuckDB refuses a
file that is open in the process elsewhere, whichever way (1.5 and later).
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path

import duckdb

__all__ = ["Attaching"]

_kept: weakref.WeakSet[Attaching] = weakref.WeakSet()


class Attaching:
    """An instance in memory that one file at a time is attached to. The caller keeps threads apart."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._busy = threading.Lock()
        _kept.add(self)

    def attach(self, path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        """Open a file that is there; the connection's statements are about it until `detach`.

        Raises
        ------
        duckdb.Error
            As `duckdb.connect` does.
        """
        self._busy.acquire()
        try:
            if self._connection is None:
                self._connection = duckdb.connect(":memory:")
            quoted = str(path).replace("'", "''")
            self._connection.execute(f"ATTACH '{quoted}' AS store ({'READ_ONLY' if read_only else 'READ_WRITE'})")
            self._connection.execute("USE store")
        except BaseException:
            self.detach()
            raise
        return self._connection

    def detach(self) -> None:
        """Close the file. What was committed is safe already; where closing fails, the next to open it goes on."""
        try:
            if self._connection is not None:
                self._connection.execute("USE memory")
                self._connection.execute("DETACH DATABASE IF EXISTS store")
        except BaseException:
            self._end()
            raise
        finally:
            self._busy.release()

    def close(self) -> None:
        """Let go of the instance, unless a file is attached to it now; it comes back when it is needed."""
        if self._busy.acquire(blocking=False):
            self._end()
            self._busy.release()

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _close_all() -> None:
    """A forked process has none of the threads of its parent's instances, and could not even end them."""
    for attaching in list(_kept):
        attaching.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_all)
