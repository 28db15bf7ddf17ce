"""Plots of the histories, as matplotlib Axes: `chatnb.plots.usage()`, `hours()`, `latency()`, `tools()`.

Each draws into `ax`, or into a figure of its own at notebook width, and returns the Axes. Colours are those of
M. Okabe and K. Ito, "Color Universal Design" (2008, https://jfly.uni-koeln.de/color/), which people of every colour
vision tell apart; the heat map goes from light to dark in ColorBrewer's Blues (M. Harrower and C. Brewer, The
Cartographic Journal 40(1), 2003).

It stands beside the notebook's parts, not among them: it needs no notebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from chatnb import frames
from chatnb.dtypes import frame
from chatnb.errors import ChatnbError
from chatnb.frames import ME, OWN, Me, opened, owner_of
from chatnb.stores.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["PALETTE", "hours", "latency", "tools", "usage"]

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's colours, the ones that differ most first, and a grey for everything else."""

_BLUE, _SKY, _VERMILLION, _INK = "#0072B2", "#56B4E9", "#D55E00", "#333333"
_MODELS = 6
_TOOLS = 15
_LONGEST = 40
_NONE = "(no model)"


def usage(
    *,
    ax: Axes | None = None,
    user: str | Me | None = ME,
    tz: str = "UTC",
    store: Store | str | Path | None = None,
) -> Axes:
    """Tokens (in and out together) each day by model, stacked, and below them what they cost, in USD.

    Days are added up to weeks, beginning on Monday, when there are more than 120. Models beyond the six with the most
    tokens are one colour. Turns of unknown price are counted below, never drawn as free.

    Parameters
    ----------
    ax
        Where to draw; the tokens keep its upper part, the costs get Axes of their own below. None makes a figure.
    user
        Whose; the default is yourself, None everybody's.
    tz
        The time zone of the days, such as 'Europe/Vienna'.
    store
        A store or its address; None is the default store.

    Raises
    ------
    ChatnbError
        When matplotlib is missing.
    """
    data = frames.usage(("day", "model"), user=user, tz=tz, store=store)
    ax = ax if ax is not None else _new_axes(height=3.0 if data.empty else 5.0)
    if data.empty:
        return _sentence(ax, "No turns yet: tokens and costs show here once something was asked.")
    data["tokens"] = data.input_tokens.astype("float64") + data.output_tokens.astype("float64")
    data["model"] = data.model.astype("str").fillna(_NONE).map(_label)
    unpriced, turns = int(data.unpriced.sum()), int(data.turns.sum())
    weekly = (data.day.max() - data.day.min()).days > 120
    if weekly:
        data["day"] = data.day.dt.to_period("W").dt.start_time
    names = _most_used(data)
    tokens_ax, cost_ax = _upper_and_lower(ax)
    _stack(tokens_ax, data, "tokens", names, weekly)
    _stack(cost_ax, data, "cost", names, weekly)
    tokens_ax.tick_params(axis="x", labelbottom=False)
    tokens_ax.set_ylabel(f"tokens per {'week' if weekly else 'day'}")
    tokens_ax.yaxis.set_major_formatter(_thousands)
    cost_ax.set_ylabel("cost (USD)")
    cost_ax.yaxis.set_major_formatter(_dollars)
    if unpriced:
        says = f"{unpriced:,} of {turns:,} turns have no known price and are not in the costs"
        cost_ax.set_title(says, loc="left", fontsize="small", color=_INK)
    _dates(cost_ax, data.day, tz, weekly)
    tokens_ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 1), ncols=3, frameon=False, fontsize="small")
    tokens_ax.set_title("Tokens and cost by model", loc="left", pad=10 + 15 * -(-len(names) // 3))  # above the legend
    return tokens_ax


def hours(
    *,
    ax: Axes | None = None,
    user: str | Me | None = ME,
    tz: str = "UTC",
    store: Store | str | Path | None = None,
) -> Axes:
    """How many turns were asked at each hour of each day of the week, as a heat map.

    Parameters
    ----------
    ax
        Where to draw; None makes a figure.
    user
        Whose; the default is yourself, None everybody's.
    tz
        The time zone, such as 'Europe/Vienna'.
    store
        A store or its address; None is the default store.

    Raises
    ------
    ChatnbError
        When matplotlib is missing.
    """
    data = frames.usage(("weekday", "hour"), user=user, tz=tz, store=store)
    ax = ax if ax is not None else _new_axes(height=3.2)
    if data.empty:
        return _sentence(ax, "No turns yet: the hours show here once something was asked.")
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import MaxNLocator

    counts = np.zeros((7, 24))
    counts[data.weekday.cat.codes, data.hour.astype("int64")] = data.turns.astype("float64")
    shown = np.ma.masked_equal(counts, 0)
    blues = ListedColormap(colormaps["Blues"](np.linspace(0.15, 1, 256)))
    mesh = ax.pcolormesh(np.arange(25), np.arange(8), shown, cmap=blues, vmin=0, edgecolors="white", linewidth=1)
    ax.set_facecolor("#F2F2F2")
    ax.set_xticks(np.arange(24) + 0.5, [str(hour) if hour % 3 == 0 else "" for hour in range(24)])
    ax.set_yticks(np.arange(7) + 0.5, [name[:3] for name in data.weekday.cat.categories])
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"hour of the day ({tz})")
    ax.set_title(f"When turns were asked ({int(counts.sum()):,} turns)", loc="left")
    bar = ax.figure.colorbar(mesh, ax=ax, label="turns", pad=0.02, fraction=0.05)
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    bar.outline.set_visible(False)
    return ax


def latency(*, ax: Axes | None = None, user: str | Me | None = ME, store: Store | str | Path | None = None) -> Axes:
    """Seconds until the first token and until the end of a turn, by model, for turns that went well.

    A box holds the middle half of the turns, its line the median, its whiskers 5 and 95 percent.

    Parameters
    ----------
    ax
        Where to draw; None makes a figure.
    user
        Whose; the default is yourself, None everybody's.
    store
        A store or its address; None is the default store.

    Raises
    ------
    ChatnbError
        When matplotlib is missing.
    """
    where, params = _whose("turns", user)
    text = (
        f"SELECT coalesce(model, '{_NONE}') AS model, first_token_ms / 1000 AS first, duration_ms / 1000 AS whole"
        f" FROM turns WHERE {where} AND status = 'ok' AND duration_ms IS NOT NULL"
    )
    data = frame(opened(store).query(text, params))
    data["model"] = data.model.map(_label)
    names = [str(name) for name in data.model.value_counts().index[: _MODELS + 2]]
    ax = ax if ax is not None else _new_axes(height=1.4 + 0.55 * max(len(names), 2))
    if data.empty:
        return _sentence(ax, "No finished turns yet: latencies show here once a model answered.")
    from matplotlib.ticker import NullFormatter

    medians = data.groupby("model")["whole"].median()
    names.sort(key=lambda name: float(medians[name]))
    for offset, column, colour, says in ((-0.18, "first", _SKY, "first token"), (0.18, "whole", _BLUE, "whole turn")):
        samples = [data.loc[data.model == name, column].dropna().to_numpy() for name in names]
        _boxes(ax, samples, [place + offset for place in range(len(names))], colour, says)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(_seconds)
    low, high = ax.get_xlim()
    ax.xaxis.set_minor_formatter(_seconds_between if high < 200 * low else NullFormatter())
    ax.set_yticks(range(len(names)), [f"{name}\n{int((data.model == name).sum()):,} turns" for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("seconds (logarithmic)")
    ax.set_title("Latency by model", loc="left")
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.8)
    _plain(ax)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize="small")
    return ax


def tools(*, ax: Axes | None = None, user: str | Me | None = ME, store: Store | str | Path | None = None) -> Axes:
    """How often each tool was called, and how often it failed. The fifteen most used are shown.

    Parameters
    ----------
    ax
        Where to draw; None makes a figure.
    user
        Whose; the default is yourself, None everybody's.
    store
        A store or its address; None is the default store.

    Raises
    ------
    ChatnbError
        When matplotlib is missing.
    """
    where, params = _whose("tool_calls", user)
    text = (
        "SELECT tool, count(*) AS calls, count(error) AS failures FROM tool_calls"
        f" WHERE {where} GROUP BY tool ORDER BY calls DESC, tool"
    )
    every = frame(opened(store).query(text, params))
    data = every.head(_TOOLS)
    ax = ax if ax is not None else _new_axes(height=1.3 + 0.33 * max(len(data), 3))
    if data.empty:
        return _sentence(ax, "No tool was called yet.")
    from matplotlib.ticker import MaxNLocator

    names = [_label(str(name)) for name in data.tool]
    failed = data.failures.astype("float64")
    good = data.calls.astype("float64") - failed
    ax.barh(names, good, color=_BLUE, label="went well", height=0.7)
    ax.barh(names, failed, left=good, color=_VERMILLION, hatch="////", edgecolor="white", label="failed", height=0.7)
    for place, row in enumerate(data.itertuples()):
        calls, failures = int(row.calls), int(row.failures)  # type: ignore[arg-type]  # columns of our own SELECT
        says = f" {calls:,}" + (f" ({failures:,} failed, {failures / calls:.0%})" if failures else "")
        ax.text(calls, place, says, va="center", fontsize="small", color=_INK)
    ax.set_xlim(0, float(data.calls.max()) * 1.45)
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    ax.xaxis.set_major_formatter(_thousands)
    ax.set_xlabel("calls")
    left = f", the {_TOOLS} most called of {len(every)}" if len(every) > _TOOLS else ""
    ax.set_title(f"Tool calls{left}", loc="left")
    _plain(ax)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize="small")
    return ax


