"""The right of the browser: one session's heading and its transcript, newest page first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import ipywidgets as widgets
from ipywidgets.widgets.widget_string import HTMLStyle

from chatnb.notebook.browser_html import heading, resume_button
from chatnb.records import Session

__all__ = ["Reader"]

_WELCOME = '<div class="chatnb-nothing">Choose a session to read it.</div>'


@dataclass
class _Slot:
    """Where one message is drawn; used again for others, as every widget is an object of its own in the page."""

    button: widgets.Button
    body: widgets.HTML
    seq: int = 0

    @property
    def widgets(self) -> list[widgets.DOMWidget]:
        return [self.button, self.body]


@dataclass
class _Slots:
    used: list[_Slot] = field(default_factory=list)
    free: list[_Slot] = field(default_factory=list)


class Reader:
    """The reading pane.

    Parameters
    ----------
    actions
        The widget with what can be done to the session.
    fork
        Is called with the `seq` of the message to fork after.
    earlier
        Is called when older messages are asked for.
    """

    def __init__(self, *, actions: widgets.Widget, fork: Callable[[int], None], earlier: Callable[[], None]) -> None:
        self._fork = fork
        self._actions = actions
        self._slots = _Slots()
        self._shared = {"layout": widgets.Layout(), "style": widgets.ButtonStyle()}
        self._bodies = {"layout": widgets.Layout(), "style": HTMLStyle()}
        self.title = widgets.HTML(_WELCOME)
        # Only in an output, and not in an HTML widget, does JupyterLab let a button run a command without asking.
        self.resume = widgets.Output()
        self.resume.add_class("chatnb-go")
        self.earlier = widgets.Button()
        self.earlier.on_click(lambda _: earlier())
        self.pages = widgets.VBox()
        self.widget = widgets.VBox([self.title])
        self.widget.add_class("chatnb-reader")
        self._scroll: widgets.VBox | None = None

    @property
    def shown(self) -> list[int]:
        """The `seq` of every message that is drawn, oldest first."""
        return [slot.seq for slot in self._slots.used]

    @property
    def text(self) -> str:
        """The transcript's HTML."""
        return "\n".join(slot.body.value for slot in self._slots.used)

    def fork_button(self, seq: int) -> widgets.Button:
        """The button that forks after this message."""
        return next(slot.button for slot in self._slots.used if slot.seq == seq)

    def head(self, session: Session, facts: Sequence[str], cell: str | None) -> None:
        """Show whose transcript this is; `cell` is what would go on with it, None when nothing would."""
        self.title.value = heading(session, facts)
        data = {"text/plain": cell or "", "text/html": resume_button(cell)} if cell else {}
        outputs = ({"output_type": "display_data", "data": data, "metadata": {}},) if data else ()
        if self.resume.outputs != outputs:
            self.resume.outputs = outputs
        above = [self.title, *([self.resume] if cell else []), self._actions]
        self.widget.children = [*above, *([self._scroll] if self._scroll else [])]

    def show(self, messages: Sequence[tuple[int, str]], older: int) -> None:
        """Show these messages in place of others.

        Parameters
        ----------
        messages
            Each message's `seq` and HTML, oldest first.
        older
            How many there are before them.
        """
        self._slots.free += self._slots.used
        self._slots.used = []
        former, self._scroll = self._scroll, widgets.VBox([self.pages])  # a new one starts at its newest message
        self._scroll.add_class("chatnb-transcript")
        self.prepend(messages, older)
        self.widget.children = [*(child for child in self.widget.children if child is not former), self._scroll]
        if former is not None:
            former.layout.close()
            former.close()

    def prepend(self, messages: Sequence[tuple[int, str]], older: int) -> None:
        """Show these messages too, before those that are shown."""
        self._slots.used[:0] = [self._filled(seq, text) for seq, text in messages]
        self.earlier.description = f"Earlier ({older:,} more)"
        top = [self.earlier] if older else []
        self.pages.children = [*top, *(widget for slot in self._slots.used for widget in slot.widgets)]

    def clear(self) -> None:
        """Show nothing."""
        self.title.value = _WELCOME
        self.widget.children = [self.title]

    def _filled(self, seq: int, text: str) -> _Slot:
        slot = self._slots.free.pop() if self._slots.free else self._new_slot()
        slot.seq, slot.body.value = seq, text
        slot.button.tooltip = f"A new session with messages 1 to {seq}"
        return slot

    def _new_slot(self) -> _Slot:
        slot = _Slot(widgets.Button(description="Fork", **self._shared), widgets.HTML(**self._bodies))
        slot.button.add_class("chatnb-fork")
        slot.button.on_click(lambda _: self._fork(slot.seq))
        return slot
