"""The commands of `%chat`: each does one thing and returns what the cell shows."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, count
from shlex import quote

from IPython.display import Markdown

from chatnb import doctor, models
from chatnb.bm25 import search
from chatnb.chat import Chat
from chatnb.errors import BadInput, SessionNotFound
from chatnb.notebook import cell, listing
from chatnb.notebook.closing import ago
from chatnb.notebook.commandline import help_text, parsed
from chatnb.notebook.settings import changes, duration
from chatnb.notebook.state import KernelState, Magics, state_of
from chatnb.prepare import Ask
from chatnb.records import Session, new_id, now
from chatnb.settings import default_model
from chatnb.stores.sessions import SessionFilter
from chatnb.wording import counted

__all__ = ["COMMANDS", "ask_again", "run"]


def run(magics: Magics, line: str) -> object:
    """Run one `%chat` line."""
    options = parsed(line)
    state = state_of(magics)
    if options.command in ("retry", "continue"):
        return cell.shown(cell.run_now(state, _again(state, options), state.store))
    return COMMANDS[options.command or "status"](state, options)


async def ask_again(magics: Magics, line: str) -> object:
    """`%chat retry` and `%chat continue` on the running event loop."""
    options = parsed(line)
    state = state_of(magics)
    return cell.shown(await cell.run(state, _again(state, options), state.store))


def _found(state: KernelState, ref: str | None) -> Session:
    """The session that is named, or the current one, which may still have to be made."""
    if ref is not None:
        return state.found(ref)
    name = state.session_name()
    try:
        return state.found(name)
    except SessionNotFound:
        raise BadInput(
            f"There is no session {name!r} yet: its first turn makes it (%%chat {quote(name)}). "
            "%chat use NAME chooses another; %chat ls lists them."
        ) from None


def _chat(state: KernelState, ref: str | None = None) -> Chat:
    return Chat(_found(state, ref), store=state.store)


def _again(state: KernelState, options: argparse.Namespace) -> Ask:
    """What `retry` or `continue` asks, with the agent that the kernel remembers."""
    chat = _chat(state)
    asked = chat.going_on() if options.command == "continue" else chat.retrying()
    model = getattr(options, "model", None)
    asked = replace(asked, model=model, fallback_model=state.magics.model or default_model())
    return cell.with_agent(state, asked, None, None)


def _status(state: KernelState, _: argparse.Namespace) -> object:
    lines = [f"store: {state.store.url}", f"user: {state.magics.owner}", f"project: {state.project or '(none)'}"]
    default = state.magics.model or default_model()
    lines.append(f"model: {default or 'none chosen (-m NAME, %config ChatMagics.model, or CHATNB_MODEL)'}")
    name = state.session_name()
    try:
        session = state.found(name)
    except SessionNotFound:
        return _text([f"session: {name} (made at its first turn)", *lines])
    used = f", last {ago(session.last_message_at)}" if session.last_message_at else ""
    tags = f", tags {', '.join(session.tags)}" if session.tags else ""
    settled = f", model {session.model}" if session.model else ""
    messages = counted(session.message_count, "message")
    return _text([f"session: {session.label} ({messages}{used}{settled}{tags})", *lines])


def _text(lines: list[str]) -> object:
    return listing.Text("\n".join(lines))


def _ls(state: KernelState, options: argparse.Namespace) -> object:
    where = SessionFilter(
        user=state.magics.owner,
        project=None if options.all or not state.project else state.project,
        text=options.text,
        tag=options.tag,
        active=not options.deleted,
    )
    return listing.sessions_frame(state.store, where, limit=options.limit)


def _show(state: KernelState, options: argparse.Namespace) -> object:
    if options.last is not None and options.last < 1:
        raise BadInput(f"-n {options.last} shows nothing. Give how many of the newest turns to show, from 1.")
    session = _found(state, options.session)
    return Markdown(listing.transcript(state.store, session, last=options.last))


def _use(state: KernelState, options: argparse.Namespace) -> object:
    session = state.found(options.session)
    state.current = session.id
    return _text([f"Using {session.label} ({counted(session.message_count, 'message')})."])


def _new(state: KernelState, options: argparse.Namespace) -> object:
    settings = list(options.settings)
    name = options.name
    if name is not None and "=" in name:
        settings.insert(0, name)
        name = None
    values = _checked(changes(settings))
    if name is None:
        name = _unused(state, state.fresh_name())
    elif name in _names(state, name):
        raise BadInput(f"A session named {name!r} exists already. Go on in it with %chat use {quote(name)}.")
    session = Session(id=new_id(), user_id=state.magics.owner, project=state.project, name=name)
    session = state.store.create_session(replace(session, **values))  # type: ignore[arg-type]
    state.current = session.id
    state.seen.add(session.id)
    return _text([f"Made {session.label}; cells that name no session use it."])


def _names(state: KernelState, like: str) -> set[str]:
    """The names of the project's sessions that contain `like`."""
    where = SessionFilter(user=state.magics.owner, project=state.project, text=like)
    return {session.label for session in state.store.list_sessions(where, limit=1_000_000)[0]}


def _unused(state: KernelState, name: str) -> str:
    """The name, or the name with the first number that makes it a new one."""
    taken = _names(state, name)
    return next(one for one in chain([name], (f"{name}-{n}" for n in count(2))) if one not in taken)


def _set(state: KernelState, options: argparse.Namespace) -> object:
    values = _checked(changes(options.settings))
    session = state.store.update_session(_found(state, options.session), **values)
    return _text([f"{session.label}: " + ", ".join(f"{name} is {value!r}" for name, value in values.items()) + "."])


def _checked(values: dict[str, object]) -> dict[str, object]:
    """The settings, with a model that can be used."""
    if isinstance(model := values.get("model"), str):
        models.resolve(model)
    return values


