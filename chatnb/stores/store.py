"""Store: what the rest of chatnb (and a program) asks of a store, the same on every backend."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from chatnb.errors import BadInput, SessionNotFound, StoreError
from chatnb.records import Branch, Message, Session, Turn, new_id, now
from chatnb.stores import branches, sessions, sql, turns
from chatnb.stores.base import Backend, Tx
from chatnb.stores.branches import Line
from chatnb.stores.costs import Costs
from chatnb.stores.filelock import Notice
from chatnb.stores.journal import InFlight
from chatnb.stores.opened import Opened, Reading
from chatnb.stores.purge import purge
from chatnb.stores.rows import from_row
from chatnb.stores.schema import FILES, SESSIONS, TURNS
from chatnb.stores.sessions import SessionFilter

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Store"]

T = TypeVar("T")

_ALL = 2**62
"""A limit that limits nothing."""


class Store:
    """Sessions, turns and messages in one place. Open one with `chatnb.open_store`.

    Safe to use from several threads and several processes, and inside a running event loop.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._recovering = threading.Lock()
        self._costs = Costs()

    def __repr__(self) -> str:
        return f"<Store {self.url}>"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The store's address, without a password."""
        return self._backend.url

    @property
    def notice(self) -> Notice | None:
        """Is told when there is a process to wait for."""
        return self._backend.notice

    @notice.setter
    def notice(self, told: Notice | None) -> None:
        self._backend.notice = told

    def close(self) -> None:
        """Let go of connections and locks. Using the store again opens it again."""
        self._backend.close()

    @contextmanager
    def hold(self) -> Iterator[Store]:
        """Keep the store open for a batch of work; on DuckDB other processes wait meanwhile."""
        with self._backend.hold():
            yield self

    # -- sessions ----------------------------------------------------------------------------------------------------

    def create_session(self, session: Session) -> Session:
        """Store a new session.

        Raises
        ------
        BadInput
            When the user has a session of this id in this collection.
        """
        return self.transact(lambda tx: sessions.create(tx, session))

    def find_session(
        self, ref: str, *, user: str, project: str = "", collection: str = "", active: bool = True
    ) -> Session:
        """The session that `ref` means: one with this id, else the most recently used with this name.

        Parameters
        ----------
        ref
            An id or a name.
        user, project, collection
            Whose; names belong to a user, a project and a collection, ids to a user and a collection.
        active
            False looks among deleted sessions.

        Raises
        ------
        SessionNotFound
            When there is none; the message names the nearest.
        """
        return self.transact(
            lambda tx: sessions.find(tx, ref, user=user, project=project, collection=collection, active=active),
            write=False,
        )

    def list_sessions(
        self, where: SessionFilter, *, order: str = "recent", limit: int = 100, offset: int = 0
    ) -> tuple[list[Session], int]:
        """One page of the sessions that a filter names, and how many there are in all.

        Parameters
        ----------
        where
            Which sessions.
        order
            'recent' (the default), 'created', 'name' or 'messages'.
        limit, offset
            The page, in sessions.
        """
        return self.transact(
            lambda tx: sessions.listing(tx, where, order=order, limit=limit, offset=offset), write=False
        )

    def update_session(self, session: Session, **values: object) -> Session:
        """Set fields of a session (name, model, tags, …); its revision goes up by one."""

        def work(tx: Tx) -> Session:
            return sessions.change(tx, self._locked(tx, session), values)

        return self.transact(work)

    def delete_session(self, session: Session) -> Session:
        """Delete a session softly: it is hidden and can be restored."""
        return self.update_session(session, is_active=False)

    def restore_session(self, session: Session) -> Session:
        """Bring a softly deleted session back."""
        return self.update_session(session, is_active=True)

    def purge_session(self, session: Session) -> None:
        """Remove a session for good, with every row that no other session's history reaches."""

        def work(tx: Tx) -> None:
            if not tx.again or sessions.by_id(tx, *sessions.key(session)) is not None:
                purge(tx, self._locked(tx, session))

        self.transact(work)

    def purge(self, where: SessionFilter, *, dry_run: bool = False) -> list[Session]:
        """Remove every session that a filter names for good, each in its own transaction.

        Parameters
        ----------
        where
            Which sessions: `until` for those not used since, `expired_at` for those whose time is over.
        dry_run
            Only tell which they are.
        """
        found = self.transact(lambda tx: sessions.listing(tx, where, order="created", limit=_ALL)[0], write=False)
        if not dry_run:
            for session in found:
                with suppress(SessionNotFound):  # another process was quicker
                    self.purge_session(session)
        return found

    def first_questions(self, listed: Sequence[Session]) -> dict[str, str]:
        """The first message of each session, by the session's id; sessions without one are left out."""

        def work(tx: Tx) -> dict[str, str]:
            wanted = {sessions.key(session) for session in listed}
            ids = tuple(session.id for session in listed)
            rows = sql.each_batch(tx, sql.FIRST_BRANCHES, ids)
            owners = {str(row[3]): str(row[2]) for row in rows if row[:3] in wanted}
            firsts = sql.each_batch(tx, sql.FIRST_QUESTIONS, tuple(owners))
            return {owners[str(branch)]: str(content) for branch, content in firsts}

        return self.transact(work, write=False) if listed else {}

    def session_cost(self, session: Session) -> tuple[float, int]:
        """What the session's turns cost in all, in USD, and how many turns have no known price."""

        return self.transact(lambda tx: self._costs.of(tx, self._fresh(tx, session)), write=False)

    def notebook_session(self, *, user: str, notebook: str) -> Session | None:
        """The session that this notebook's newest turn went to."""

        def work(tx: Tx) -> Session | None:
            rows = tx.rows(sql.NOTEBOOK_SESSION, (user, notebook))
            return sessions.by_id(tx, user, "", str(rows[0][0])) if rows else None

        return self.transact(work, write=False)

    # -- turns -------------------------------------------------------------------------------------------------------

    def open_session(
        self,
        ref: str | Session,
        first: Callable[[Session, Branch], int],
        *,
        make: Callable[[], Session] | None = None,
        user: str = "",
        project: str = "",
        cell: tuple[str, str] | None = None,
    ) -> Opened:
        """Everything a turn must know of its session, in one transaction.

        Parameters
        ----------
        ref
            A session, or the id or name of one.
        first
            Tells from which `seq` on the history is to be read.
        make
            Gives the session to store when there is none; None makes a missing session an error.
        user, project
            Whose sessions a name is looked for in.
        cell
            The notebook's path and the cell's id, to find the cell's own turn.

        Raises
        ------
        SessionNotFound
            When there is none and `make` is None.
        """

        reading = Reading(ref=ref, first=first, costs=self._costs, user=user, project=project, cell=cell)
        opened = self.transact(lambda tx: reading.existing(tx, must=make is None), write=False)
        if opened is not None or make is None:
            assert opened is not None
            return opened
        session = make()
        return self.transact(lambda tx: reading.made(tx, session), serial=True)

    def open_turn(self, state: InFlight) -> None:
        """Make a turn's opening safe before its request is sent."""
        self._backend.journal.put(state)

    def add_messages(self, state: InFlight, new: Sequence[Message]) -> None:
        """Make messages that a turn completed safe while it goes on."""
        self._backend.journal.put(state, new)

    def close_turn(self, state: InFlight) -> Turn:
        """Store a turn that has ended, with its messages at the end of its session's history.

        Raises
        ------
        StoreError
            When the store cannot take it. The turn then waits in the journal and enters the store when it is next
            opened.
        """
        try:
            turn = self.transact(lambda tx: turns.place(tx, state, self._costs))
        except StoreError:
            self._backend.journal.end(state)
            raise
        self._backend.journal.drop(state.turn.id)
        return turn

    def turn(self, turn_id: str) -> Turn:
        """The turn of this id with its messages and tool calls.

        Raises
        ------
        BadInput
            When there is none.
        """

        def work(tx: Tx) -> Turn:
            rows = tx.rows(sql.TURN_BY_ID, (turn_id,))
            if not rows:
                raise BadInput(f"There is no turn {turn_id!r} in {self.url}.")
            return turns.whole(tx, from_row(Turn, TURNS, rows[0]))

        return self.transact(work, write=False)

    # -- histories ---------------------------------------------------------------------------------------------------

    def messages(self, session: Session, *, offset: int = 0, limit: int | None = None) -> list[Message]:
        """The session's current history, oldest first.

        Parameters
        ----------
        offset, limit
            The page, in messages; `limit` None reads to the end.
        """
        if offset < 0 or (limit is not None and limit < 0):
            raise BadInput(f"limit and offset count messages from 0; {min(offset, limit or 0)} is negative.")

        def work(tx: Tx) -> list[Message]:
            fresh = self._fresh(tx, session)
            branch = branches.by_id(tx, fresh.branch_id)
            return branches.read(tx, fresh, branch, offset + 1, None if limit is None else offset + limit)

        return self.transact(work, write=False)

    def history_turns(self, session: Session) -> list[Turn]:
        """The turns of the session's current history, oldest first, without their messages."""

        def work(tx: Tx) -> list[Turn]:
            fresh = self._fresh(tx, session)
            branch = branches.by_id(tx, fresh.branch_id)
            return turns.by_ids(tx, tuple(branches.turn_places(tx, fresh, branch)))

        return self.transact(work, write=False)

    def newest_turn(self, session: Session) -> Turn | None:
        """The newest turn of the session's current history, without its messages."""

        def work(tx: Tx) -> Turn | None:
            fresh = self._fresh(tx, session)
            branch = branches.by_id(tx, fresh.branch_id)
            newest = branches.read(tx, fresh, branch, max(branch.last_seq, 1))
            found = turns.by_ids(tx, [message.turn_id for message in newest])
            return found[0] if found else None

        return self.transact(work, write=False)

    def files(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """The content of files by their SHA-256; hashes that are not stored are left out."""
        wanted = tuple(dict.fromkeys(hashes))
        if not wanted:
            return {}

        def work(tx: Tx) -> dict[str, bytes]:
            rows = sql.each_batch(tx, sql.FILES_OF_HASHES, wanted)
            names = FILES.names
            return {str(row[names.index("sha256")]): bytes(row[names.index("data")]) for row in rows}  # type: ignore[call-overload]

        return self.transact(work, write=False)

    def lines(self, session: Session) -> list[Line]:
        """Every way the session went, oldest first."""
        return self.transact(lambda tx: branches.lines(tx, self._fresh(tx, session)), write=False)

    def rewind(self, session: Session, seq: int) -> Session:
        """Go back to where `seq` was the newest message; what comes after it stays as a branch."""
        return self.transact(lambda tx: branches.rewind(tx, self._locked(tx, session), seq)[0])

    def switch(self, session: Session, branch_id: str) -> Session:
        """Go back to a branch that the session left."""
        return self.transact(lambda tx: branches.switch(tx, self._locked(tx, session), branch_id))

    def fork_session(self, source: Session, *, name: str | None = None, at: int | None = None) -> Session:
        """A new session that shares the first `at` messages of `source` (all of them when None). Nothing is copied."""

        session_id, branch_id = new_id(), new_id()

        def work(tx: Tx) -> Session:
            fresh = self._locked(tx, source)
            moment = now()
            new = replace(
                fresh,
                id=session_id,
                name=name,
                branch_id=branch_id,
                revision=0,
                created_at=moment,
                updated_at=moment,
                last_message_at=fresh.last_message_at and moment,
                is_active=True,
            )
            return branches.fork(tx, fresh, new, at)

        return self.transact(work)

    # -- analytics and upkeep ----------------------------------------------------------------------------------------

    def query(self, text: str, params: Mapping[str, object] | Sequence[object] = ()) -> pyarrow.Table:
        """The result of one DuckDB SELECT over the public tables and views.

        Parameters
        ----------
        text
            One SELECT in DuckDB's SQL; `$name` or `?` stand for values.
        params
            The values, by name or in order.

        Raises
        ------
        BadInput
            When it is not one SELECT, or names something that is not public.
        """
        self.recover()
        return self._backend.query(text, params)

    def transact(self, work: Callable[[Tx], T], *, write: bool = True, serial: bool = False) -> T:
        """Work on the tables in one transaction, for what chatnb builds on a store.

        Parameters
        ----------
        work
            Is given the transaction. It may be called more than once, and must do everything through it.
        write
            False reads only.
        serial
            What the work does not find is not there when it commits either: others who make the same are tried again.
        """
        try:
            self.recover()
        except StoreError:
            if write:
                raise  # what waits comes first; a read can go on without it
        return self._backend.run(work, write=write, serial=serial)

    def facts(self) -> dict[str, object]:
        """What is known of the store: its place, size, version and holder."""
        return self._backend.facts()

    def recover(self, *, look: bool = False) -> list[Turn]:
        """Take in the turns that dead processes left, as interrupted, and those that waited for the store.

        Parameters
        ----------
        look
            Look again also where looking has a price; otherwise a process looks there once.
        """
        with self._recovering:
            left = self._backend.journal.left(look=look)
            return [self._take_in(state) for state in left]

    def _take_in(self, state: InFlight) -> Turn:
        turn = state.turn
        if not state.ended:
            turn = replace(
                turn, status="interrupted", error=f"The process that asked ({turn.host}) ended before the answer did."
            )
        placed = self._backend.run(lambda tx: turns.place(tx, replace(state, turn=turn, ended=True)))
        self._backend.journal.drop(turn.id)
        return placed

    def _locked(self, tx: Tx, session: Session) -> Session:
        """As `_fresh`, and nobody else changes it until the transaction ends."""
        tx.lock(SESSIONS, sessions.key(session))
        return self._fresh(tx, session)

    def _fresh(self, tx: Tx, session: Session) -> Session:
        found = sessions.by_id(tx, session.user_id, session.collection, session.id)
        if found is None:
            return sessions.find(tx, session.id, user=session.user_id, project="", collection=session.collection)
        return found
