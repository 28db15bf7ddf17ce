"""JSON: a folder of readable logs that are only ever added to. Only what differs from the other backends.

Each opening writes its own file, one line a transaction: its number, its time, and the rows it added, changed and
removed. All files together, in the order of the numbers, are the store; they are replayed into an SQLite in memory,
which runs the statements. One lock file keeps two writers apart, and whoever has it reads the others' new lines first,
so the numbers have neither gaps nor doubles.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from chatnb.errors import StoreError, StoreFull
from chatnb.records import new_id, now
from chatnb.settings import lock_wait
from chatnb.stores.base import Tx
from chatnb.stores.copied import select_copied
from chatnb.stores.ddl import check_version
from chatnb.stores.filelock import Notice, hold_file
from chatnb.stores.journal import FileJournal, owner
from chatnb.stores.logops import Change, LoggedTx, apply
from chatnb.stores.schema import MAJOR, MINOR
from chatnb.stores.sqlitetx import connect, make_tables

if TYPE_CHECKING:
    import pyarrow

__all__ = ["JsonBackend", "TornLineWarning"]

T = TypeVar("T")

HEADER = "chatnb"
"""The key of a log's first line, which says what the log is."""


@dataclass(frozen=True)
class _Line:
    """One transaction and where it is written."""

    number: int
    changes: list[Change]
    path: Path
    place: int


class TornLineWarning(UserWarning):
    """A log ends in the middle of a line: its writer died while it wrote. The line was never acknowledged."""


