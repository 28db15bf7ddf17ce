"""`%%chat`: one turn from a cell, drawn while it goes on."""

from __future__ import annotations

import argparse
from contextlib import aclosing, closing
from dataclasses import replace
from keyword import iskeyword
from typing import cast

from IPython.core.getipython import get_ipython
from IPython.display import display

from chatnb import models
from chatnb.agents.inline import InlineExecutor
from chatnb.chat import raise_for
from chatnb.drive import awake, drive, wait_for
from chatnb.errors import BadInput, StoreError
from chatnb.notebook import prompt
from chatnb.notebook.closing import closing_line, continuing
from chatnb.notebook.dryrun import table
from chatnb.notebook.markdown import safe
from chatnb.notebook.place import cell_of
from chatnb.notebook.state import KernelState, Magics, Remembered, state_of
from chatnb.notebook.stream import Drawing
from chatnb.prepare import Ask, Prepared
from chatnb.records import Session, Turn
from chatnb.rerun import RerunMode
from chatnb.settings import default_model
from chatnb.stores.store import Store
from chatnb.turn import Closed, Opening, TurnEvent, TurnRun

__all__ = ["Shown", "ask", "ask_now", "run", "run_now", "shown"]


class Shown(Turn):
    """A turn that its cell shows already: as the cell's result it is not drawn again, in other cells it is."""

    def _ipython_display_(self) -> None:
        if getattr(self, "_shown_in", None) != _execution_count():
            raise NotImplementedError  # so that IPython asks for the MIME types below

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/markdown": safe(self.answer), "text/plain": self.answer}


def _execution_count() -> int | None:
    shell = get_ipython()
    return None if shell is None else int(shell.execution_count)


async def ask(magics: Magics, options: argparse.Namespace, body: str) -> object:
    """One turn on the running event loop."""
    state = state_of(magics)
    asked = _asked(state, options, body)
    if options.dry_run:
        return await table(None if options.no_store else state.store, asked)
    turn = await run(state, asked, None if options.no_store else state.store)
    return _bound(state, options, turn)


def ask_now(magics: Magics, options: argparse.Namespace, body: str) -> object:
    """One turn where nothing can be awaited, as when another magic calls this one."""
    state = state_of(magics)
    asked = _asked(state, options, body)
    if options.dry_run:
        return wait_for(table(None if options.no_store else state.store, asked))
    turn = run_now(state, asked, None if options.no_store else state.store)
    return _bound(state, options, turn)


async def run(state: KernelState, asked: Ask, store: Store | None) -> Turn:
    """Ask and draw; synchronous tools run in this thread, which is the notebook's."""
    drawing = _Cell(state, store)
    async with awake(), aclosing(TurnRun(store, asked, executor=InlineExecutor()).events()) as events:
        async for event in events:
            drawing.take(event)
    return drawing.ended()


def run_now(state: KernelState, asked: Ask, store: Store | None) -> Turn:
    """As `run`, from synchronous code."""
    drawing = _Cell(state, store)
    with closing(drive(lambda executor: TurnRun(store, asked, executor=executor))) as events:
        for event in events:
            drawing.take(event)
    return drawing.ended()


class _Cell:
    """One cell's drawing, and what its kernel learns from the turn."""

    def __init__(self, state: KernelState, store: Store | None) -> None:
        self._state = state
        self._store = store
        self._drawing = Drawing()
        self._closed: Closed | None = None
        self._broken: Exception | None = None
        if store is not None:
            store.notice = _notice

    def take(self, event: TurnEvent) -> None:
        heading = self._opened(event.prepared) if isinstance(event, Opening) else ""
        if isinstance(event, Closed):
            self._closed = event
        if self._broken is None:
            try:
                self._drawing.take(event, heading)
            except Exception as error:  # noqa: BLE001  the answer is paid for: it is stored whether it can be drawn or not
                self._broken = error

    def _opened(self, prepared: Prepared) -> str:
        """Remember the session; a heading if the kernel meets an older one for the first time."""
        session, asked = prepared.session, prepared.ask
        first = session.id not in self._state.seen
        if self._store is None:
            return ""
        self._state.seen.add(session.id)
        self._state.current = session.id
        names = Remembered(asked.agent_name, str(asked.options.get("deps")) if asked.options.get("deps") else None)
        self._state.remembered[session.id] = self._state.remembered[session.label] = names
        if not first or prepared.created or not session.message_count:
            return ""
        heading = continuing(session, prepared.branch.turn_count, _newest(self._store, session))
        if session.agent and asked.agent is None:
            heading += f"; it was asked with the agent {session.agent!r} (-a {session.agent})"
        return heading

    def ended(self) -> Turn:
        assert self._closed is not None
        closed = self._closed
        if self._broken is not None:
            broken = f"{type(self._broken).__name__}: {self._broken}"
            _notice(f"{closed.turn.answer}\n\nThis could not be drawn as Markdown ({broken}).\n{closing_line(closed)}")
        raise_for(replace(closed, store_error=None))  # which is drawn, so that what has an answer does not look lost
        return closed.turn


