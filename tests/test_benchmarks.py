"""The benchmarks run, and print ratios beside their bars; what the ratios are is for people to read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def benchmark(*arguments: str) -> str:
    """What `python -m benchmarks` prints."""
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "storage",
            ["its statements as bare SQL", "raw DuckDB, held", "raw sqlite", "raw json", "a hand-made SQLite class"],
        ),
        ("growth", ["raw open-insert-close", "a young file", "while it grows"]),
        ("scale", ["taken up again", "by name", "row groups of messages", "USING INDEX"]),
    ],
)
def test_a_benchmark_prints_ratios_beside_bars(name: str, told: list[str]) -> None:
    printed = benchmark(name)
    head = next(line for line in printed.splitlines() if line.startswith("work"))
    assert "ratio" in head and "bar" in head
    assert "met" in printed or "MISSED" in printed
    for words in told:
        assert words in printed


def test_no_turn_is_lost_when_writers_are_killed() -> None:
    printed = benchmark("durability")
    lines = [line for line in printed.splitlines() if line.split()[:1] in (["duckdb"], ["sqlite"], ["json"])]
    assert [line.split()[-1] for line in lines] == ["clean"] * 3


def test_an_unknown_benchmark_is_named() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks", "storag"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "'storag'" in done.stderr and "storage" in done.stderr