def _rm(state: KernelState, options: argparse.Namespace) -> object:
    chosen = [_to_remove(state, ref, options.forever) for ref in options.sessions]
    if options.older_than or options.tag or options.expired:
        where = SessionFilter(
            user=state.magics.owner,
            project=None if options.all or not state.project else state.project,
            tag=options.tag,
            until=now() - duration(options.older_than) if options.older_than else None,
            expired_at=now() if options.expired else None,
            active=None if options.forever else True,
        )
        chosen += state.store.list_sessions(where, limit=1_000_000)[0]
    elif not chosen:
        raise BadInput("Name a session to delete, or say which: --older-than 90d, --tag x, --expired.")
    chosen = list({session.id: session for session in chosen}.values())
    labels = ", ".join(session.label for session in chosen[:10]) + (" …" if len(chosen) > 10 else "")
    if options.dry_run or not chosen:
        what = "removed for good" if options.forever else "deleted"
        said = f"{counted(len(chosen), 'session')} would be {what}: {labels}."
        return _text([said if chosen else "No session matches."])
    with state.store.hold():
        for session in chosen:
            if options.forever:
                state.store.purge_session(session)
            else:
                state.store.delete_session(session)
            if state.current == session.id:
                state.current = None
    if options.forever:
        return _text([f"Removed {labels} for good."])
    return _text(
        [f"Deleted {labels}. %chat restore {quote(chosen[0].label)} brings {'it' if len(chosen) == 1 else 'one'} back."]
    )


def _to_remove(state: KernelState, ref: str, forever: bool) -> Session:
    """The session to delete; one that is deleted already can still be removed for good."""
    try:
        return state.found(ref)
    except SessionNotFound:
        if not forever:
            raise
        try:
            return state.found(ref, active=False)
        except SessionNotFound:
            pass
        raise


def _restore(state: KernelState, options: argparse.Namespace) -> object:
    session = state.store.restore_session(state.found(options.session, active=False))
    return _text([f"Restored {session.label} ({counted(session.message_count, 'message')})."])


def _fork(state: KernelState, options: argparse.Namespace) -> object:
    chat = _chat(state, options.session)
    source = chat.session
    name = options.name or _unused(state, f"{source.label}-fork")
    forked = chat.fork(name, at=options.at).session
    state.current = forked.id
    state.seen.add(forked.id)
    shared = counted(forked.message_count, "message")
    return _text([f"Using {forked.label}, which shares {shared} with {source.label}."])


def _undo(state: KernelState, options: argparse.Namespace) -> object:
    left = _chat(state).undo(options.turns)
    asked = "; ".join(turn.prompt.strip().splitlines()[0][:60] for turn in left if turn.prompt.strip())
    return _text(
        [
            f"Took back {counted(len(left), 'turn')} ({asked}). "
            f"%chat branches brings {'it' if len(left) == 1 else 'them'} back."
        ]
    )


def _branches(state: KernelState, options: argparse.Namespace) -> object:
    chat = _chat(state)
    if options.branch is None:
        return listing.branches_frame(state.store, chat.session)
    lines = chat.branches()
    matches = [one.branch.id for one in lines if any(b.id.endswith(options.branch) for b in (one.branch, one.tip))]
    if len(matches) != 1:
        raise BadInput(f"{len(matches)} branches end in {options.branch!r}. %chat branches lists them.")
    chat.switch(matches[0])
    return _text([f"{chat.session.label} is back on branch {matches[0][-8:]} ({chat.session.message_count} messages)."])


def _browse(state: KernelState, _: argparse.Namespace) -> object:
    from chatnb.notebook.browser import SessionBrowser  # ipywidgets takes a third of a second

    own = getattr(state.shell.magics_manager.magics["cell"].get("chat"), "__self__", None) is state.magics
    return SessionBrowser(
        state.store, user=state.magics.owner, project=state.project, magic="chat" if own else "chatnb"
    )


def _search(state: KernelState, options: argparse.Namespace) -> object:
    # The line's quotes are gone by now; what they held together is a phrase again.
    text = " ".join(f'"{word}"' if len(word.split()) > 1 else word for word in options.words)
    return search(text, limit=options.limit, user=state.magics.owner, store=state.store)


def _export(state: KernelState, options: argparse.Namespace) -> object:
    from chatnb import transfer

    *refs, path = options.words
    if options.all:
        chosen = state.store.list_sessions(SessionFilter(user=state.magics.owner), limit=1_000_000)[0]
    else:
        chosen = [state.found(ref) for ref in refs or [state.session_name()]]
    done = transfer.export(state.store, chosen, path, options.format, overwrite=options.overwrite)
    return _text([str(done)])


def _import(state: KernelState, options: argparse.Namespace) -> object:
    from chatnb import transfer

    owner, project = state.magics.owner, state.project
    return _text([str(transfer.import_(state.store, options.path, options.format, user=owner, project=project))])


def _doctor(state: KernelState, _: argparse.Namespace) -> object:
    return _text([str(finding) for finding in doctor.examine(state.store)])


def _help(_: KernelState, options: argparse.Namespace) -> object:
    return listing.Text(help_text(options.about))


COMMANDS: dict[str, Callable[[KernelState, argparse.Namespace], object]] = {
    "status": _status, "ls": _ls, "show": _show, "use": _use, "new": _new, "set": _set, "rm": _rm,
    "restore": _restore, "fork": _fork, "undo": _undo, "branches": _branches, "search": _search, "browse": _browse,
    "export": _export, "import": _import, "doctor": _doctor, "help": _help,
}  # fmt: skip
"""What each command does; `retry` and `continue` ask the model and are done by `run` and `ask_again`."""
