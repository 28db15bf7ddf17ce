"""The session browser in JupyterLab in Chromium, used with mouse and keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, expect
from pydantic_ai.messages import (
    ModelMessage,
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
from chatnb.formats.pydantic_ai import to_record
from chatnb.records import Session, Turn, new_id
from chatnb.settings import default_user
from chatnb.stores.journal import InFlight
from chatnb.stores.store import Store
from tests.rigs.lab import Lab, LabPage

CELLS = (
    "%load_ext chatnb",
    "%%chat eda -m demo\nMy name is Alice.",
    "%%chat planning -m demo\nMy city is Oslo.",
    "%chat browse",
)
BROWSE = 3

PAYLOADS = (
    "<script>window.__pwned = 1</script>",
    '<img src=x onerror="window.__pwned = 1; alert(1)">',
    "<style>.chatnb-browser, body { display: none !important }</style>",
    '<svg onload="window.__pwned = 1"></svg><details open ontoggle="window.__pwned = 1"><summary>s</summary></details>',
    "[a](javascript:window.__pwned=1) [b](data:text/html,<script>1</script>) ![c](x.png) <javascript:window.__pwned=1>",
    '"><iframe srcdoc="<script>parent.__pwned = 1</script>"></iframe>',
    '</code></pre></details></div></option></select><b onmouseover="window.__pwned = 1" autofocus tabindex=1>b</b>',
    '<button data-commandlinker-command="notebook:delete-cell">x</button>',
)


@pytest.fixture(scope="module")
def store(lab: Lab) -> Iterator[Store]:
    """The store that the kernel uses too: the default one of this test run."""
    with chatnb.open_store() as opened:
        yield opened


@pytest.fixture(scope="module")
def page(lab: Lab, store: Store) -> Iterator[LabPage]:
    """A notebook with two sessions, and the browser in its last cell."""
    lab.write_notebook("browse.ipynb", CELLS)
    with lab.open("browse.ipynb") as page:
        page.page.on("dialog", lambda dialog: page.problems.append(f"a dialog: {dialog.message}"))
        page.run_all()
        yield page


@pytest.fixture
def browser(page: LabPage) -> Locator:
    """The browser, made anew."""
    page.run_cell(BROWSE)
    found = page.output(BROWSE).locator(".chatnb-browser")
    expect(row(found, "eda")).to_be_visible()
    return found


def row(browser: Locator, name: str) -> Locator:
    return browser.locator(".chatnb-row").filter(has_text=name).first


def search(browser: Locator, text: str) -> None:
    box = browser.get_by_placeholder("Search names")
    box.fill(text)
    box.press("Enter")


def test_enter_in_the_search_box_narrows_the_list(browser: Locator) -> None:
    expect(row(browser, "planning")).to_contain_text("My city is Oslo.")
    search(browser, "plan")
    expect(browser.locator(".chatnb-row")).to_have_count(1)
    search(browser, "nothing like it")
    expect(browser.get_by_text("No session matches.")).to_be_visible()
    search(browser, "")
    expect(row(browser, "eda")).to_be_visible()


def test_a_session_is_read_and_resume_puts_it_into_a_cell_below_that_goes_on(page: LabPage, browser: Locator) -> None:
    row(browser, "eda").click()
    expect(browser.locator(".chatnb-message")).to_have_count(2)
    expect(browser.locator(".chatnb-user")).to_contain_text("My name is Alice.")
    expect(browser.locator(".chatnb-assistant em").first).to_contain_text("demo model")
    cells = page.cell_count
    browser.get_by_role("button", name="Resume").click()
    page.page.wait_for_function("count => rig.cells().length === count", arg=cells + 1)
    page.page.wait_for_function("i => rig.cells()[i].model.sharedModel.getSource() !== ''", arg=BROWSE + 1)
    assert page.source(BROWSE + 1) == "%%chat eda\n"
    page.page.wait_for_function("() => document.activeElement.classList.contains('cm-content')")
    page.page.keyboard.insert_text("What is my name?")
    page.run_cell(BROWSE + 1)
    assert "Alice" in page.cell_output_text(BROWSE + 1)
    browser.get_by_role("button", name="Refresh").click()
    expect(browser.locator(".chatnb-message")).to_have_count(4)
    page.page.evaluate("i => rig.select(i)", BROWSE + 1)
    page.command("notebook:delete-cell")


def test_a_deleted_session_leaves_the_list_and_undo_brings_it_back(browser: Locator, store: Store) -> None:
    row(browser, "planning").click()
    browser.locator(".chatnb-reader").get_by_role("button", name="Delete").click()
    expect(browser.get_by_text("Deleted 'planning'.")).to_be_visible()
    expect(row(browser, "planning")).to_have_count(0)
    browser.get_by_role("button", name="Undo").click()
    expect(row(browser, "planning")).to_be_visible()


def test_rows_boxes_and_buttons_are_reached_and_used_with_the_keyboard(page: LabPage, browser: Locator) -> None:
    keys = page.page.keyboard
    browser.get_by_role("checkbox").first.focus()
    keys.press("Tab")
    keys.press("Space")
    expect(browser.get_by_text("1 selected")).to_be_visible()
    keys.press("Tab")
    expect(browser.locator(".chatnb-row").first).to_be_focused()
    keys.press("Enter")
    expect(browser.locator(".chatnb-message").first).to_be_visible()
    browser.get_by_role("button", name="Rename…").focus()
    keys.press("Enter")
    form = browser.get_by_placeholder("Name", exact=True)
    form.fill("renamed with keys")
    form.press("Enter")
    expect(row(browser, "renamed with keys")).to_be_visible()
    former = "eda" if row(browser, "eda").count() == 0 else "planning"
    browser.get_by_role("button", name="Rename…").focus()
    keys.press("Space")
    form.fill(former)
    form.press("Enter")
    expect(row(browser, former)).to_be_visible()


def test_a_fork_button_at_a_message_opens_what_it_made(page: LabPage, browser: Locator, store: Store) -> None:
    row(browser, "eda").click()
    expect(browser.locator(".chatnb-fork").first).to_be_visible()
    browser.locator(".chatnb-fork").nth(1).click()
    expect(browser.locator(".chatnb-title")).to_have_text("eda (fork)")
    expect(browser.locator(".chatnb-message")).to_have_count(2)
    browser.locator(".chatnb-reader").get_by_role("button", name="Delete").click()
    expect(browser.get_by_text("Deleted 'eda (fork)'.")).to_be_visible()


def hostile(payload: str) -> list[ModelMessage]:
    call = ToolCallPart(payload, {payload: payload}, tool_call_id="1")
    return [
        ModelRequest(parts=[SystemPromptPart(payload), UserPromptPart(payload)]),
        ModelResponse(parts=[ThinkingPart(payload), TextPart(payload), call], model_name=payload),
        ModelRequest(parts=[ToolReturnPart(payload, payload, tool_call_id="1")]),
        ModelResponse(parts=[TextPart(f"- {payload}\n\n> {payload}\n\n|a|\n|-|\n|{payload}|")], model_name=payload),
    ]


def add_hostile(store: Store, project: str) -> None:
    with store.hold():
        for payload in PAYLOADS:
            made = store.create_session(
                Session(
                    id=new_id(), user_id=default_user(), project=project, name=payload, model=payload, tags=(payload,)
                )
            )
            messages = tuple(to_record(message, position=at)[0] for at, message in enumerate(hostile(payload)))
            turn = Turn(
                session_id=made.id,
                branch_id=made.branch_id,
                user_id=made.user_id,
                status="ok",
                prompt=payload,
                answer=payload,
                messages=messages,
            )
            store.close_turn(InFlight(turn=turn, ended=True))


FOREIGN = """(browser) => [...browser.querySelectorAll('*')].filter((node) =>
  ['SCRIPT', 'IFRAME', 'SVG', 'IMG', 'OBJECT', 'FORM'].includes(node.tagName.toUpperCase())
  || (node.tagName === 'STYLE' && !node.closest('.chatnb-style'))
  || (node.tagName === 'A' && !/^https?:/.test(node.getAttribute('href')))
  || [...node.attributes].some((one) => one.name.startsWith('on') || one.name === 'srcdoc' || one.name === 'autofocus')
  || (node.hasAttribute('data-commandlinker-command') && !node.classList.contains('chatnb-resume'))
  || (node.tagName === 'DETAILS' && node.open)
).map((node) => node.outerHTML.slice(0, 200))"""


def test_what_users_models_and_tools_wrote_neither_runs_nor_becomes_an_element(
    lab: Lab, page: LabPage, browser: Locator, store: Store
) -> None:
    add_hostile(store, str(lab.folder))
    browser.get_by_role("button", name="Refresh").click()
    for payload in PAYLOADS:
        one = browser.locator(".chatnb-row").filter(has_text=payload).first
        one.click()
        expect(browser.locator(".chatnb-title")).to_have_text(payload)
        expect(browser.locator(".chatnb-head")).to_have_count(4)
        expect(browser.locator(".chatnb-head").last).to_contain_text(payload[:50])  # the last that is drawn
        for summary in browser.locator(".chatnb-body summary").all():
            summary.click()
            summary.click()
        one.hover()
        assert browser.evaluate(FOREIGN) == []
    for place in ("Any model", "Any tag"):
        texts = browser.locator("select").filter(has_text=place).locator("option").all_text_contents()
        shown = {text.replace("\xa0", " ") for text in texts}  # ipywidgets keeps spaces with this one
        assert shown >= {payload for payload in PAYLOADS if len(payload) <= 60}
    browser.get_by_role("checkbox").nth(1).check()
    browser.locator(".chatnb-selection").get_by_role("button", name="Delete").click()
    expect(browser.get_by_text("Deleted '")).to_be_visible()
    assert browser.evaluate(FOREIGN) == []
    assert page.page.evaluate("() => window.__pwned") is None
    assert page.problems == []
    assert page.cell_count == len(CELLS)


CONTRAST = """(browser) => {
  const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = channels(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  return Object.fromEntries(['.chatnb-row', '.chatnb-title', '.chatnb-facts', '.chatnb-head b', '.chatnb-head span',
    '.chatnb-body', '.chatnb-body summary', '.chatnb-tag', '.chatnb-fork', '.chatnb-current'].flatMap((name) => {
    const node = browser.querySelector(name);
    if (node === null) return [];
    const under = behind(node), ink = channels(getComputedStyle(node).color), alpha = ink[3] ?? 1;
    const [one, two] = [ink.slice(0, 3).map((v, i) => v * alpha + under[i] * (1 - alpha)), under].map(light);
    return [[name, (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05)]];
  }));
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_is_readable_in_the_theme(page: LabPage, browser: Locator, dark: bool) -> None:
    page.use_theme(dark=dark)
    try:
        row(browser, "eda").click()
        expect(browser.locator(".chatnb-message").first).to_be_visible()
        found = browser.evaluate(CONTRAST)
        assert len(found) >= 7
        assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}  # WCAG 2.2, 1.4.3
    finally:
        page.use_theme(dark=False)


def test_in_a_narrow_window_the_transcript_goes_below_the_list_and_nothing_is_cut(
    page: LabPage, browser: Locator
) -> None:
    row(browser, "eda").click()
    expect(browser.locator(".chatnb-message").first).to_be_visible()
    listed, reader = browser.locator(".chatnb-list"), browser.locator(".chatnb-reader")
    below = "([list, reader]) => reader.getBoundingClientRect().top >= list.getBoundingClientRect().bottom"
    pair = [listed.element_handle(), reader.element_handle()]
    assert not page.page.evaluate(below, pair)
    page.page.set_viewport_size({"width": 700, "height": 900})
    try:
        page.page.evaluate("() => jupyterapp.shell.collapseLeft()")
        page.page.wait_for_function(below, arg=pair)
        assert browser.evaluate("(node) => node.scrollWidth <= node.clientWidth")
        assert browser.evaluate("(node) => node.parentElement.scrollWidth <= node.parentElement.clientWidth")
    finally:
        page.page.evaluate("() => jupyterapp.shell.expandLeft()")
        page.page.set_viewport_size({"width": 1280, "height": 900})


def test_the_saved_notebook_holds_a_table_for_where_there_are_no_widgets(lab: Lab, page: LabPage) -> None:
    page.run_cell(BROWSE)
    page.save()
    data = lab.read_notebook("browse.ipynb").cells[BROWSE].outputs[0].data
    assert "<td>eda</td>" in data["text/html"] and "eda" in data["text/plain"]
