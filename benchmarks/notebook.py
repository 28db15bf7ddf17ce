"""What the notebook waits for: `%load_ext chatnb` in a fresh kernel, and `%%chat` beyond the bare agent's run."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median

from tests.rigs.kernel import Kernel

KERNELS = 5
TURNS = 50
BARS = {"beyond the bare run / raw": 3.5}
"""DESIGN.md section 10."""

LOAD = """
import sys, time
before = set(sys.modules)
started = time.perf_counter()
get_ipython().run_line_magic("load_ext", "chatnb")
took = time.perf_counter() - started
new = {name.split(".")[0] for name in set(sys.modules) - before}
heavy = ["pandas", "pydantic_ai", "langchain_core", "duckdb", "pyarrow", "ipywidgets", "matplotlib"]
import json
print(json.dumps({"ms": took * 1000, "new": len(new), "heavy": [name for name in heavy if name in sys.modules]}))
"""

TURN = """
import json, time
from pathlib import Path
import duckdb
from pydantic_ai import Agent
from chatnb.models import resolve

agent, history = Agent(resolve("demo")), []
magics = get_ipython().magics_manager.registry["ChatMagics"]
times = {"bare": [], "chat": [], "raw": []}

async def bare(prompt):
    global history
    async with agent.run_stream_events(prompt, message_history=history) as events:
        async for event in events:
            last = event
    history = last.result.all_messages()

def raw():
    Path("raw.duckdb").unlink(missing_ok=True)
    with duckdb.connect("raw.duckdb") as connection:
        connection.execute("CREATE TABLE t (id VARCHAR, text VARCHAR)")
    started = time.perf_counter()
    with duckdb.connect("raw.duckdb") as connection:
        connection.execute("INSERT INTO t VALUES ('1', 'What is a mean?')")
    return time.perf_counter() - started

for number in range(TURNS + 5):
    prompt = f"What is {number} and {number}?"
    started = time.perf_counter()
    await bare(prompt)
    between = time.perf_counter()
    await magics.achat("bench -m demo --append", prompt)
    ended = time.perf_counter()
    for name, took in (("bare", between - started), ("chat", ended - between), ("raw", raw())):
        times[name].append(took * 1000)
from IPython.display import clear_output
clear_output()
print(json.dumps({name: took[5:] for name, took in times.items()}))
"""
"""Turn by turn beside each other, so that a slow moment of the machine strikes all three; the first five warm up."""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="chatnb-bench-") as folder:
        environment = {"CHATNB_STORE": str(Path(folder) / "chat.duckdb"), "CHATNB_DEMO_DELAY": "0"}
        loads = []
        for _ in range(KERNELS):
            with Kernel(folder, environment, notebook="bench.ipynb") as kernel:
                loads.append(json.loads(kernel.run(LOAD).expect_ok().stdout))
        print(
            f"%load_ext chatnb            {median(load['ms'] for load in loads):8.1f} ms, median of {KERNELS} kernels"
        )
        print(f"  packages it imports       {loads[0]['new']:8d}; heavy ones: {', '.join(loads[0]['heavy']) or 'none'}")
        with Kernel(folder, environment, notebook="bench.ipynb") as kernel:
            kernel.run("%load_ext chatnb").expect_ok()
            told = kernel.run(TURN.replace("TURNS", str(TURNS)), timeout=300).expect_ok().stdout
    times = {name: median(took) for name, took in json.loads(told.strip().splitlines()[-1]).items()}
    beyond = times["chat"] - times["bare"]
    print(f"the bare agent's run        {times['bare']:8.1f} ms, median of {TURNS}, demo model without delays")
    print(f"the same in %%chat          {times['chat']:8.1f} ms, on a closed DuckDB file")
    print(f"  beyond the bare run       {beyond:8.1f} ms")
    print(f"one raw open-insert-close   {times['raw']:8.1f} ms")
    (bar,) = BARS.values()
    print(f"  beyond the bare run / raw {beyond / times['raw']:8.2f}, bar {bar}")
