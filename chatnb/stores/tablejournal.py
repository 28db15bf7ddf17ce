"""Turns in flight as rows of the store itself, on databases that other processes can read at once."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from chatnb.errors import StoreError
from chatnb.records import Message, now
from chatnb.stores.base import Tx
from chatnb.stores.journal import FileJournal, InFlight, decode_record, encode_record, owner
from chatnb.stores.rows import to_row
from chatnb.stores.schema import IN_FLIGHT, TURNS

__all__ = ["TableJournal"]

_NEWEST = "SELECT turn_id, max(position), max(owner), max(written_at) FROM in_flight GROUP BY turn_id"
_RECORDS = "SELECT record FROM in_flight WHERE turn_id = ? ORDER BY position"
_WRITTEN = "SELECT 1 FROM in_flight WHERE turn_id = ? AND position = ?"

ABANDONED_AFTER = timedelta(hours=6)
"""A turn of another host that has written nothing for so long is taken to have died."""


class TableJournal:
    """Turns in flight in the table `in_flight`; their rows in `turns` say `running` meanwhile.

    Parameters
    ----------
    run
        The backend's `run`.
    folder
        Where a turn that the store could not take waits in a file, in case its process ends before the store is back;
        None keeps it in memory alone.
    """

    def __init__(self, run: Callable[..., Any], folder: Path | None) -> None:
        self._run = run
        self._files = FileJournal(folder) if folder else None
        self._positions: dict[str, int] = {}
        self._stuck: dict[str, InFlight] = {}
        self._checked = False

    def put(self, state: InFlight, new: Sequence[Message] = ()) -> None:
        """Write a turn's opening, or messages that it completed."""
        record = json.dumps(encode_record("messages" if new else "open", state, new), ensure_ascii=False)
        position = self._positions.get(state.turn.id, 0)

        def work(tx: Tx) -> None:
            if tx.again and tx.rows(_WRITTEN, (state.turn.id, position)):
                return  # an earlier try was committed after all
            tx.add(IN_FLIGHT, [(state.turn.id, position, record, owner(), now())])
            if not new:
                tx.add(TURNS, [to_row(TURNS, state.turn)])

        self._run(work)
        self._positions[state.turn.id] = position + 1

    def end(self, state: InFlight) -> None:
        """Keep a turn that the store could not take until it can."""
        self._stuck[state.turn.id] = replace(state, ended=True)
        if self._files is not None:
            with suppress(StoreError):  # it is in memory, and there is nothing more to be done
                self._files.end(state)

    def drop(self, turn_id: str) -> None:
        """Forget a turn; its rows went in the transaction that placed it."""
        self._stuck.pop(turn_id, None)
        self._positions.pop(turn_id, None)
        if self._files is not None:
            self._files.drop(turn_id)

    def left(self, *, look: bool = False) -> list[InFlight]:
        """Turns of processes that have died; looked for once a process, and whenever `doctor` asks."""
        found = list(self._stuck.values())
        if self._checked and not look:
            return found
        self._checked = True
        if self._files is not None:
            found += [state for state in self._files.left() if state.turn.id not in self._stuck]
        known = {*self._positions, *(state.turn.id for state in found)}
        for turn_id, _, who, written in self._run(lambda tx: tx.rows(_NEWEST), write=False):
            if turn_id not in known and _died(str(who), written):
                state: InFlight | None = None
                for (record,) in self._run(lambda tx, wanted=turn_id: tx.rows(_RECORDS, (wanted,)), write=False):
                    state = decode_record(state, json.loads(record))
                if state is not None:
                    found.append(state)
        return found

    def close(self) -> None:
        """Let go of the file; turns that still wait stay in it."""
        self._checked = False
        if self._files is not None:
            self._files.close()


def _died(who: str, written: object) -> bool:
    """Whether the process that wrote a record is gone."""
    host, _, pid = who.rpartition(":")
    if host == socket.gethostname():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # it lives and belongs to somebody else
            return False
    moment = datetime.fromisoformat(written) if isinstance(written, str) else written
    return isinstance(moment, datetime) and now() - moment > ABANDONED_AFTER
