"""What a turn reads of its session before it asks the model, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from chatnb.records import Branch, Message, Session
from chatnb.stores import branches, sessions, turns
from chatnb.stores.base import Tx
from chatnb.stores.costs import Costs
from chatnb.stores.turns import CellPlace

__all__ = ["Opened", "Reading"]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a turn needs to know of its session before it asks the model.

    `messages` are the current history from `first_read` on, `cell` where the cell's own turn stands, `cost` what the
    session has cost (USD) beside its `unpriced` turns. `created` is true when the session was made just now.
    """

    session: Session
    branch: Branch
    first_read: int
    messages: tuple[Message, ...]
    cell: CellPlace | None = None
    cost: float = 0.0
    unpriced: int = 0
    created: bool = False


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is to be read; the fields are the parameters of `Store.open_session`."""

    ref: str | Session
    first: Callable[[Session, Branch], int]
    costs: Costs
    user: str
    project: str
    cell: tuple[str, str] | None

    def existing(self, tx: Tx, *, must: bool) -> Opened | None:
        """The session, if it is there.

        Raises
        ------
        SessionNotFound
            When it `must` be there and is not.
        """
        session = self._session(tx)
        if session is None and must:
            name = self.ref.id if isinstance(self.ref, Session) else self.ref
            session = sessions.find(tx, name, user=self.user, project=self.project)
        return None if session is None else self._opened(tx, session)

    def made(self, tx: Tx, session: Session) -> Opened:
        """The session after it was made, unless another process has made it meanwhile."""
        existing = self.existing(tx, must=False)
        if existing is not None:
            return existing
        sessions.create(tx, session)
        return replace(self._opened(tx, session), created=True)

    def _session(self, tx: Tx) -> Session | None:
        if isinstance(self.ref, Session):
            return sessions.by_id(tx, self.ref.user_id, self.ref.collection, self.ref.id)
        return sessions.resolve(tx, self.ref, user=self.user, project=self.project)

    def _opened(self, tx: Tx, session: Session) -> Opened:
        branch = branches.by_id(tx, session.branch_id)
        start = self.first(session, branch)
        cost, unpriced = self.costs.of(tx, session)
        return Opened(
            session=session,
            branch=branch,
            first_read=start,
            messages=tuple(branches.read(tx, session, branch, start)),
            cell=turns.cell_place(tx, session, *self.cell) if self.cell else None,
            cost=cost,
            unpriced=unpriced,
        )
