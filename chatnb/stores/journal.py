"""Turns in flight: what a turn has said so far, kept safe until it enters the tables.

A file journal is a folder beside the store with one JSON Lines file a process. Each record is synced before it counts.
The file is locked by its process, so a file whose lock is free belongs to a process that has died.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from chatnb.errors import StoreFull
from chatnb.records import File, Message, ToolCall, Turn, new_id
from chatnb.stores.rows import from_row, to_row
from chatnb.stores.schema import MESSAGES, TOOL_CALLS, TURNS

__all__ = ["FileJournal", "InFlight", "Journal", "decode_record", "encode_record", "owner"]

_TRIES = 100
"""How often a folder that others remove is made anew; each time takes another process that ends in that moment."""


def owner() -> str:
    """This process, as the journal and `turns.host` name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, kw_only=True)
class InFlight:
    """A turn that has not entered the tables: its newest state, and how to place it when it does.

    `rewind_seq` is where its branch begins when the turn takes back `rewind_turns`, else None. `ended` is true when
    only the store was missing.
    """

    turn: Turn
    files: tuple[File, ...] = ()
    rewind_seq: int | None = None
    rewind_turns: tuple[str, ...] = ()
    window_seq: int = 0
    ended: bool = False


class Journal(Protocol):
    """Where turns in flight wait."""

    def put(self, state: InFlight, new: Sequence[Message] = ()) -> None:
        """Write a turn's opening with its prompt, or the `new` messages it completed, and return when they are safe."""
        ...

    def end(self, state: InFlight) -> None:
        """Write that a turn has ended but could not enter the tables."""
        ...

    def drop(self, turn_id: str) -> None:
        """Forget a turn that has entered the tables."""
        ...

    def left(self, *, look: bool = False) -> list[InFlight]:
        """Turns of processes that have died, and ended turns of this one that the store could not take.

        `look` looks again also where looking has a price.
        """
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...


def encode_record(kind: str, state: InFlight, new: Sequence[Message] = ()) -> dict[str, object]:
    """One journal record as JSON values; column values are written as the tables take them.

    `open` and `end` hold the whole turn, `messages` those that it has completed meanwhile, with the files in them.
    """
    record: dict[str, object] = {"kind": kind, "turn_id": state.turn.id}
    if kind in ("open", "end"):
        record["turn"] = [_plain(value) for value in to_row(TURNS, state.turn)]
        record["calls"] = [[_plain(value) for value in to_row(TOOL_CALLS, call)] for call in state.turn.calls]
        record["rewind_seq"] = state.rewind_seq
        record["rewind_turns"] = list(state.rewind_turns)
        record["window_seq"] = state.window_seq
    record["messages"] = [
        [_plain(value) for value in to_row(MESSAGES, message)] for message in new or state.turn.messages
    ]
    record["files"] = [[file.sha256, file.media_type, file.data.hex()] for file in state.files]
    return record


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value


def decode_record(state: InFlight | None, record: dict[str, object]) -> InFlight | None:
    """The state after one more record; None when the record belongs to no known turn."""
    messages = tuple(from_row(Message, MESSAGES, row) for row in record["messages"])  # type: ignore[attr-defined]
    files = tuple(
        File(sha256=sha, media_type=kind, data=bytes.fromhex(data))
        for sha, kind, data in record["files"]  # type: ignore[attr-defined]
    )
    if record["kind"] in ("open", "end"):
        calls = tuple(from_row(ToolCall, TOOL_CALLS, row) for row in record["calls"])  # type: ignore[attr-defined]
        return InFlight(
            turn=from_row(Turn, TURNS, record["turn"], calls=calls, messages=messages),  # type: ignore[arg-type]
            files=files,
            rewind_seq=record["rewind_seq"],  # type: ignore[arg-type]
            rewind_turns=tuple(record["rewind_turns"]),  # type: ignore[arg-type]
            window_seq=record["window_seq"],  # type: ignore[arg-type]
            ended=record["kind"] == "end",
        )
    if state is None:
        return None
    before = [one for one in state.turn.messages if one.position < messages[0].position]
    turn = replace(state.turn, messages=(*before, *messages))
    return replace(state, turn=turn, files=(*state.files, *files))


