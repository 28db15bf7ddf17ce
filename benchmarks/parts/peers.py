"""Peers beside chatnb: each in a process of its own, in this environment or in one with only the peers in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from benchmarks.parts.work import ANSWER, PROMPT, text

__all__ = ["PEERS", "Peer", "peer"]

PEERS = {
    "openai-agents": ("agents", ["openai-agents"]),
    "langchain": ("langchain_community", ["langchain-community", "sqlalchemy[asyncio]", "psycopg[binary]"]),
}
"""Each peer's module and the packages that bring it."""

_MAKES_UV = str(Path(__file__).parents[2] / ".uv" / "bin" / "uv")
"""Where the Makefile puts uv on a machine without it."""


class Peer:
    """One peer with one session; it measures itself, and gives seconds."""

    def __init__(self, process: subprocess.Popen[str], label: str) -> None:
        self._process = process
        self.label = label
        self.count = 0

    def _ask(self, *command: object) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.label} ended early. What it said is above.")
        return float(line)

    def _texts(self) -> tuple[str, str]:
        self.count += 1
        return text(PROMPT, self.count), text(ANSWER, -self.count)

    def turn(self) -> float:
        """A turn as its own runner stores it."""
        return self._ask("turn", *self._texts())

    def turn_at_once(self) -> float:
        """A turn in one call."""
        return self._ask("turn_at_once", *self._texts())

    def window(self) -> float:
        """The last messages."""
        return self._ask("window")

    def fill(self, turns: int) -> None:
        """Turns that are not measured."""
        for _ in range(0, turns, 100):
            self._ask("fill", [self._texts() for _ in range(min(turns, 100))])


def _python(name: str, fetch: bool) -> list[str] | None:
    """How to start a Python that has the peer: named by CHATNB_BENCH_PEERS, this one, or one that uv makes."""
    module, packages = PEERS[name]
    if named := os.environ.get("CHATNB_BENCH_PEERS"):
        return [named]
    if find_spec(module) is not None:
        return [sys.executable]
    if fetch and (uv := shutil.which("uv") or shutil.which(_MAKES_UV)):
        wanted = [part for package in packages for part in ("--with", package)]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return [uv, "run", "--quiet", "--no-project", "--python", version, *wanted, "python"]
    return None


@contextmanager
def peer(name: str, address: str, *, fetch: bool) -> Iterator[Peer | None]:
    """A peer that runs for the time of the block; None where it cannot be had. `fetch` lets uv bring it."""
    python = _python(name, fetch)
    if python is None:
        print(f"{name} is left out: pip install {' '.join(PEERS[name][1])}")
        yield None
        return
    process = subprocess.Popen(
        [*python, str(Path(__file__).with_name("peer_worker.py")), name, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "OPENAI_AGENTS_DISABLE_TRACING": "1"},
    )
    assert process.stdout is not None
    label = process.stdout.readline().strip()
    try:
        if not label:
            print(f"{name} is left out: it could not be started (see above)")
            yield None
            return
        yield Peer(process, label)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=30)
