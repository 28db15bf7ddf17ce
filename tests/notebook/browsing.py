"""A store with sessions to browse, and a browser whose widgets are driven in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.usage import RequestUsage

from chatnb.formats.pydantic_ai import to_record
from chatnb.notebook.browser import SessionBrowser
from chatnb.records import Session, Turn
from chatnb.stores.journal import InFlight
from chatnb.stores.store import Store

ME = "me"


def session(store: Store, name: str | None, **values: Any) -> Session:
    given: dict[str, Any] = {"id": f"id-{name}", "user_id": ME, "name": name, **values}
    return store.create_session(Session(**given))


def tell(store: Store, to: Session, *messages: ModelMessage) -> Session:
    """Add a turn with these messages."""
    records = [to_record(message, position=at) for at, message in enumerate(messages)]
    turn = Turn(
        session_id=to.id,
        branch_id=to.branch_id,
        user_id=to.user_id,
        status="ok",
        requests=1,
        input_tokens=1000,
        output_tokens=20,
        cost=0.25,
        messages=tuple(record for record, _ in records),
    )
    store.close_turn(InFlight(turn=turn, files=tuple(file for _, files in records for file in files), ended=True))
    return store.find_session(to.id, user=to.user_id, collection=to.collection)


def ask(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


def say(text: str, cost: str = "0.25") -> ModelMessage:
    usage = RequestUsage(input_tokens=1000, output_tokens=20, cost=Decimal(cost))
    return ModelResponse(parts=[TextPart(text)], usage=usage, model_name="gpt-5")


def browse(store: Store, **options: Any) -> SessionBrowser:
    return SessionBrowser(store, **{"user": ME, "project": "", **options})


def labels(browser: SessionBrowser) -> list[str]:
    """The names in the list, as they are drawn."""
    lines = browser.rows.widget.children
    return [line.children[1].description.splitlines()[0] for line in lines if len(getattr(line, "children", ())) == 2]


def click(browser: SessionBrowser, name: str) -> None:
    """Click the row of this name."""
    browser.rows.buttons[labels(browser).index(name)].click()


def tick(browser: SessionBrowser, *names: str) -> None:
    for name in names:
        browser.rows.boxes[labels(browser).index(name)].value = True


def pressed(bar: Sequence[Any]) -> list[str]:
    return [button.description for button in bar if hasattr(button, "click")]


class Elements(HTMLParser):
    """The elements that a piece of HTML makes, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def resumed(browser: SessionBrowser) -> str:
    return str(browser.reader.resume.outputs[0]["data"]["text/plain"]) if browser.reader.resume.outputs else ""
