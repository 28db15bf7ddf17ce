"""Plots as matplotlib Axes: what they draw, that it is labelled and lies inside the figure, and what empty ones say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import chatnb
from chatnb import plots
from chatnb.records import ToolCall
from chatnb.stores.store import Store
from tests.rigs.parts import missing
from tests.stores.making import ANN, ask, session

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = ("usage", "hours", "latency", "tools")
START = datetime(2026, 11, 16, 9, tzinfo=UTC)  # a Monday


@pytest.fixture(autouse=True)
def canvas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Figures are drawn in memory, and closed at the end."""
    if find_spec("matplotlib") is None:
        import os

        missing("This test needs matplotlib (the extra `plots`).", fails=bool(os.environ.get("CI")))
    monkeypatch.setenv("MPLBACKEND", "agg")
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


@pytest.fixture
def store() -> Iterator[Store]:
    with chatnb.open_store("memory:") as opened:
        yield opened


@pytest.fixture
def filled(store: Store) -> Store:
    """Four days of turns of two models, one without a price, and two tools, one of which fails."""
    chat = store.create_session(session("eda"))
    for number in range(8):
        calls = [
            ToolCall(turn_id="", call_id="a", tool="read_csv", arguments={}, result="x"),
            ToolCall(turn_id="", call_id="b", tool="run$sql$", arguments={}, error="boom" if number % 2 else None),
        ]
        ask(
            store,
            chat,
            calls=calls,
            model="openai:gpt-5" if number % 2 else "ollama:llama3",
            cost=0.25 if number % 2 else None,
            input_tokens=1000 * (number + 1),
            output_tokens=100,
            started_at=START + timedelta(days=number // 2, hours=number),
            first_token_ms=300.0 + number,
            duration_ms=2000.0 + number,
        )
    return store


def draw(name: str, store: Store, **how: object) -> Axes:
    function: Callable[..., Axes] = getattr(plots, name)
    return function(user=ANN, store=store, **how)


def words(ax: Axes) -> str:
    from matplotlib.text import Text

    figure = ax.get_figure()
    assert figure is not None
    figure.canvas.draw()  # ticks have no text before
    return "\n".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_is_labelled_and_everything_lies_inside_its_figure(filled: Store, name: str) -> None:
    ax = draw(name, filled)
    figure = ax.figure
    assert figure.get_size_inches()[0] == 8  # a notebook's width
    figure.canvas.draw()
    assert ax.get_title(loc="left")
    drawn, inside = figure.get_tightbbox(), figure.bbox_inches
    assert drawn.x0 >= inside.x0 - 0.01
    assert drawn.y0 >= inside.y0 - 0.01
    assert drawn.x1 <= inside.x1 + 0.01
    assert drawn.y1 <= inside.y1 + 0.01


@pytest.mark.parametrize("name", NAMES)
def test_a_plot_of_nothing_says_so_in_a_sentence(store: Store, name: str) -> None:
    ax = draw(name, store)
    ax.figure.canvas.draw()
    assert not ax.axison
    assert any(text.get_text().endswith(".") and " " in text.get_text() for text in ax.texts)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["grid", "constrained", "by hand"])
def test_a_given_axes_is_drawn_into_and_pyplot_is_left_alone(filled: Store, name: str, place: str) -> None:
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), layout="constrained" if place == "constrained" else None)
    if place == "by hand":
        ax = figure.add_axes((0.2, 0.2, 0.6, 0.6))
    else:
        ax, other = figure.subplots(2, 1)
    assert draw(name, filled, ax=ax) is ax
    figure.canvas.draw()
    assert pyplot.get_fignums() == []
    if place == "constrained":
        lowest = min(one.get_tightbbox().y0 for one in figure.axes if one is not other)
        assert lowest >= other.get_tightbbox().y1  # it keeps to its own room


def test_usage_draws_tokens_and_costs_and_says_what_has_no_price(filled: Store) -> None:
    ax = draw("usage", filled)
    costs = ax.figure.axes[1]
    assert sum(bar.get_height() for bar in ax.patches) == sum(1000 * (n + 1) + 100 for n in range(8))
    assert sum(bar.get_height() for bar in costs.patches) == 1.0
    assert "4 of 8 turns have no known price" in words(ax)
    assert ax.get_ylabel() == "tokens per day"
    assert costs.get_ylabel() == "cost (USD)"
    assert {"openai:gpt-5", "ollama:llama3"} <= set(words(ax).splitlines())


def test_a_long_time_is_drawn_in_weeks_and_many_models_as_others(store: Store) -> None:
    chat = store.create_session(session("eda"))
    for number in range(10):
        ask(store, chat, model=f"m{number}", started_at=START + timedelta(days=20 * number), input_tokens=10 + number)
    ax = draw("usage", store)
    assert ax.get_ylabel() == "tokens per week"
    assert "4 others" in words(ax).splitlines()
    assert sum(bar.get_height() for bar in ax.patches) == sum(10 + number for number in range(10))


def test_hours_count_turns_where_they_happened(filled: Store) -> None:
    for tz, first in (("UTC", 9), ("Europe/Vienna", 10)):
        ax = draw("hours", filled, tz=tz)
        counts = ax.collections[0].get_array().reshape(7, 24)
        assert counts[0, first] == 1
        assert counts.sum() == 8
        assert f"({tz})" in ax.get_xlabel()


def test_latency_shows_medians_in_seconds(filled: Store) -> None:
    ax = draw("latency", filled)
    medians = {round(float(line.get_xdata()[0]), 3) for line in ax.lines}
    assert {0.303, 0.304, 2.003, 2.004} <= medians
    assert "4 turns" in words(ax)
    assert "seconds" in ax.get_xlabel()


def test_tools_count_calls_and_failures(filled: Store) -> None:
    ax = draw("tools", filled)
    assert "8 (4 failed, 50%)" in words(ax)
    assert "run\\$sql\\$" in words(ax)  # text, not a formula
    assert sum(bar.get_width() for bar in ax.patches) == 16


def test_one_turn_and_a_free_one_are_drawn_without_a_warning(store: Store) -> None:
    chat = store.create_session(session("eda"))
    ask(store, chat, model="demo", cost=0.0, first_token_ms=None, duration_ms=3.0, started_at=START)
    for name in NAMES:
        draw(name, store).figure.canvas.draw()


def test_the_palette_is_one_that_the_colour_blind_tell_apart() -> None:
    """Of Okabe and Ito's set, in any order, beside one grey."""
    okabe_ito = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"}
    assert set(plots.PALETTE) == okabe_ito


def test_without_matplotlib_one_sentence_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import chatnb\n"
        "try: chatnb.plots.usage(store='memory:')\n"
        "except chatnb.ChatnbError as error: print(error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert said.stdout == "Plots need matplotlib. Install it: pip install 'chatnb[plots]'\n"
