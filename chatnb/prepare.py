"""What a turn will send: its session, its model and its window, chosen before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from chatnb import models
from chatnb.agents.events import RunRequest
from chatnb.errors import BadInput, SessionNotFound
from chatnb.formats.pydantic_ai import file_hashes, from_record
from chatnb.records import Branch, Message, Session, new_id
from chatnb.rerun import Cell, Rerun, RerunMode, decide
from chatnb.stores.opened import Opened
from chatnb.stores.store import Store
from chatnb.tokens import estimate_text
from chatnb.window import Limits, Stored, Window, first_to_read, fit

__all__ = ["Ask", "Prepared", "prepare"]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is asked, of whom, in which session.

    `model` is a name or a PydanticAI model; `fallback_model` serves when neither the turn, the session nor the agent
    names one. `prompt` None goes on with an interrupted turn. `settings` are PydanticAI model settings. `rewind` says
    where to go back to instead of asking `cell` and `mode`. `dry` makes no session. `otherwise` names another session
    when this one has gone.
    """

    prompt: str | None
    session: str | Session
    user: str
    project: str = ""
    model: object = None
    fallback_model: str | None = None
    agent: object = None
    agent_name: str | None = None
    deps: object = None
    system_prompt: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    max_requests: int | None = None
    max_messages: int | None = None
    cell: Cell = field(default_factory=Cell)
    mode: RerunMode = "auto"
    rewind: Rerun | None = None
    must_exist: bool = False
    otherwise: Callable[[], str] | None = None
    dry: bool = False
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A turn that is ready to be sent, and everything that `--dry-run` shows of it."""

    ask: Ask
    session: Session
    branch: Branch
    created: bool
    window: Window
    rerun: Rerun
    model_name: str
    request: RunRequest
    cost: float
    unpriced: int
    history_turns: int


def prepare(store: Store | None, ask: Ask) -> Prepared:
    """Read the session and choose what is sent; nothing is sent and, but for a new session, nothing is written.

    Parameters
    ----------
    store
        Where the session is; None asks without one (`--no-store`).
    ask
        What is asked.

    Raises
    ------
    BadInput, SessionNotFound, StoreError
        When the turn cannot be asked; the sentence says what to do.
    """
    if ask.prompt is not None and not ask.prompt.strip():
        raise BadInput("There is no prompt. Write the question below the %%chat line.")
    opened = _alone(ask) if store is None else _open(store, ask)
    model, model_name = _model(ask, opened.session)
    decision = ask.rewind or _decide(ask, opened)
    window = _window(store, ask, opened, decision, model_name)
    session = opened.session
    settings = {**_settings(session), **ask.settings}
    return Prepared(
        ask=ask,
        session=session,
        branch=opened.branch,
        created=opened.created,
        window=window,
        rerun=decision,
        model_name=model_name,
        request=RunRequest(
            prompt=ask.prompt,
            history=window.messages,
            model=model,
            agent=ask.agent,
            deps=ask.deps,
            system_prompt=ask.system_prompt or session.system_prompt,
            settings=settings,
            max_requests=ask.max_requests,
            conversation_id=session.id,
        ),
        cost=opened.cost,
        unpriced=opened.unpriced,
        history_turns=max(opened.branch.turn_count - len(decision.turns), 0),
    )


def _alone(ask: Ask) -> Opened:
    session = _new_session(ask)
    branch = Branch(id=session.branch_id, session_id=session.id, user_id=session.user_id)
    return Opened(session=session, branch=branch, first_read=1, messages=(), created=True)


def _open(store: Store, ask: Ask) -> Opened:
    if ask.otherwise is not None:
        try:
            return _opened(store, replace(ask, must_exist=True))
        except SessionNotFound:
            return _open(store, replace(ask, session=ask.otherwise(), otherwise=None))
    if not ask.dry:
        return _opened(store, ask)
    try:
        return _opened(store, replace(ask, must_exist=True))
    except SessionNotFound:
        return _alone(ask)


def _opened(store: Store, ask: Ask) -> Opened:
    cell = ask.cell
    return store.open_session(
        ask.session,
        lambda session, branch: _first(ask, session, branch, 0),
        make=None if ask.must_exist else lambda: _new_session(ask),
        user=ask.user,
        project=ask.project,
        cell=(cell.notebook, cell.cell_id) if cell.notebook and cell.cell_id and ask.rewind is None else None,
    )


def _first(ask: Ask, session: Session, branch: Branch, attempt: int) -> int:
    limits = _limits(ask, session, None)
    return first_to_read(limits, window_seq=branch.window_seq, last_seq=branch.last_seq, attempt=attempt)


def _new_session(ask: Ask) -> Session:
    """A session whose settings are its first turn's options."""
    _model(ask, None)  # a wrong name is said before a session is made
    if isinstance(ask.session, Session):
        return ask.session
    metadata = {"settings": dict(ask.settings)} if ask.settings else {}
    return Session(
        id=new_id(),
        user_id=ask.user,
        project=ask.project,
        name=ask.session,
        model=ask.model if isinstance(ask.model, str) else None,
        agent=ask.agent_name,
        system_prompt=ask.system_prompt,
        max_history_messages=ask.max_messages,
        metadata=metadata,
    )


