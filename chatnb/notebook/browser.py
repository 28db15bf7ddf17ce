"""SessionBrowser: find sessions, read them, and look after one or many, in widgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

from chatnb.errors import BadInput, ChatnbError
from chatnb.formats.pydantic_ai import file_hashes
from chatnb.notebook import browser_html as drawn
from chatnb.notebook import browser_work as work
from chatnb.notebook.browser_actions import Actions
from chatnb.notebook.browser_list import Filters, Row, Rows
from chatnb.notebook.browser_reader import Reader
from chatnb.notebook.browser_style import STYLE
from chatnb.notebook.closing import ago, money
from chatnb.notebook.place import notebook_path
from chatnb.records import Message, Session
from chatnb.settings import default_project, default_user
from chatnb.stores.opened import Opened
from chatnb.stores.opening import shared_store
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store
from chatnb.transfer import export

__all__ = ["SessionBrowser"]

PAGE = 15
"""Sessions of a page."""

MESSAGES = 20
"""Messages of a page of the transcript."""

COUNTED = 400
"""Up to how many messages a session's tokens are summed up: that reads all its turns."""

SAMPLED = 1_000
"""How many of the newest sessions say which models and tags are offered."""


class SessionBrowser:
    """Sessions to search, read and look after. The last line of a cell shows it; `%chat browse` gives one.

    `sessions` are those of the page, of `total`; `selected` those that are ticked; `session` is the one being read.

    Parameters
    ----------
    store
        A store or its address; None is the default store.
    user
        Whose sessions; '' is yourself, None everyone.
    project
        The project that `%%chat` looks for names in; '' is none, None that of the notebook that runs.
    page_size
        How many sessions a page shows.
    magic
        What the cell magic is called.

    Examples
    --------
    >>> browser = SessionBrowser("memory:")
    >>> browser.filters.text.value = "eda"
    >>> browser.total
    0
    """

    def __init__(
        self,
        store: Store | str | Path | None = None,
        *,
        user: str | None = "",
        project: str | None = None,
        page_size: int = PAGE,
        magic: str = "chat",
    ) -> None:
        if page_size < 1:
            raise BadInput(f"A page shows at least one session; page_size is {page_size}.")
        self.store = store if isinstance(store, Store) else shared_store(store)
        self.user = default_user() if user == "" else user
        self.project = _running_project() if project is None else project
        self.sessions: list[Session] = []
        self.total = 0
        self.message = ""
        self._page_size, self._offset, self._magic = page_size, 0, magic
        self._questions: dict[str, str] = {}
        self._marked: dict[tuple[str, str, str], Session] = {}
        self._deleted: tuple[Session, ...] = ()
        self._opened: Opened | None = None
        self._tokens: tuple[int, int] | None = None
        self._marking = False
        self._build()
        with self.store.hold():
            self._offer()
            self._list()

    def _build(self) -> None:
        self.again = self._button("Refresh", "Read the store again", self.refresh)
        self.filters = Filters(
            user=self.user, project=self.project, changed=lambda: self.guarded(self._searched), last=self.again
        )
        self.said = widgets.HTML()
        self.undoing = self._button("Undo", "Bring back what was deleted", self.undo)
        self.status = widgets.HBox([self.said])
        self.unmarking = self._button("Clear selection", "Select nothing", self.unmark)
        self.many = Actions(self, lambda: self.selected, many=True, last=self.unmarking)
        self.one = Actions(self, lambda: [self.session] if self.session else [], many=False)
        self.all = widgets.Checkbox(description="All", indent=False, tooltip="Select every session of this page")
        self.all.observe(lambda change: self._mark_page(change["new"]), "value")
        self.back = self._button("‹", "The page before", lambda: self._turn(-1))
        self.on = self._button("›", "The next page", lambda: self._turn(1))
        self.place = widgets.HTML()
        self.rows = Rows(self._page_size, lambda at: self.guarded(lambda: self.open(self.sessions[at])), self._mark)
        self.reader = Reader(
            actions=self.one.widget,
            fork=lambda seq: self.guarded(lambda: self.fork([self.session] if self.session else [], at=seq)),
            earlier=lambda: self.guarded(self.earlier),
        )
        pager = widgets.HBox([self.all, self.back, self.on, self.place])
        listed = widgets.VBox([pager, self.rows.widget])
        panes = widgets.HBox([listed, self.reader.widget])
        style = widgets.HTML(STYLE)
        self.selection = widgets.HBox()
        top = self.filters.widget
        self.widget = widgets.VBox([style, top, self.status, self.selection, panes])
        for part, names in (
            (self.widget, "browser"), (style, "style"), (top, "bar top"), (self.status, "bar status"),
            (self.selection, "bar selection"), (pager, "bar pager"), (listed, "list"), (panes, "panes"),
        ):  # fmt: skip
            for name in names.split():
                part.add_class(f"chatnb-{name}")

    def _button(self, label: str, tip: str, pressed: Callable[[], object]) -> widgets.Button:
        button = widgets.Button(description=label, tooltip=tip)
        button.on_click(lambda _: self.guarded(pressed))
        return button

    def guarded(self, asked: Callable[[], object]) -> None:
        """Do what a widget asks for. It has no cell to fail in, so an error becomes one line in the browser."""
        try:
            asked()
        except ChatnbError as error:
            self._say(str(error), error=True)
        except Exception as error:  # noqa: BLE001  # the only other place for it is a log that nobody reads
            self._say(f"This should not have failed: {type(error).__name__}: {error}", error=True)

    def _say(self, message: str, *, error: bool = False, undo: bool = False) -> None:
        self.message = message
        role, kind = ("alert", "chatnb-said chatnb-error") if error else ("status", "chatnb-said")
        self.said.value = f'<div class="{kind}" role="{role}">{escape(message)}</div>'
        self.status.children = [self.said, self.undoing] if undo else [self.said]

    def _hush(self) -> None:
        """Take the last line away, unless it still offers to undo something."""
        if self.undoing not in self.status.children:
            self._say("")

    def __repr__(self) -> str:
        return f"<SessionBrowser: {self.total:,} sessions in {self.store.url}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The widgets, and a short table for where there are none."""
        data: dict[str, Any] = dict(self.widget._repr_mimebundle_() or {})
        data["text/plain"], data["text/html"] = drawn.table(self.sessions[:10], self._questions, self.total)
        return data

    # -- the list ----------------------------------------------------------------------------------------------------

    @property
    def where(self) -> SessionFilter:
        """What the filters say."""
        return self.filters.where()

    def refresh(self) -> None:
        """Read the store again: the list, the models and tags on offer, and the session that is open."""
        with self.store.hold():
            self._offer()
            self._list()
            if self.session is not None:
                self.open(self.session)
        self._say(f"Read again: {self.total:,} sessions.")

    def _offer(self) -> None:
        everything = SessionFilter(user=self.user, active=None)
        self.filters.offer(self.store.list_sessions(everything, limit=SAMPLED)[0])

    def _searched(self) -> None:
        self._offset = 0
        self._list()
        self._hush()

    def _turn(self, pages: int) -> None:
        self._offset = max(self._offset + pages * self._page_size, 0)
        self._list()

    def _list(self) -> None:
        """Read one page of sessions and show it."""
        with self.store.hold():
            self.sessions, self.total = self._page()
            if not self.sessions and self.total:  # the last page became shorter
                self._offset = (self.total - 1) // self._page_size * self._page_size
                self.sessions, self.total = self._page()
            self._questions = self.store.first_questions(self.sessions)
        self._show_list()

    def _page(self) -> tuple[list[Session], int]:
        order = self.filters.order.value
        return self.store.list_sessions(self.where, order=order, limit=self._page_size, offset=self._offset)

    def _show_list(self) -> None:
        current = work.key(self.session) if self.session else None
        rows = []
        for session in self.sessions:
            question = self._questions.get(session.id, "")
            rows.append(
                Row(
                    text=drawn.row_text(session, question, owner=self.user is None),
                    tip=drawn.one_line(question or session.label, 300),
                    marked=work.key(session) in self._marked,
                    current=work.key(session) == current,
                )
            )
        self.rows.show(rows)
        last = self._offset + len(rows)
        self.place.value = f"{self._offset + 1:,}–{last:,} of {self.total:,}" if rows else "0 sessions"
        self.back.disabled, self.on.disabled = self._offset == 0, last >= self.total
        self._show_marked()

    # -- the selection -----------------------------------------------------------------------------------------------

    @property
    def selected(self) -> list[Session]:
        """The sessions that are ticked, on whatever page they are."""
        return list(self._marked.values())

    def unmark(self) -> None:
        """Select nothing."""
        self._marked.clear()
        self._show_list()

    def _mark(self, at: int, value: bool) -> None:
        session = self.sessions[at]
        if value:
            self._marked[work.key(session)] = session
        else:
            self._marked.pop(work.key(session), None)
        self._show_marked()

    def _mark_page(self, value: bool) -> None:
        if self._marking:
            return
        for session in self.sessions:
            if value:
                self._marked[work.key(session)] = session
            else:
                self._marked.pop(work.key(session), None)
        self._show_list()

    def _show_marked(self) -> None:
        self._marking = True
        self.all.value = bool(self.sessions) and all(work.key(session) in self._marked for session in self.sessions)
        self._marking = False
        self.many.offer()
        children = [self.many.widget] if self._marked else []
        if list(self.selection.children) != children:
            self.selection.children = children

    # -- the transcript ----------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session | None:
        """The session that is being read."""
        return self._opened.session if self._opened else None

    def open(self, session: Session) -> None:
        """Read a session: its newest messages, and older ones with `earlier`.

        Raises
        ------
        SessionNotFound
            When it is no longer in the store.
        """
        with self.store.hold():
            opened = self.store.open_session(session, lambda _, branch: max(branch.last_seq - MESSAGES + 1, 1))
            self._tokens = None
            if opened.branch.last_seq <= COUNTED:
                turns = self.store.history_turns(opened.session)
                self._tokens = sum(turn.input_tokens for turn in turns), sum(turn.output_tokens for turn in turns)
            messages = self._drawn(opened.messages)
            self._opened = opened
            self._head()
        self.reader.show(messages, opened.first_read - 1)
        self._show_list()
        self._hush()

    def earlier(self) -> None:
        """Read the page of older messages."""
        if self.session is None or not self.reader.shown or self.reader.shown[0] <= 1:
            return
        end = self.reader.shown[0] - 1
        first = max(end - MESSAGES + 1, 1)
        older = self.store.messages(self.session, offset=first - 1, limit=end - first + 1)
        self.reader.prepend(self._drawn(older), first - 1)

    def _drawn(self, messages: Sequence[Message]) -> list[tuple[int, str]]:
        files = self.store.files([sha for message in messages for sha in file_hashes(message)])
        return [(message.seq, drawn.message(message, files)) for message in messages]

    def _head(self) -> None:
        if self._opened is None:
            return
        session = self._opened.session
        cell = work.cell_for(self.store, session, user=self.user, project=self.project, magic=self._magic)
        self.reader.head(session, self._facts(self._opened), cell)
        self.one.offer()

    def _facts(self, opened: Opened) -> list[str]:
        session, turns = opened.session, opened.branch.turn_count
        used = session.last_message_at
        whole = money(opened.cost) if opened.cost or not opened.unpriced else "$?"
        return [
            f"{session.message_count:,} messages in {turns:,} turn{'' if turns == 1 else 's'}",
            *([f"{self._tokens[0]:,} in + {self._tokens[1]:,} out"] if self._tokens else []),
            whole + ("+?" if opened.unpriced and opened.cost else ""),
            *([drawn.one_line(session.model, 60)] if session.model else []),
            f"last {ago(used)}" if used else f"made {ago(session.created_at)}",
            *([f"table {drawn.one_line(session.collection, 60)}"] if session.collection else []),
        ]

    # -- what can be done --------------------------------------------------------------------------------------------

    def delete(self, sessions: Sequence[Session]) -> None:
        """Delete sessions softly; `undo` brings them back."""
        done = work.delete(self.store, sessions)
        if done.sessions:
            self._deleted = done.sessions
            for session in done.sessions:
                self._marked.pop(work.key(session), None)
            self._after(done, "Deleted", undo=True)

    def undo(self) -> None:
        """Bring back what was deleted last."""
        deleted, self._deleted = self._deleted, ()
        self.restore(deleted)

    def restore(self, sessions: Sequence[Session]) -> None:
        """Bring deleted sessions back."""
        done = work.restore(self.store, sessions)
        if done.sessions:
            self._after(done, "Restored")

    def fork(self, sessions: Sequence[Session], at: int | None = None) -> None:
        """A new session for each, which shares its first `at` messages (all when None); a single one is opened."""
        done = work.fork(self.store, sessions, at)
        if len(done.sessions) == 1:
            self.open(done.sessions[0])
        self._after(done, "Made")

    def rename(self, session: Session, name: str) -> None:
        """Give a session another name."""
        self._after(work.rename(self.store, session, name), "Renamed to")

    def tag(self, sessions: Sequence[Session], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Add tags to sessions, and take others away."""
        done = work.tag(self.store, sessions, add, remove)
        self._offer()
        self._after(done, "Tagged" if add else "Took tags from")

    def export(self, sessions: Sequence[Session], path: str, format: str | None = None) -> None:  # noqa: A002
        """Write sessions to a file; `format` None goes by how its name ends."""
        if not path:
            raise BadInput("Name the file to write.")
        self._say(str(export(self.store, sessions, path, format)))

    def _after(self, done: work.Done, verb: str, *, undo: bool = False) -> None:
        """Show sessions as they are now."""
        for session in done.sessions:
            if work.key(session) in self._marked:
                self._marked[work.key(session)] = session
            if self.session is not None and work.key(self.session) == work.key(session) and self._opened is not None:
                self._opened = replace(self._opened, session=session)
                self._head()
        self._list()
        self._say(done.says(verb), undo=undo)


def _running_project() -> str:
    """The project of the notebook that runs; '' elsewhere."""
    shell = get_ipython()
    return default_project(notebook_path(shell)) if shell is not None else ""