def _pyplot() -> ModuleType:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ChatnbError("Plots need matplotlib. Install it: pip install 'chatnb[plots]'") from error
    return pyplot


def _new_axes(height: float) -> Axes:
    """The Axes of a new figure at notebook width; `height` is in inches."""
    _, ax = _pyplot().subplots(figsize=(8, height), layout="constrained")
    return ax  # type: ignore[no-any-return]  # pyplot is imported late


def _upper_and_lower(ax: Axes) -> tuple[Axes, Axes]:
    """The Axes in the upper part of its room, and new Axes over the same days in the lower."""
    place = ax.get_subplotspec()
    if place is None:  # it was put somewhere by hand
        from mpl_toolkits.axes_grid1 import make_axes_locatable  # type: ignore[import-untyped]

        return ax, make_axes_locatable(ax).append_axes("bottom", size="65%", pad=0.35, sharex=ax)
    room = 0.35 if ax.figure.get_layout_engine() is None else 0.02  # a layout engine adds what labels need
    rows = place.subgridspec(2, 1, height_ratios=(3, 2), hspace=room)
    ax.set_subplotspec(rows[0])
    return ax, ax.figure.add_subplot(rows[1], sharex=ax)


def _whose(relation: str, user: str | Me | None) -> tuple[str, dict[str, object]]:
    owner = owner_of(user)
    return ("TRUE", {}) if owner is None else (OWN[relation], {"user": owner})


