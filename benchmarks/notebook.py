"""What a notebook waits for: `%load_ext chatnb` in a fresh kernel, and `%%chat` beyond the bare agent's run."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median

from benchmarks.parts.places import folder
from benchmarks.parts.timing import Row, show, spread
from tests.rigs.kernel import Kernel

__all__ = ["main"]

LOAD = """
import json, sys, time
before = set(sys.modules)
began = time.perf_counter()
get_ipython().run_line_magic("load_ext", "chatnb")
took = time.perf_counter() - began
heavy = ["pandas", "pydantic_ai", "langchain_core", "duckdb", "pyarrow", "ipywidgets", "matplotlib"]
print(json.dumps([took, len(set(sys.modules) - before), [name for name in heavy if name in sys.modules]]))
"""

TURNS = """
import json, time
from pathlib import Path
import duckdb
from IPython.display import clear_output
from pydantic_ai import Agent
from chatnb.models import resolve

agent, history, seconds = Agent(resolve("demo")), [], []
magics = get_ipython().magics_manager.registry["ChatMagics"]

async def bare(prompt):
    async with agent.run_stream_events(prompt, message_history=history) as events:
        async for event in events:
            last = event
    return last.result.all_messages()

def raw(number):
    path = f"raw-{number}.duckdb"
    began = time.perf_counter()
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, text VARCHAR)")
        connection.execute("INSERT INTO t VALUES ('1', 'What is a mean?')")
    return time.perf_counter() - began

for number in range(-5, ROUNDS):
    prompt = f"What is {number} and {number}?"
    began = time.perf_counter()
    history = await bare(prompt)
    between = time.perf_counter()
    await magics.achat("bench -m demo --append", prompt)
    seconds.append([between - began, time.perf_counter() - between, raw(number)])
clear_output()
print(json.dumps(seconds[5:]))
"""
"""Turn by turn beside each other, so that what else the machine does falls on all alike; the first five warm up."""


def main(options: argparse.Namespace) -> None:
    """Print the tables."""
    kernels, rounds = (2, 5) if options.quick else (7, 50)
    with folder() as place:
        loads = [_loaded(place) for _ in range(kernels)]
        seconds, new, heavy = zip(*loads, strict=True)
        print(f"\n%load_ext chatnb: {spread(seconds)}, {kernels} fresh kernels; {max(new)} new modules, of the heavy")
        print(f"ones {', '.join(heavy[0]) or 'none'} (the first cell's imports follow while the kernel waits).")
        bare, chat, raw = zip(*_turns(place, rounds), strict=True)
    beyond = [ours - theirs for ours, theirs in zip(chat, bare, strict=True)]
    rows = [
        Row("%%chat, whole", chat, "the bare agent's streamed run", bare),
        Row("%%chat, beyond the bare run", beyond, "raw open-insert-close of an empty file", raw, 3.5),
    ]
    notes = [f"{rounds} turns of one session on a closed DuckDB file, the demo model without delays, history included."]
    show("A turn in a cell", rows, notes)
    print(f"\n%%chat costs {1000 * median(beyond):.1f} ms beyond the bare run.")


def _kernel(place: Path) -> Kernel:
    environment = {"CHATNB_STORE": str(place / "chat.duckdb"), "CHATNB_DEMO_DELAY": "0"}
    return Kernel(place, environment, notebook="bench.ipynb")


def _loaded(place: Path) -> tuple[float, int, list[str]]:
    with _kernel(place) as kernel:
        took, new, heavy = json.loads(kernel.run(LOAD).expect_ok().stdout)
    return took, new, heavy


def _turns(place: Path, rounds: int) -> list[list[float]]:
    with _kernel(place) as kernel:
        kernel.run("%load_ext chatnb").expect_ok()
        told = kernel.run(TURNS.replace("ROUNDS", str(rounds)), timeout=600).expect_ok().stdout
    seconds: list[list[float]] = json.loads(told.strip().splitlines()[-1])
    return seconds
