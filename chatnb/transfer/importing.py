"""`import_`: sessions from a file or a folder, each in a transaction of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from chatnb.errors import BadInput
from chatnb.settings import default_user
from chatnb.stores.copying import Whole
from chatnb.stores.merging import merge
from chatnb.stores.store import Store
from chatnb.transfer.base import Problem, Reader, find_format, recognised
from chatnb.transfer.batches import holding
from chatnb.transfer.progress import watched

__all__ = ["Imported", "import_"]


@dataclass
class Imported:
    """What came of an import.

    `sessions` are new, `grown` had been there and got new turns, `known` had nothing new. `turns` and `messages` are
    what was added. `problems` tell what was left out, and why.
    """

    path: Path
    format: str
    sessions: int = 0
    grown: int = 0
    known: int = 0
    turns: int = 0
    messages: int = 0
    problems: list[Problem] = field(default_factory=list)

    def __str__(self) -> str:
        added = [_count(self.sessions, "new session")]
        if self.grown:
            added.append(f"{_count(self.grown, 'session')} that grew")
        said = f"Imported {' and '.join(added)} ({_count(self.turns, 'turn')}) from {self.path} ({self.format})."
        if self.known:
            said += f" {_count(self.known, 'session')} had nothing new."
        if self.problems:
            said += f" {_count(len(self.problems), 'conversation')} could not be imported:"
        return "\n  ".join([said, *map(str, self.problems)])


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def import_(
    store: Store,
    path: str | Path,
    format: str | None = None,  # noqa: A002
    *,
    user: str | None = None,
    project: str = "",
) -> Imported:
    """Store the conversations of a file.

    Importing a file twice adds nothing, and a session that grew since gets its new turns. Each session is stored in
    a transaction of its own, so an import that was killed can be run again. A conversation that cannot be read is
    told of and left out.

    Parameters
    ----------
    store
        Where they go.
    path
        A file, folder or ZIP archive: what `export` wrote as JSON Lines, Parquet or a notebook; a notebook with
        chats in its saved outputs; the logs database of `llm`; ChatGPT's or Claude's data export.
    format
        Its format; None finds it out.
    user
        Whose sessions they become. None keeps the users of chatnb's own files; other files' become yours.
    project
        The folder that sessions of other programs belong to from now on.

    Raises
    ------
    BadInput
        When there is no such file, or it has none of the formats; nothing is stored then.
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise BadInput(f"There is no file {str(source)!r}.")
    chosen = recognised(source) if format is None else find_format(format)
    if chosen.read is None:
        raise BadInput(f"The format {chosen.name!r} is only written; it cannot be imported.")
    reading = chosen.read(source, Reader(me=user or default_user(), user=user, project=project))
    done = Imported(source, chosen.name)
    for item in holding(store, watched(reading.items, "importing", total=reading.total)):
        _take(store, item, done)
    return done


def _take(store: Store, item: Whole | Problem, done: Imported) -> None:
    """Store one session, or note why it is left out."""
    if isinstance(item, Problem):
        done.problems.append(item)
        return
    try:
        added = merge(store, item)
    except BadInput as error:
        done.problems.append(Problem(f"session {item.session.label!r}", str(error)))
        return
    if added.new:
        done.sessions += 1
    elif added.anything:
        done.grown += 1
    else:
        done.known += 1
    done.turns += added.turns
    done.messages += added.messages
