"""The left of the browser: what to look for, and one page of sessions as buttons that are used again for every page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import ipywidgets as widgets
from ipywidgets.widgets.widget_bool import CheckboxStyle

from chatnb.notebook.browser_html import one_line
from chatnb.records import Session, now
from chatnb.stores.sessions import SessionFilter

__all__ = ["Filters", "Row", "Rows"]

ANY = None
OFFERED = 50
"""How many models and tags are offered, the most used first."""

_PERIODS = (("Any time", 0), ("Last 24 hours", 1), ("Last 7 days", 7), ("Last 30 days", 30), ("Last year", 365))
_BETWEEN = -1


class Filters:
    """What to look for. `changed` is called when a person sets one of them.

    Parameters
    ----------
    user
        Whose sessions; None is everyone's.
    project
        The notebook's project; '' offers no choice of project.
    changed
        Is called after every change.
    last
        What stands at the end of the row.
    """

    def __init__(self, *, user: str | None, project: str, changed: Callable[[], None], last: widgets.Widget) -> None:
        self._user, self._project, self._changed, self._last = user, project, changed, last
        self._quiet = False
        self.text = widgets.Text(
            placeholder="Search names and messages",
            continuous_update=False,
            tooltip="What a session is called, or what was said in it; then Enter",
        )
        self.model = widgets.Dropdown(options=[("Any model", ANY)], tooltip="Model")
        self.tag = widgets.Dropdown(options=[("Any tag", ANY)], tooltip="Tag")
        self.period = widgets.Dropdown(options=[*_PERIODS, ("Between …", _BETWEEN)], tooltip="Last used")
        self.since = widgets.DatePicker(tooltip="From this day")
        self.until = widgets.DatePicker(tooltip="To this day, it included")
        self.active = widgets.Dropdown(
            options=[("Not deleted", True), ("Deleted", False), ("Both", None)], tooltip="Deleted sessions"
        )
        projects = [("This project", project), ("Every project", ANY)] if project else [("Every project", ANY)]
        self.project = widgets.Dropdown(options=projects, tooltip="Project")
        orders = [("Newest first", "recent"), ("Last made", "created"), ("By name", "name"), ("Longest", "messages")]
        self.order = widgets.Dropdown(options=orders, tooltip="Order")
        for control in self._controls():
            control.observe(self._heard, "value")
        self.widget = widgets.HBox(self._shown())
        self.widget.add_class("chatnb-bar")

    def _controls(self) -> list[widgets.ValueWidget]:
        dates = [self.since, self.until]
        return [self.text, self.model, self.tag, self.period, *dates, self.active, self.project, self.order]

    def _shown(self) -> list[widgets.Widget]:
        hidden = [] if self.period.value == _BETWEEN else [self.since, self.until]
        hidden += [] if self._project else [self.project]
        return [*(control for control in self._controls() if control not in hidden), self._last]

    def _heard(self, change: dict[str, object]) -> None:
        if self._quiet:
            return
        if change["owner"] is self.period:
            self.widget.children = self._shown()
        self._changed()

    def where(self) -> SessionFilter:
        """The filter that the controls say."""
        since, until = self._span()
        return SessionFilter(
            user=self._user,
            project=self.project.value,
            anywhere=self.text.value.strip() or None,
            model=self.model.value,
            tag=self.tag.value,
            active=self.active.value,
            since=since,
            until=until,
        )

    def _span(self) -> tuple[datetime | None, datetime | None]:
        if self.period.value == _BETWEEN:
            last = self.until.value
            return _midnight(self.since.value), _midnight(last + timedelta(days=1) if last else None)
        return (now() - timedelta(days=self.period.value) if self.period.value else None), None

    def offer(self, sessions: Sequence[Session]) -> None:
        """Offer the models and tags that these sessions have."""
        models = Counter(session.model for session in sessions if session.model)
        tags = Counter(tag for session in sessions for tag in session.tags)
        self._quiet = True
        try:
            for control, label, found in ((self.model, "Any model", models), (self.tag, "Any tag", tags)):
                kept = control.value
                values = [value for value, _ in found.most_common(OFFERED)]
                values += [kept] if kept is not ANY and kept not in values else []
                control.options = [(label, ANY), *((one_line(value, 60), value) for value in sorted(values))]
                control.value = kept
        finally:
            self._quiet = False


def _midnight(day: date | None) -> datetime | None:
    """The beginning of a day where the kernel runs."""
    return datetime.combine(day, time.min).astimezone(UTC) if day else None


@dataclass(frozen=True)
class Row:
    """One row of the list: its text in lines, what a pointer shows, whether it is marked, whether it is being read."""

    text: str
    tip: str
    marked: bool
    current: bool


class Rows:
    """One page of rows. The same widgets show every page, so that a page costs an update and not new widgets.

    Parameters
    ----------
    size
        Rows of a page.
    opened
        Is called with the place of a row that was clicked.
    marked
        Is called with the place of a row whose box was set, and with whether it is.
    """

    def __init__(self, size: int, opened: Callable[[int], None], marked: Callable[[int, bool], None]) -> None:
        self._quiet = False
        self._marked = marked
        self.boxes: list[widgets.Checkbox] = []
        self.buttons: list[widgets.Button] = []
        self._lines: list[widgets.HBox] = []
        layout, style, box_layout, box_style = _shared()
        for place in range(size):
            box = widgets.Checkbox(indent=False, layout=box_layout, style=box_style, tooltip="Select")
            button = widgets.Button(layout=layout, style=style)
            button.add_class("chatnb-row")
            button.on_click(lambda _, place=place: opened(place))
            box.observe(lambda change, place=place: self._heard(place, change["new"]), "value")
            line = widgets.HBox([box, button], layout=layout)
            line.add_class("chatnb-line")
            self.boxes.append(box)
            self.buttons.append(button)
            self._lines.append(line)
        self._nothing = widgets.HTML('<div class="chatnb-nothing">No session matches.</div>')
        self.widget = widgets.VBox()
        self.widget.add_class("chatnb-rows")

    def _heard(self, place: int, value: bool) -> None:
        if not self._quiet:
            self._marked(place, value)

    def show(self, rows: Sequence[Row]) -> None:
        """Show these rows in place of what was shown."""
        self._quiet = True
        try:
            for row, box, button in zip(rows, self.boxes, self.buttons, strict=False):
                with button.hold_sync():
                    button.description, button.tooltip = row.text, row.tip
                    (button.add_class if row.current else button.remove_class)("chatnb-current")
                box.value = row.marked
        finally:
            self._quiet = False
        children = self._lines[: len(rows)] or [self._nothing]
        if list(self.widget.children) != children:
            self.widget.children = children


def _shared() -> tuple[widgets.Layout, widgets.ButtonStyle, widgets.Layout, CheckboxStyle]:
    """Layouts and styles that all rows have in common: each would be an object of its own in the page."""
    return widgets.Layout(), widgets.ButtonStyle(), widgets.Layout(), CheckboxStyle()