class FileJournal:
    """Turns in flight as JSON Lines in a folder beside the store.

    Parameters
    ----------
    folder
        The folder; it is made when the first turn opens.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread_lock = threading.RLock()
        self._path: Path | None = None
        self._handle = -1
        self._size = 0
        self._lock: FileLock | None = None
        self._pid = 0
        self._open: set[str] = set()
        self._stuck: dict[str, InFlight] = {}
        self._adopted: dict[Path, tuple[FileLock, set[str]]] = {}

    def put(self, state: InFlight, new: Sequence[Message] = ()) -> None:
        """Write a turn's opening, or messages that it completed; synced when it returns."""
        kind = "messages" if new else "open"
        with self._thread_lock:
            self._open.add(state.turn.id)
            self._append(encode_record(kind, state, new))

    def end(self, state: InFlight) -> None:
        """Write that the turn has ended; the next to open the store will take it in."""
        with self._thread_lock:
            self._open.add(state.turn.id)
            self._stuck[state.turn.id] = replace(state, ended=True)
            self._append(encode_record("end", state))

    def drop(self, turn_id: str) -> None:
        """Forget a turn; a file goes when nothing in it is in flight any more."""
        with self._thread_lock:
            self._stuck.pop(turn_id, None)
            for path, (lock, turns) in list(self._adopted.items()):
                turns.discard(turn_id)
                if not turns:
                    del self._adopted[path]
                    _remove(path, lock)
            if turn_id not in self._open:
                return
            self._open.discard(turn_id)
            if self._open:
                self._append({"kind": "drop", "turn_id": turn_id})
            else:
                self._cut(0)

    def left(self, *, look: bool = False) -> list[InFlight]:
        """Turns of dead processes, and those of this one that the store could not take."""
        with self._thread_lock:
            found = list(self._stuck.values())
            if self._folder.is_dir():
                for path in sorted(self._folder.glob("*.jsonl")):
                    if path != self._path or self._pid != os.getpid():
                        found.extend(self._adopt(path))
            return found

    def close(self) -> None:
        """Remove this process's file, unless turns still wait in it."""
        with self._thread_lock:
            for lock, _ in self._adopted.values():
                lock.release()
            self._adopted.clear()
            if self._path is None or self._lock is None or self._pid != os.getpid():
                return
            os.close(self._handle)
            if self._open or self._stuck:
                self._lock.release()
            else:
                _remove(self._path, self._lock)
            self._path = None
            with suppress(OSError):  # other processes' files are in it
                self._folder.rmdir()

    def _adopt(self, path: Path) -> list[InFlight]:
        """The turns of a file whose process is gone; its lock is kept until they have entered the tables."""
        if path in self._adopted:
            return []
        lock = FileLock(path.with_suffix(".lock"), is_singleton=False, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # it lives, or the folder has gone meanwhile
            return []
        states = _replay(path) if path.exists() else []
        if states:
            self._adopted[path] = (lock, {state.turn.id for state in states})
        else:
            _remove(path, lock)
        return states

    def _append(self, record: dict[str, object]) -> None:
        data = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        try:
            if self._path is None or self._pid != os.getpid():
                self._begin()
            written = 0
            while written < len(data):
                written += os.write(self._handle, data[written:])
            os.fsync(self._handle)
            self._size += len(data)
        except OSError as error:
            self._cut(self._size)
            raise StoreFull(
                f"The journal in {str(self._folder)!r} cannot be written ({error.strerror}). "
                "Make room or name another store; what was stored before is untouched."
            ) from error

    def _begin(self) -> None:
        """Make and lock this process's file. The last to leave removes the folder, perhaps just now: then once more."""
        path = self._folder / f"{new_id()}.jsonl"
        lock = FileLock(path.with_suffix(".lock"), is_singleton=False, thread_local=False)
        for left in reversed(range(_TRIES)):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
                break
            except FileNotFoundError:
                if not left:
                    raise
        self._handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._lock, self._path, self._pid, self._size = lock, path, os.getpid(), 0

    def _cut(self, size: int) -> None:
        """Shorten the file: to nothing when nothing is in flight, or to its last whole record."""
        if self._path is not None:
            with suppress(OSError):  # a torn end is skipped by the reader; the next append starts a new line
                os.ftruncate(self._handle, size)
            self._size = size


def _remove(path: Path, lock: FileLock) -> None:
    path.unlink(missing_ok=True)
    lock.release()
    with suppress(OSError):
        Path(lock.lock_file).unlink()


def _replay(path: Path) -> list[InFlight]:
    """The turns that a journal file still holds. A torn last line is what a crash leaves: it was never acknowledged."""
    states: dict[str, InFlight] = {}
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        turn_id = record["turn_id"]
        if record["kind"] == "drop":
            states.pop(turn_id, None)
            continue
        state = decode_record(states.get(turn_id), record)
        if state is not None:
            states[turn_id] = state
    return list(states.values())