def _settings(session: Session) -> dict[str, object]:
    kept = session.metadata.get("settings", {})
    return dict(kept) if isinstance(kept, Mapping) else {}


def _model(ask: Ask, session: Session | None) -> tuple[object, str]:
    """The model that answers and its name: the turn's, the session's, the agent's own, then the fallback.

    An agent that a session was not begun with brings its own model along.
    """
    wanted = ask.model
    if wanted is None and session is not None and session.agent == ask.agent_name:
        wanted = session.model
    if wanted is None:
        wanted = getattr(ask.agent, "model", None)
    if wanted is None:
        wanted = models.choose(session.model if session else None, ask.fallback_model)
    model = models.resolve(wanted)  # type: ignore[arg-type]  # what is neither a name nor a model is refused there
    name = models.full_name(wanted) if isinstance(wanted, str) else f"{model.system}:{model.model_name}"
    return model, name


def _limits(ask: Ask, session: Session, model_name: str | None) -> Limits:
    most = ask.max_messages if ask.max_messages is not None else session.max_history_messages
    tokens = models.history_limit(model_name, session.max_history_tokens)
    return Limits(max_messages=most, max_tokens=tokens)


def _decide(ask: Ask, opened: Opened) -> Rerun:
    place = opened.cell
    return decide(
        place.turn if place else None,
        place.first_seq if place else 0,
        place.later if place else (),
        source=ask.cell.source,
        user=ask.user,
        notebook=ask.cell.notebook,
        mode=ask.mode,
    )


def _window(store: Store | None, ask: Ask, opened: Opened, decision: Rerun, model_name: str) -> Window:
    """The window over the history that the turn goes on from; reads further back while too little was read."""
    limits = _limits(ask, opened.session, model_name)
    end = opened.branch.last_seq if decision.rewind_seq is None else decision.rewind_seq
    window_seq = opened.branch.window_seq  # beyond `end` after going back, which begins the window anew
    reserved = estimate_text(ask.prompt or "") + estimate_text(ask.system_prompt or opened.session.system_prompt or "")
    first, records = opened.first_read, opened.messages
    attempt = 0
    while True:
        history = _stored(store, [record for record in records if record.seq <= end])
        window = fit(history, limits, window_seq=window_seq, reserved=reserved, first_read=first)
        if not window.needs_more or store is None or first <= 1:
            return window
        attempt += 1
        first = first_to_read(limits, window_seq=window_seq, last_seq=end, attempt=attempt)
        records = tuple(store.messages(opened.session, offset=first - 1, limit=end - first + 1))


def _stored(store: Store | None, records: Sequence[Message]) -> list[Stored]:
    hashes = [sha for record in records for sha in file_hashes(record)]
    files = store.files(hashes) if store is not None and hashes else {}
    return [Stored(record, from_record(record, files)) for record in records]