def _sentence(ax: Axes, text: str) -> Axes:
    """An empty plot that says why it is empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=_INK, wrap=True)
    return ax


def _label(name: str) -> str:
    """A name as text: never a formula, and never so long that the plot has no room."""
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return short.replace("$", r"\$")


def _plain(ax: Axes) -> None:
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _most_used(data: pd.DataFrame) -> list[str]:
    """The models with the most tokens; others become one, in `data` too."""
    totals = data.groupby("model")["tokens"].sum().sort_values(ascending=False)
    names = [str(name) for name in totals.index]
    if len(names) > _MODELS:
        other = f"{len(names) - _MODELS} others"
        data.loc[~data.model.isin(names[:_MODELS]), "model"] = other
        names = [*names[:_MODELS], other]
    return names


def _stack(ax: Axes, data: pd.DataFrame, column: str, names: Sequence[str], weekly: bool) -> None:
    table = data.pivot_table(index="day", columns="model", values=column, aggfunc="sum", fill_value=0.0)
    below = table.iloc[:, 0] * 0.0
    for number, name in enumerate(names):
        if name not in table:
            continue
        colour = PALETTE[number] if number < _MODELS else PALETTE[-1]
        heights = table[name]
        ax.bar(table.index, heights, bottom=below, width=6.0 if weekly else 0.85, color=colour, label=name)
        below = below + heights
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    ax.set_ylim(0, float(below.max()) * 1.08 or 1.0)
    _plain(ax)


def _dates(ax: Axes, days: pd.Series[pd.Timestamp], tz: str, weekly: bool) -> None:
    import pandas as pd
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    locator = AutoDateLocator(minticks=3, maxticks=9, interval_multiples=True)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    room = pd.Timedelta(days=4 if weekly else 0.6)
    first, last = days.min() - room, days.max() + room
    short = pd.Timedelta(days=7) - (last - first)
    if short > pd.Timedelta(0):
        first, last = first - short / 2, last + short / 2
    ax.set_xlim(date2num(first), date2num(last))  # type: ignore[no-untyped-call]
    ax.set_xlabel(f"{'week from' if weekly else 'day'} ({tz})")


def _boxes(ax: Axes, samples: Sequence[object], places: Sequence[float], colour: str, says: str) -> None:
    ax.boxplot(
        samples,  # type: ignore[arg-type]  # the stubs ask for one array, matplotlib for a list of them
        positions=list(places),
        orientation="horizontal",
        widths=0.3,
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        label=says,
        boxprops={"facecolor": colour, "edgecolor": _INK, "linewidth": 0.8},
        medianprops={"color": "white" if colour == _BLUE else "black", "linewidth": 1.6},
        whiskerprops={"color": _INK, "linewidth": 0.8},
        capprops={"color": _INK, "linewidth": 0.8},
    )


def _thousands(value: float, _: object = None) -> str:
    """1234567 as 1.2M."""
    for size, sign in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{sign}"
    return f"{value:.3g}"


def _dollars(value: float, _: object = None) -> str:
    return f"${value:,.0f}" if value >= 10 else f"${value:.2f}" if value >= 0.1 or value == 0 else f"${value:.2g}"


def _seconds(value: float, _: object = None) -> str:
    return f"{value:g}"


def _seconds_between(value: float, _: object = None) -> str:
    """Labels 2 and 5 between the powers of ten."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""
