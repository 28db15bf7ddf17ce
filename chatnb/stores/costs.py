"""What sessions cost, without reading all their turns at each one: counted once, and on from there."""

from __future__ import annotations

from datetime import datetime

from chatnb.records import Session, Turn
from chatnb.stores import sessions, sql
from chatnb.stores.base import Tx

__all__ = ["Costs"]

_MOST = 1000
"""Sessions that are remembered."""


class Costs:
    """The costs of the sessions that this process uses; each holds for one state of its session alone.

    Whatever adds or removes turns changes the session's row, so another process's turn is seen.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], tuple[tuple[int, datetime], float, int]] = {}

    def of(self, tx: Tx, session: Session) -> tuple[float, int]:
        """What a session, as it was read in this transaction, cost in USD, and its turns of unknown price."""
        state, cost, unpriced = self._known.get(sessions.key(session), (None, 0.0, 0))
        if state != _state(session):
            ((total, unknown),) = tx.rows(sql.SESSION_COST, sessions.key(session))
            cost, unpriced = float(total or 0.0), int(unknown)  # type: ignore[arg-type, call-overload]
            self._remember(session, cost, unpriced)
        return cost, unpriced

    def follow(self, before: Session, after: Session, turn: Turn) -> None:
        """Go on with a session that has got one more turn. Should that not be committed, `after` is never seen."""
        state, cost, unpriced = self._known.get(sessions.key(before), (None, 0.0, 0))
        if state == _state(before):
            self._remember(after, cost + (turn.cost or 0.0), unpriced + (turn.cost is None))

    def _remember(self, session: Session, cost: float, unpriced: int) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[sessions.key(session)] = (_state(session), cost, unpriced)


def _state(session: Session) -> tuple[int, datetime]:
    return session.revision, session.updated_at
