"""Chat: a session in Python. `send`, `stream` and `asend` ask one turn; the rest moves in the history."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread
from pydantic_ai.exceptions import UsageLimitExceeded

from chatnb.agents.events import TextDelta
from chatnb.drive import awake, drive
from chatnb.errors import BadInput, ChatnbError, ModelError, TurnInterrupted
from chatnb.prepare import Ask, Prepared, prepare
from chatnb.records import Message, Session, Turn
from chatnb.rerun import Cell, Rerun
from chatnb.settings import default_model, default_project, default_user, running_notebook
from chatnb.stores.branches import Line
from chatnb.stores.opening import shared_store
from chatnb.stores.store import Store
from chatnb.turn import Closed, TurnEvent, TurnRun

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["Chat", "failure", "raise_for"]


class Chat:
    """A conversation that is stored as it goes.

    Parameters
    ----------
    session
        The id or name of a session (a new one is made at the first turn when there is none), or a `Session`.
    model
        A PydanticAI model name such as 'openai:gpt-5', a PydanticAI model, or 'demo'. None takes the session's, then
        `CHATNB_MODEL`.
    agent
        A PydanticAI `Agent` that answers in place of the bare model.
    deps
        The agent's dependencies.
    system_prompt
        Sent first in every turn; a new session keeps it.
    max_history_messages
        The newest user and assistant texts that a turn sends at most; None means the session's limit.
    settings
        PydanticAI model settings, such as `{"temperature": 0}`.
    store
        A store or its address; None is the default store.
    user, project
        Whose session it is, and the folder it belongs to: None is the running notebook's project, '' outside one.

    Examples
    --------
    >>> chat = Chat("eda", model="demo", store="memory:")
    >>> chat.send("My name is Alice.").status
    'ok'
    >>> "Alice" in chat.send("What is my name?").answer
    True
    """

    def __init__(
        self,
        session: str | Session,
        *,
        model: object = None,
        agent: object = None,
        deps: object = None,
        system_prompt: str | None = None,
        max_history_messages: int | None = None,
        settings: Mapping[str, object] | None = None,
        store: Store | str | Path | None = None,
        user: str | None = None,
        project: str | None = None,
    ) -> None:
        if isinstance(session, str) and not session.strip():
            raise BadInput("A session needs a name. Give one, as in Chat('eda').")
        self.store = store if isinstance(store, Store) else shared_store(store)
        self._session: str | Session = session
        owner = session.user_id if isinstance(session, Session) else (user or default_user())
        notebook = running_notebook()
        if isinstance(session, Session):
            project = session.project
        self._ask = Ask(
            prompt="",
            session=session,
            user=owner,
            project=default_project(notebook) if project is None else project,
            model=model,
            fallback_model=default_model(),
            agent=agent,
            agent_name=getattr(agent, "name", None),
            deps=deps,
            system_prompt=system_prompt,
            max_messages=max_history_messages,
            settings=dict(settings or {}),
            cell=Cell(notebook=notebook),
        )

    def __repr__(self) -> str:
        name = self._session.label if isinstance(self._session, Session) else self._session
        return f"<Chat {name!r} in {self.store.url}>"

    @property
    def session(self) -> Session:
        """The session as it is stored now.

        Raises
        ------
        SessionNotFound
            Before the first turn of a new session.
        """
        ref = self._session.id if isinstance(self._session, Session) else self._session
        return self.store.find_session(ref, user=self._ask.user, project=self._ask.project)

    def send(self, text: str) -> Turn:
        """Ask one turn and return it when it is stored.

        Raises
        ------
        ModelError
            When the model failed; the turn is stored with status 'error' and can be found in the history.
        TurnInterrupted
            When it was stopped before its end.
        """
        return self._through(self._asked(text))

    def stream(self, text: str) -> Iterator[str]:
        """Ask one turn and give the answer's text piece by piece. Closing the iterator stops the turn."""
        with closing(self._events(self._asked(text))) as events:
            for event in events:
                if isinstance(event, TextDelta):
                    yield event.text
                elif isinstance(event, Closed):
                    self._finish(event)

    async def asend(self, text: str) -> Turn:
        """As `send`, on the running event loop."""
        last: TurnEvent | None = None
        async for event in self.aevents(text):
            last = event
        return self._finish(last)

    async def aevents(self, text: str, *, executor: Executor | None = None) -> AsyncGenerator[TurnEvent]:
        """Ask one turn on the running event loop and give everything that happens."""
        async with awake(), aclosing(TurnRun(self.store, self._asked(text), executor=executor).events()) as events:
            async for event in events:
                yield event

    def prepare(self, text: str) -> Prepared:
        """What a turn would send, without sending it."""
        return prepare(self.store, self._asked(text))

    def history(self) -> list[ModelMessage]:
        """The current history as PydanticAI messages, oldest first."""
        from chatnb.formats.pydantic_ai import file_hashes, from_record

        records = self.messages()
        files = self.store.files([sha for record in records for sha in file_hashes(record)])
        return [from_record(record, files) for record in records]

    def messages(self) -> list[Message]:
        """The current history as stored, oldest first."""
        return self.store.messages(self.session)

    def turns(self) -> list[Turn]:
        """The turns of the current history, oldest first, without their messages."""
        return self.store.history_turns(self.session)

    def fork(self, name: str | None = None, *, at: int | None = None) -> Chat:
        """A new session that shares this one's first `at` messages (all of them when None)."""
        forked = self.store.fork_session(self.session, name=name, at=at)
        return self._on(forked)

    def undo(self, turns: int = 1) -> list[Turn]:
        """Go back before the newest turns; they stay as a branch. Returns what was left.

        Raises
        ------
        BadInput
            When the history holds fewer turns.
        """
        session = self.session
        history = self.store.history_turns(session)
        if not 1 <= turns <= len(history):
            raise BadInput(f"{session.label!r} has {len(history)} turns; {turns} cannot be taken back.")
        left = history[-turns:]
        self.store.rewind(session, self._first_seq(left[0]) - 1)
        return left

    def retry(self, *, model: object = None) -> Turn:
        """Ask the newest turn's prompt again, of another model if one is given; the turn stays as a branch."""
        ask = self.retrying()
        return self._through(replace(ask, model=model or ask.model))

    def retrying(self) -> Ask:
        """What `retry` asks."""
        newest = self._newest()
        rewind = Rerun(rewind_seq=self._first_seq(newest) - 1, turns=(newest,))
        asked_by = Cell(notebook=newest.notebook, cell_id=newest.cell_id, source=newest.cell_source)
        return replace(
            self._ask,
            session=self.session,
            prompt=newest.prompt or None,
            rewind=rewind,
            must_exist=True,
            cell=asked_by,  # running that cell again replaces this turn, as it would have replaced the other
        )

    def going_on(self) -> Ask:
        """What continues an interrupted turn: nothing new is asked where its last request waits for an answer."""
        newest = self._newest()
        if newest.status == "ok":
            raise BadInput(f"The newest turn of {self.session.label!r} has ended. Ask the next question instead.")
        last = self.store.turn(newest.id).messages[-1:]
        if not last or (len(self.store.turn(newest.id).messages) == 1 and last[0].role == "user"):
            return self.retrying()
        prompt = None if last[0].role == "tool" else "Continue."
        asked_by = Cell(notebook=newest.notebook)
        return replace(self._ask, session=self.session, prompt=prompt, must_exist=True, rewind=Rerun(), cell=asked_by)

    def resume(self) -> Turn:
        """Go on with a turn that was interrupted."""
        return self._through(self.going_on())

    def branches(self) -> list[Line]:
        """Every way the session went, oldest first; one of them is current."""
        return self.store.lines(self.session)

    def switch(self, branch_id: str) -> Chat:
        """Go back to a branch that the session left."""
        self.store.switch(self.session, branch_id)
        return self

    async def aprepare(self, text: str) -> Prepared:
        """As `prepare`, on the running event loop."""
        return await to_thread.run_sync(self.prepare, text)

    def _on(self, session: Session) -> Chat:
        chat = Chat(session, store=self.store)
        chat._ask = replace(self._ask, session=session, user=session.user_id, project=session.project)
        return chat

    def _asked(self, text: str) -> Ask:
        return replace(self._ask, prompt=text, session=self._session)

    def _events(self, ask: Ask) -> Generator[TurnEvent]:
        return drive(lambda executor: TurnRun(self.store, ask, executor=executor))

    def _through(self, ask: Ask) -> Turn:
        """Ask one turn, to its end."""
        with closing(self._events(ask)) as events:
            return self._finish(deque(events, maxlen=1).pop())

    def _finish(self, last: TurnEvent | None) -> Turn:
        assert isinstance(last, Closed)
        raise_for(last)
        return last.turn

    def _newest(self) -> Turn:
        history: Sequence[Turn] = self.store.history_turns(self.session)
        if not history:
            raise BadInput(f"{self.session.label!r} has no turn yet. Ask something first.")
        return history[-1]

    def _first_seq(self, turn: Turn) -> int:
        return self.store.turn(turn.id).messages[0].seq


def failure(closed: Closed) -> ChatnbError | None:
    """What a turn's end means for its caller, beside the store's own trouble: None when it went well.

    `ModelError` when the model, or a tool of the agent, failed; `TurnInterrupted` when the turn was stopped. One that
    came to its own limit of requests ended as it was asked to.
    """
    turn = closed.turn
    if turn.status == "error":
        return ModelError(turn.error or "The model failed.")
    if turn.status == "interrupted" and not isinstance(closed.cause, UsageLimitExceeded):
        return TurnInterrupted(turn.error or "The turn was stopped.")
    return None


def raise_for(closed: Closed) -> None:
    """Raise what a turn's end means for its caller.

    Raises
    ------
    StoreError
        When the store could not take the turn; it waits in the journal.
    ModelError, TurnInterrupted
        As `failure` says.
    """
    if closed.store_error is not None:
        raise closed.store_error
    if (failed := failure(closed)) is not None:
        raise failed from closed.cause
