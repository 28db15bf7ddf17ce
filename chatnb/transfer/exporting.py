"""`export`: sessions to a file or a folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chatnb.errors import BadInput
from chatnb.records import Session
from chatnb.stores import sessions as store_sessions
from chatnb.stores.copying import Whole, snapshot
from chatnb.stores.store import Store
from chatnb.transfer.base import Format, find_format, formats
from chatnb.transfer.batches import holding
from chatnb.transfer.current import history
from chatnb.transfer.progress import watched

__all__ = ["Exported", "export"]


@dataclass
class Exported:
    """What was written, and where."""

    path: Path
    format: str
    sessions: int = 0
    turns: int = 0

    def __str__(self) -> str:
        sessions = "1 session" if self.sessions == 1 else f"{self.sessions:,} sessions"
        turns = "1 turn" if self.turns == 1 else f"{self.turns:,} turns"
        return f"Wrote {sessions} ({turns}) to {self.path} as {self.format}."


def export(
    store: Store,
    sessions: Session | Iterable[Session],
    path: str | Path,
    format: str | None = None,  # noqa: A002
    *,
    overwrite: bool = False,
) -> Exported:
    """Write sessions to a file.

    Parameters
    ----------
    store
        Where they are.
    sessions
        One session, or several in the order in which they are to be written.
    path
        The file; for Parquet a folder.
    format
        'jsonl' and 'parquet' keep everything and can be imported again. 'markdown' and 'notebook' hold the current
        histories for people; a notebook can be imported again too. 'openai' is for fine-tuning. None goes by the
        path's suffix.
    overwrite
        Replace what is there.

    Raises
    ------
    BadInput
        When the format is unknown, or something is there already.
    """
    target = Path(path).expanduser()
    chosen = find_format(format) if format is not None else _by_suffix(target)
    if chosen.write is None:
        raise BadInput(f"The format {chosen.name!r} is only read. Export as {_writable()}.")
    if target.exists() and not overwrite:
        raise BadInput(f"{str(target)!r} is there already. Give another name, or say that it may be overwritten.")
    listed = _parents_first([sessions] if isinstance(sessions, Session) else list(sessions))
    if not listed:
        raise BadInput("There is no session to export.")
    done = Exported(target, chosen.name)

    def wholes() -> Iterator[Whole]:
        for session in holding(store, watched(listed, "exporting", total=len(listed))):
            whole = snapshot(store, session)
            done.sessions += 1
            done.turns += _turns(chosen, whole)
            yield whole

    try:
        _write(chosen, wholes(), target)
    except OSError as error:
        raise BadInput(f"{str(target)!r} cannot be written: {error.strerror or error}.") from error
    return done


def _turns(chosen: Format, whole: Whole) -> int:
    """How many turns of its own a session has in the file."""
    if chosen.keeps_all:
        return sum(turn.session_id == whole.session.id for turn in whole.turns)
    return len({message.turn_id for message in history(whole)})


def _write(chosen: Format, wholes: Iterable[Whole], target: Path) -> None:
    """Write beside the target first, so that a half-written file never has its name."""
    assert chosen.write is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        made = Path(folder) / target.name
        chosen.write(wholes, made)
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(made, target)


def _by_suffix(path: Path) -> Format:
    for one in formats().values():
        if one.write is not None and path.suffix.lower() in one.suffixes:
            return one
    named = f"ends in {path.suffix!r}" if path.suffix else "has no suffix"
    raise BadInput(f"{path.name!r} {named}, which tells no format. Name one of {_writable()}.")


def _writable() -> str:
    found = [one for one in formats().values() if one.write is not None]
    return ", ".join(f"{one.name} ({one.suffixes[0]})" if one.suffixes else one.name for one in found)


def _parents_first(listed: Iterable[Session]) -> list[Session]:
    """Sessions so that each comes after the one it was forked from; otherwise in the order given."""
    by_key = {store_sessions.key(session): session for session in listed}
    done: dict[tuple[str, str, str], Session] = {}
    for session in by_key.values():
        chain: dict[tuple[str, str, str], Session] = {}
        above: Session | None = session
        while above is not None and store_sessions.key(above) not in done.keys() | chain.keys():
            chain[store_sessions.key(above)] = above
            above = by_key.get((above.user_id, above.collection, above.forked_from or ""))
        done.update(reversed(chain.items()))
    return list(done.values())