class JsonBackend:
    """The tables in a folder of JSON Lines.

    Parameters
    ----------
    folder
        The folder; it is made when it is missing.
    wait
        Seconds to wait for another process; None is `CHATNB_LOCK_WAIT`, or 10.
    """

    def __init__(self, folder: Path, *, wait: float | None = None) -> None:
        self.folder = folder
        self.url = f"json:///{folder}"
        self.notice: Notice | None = None
        self.journal = FileJournal(folder / "in-flight")
        self._wait = lock_wait() if wait is None else wait
        self._lock = threading.RLock()
        self._holders = 0
        self._holding = ExitStack()
        self._memory: sqlite3.Connection | None = None
        self._read: dict[Path, int] = {}
        self._lines: dict[Path, int] = {}
        self._torn: set[Path] = set()
        self._number = 0
        self._log: Path | None = None
        self._handle = -1
        self._pid = 0

    def run(self, work: Callable[[Tx], T], *, write: bool = True, serial: bool = False) -> T:
        """Call `work` in one transaction, always `serial`; what it changes is on disk before it counts."""
        with self._alone(), self._errors():
            memory = self._refreshed()
            number = self._number
            memory.execute("BEGIN")
            try:
                tx = LoggedTx(memory)
                result = work(tx)
                if tx.changes:
                    self._append(tx.changes)
                memory.execute("COMMIT")
            except BaseException:
                memory.execute("ROLLBACK")
                if self._number != number:  # interrupted when the line was written: the next to ask reads it again
                    self._forget()
                raise
            return result

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the folder locked; this process's other threads use it meanwhile as they do otherwise."""
        with self._lock:
            if not self._holders:
                self._holding.enter_context(self._locked())
            self._holders += 1
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                if not self._holders:
                    self._holding.close()

    def close(self) -> None:
        """Let go of the log and of what is in memory."""
        with self._lock:
            self.journal.close()
            self._end_log()
            self._forget()

    def query(self, sql: str, params: Mapping[str, object] | Sequence[object]) -> pyarrow.Table:
        """One DuckDB SELECT over copies of the tables and columns that it names."""
        return select_copied(self.run, sql, params)

    def facts(self) -> dict[str, object]:
        """Where it is and how large."""
        size = sum(path.stat().st_size for path in self._logs())
        return {"url": self.url, "path": str(self.folder), "size": size, "engine": "JSON Lines"}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, nullcontext() if self._holders else self._locked():
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ".lock").touch()
        except OSError as error:
            raise StoreError(
                f"The folder {str(self.folder)!r} cannot be written ({error.strerror}). Name another store."
            ) from error
        with hold_file(self.folder / ".lock", self._wait, self.notice):
            yield

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("log-*.jsonl"))

    def _forget(self) -> None:
        if self._memory is not None:
            self._memory.close()
        self._memory = None

    def _refreshed(self) -> sqlite3.Connection:
        """The tables in memory, with every line that others have written meanwhile."""
        memory = self._memory
        if memory is None:
            memory = connect(":memory:", 0)
            make_tables(memory, self.url)
            self._read, self._lines, self._number = {}, {}, 0
        new: list[_Line] = []
        ends: dict[Path, tuple[int, int]] = {}
        for path in self._logs():
            ends[path] = self._read_on(path, new)
        new.sort(key=lambda line: line.number)
        for place, line in enumerate(new, self._number + 1):
            if line.number != place:
                raise StoreError(
                    f"Change {place} is missing from the logs in {str(self.folder)!r}: a log was removed or restored "
                    "without the others. Bring it back; nothing was written."
                )
        self._memory = memory
        memory.execute("BEGIN")
        for line in new:
            try:
                apply(memory, line.changes)
            except (LookupError, TypeError, ValueError, AttributeError, StopIteration, sqlite3.Error) as error:
                self._forget()
                raise _damaged(line.path, line.place) from error
        memory.execute("COMMIT")
        for path, (offset, lines) in ends.items():
            self._read[path], self._lines[path] = offset, lines
        self._number += len(new)
        return memory

    def _read_on(self, path: Path, new: list[_Line]) -> tuple[int, int]:
        """Read the lines that a log has gained; gives how far it is read now, in bytes and lines."""
        offset, lines = self._read.get(path, 0), self._lines.get(path, 0)
        if path.stat().st_size <= offset:
            return offset, lines
        with path.open("rb") as log:
            log.seek(offset)
            data = log.read()
        whole, newline, rest = data.rpartition(b"\n")
        if rest and path not in self._torn:
            self._torn.add(path)
            torn = lines + data.count(b"\n") + 1
            warnings.warn(
                f"{path} ends in the middle of line {torn}: its process died while it wrote. That line is left out; "
                "everything before it is there.",
                TornLineWarning,
                stacklevel=2,
            )
        for text in whole.split(b"\n") if newline else ():
            lines += 1
            line = _parsed(text, path, lines)
            if HEADER in line:
                check_version([(line[HEADER]["major"], line[HEADER]["minor"], "")], str(path))
            else:
                new.append(_Line(line["n"], line["changes"], path, lines))
        return offset + len(whole) + len(newline), lines

    def _append(self, changes: list[Change]) -> None:
        """Add one line to this opening's log, synced. A line that does not fit is taken back."""
        if self._log is None or self._pid != os.getpid():
            self._begin_log()
        line = {"n": self._number + 1, "at": now().isoformat(), "changes": changes}
        self._write(line)
        self._number += 1

    def _begin_log(self) -> None:
        self._pid, self._log = os.getpid(), self.folder / f"log-{new_id()}.jsonl"
        self._handle = os.open(self._log, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
        self._read[self._log] = self._lines[self._log] = 0
        self._write({HEADER: {"major": MAJOR, "minor": MINOR}, "writer": owner(), "at": now().isoformat()})

    def _write(self, line: Mapping[str, object]) -> None:
        assert self._log is not None
        data = (json.dumps(line, ensure_ascii=False, separators=(", ", ": ")) + "\n").encode()
        try:
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            os.fsync(self._handle)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._handle, self._read[self._log])
            self._end_log()  # should the rest of the line stay, then as the last one of its file
            raise
        self._read[self._log] += len(data)
        self._lines[self._log] += 1

    def _end_log(self) -> None:
        if self._log is not None and self._pid == os.getpid():
            os.close(self._handle)
        self._log = None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreFull(
                f"The logs in {str(self.folder)!r} cannot be written ({error.strerror}). Make room or name another "
                "store; what was stored is untouched."
            ) from error
        except sqlite3.Error as error:
            raise StoreError(f"{self.url} cannot be used: {error}.") from error


def _parsed(text: bytes, path: Path, number: int) -> dict[str, Any]:
    """One line of a log."""
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if isinstance(line, dict) and (HEADER in line or (isinstance(line.get("n"), int) and "changes" in line)):
        return line
    raise _damaged(path, number)


def _damaged(path: Path, number: int) -> StoreError:
    return StoreError(
        f"{str(path)!r} is damaged in line {number}. It was left as it is: mend that line, or bring the file back from "
        "a backup."
    )
