"""The session browser without a browser: its widgets are driven in plain Python, and the store says what came of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

import chatnb
from chatnb.errors import BadInput, StoreBusy
from chatnb.formats.pydantic_ai import to_record
from chatnb.notebook import browser_html
from chatnb.notebook.browser import MESSAGES, SessionBrowser
from chatnb.records import now
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store
from tests.notebook.browsing import ME, Elements, ask, browse, click, labels, say, session, tell

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture
def store() -> Iterator[Store]:
    with chatnb.open_store("memory:") as opened:
        yield opened


def test_the_newest_sessions_come_first_with_their_first_question_and_their_facts(store: Store) -> None:
    session(store, "older", created_at=now() - timedelta(days=30))
    tell(store, session(store, "eda", model="openai:gpt-5", tags=("q3",)), ask("How many\nrows?"), say("Twelve."))
    browser = browse(store)
    assert labels(browser) == ["eda", "older"]
    assert browser.rows.buttons[0].description == "eda\nHow many rows?\n2 messages · openai:gpt-5 · just now · #q3"


def test_a_session_without_a_name_is_called_by_its_first_question(store: Store) -> None:
    tell(store, session(store, None, id="abc"), ask("Why is it slow?"), say("It is not."))
    assert browse(store).rows.buttons[0].description.splitlines()[:2] == ["Why is it slow?", "abc"]


def test_pages_are_turned_and_use_the_same_widgets(store: Store) -> None:
    for number in range(7):
        session(store, f"s{number}", created_at=now() - timedelta(days=number))
    browser = browse(store, page_size=3)
    widgets = list(browser.rows.buttons)
    assert labels(browser) == ["s0", "s1", "s2"] and browser.back.disabled
    browser.on.click()
    browser.on.click()
    assert labels(browser) == ["s6"] and browser.on.disabled and browser.place.value == "7–7 of 7"
    browser.back.click()
    assert labels(browser) == ["s3", "s4", "s5"]
    assert browser.rows.buttons == widgets


def test_a_page_that_became_empty_gives_way_to_the_last_one(store: Store) -> None:
    for number in range(4):
        session(store, f"s{number}", created_at=now() - timedelta(days=number))
    browser = browse(store, page_size=3)
    browser.on.click()
    click(browser, "s3")
    browser.one.delete.click()
    assert labels(browser) == ["s0", "s1", "s2"]


def test_each_filter_narrows_the_list_and_goes_back_to_the_first_page(store: Store) -> None:
    old = now() - timedelta(days=90)
    session(store, "alpha", model="demo", tags=("x", "y"))
    session(store, "beta", model="openai:gpt-5", created_at=old)
    store.delete_session(session(store, "gone", tags=("x",)))
    session(store, "another's", user_id="someone")
    browser = browse(store, page_size=1)
    filters = browser.filters
    for control, value, left in (
        (filters.text, " ALPH ", ["alpha"]),
        (filters.model, "openai:gpt-5", ["beta"]),
        (filters.tag, "y", ["alpha"]),
        (filters.period, 30, ["alpha"]),
        (filters.active, False, ["gone"]),
        (filters.order, "name", ["alpha"]),
    ):
        before = control.value
        browser.on.click()
        control.value = value
        assert (labels(browser), browser.message) == (left, "")
        control.value = before
    assert browser.total == 2


def test_days_are_chosen_and_both_count(store: Store) -> None:
    day = date(2026, 3, 5)
    begin = now().astimezone().replace(year=2026, month=3, day=5, hour=0, minute=0, second=0, microsecond=0)
    begin = begin.replace(tzinfo=None).astimezone()
    for name, at in (("before", begin - timedelta(seconds=1)), ("first", begin), ("last", begin + timedelta(hours=23))):
        session(store, name, created_at=at)
    browser = browse(store)
    assert browser.filters.since not in browser.filters.widget.children
    browser.filters.period.value = -1
    assert browser.filters.since in browser.filters.widget.children
    browser.filters.since.value = browser.filters.until.value = day
    assert sorted(labels(browser)) == ["first", "last"]


def test_models_and_tags_on_offer_are_those_of_the_sessions_and_a_choice_survives(store: Store) -> None:
    session(store, "one", model="demo", tags=("b", "a"))
    browser = browse(store)
    assert [value for _, value in browser.filters.tag.options] == [None, "a", "b"]
    browser.filters.model.value = "demo"
    session(store, "two", model="openai:gpt-5")
    browser.again.click()
    assert [value for _, value in browser.filters.model.options] == [None, "demo", "openai:gpt-5"]
    assert browser.filters.model.value == "demo" and labels(browser) == ["one"]


def test_the_notebooks_project_comes_first_and_every_other_is_a_choice(store: Store) -> None:
    session(store, "here", project="/p")
    session(store, "there", project="/q")
    browser = browse(store, project="/p")
    assert labels(browser) == ["here"]
    browser.filters.project.value = None
    assert sorted(labels(browser)) == ["here", "there"]


def test_nobody_in_particular_means_everyones_sessions_with_their_owners(store: Store) -> None:
    session(store, "mine")
    session(store, "theirs", user_id="bob")
    browser = browse(store, user=None)
    assert sorted(labels(browser)) == ["mine", "theirs"]
    assert "bob · 0 messages" in browser.rows.buttons[labels(browser).index("theirs")].description
    assert labels(browse(store, user="bob")) == ["theirs"]


def test_a_list_without_sessions_says_so(store: Store) -> None:
    browser = browse(store)
    assert "No session matches." in browser.rows.widget.children[0].value
    session(store, "new")
    browser.again.click()
    assert labels(browser) == ["new"]


# -- the transcript --------------------------------------------------------------------------------------------------


def test_a_session_is_read_with_roles_markdown_tokens_and_cost(store: Store) -> None:
    tell(store, session(store, "eda", tags=("q3",)), ask("one\ntwo"), say("**bold**\n\n|a|\n|-|\n|1|"))
    browser = browse(store)
    click(browser, "eda")
    assert browser.reader.shown == [1, 2]
    assert "chatnb-user" in browser.reader.text and "<p>one<br />\ntwo</p>" in browser.reader.text
    assert "<strong>bold</strong>" in browser.reader.text and "<td>1</td>" in browser.reader.text
    assert "gpt-5 · 1,000 in + 20 out · $0.25" in browser.reader.text
    assert "2 messages in 1 turn · 1,000 in + 20 out · $0.25" in browser.reader.title.value
    assert '<span class="chatnb-tag">q3</span>' in browser.reader.title.value


def test_tools_thinking_and_system_prompts_are_folded_away_and_stored_images_are_drawn(store: Store) -> None:
    image = BinaryContent(PIXEL, media_type="image/png")
    tell(
        store,
        session(store, "eda"),
        ModelRequest(parts=[SystemPromptPart("Be brief."), UserPromptPart(["See", image, ImageUrl("http://x/y.png")])]),
        ModelResponse(parts=[ThinkingPart("hm"), ToolCallPart("count", {"table": "t"}, tool_call_id="1")]),
        ModelRequest(parts=[ToolReturnPart("count", {"rows": 3}, tool_call_id="1")]),
        say("Three."),
    )
    browser = browse(store)
    click(browser, "eda")
    folded = re.findall(r"<details><summary>(.*?)</summary>", browser.reader.text)
    assert folded[:2] == ["system prompt", "thinking"]
    assert re.sub("<.*?>", "", folded[2]) == "count({&quot;table&quot;:&quot;t&quot;})"
    assert re.sub("<.*?>", "", folded[3]) == "result of count"
    images = [values["src"] or "" for tag, values in Elements(browser.reader.text).found if tag == "img"]
    assert len(images) == 1 and images[0].startswith("data:image/png;base64,iVBOR")
    assert '<a href="http://x/y.png" target="_blank" rel="noopener noreferrer">' in browser.reader.text


def test_a_long_session_is_read_in_pages_from_its_end(store: Store) -> None:
    long = session(store, "long")
    for number in range(MESSAGES + 3):
        tell(store, long, ask(f"q{number}"), say(f"a{number}"))
    total = 2 * (MESSAGES + 3)
    browser = browse(store)
    click(browser, "long")
    assert browser.reader.shown == list(range(total - MESSAGES + 1, total + 1))
    assert browser.reader.earlier.description == f"Earlier ({total - MESSAGES} more)"
    browser.reader.earlier.click()
    assert browser.reader.shown == list(range(total - 2 * MESSAGES + 1, total + 1))
    browser.reader.earlier.click()
    assert browser.reader.shown == list(range(1, total + 1))
    assert browser.reader.earlier not in browser.reader.pages.children
    assert browser.reader.text.index("q0") < browser.reader.text.index("q1<")


def test_a_payload_that_cannot_be_read_shows_its_text_and_says_so(store: Store) -> None:
    record, _ = to_record(ask("kept text"))
    html = browser_html.message(replace(record, payload="{}"), {})
    assert "kept text" in html and "can no longer be read" in html


def test_what_is_far_too_long_is_cut_and_says_how_much_is_left() -> None:
    record, _ = to_record(say("word " * 10_000))
    html = browser_html.message(record, {})
    assert "30,000 more characters are stored" in html and len(html) < 25_000


def test_a_session_that_was_removed_meanwhile_is_one_line_and_the_browser_goes_on(store: Store) -> None:
    lost = session(store, "lost")
    session(store, "kept")
    browser = browse(store)
    store.purge_session(lost)
    click(browser, "lost")
    assert "No session named 'id-lost'" in browser.message and 'role="alert"' in browser.said.value
    browser.again.click()
    assert labels(browser) == ["kept"]


def test_a_busy_store_is_one_line_and_not_a_traceback(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = browse(store)

    def busy(*_: object, **__: object) -> None:
        raise StoreBusy("held <b>by</b> another")

    monkeypatch.setattr(store, "list_sessions", busy)
    browser.filters.text.value = "x"
    assert browser.message == "held <b>by</b> another"
    assert "held &lt;b&gt;by&lt;/b&gt; another" in browser.said.value


# -- how it is shown -------------------------------------------------------------------------------------------------


def test_where_there_are_no_widgets_a_short_table_stands_in(store: Store) -> None:
    for number in range(12):
        tell(store, session(store, f"s{number}"), ask(f"<i>question</i> {number}"), say("."))
    bundle = browse(store)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"].splitlines()[1].startswith("s11")
    assert "10 of 12 sessions" in bundle["text/plain"]
    assert bundle["text/html"].count("<tr>") == 11 and "<i>" not in bundle["text/html"]


PAYLOADS = (
    "<script>window.__pwned = 1</script>",
    '<img src=x onerror="window.__pwned = 1">',
    "<style>* {display: none}</style><b onclick=alert(1)>b</b>",
    "[link](javascript:window.__pwned=1) [l](data:text/html,<script>1</script>) [m](/lab) <javascript:alert(1)>",
    "![i](https://evil.example/x.png) ![i](javascript:1)",
    "</code></pre></details></div><svg onload=alert(1)>",
    '"><iframe srcdoc="<script>1</script>">',
    "```\n</code></pre><script>1</script>\n```",
    "<details open ontoggle=alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_anyone_wrote_becomes_html(store: Store, payload: str) -> None:
    made = session(store, payload, id="x", model=payload, tags=(payload,))
    tell(
        store,
        made,
        ModelRequest(parts=[SystemPromptPart(payload), UserPromptPart(payload)]),
        ModelResponse(
            parts=[
                ThinkingPart(payload),
                TextPart(payload),
                ToolCallPart(payload, {payload: payload}, tool_call_id="1"),
            ],
            model_name=payload,
        ),
        ModelRequest(parts=[ToolReturnPart(payload, payload, tool_call_id="1")]),
    )
    browser = browse(store)
    browser.open(browser.sessions[0])
    browser.tag([browser.sessions[0]], add=["t"])
    pieces = [browser.reader.title.value, browser.reader.text, browser.said.value]
    pieces += [browser.reader.resume.outputs[0]["data"]["text/html"], browser._repr_mimebundle_()["text/html"]]
    for tag, values in Elements("".join(pieces)).found:
        assert tag not in ("script", "style", "img", "iframe", "svg"), (tag, values)
        assert not [name for name in values if name.startswith("on") or name in ("style", "srcdoc")], (tag, values)
        assert (values.get("href") or "https://").startswith("https://"), (tag, values)
        assert "open" not in values


def test_a_name_cannot_turn_the_reading_direction_around(store: Store) -> None:
    session(store, "safe\u202egpj.exe")
    assert labels(browse(store)) == ["safegpj.exe"]


def test_images_of_a_kind_that_can_hold_scripts_are_named_and_not_drawn(store: Store) -> None:
    svg = b"<svg onload='alert(1)'/>"
    tell(
        store,
        session(store, "a"),
        ModelRequest(parts=[UserPromptPart([BinaryContent(svg, media_type="image/svg+xml")])]),
    )
    browser = browse(store)
    click(browser, "a")
    assert "image/svg+xml, 24 bytes" in browser.reader.text and "<img" not in browser.reader.text
    assert hashlib.sha256(svg).hexdigest() in store.messages(browser.sessions[0])[0].payload


def test_a_page_without_rows_is_refused() -> None:
    with pytest.raises(BadInput, match="page_size is 0"):
        SessionBrowser("memory:", page_size=0)


def test_the_filter_can_be_read(store: Store) -> None:
    browser = browse(store)
    browser.filters.text.value = "e"
    assert browser.where == SessionFilter(user=ME, anywhere="e", active=True)
