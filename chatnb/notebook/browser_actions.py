"""What can be done to sessions, as buttons, and the line in which one of them asks for more."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import ipywidgets as widgets

from chatnb.records import Session

__all__ = ["Actions", "Doer"]

FORMATS = (
    ("Markdown", ("markdown", "md")),
    ("Notebook", ("notebook", "ipynb")),
    ("JSON Lines", ("jsonl", "jsonl")),
    ("Parquet", ("parquet", "parquet")),
    ("OpenAI fine-tuning", ("openai", "openai.jsonl")),
)
"""What sessions can be written as: the format's name, and how a file's name ends."""


class Doer(Protocol):
    """What the buttons ask for."""

    def guarded(self, work: Callable[[], object]) -> None:
        """Do it; an error becomes one line in the browser."""
        ...

    def delete(self, sessions: Sequence[Session]) -> object:
        """Delete softly."""
        ...

    def restore(self, sessions: Sequence[Session]) -> object:
        """Bring back."""
        ...

    def fork(self, sessions: Sequence[Session]) -> object:
        """Make a new session of each."""
        ...

    def rename(self, session: Session, name: str) -> object:
        """Give another name."""
        ...

    def tag(self, sessions: Sequence[Session], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> object:
        """Add and take away tags."""
        ...

    def export(self, sessions: Sequence[Session], path: str, format: str) -> object:  # noqa: A002  # as `transfer`
        """Write to a file."""
        ...


class Actions:
    """A row of buttons, and below it the form of the one that was pressed.

    Parameters
    ----------
    doer
        Does it.
    targets
        Gives the sessions that it is done to.
    many
        Whether they are those that were selected; a name is given to one session alone.
    last
        A button that stands after the others.
    """

    def __init__(
        self,
        doer: Doer,
        targets: Callable[[], list[Session]],
        *,
        many: bool,
        last: widgets.Button | None = None,
    ) -> None:
        self._doer, self._targets, self._many, self._last = doer, targets, many, last
        self.count = widgets.HTML()
        self.fork = self._button("Fork", "A new session that shares the messages", lambda: doer.fork(targets()))
        self.rename = self._button("Rename…", "Another name", lambda: self._ask(self._rename_form()))
        self.tags = self._button("Tags…", "Add or take away tags", lambda: self._ask(self._tags_form()))
        self.export = self._button("Export…", "Write to a file", lambda: self._ask(self._export_form()))
        self.delete = self._button("Delete", "Can be undone", lambda: doer.delete(targets()))
        self.restore = self._button("Restore", "Bring back what was deleted", lambda: doer.restore(targets()))
        self.cancel = self._button("Cancel", "Leave it", lambda: None)
        self.name = self._text("Name", self._rename)
        self.save = self._button("Save", "Rename", self._rename)
        self.labels = self._text("Tags, with commas between them", lambda: self._tag(add=True))
        self.add = self._button("Add", "Add these tags", lambda: self._tag(add=True))
        self.remove = self._button("Take away", "Take these tags away", lambda: self._tag(add=False))
        self.format = widgets.Dropdown(options=FORMATS, tooltip="What it is written as")
        self.format.observe(lambda _: self._suggest_path(), "value")
        self.path = self._text("File", self._write)
        self.write = self._button("Write", "Write the file", self._write)
        self.bar = widgets.HBox()
        self.form = widgets.HBox()
        self.bar.add_class("chatnb-bar")
        self.form.add_class("chatnb-bar")
        self.widget = widgets.VBox()

    def _button(self, label: str, tip: str, work: Callable[[], object]) -> widgets.Button:
        button = widgets.Button(description=label, tooltip=tip)
        button.on_click(lambda _: self._doer.guarded(lambda: self._pressed(work)))
        return button

    def _pressed(self, work: Callable[[], object]) -> None:
        self._ask([])
        work()

    def _text(self, placeholder: str, entered: Callable[[], object]) -> widgets.Text:
        text = widgets.Text(placeholder=placeholder, tooltip=placeholder)

        def heard(_: object, content: dict[str, object], _buffers: object) -> None:
            if content.get("event") == "submit":
                self._doer.guarded(lambda: self._pressed(entered))

        text.on_msg(heard)
        return text

    def offer(self) -> None:
        """Show the buttons that fit the sessions; none without a session."""
        sessions = self._targets()
        self._ask([])
        active = any(session.is_active for session in sessions)
        deleted = any(not session.is_active for session in sessions)
        wanted = [
            (self.count, self._many),
            (self.rename, active and not self._many),
            (self.tags, active),
            (self.fork, active),
            (self.export, True),
            (self.delete, active),
            (self.restore, deleted),
            (self._last, self._last is not None),
        ]
        self.count.value = f"<b>{len(sessions):,} selected</b>&ensp;"
        self.bar.children = [button for button, fits in wanted if fits] if sessions else []

    def _ask(self, form: list[widgets.Widget]) -> None:
        self.form.children = form
        children = [self.bar, self.form] if form else [self.bar]
        if list(self.widget.children) != children:
            self.widget.children = children

    def _rename_form(self) -> list[widgets.Widget]:
        self.name.value = self._targets()[0].label
        return [self.name, self.save, self.cancel]

    def _rename(self) -> None:
        self._doer.rename(self._targets()[0], self.name.value)

    def _tags_form(self) -> list[widgets.Widget]:
        self.labels.value = ""
        return [self.labels, self.add, self.remove, self.cancel]

    def _tag(self, *, add: bool) -> None:
        tags = [tag.strip() for tag in self.labels.value.split(",") if tag.strip()]
        self._doer.tag(self._targets(), **{"add" if add else "remove": tags})

    def _export_form(self) -> list[widgets.Widget]:
        self._suggest_path()
        return [self.format, self.path, self.write, self.cancel]

    def _suggest_path(self) -> None:
        sessions = self._targets()
        stem = sessions[0].label if len(sessions) == 1 else f"{len(sessions)} sessions"
        stem = re.sub(r"[^\w-]+", "-", stem).strip("-")[:60] or "session"
        self.path.value = f"{stem}.{self.format.value[1]}"

    def _write(self) -> None:
        self._doer.export(self._targets(), self.path.value.strip(), self.format.value[0])