def _newest(store: Store, session: Session) -> Turn | None:
    """The newest turn; what it adds to a heading is not worth failing for."""
    try:
        return store.newest_turn(session)
    except StoreError:
        return None


def _notice(text: str) -> None:
    display({"text/plain": text}, raw=True)


def _bound(state: KernelState, options: argparse.Namespace, turn: Turn) -> Turn:
    if options.output:
        state.shell.user_ns[options.output] = turn.output
    return shown(turn)


def shown(turn: Turn) -> Turn:
    """The turn as a cell's result, which is not drawn a second time."""
    made = Shown(**{name: getattr(turn, name) for name in Turn.__dataclass_fields__})
    object.__setattr__(made, "_shown_in", _execution_count())  # no field: it says nothing of the turn
    return made


def _asked(state: KernelState, options: argparse.Namespace, body: str) -> Ask:
    """What a cell asks, from its options and its text."""
    magics = state.magics
    if not body.strip():
        raise BadInput("The cell has no prompt. Write the question below the %%chat line.")
    if options.session is not None and not options.session.strip():
        raise BadInput(f"A session needs a name, and {options.session!r} is none. Write one, as in %%chat eda.")
    if options.output is not None and (not options.output.isidentifier() or iskeyword(options.output)):
        raise BadInput(f"-o {options.output!r} is not a name. Give one, as in -o answer.")
    if options.max is not None and options.max < 0:
        raise BadInput(f"-n {options.max} is below 0. Give how many messages to send at most, or leave it out.")
    if options.max_requests is not None and options.max_requests < 1:
        raise BadInput(f"--max-requests {options.max_requests} allows no request. Give 1 or more.")
    if options.append and options.replace:
        raise BadInput("--append and --replace exclude each other. Give one of them.")
    configured = cast(RerunMode, magics.rerun)  # the trait takes nothing else
    mode: RerunMode = "append" if options.append else "replace" if options.replace else configured
    current = None if options.session or options.no_store else state.current
    name = options.session or ("chat" if options.no_store else state.session_name())
    asked = Ask(
        prompt=body.strip() if options.raw else prompt.fill(body.strip(), state.shell.user_ns),
        session=name,
        user=magics.owner,
        project=state.project,
        model=options.model,
        fallback_model=magics.model or default_model(),
        system_prompt=options.system,
        settings=models.model_settings(options.opt, options.temperature),
        max_requests=options.max_requests,
        max_messages=options.max,
        cell=cell_of(state.shell, body),
        mode=mode,
        otherwise=state.other_session if current is not None else None,
        options=_given(options),
    )
    return with_agent(state, asked, options.agent, options.deps)


def with_agent(state: KernelState, asked: Ask, agent: str | None, deps: str | None) -> Ask:
    """Put in the agent and its dependencies: those named now, else those the kernel remembers for the session."""
    ref = asked.session.id if isinstance(asked.session, Session) else asked.session
    known = state.remembered.get(ref, Remembered())
    agent, deps = agent or known.agent, deps or known.deps
    return replace(
        asked,
        agent=state.named(agent, "the agent") if agent else None,
        agent_name=agent,
        deps=state.named(deps, "the agent's dependencies") if deps else None,
        options={**asked.options, **({"deps": deps} if deps else {})},
    )


def _given(options: argparse.Namespace) -> dict[str, object]:
    """The options that were given, as the turn records them."""
    left_out = ("session", "dry_run", "no_store")
    return {
        name: value for name, value in vars(options).items() if value not in (None, False, []) and name not in left_out
    }
