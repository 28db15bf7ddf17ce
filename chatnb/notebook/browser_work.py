"""What the browser does to sessions in the store, to one or to many alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chatnb.errors import BadInput, SessionNotFound
from chatnb.records import Session
from chatnb.stores.store import Store

__all__ = ["Done", "cell_for", "delete", "fork", "key", "rename", "restore", "tag"]

_PLAIN = re.compile(r"[\w.@:+][\w .@:+-]*")
"""What a `%%chat` line passes on as it is: IPython fills in braces and dollars, the magic reads quotes and dashes."""


@dataclass(frozen=True)
class Done:
    """What came of it: the sessions as they are now, and how many are no longer in the store."""

    sessions: tuple[Session, ...]
    missing: int = 0

    def says(self, verb: str) -> str:
        """The outcome as a sentence."""
        one = len(self.sessions) == 1
        what = repr(self.sessions[0].label) if one else f"{len(self.sessions):,} sessions"
        gone = f" {self.missing:,} no longer in the store." if self.missing else ""
        return f"{verb} {what}.{gone}"


def key(session: Session) -> tuple[str, str, str]:
    """What names a session."""
    return session.user_id, session.collection, session.id


def _each(store: Store, sessions: Sequence[Session], work: Callable[[Session], Session]) -> Done:
    """Do it to every session; one that another process removed does not stop the rest."""
    done, missing = [], 0
    with store.hold():
        for session in sessions:
            try:
                done.append(work(session))
            except SessionNotFound:
                missing += 1
    if missing and not done:
        raise SessionNotFound(f"{missing:,} sessions are no longer in the store. Refresh shows what there is.")
    return Done(tuple(done), missing)


def delete(store: Store, sessions: Sequence[Session]) -> Done:
    """Delete softly those that are not deleted."""
    return _each(store, [session for session in sessions if session.is_active], store.delete_session)


def restore(store: Store, sessions: Sequence[Session]) -> Done:
    """Bring back those that are deleted."""
    return _each(store, [session for session in sessions if not session.is_active], store.restore_session)


def fork(store: Store, sessions: Sequence[Session], at: int | None = None) -> Done:
    """A new session for each, which shares its first `at` messages."""
    return _each(store, sessions, lambda one: store.fork_session(one, name=f"{one.label} (fork)", at=at))


def rename(store: Store, session: Session, name: str) -> Done:
    """Give a session another name.

    Raises
    ------
    BadInput
        When the name is empty.
    """
    if not name.strip():
        raise BadInput(f"A session needs a name; {session.label!r} keeps its own.")
    return _each(store, [session], lambda one: store.update_session(one, name=name.strip()))


def tag(store: Store, sessions: Sequence[Session], add: Sequence[str], remove: Sequence[str]) -> Done:
    """Add tags and take others away; what another process did to the tags meanwhile stays.

    Raises
    ------
    BadInput
        When no tag is named.
    """
    if not add and not remove:
        raise BadInput("Write the tags, with commas between them.")

    def work(one: Session) -> Session:
        fresh = store.find_session(one.id, user=one.user_id, collection=one.collection, active=one.is_active)
        tags = dict.fromkeys([*fresh.tags, *add])
        return store.update_session(fresh, tags=tuple(name for name in tags if name not in remove))

    return _each(store, sessions, work)


def cell_for(store: Store, session: Session, *, user: str | None, project: str, magic: str) -> str | None:
    """The line that goes on with a session: by its name where that means this session, else by its id.

    None where no line can: a deleted session, another user's, one of a LangChain table.
    """
    if not session.is_active or session.collection or session.user_id != user:
        return None
    name = session.name
    if name and _PLAIN.fullmatch(name) and _means(store, name, session, project):
        return f"%%{magic} {shlex.quote(name)}"
    return f"%%{magic} {shlex.quote(session.id)}" if _PLAIN.fullmatch(session.id) else None


def _means(store: Store, name: str, session: Session, project: str) -> bool:
    try:
        return store.find_session(name, user=session.user_id, project=project).id == session.id
    except SessionNotFound:
        return False
