"""Kernels that have chatnb loaded, over a store of their own, and what other processes read of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

import chatnb
from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from tests.rigs.kernel import REPOSITORY, Kernel, Result

MODELS = "from tests.notebook.models import *"
"""What a cell runs to have the scripted models."""


@contextmanager
def chat_kernel(
    folder: Path, notebook: str | None = "explore.ipynb", *, model: str | None = "demo", **env: str
) -> Iterator[Kernel]:
    """A kernel with `%load_ext chatnb` over `folder/chat.duckdb`; `model` is what `CHATNB_MODEL` says."""
    own = {"CHATNB_STORE": str(folder / "chat.duckdb"), "CHATNB_DEMO_DELAY": "0", "PYTHONPATH": str(REPOSITORY)}
    with Kernel(folder, {**own, "CHATNB_MODEL": model, **env}, notebook=notebook) as kernel:
        load(kernel)
        yield kernel


def load(kernel: Kernel) -> None:
    """What the first cell of each notebook here does."""
    kernel.run(f"%load_ext chatnb\nimport chatnb\n{MODELS}").expect_ok()


def closing(result: Result) -> str:
    """The closing line of the cell's newest turn."""
    return result.displays[-1].text.rstrip().splitlines()[-1]


def answer(result: Result) -> str:
    """What the cell shows above its closing line."""
    return result.displays[-1].text.rstrip().rpartition("\n")[0].strip()


def store_of(kernel: Kernel) -> Store:
    """The kernel's store, opened by this process."""
    return open_store(kernel.cwd / "chat.duckdb")


def turns(kernel: Kernel, session: str | None = None) -> pd.DataFrame:
    """Every turn in the kernel's store, or a session's, as another process reads it."""
    with store_of(kernel) as store:
        frame = chatnb.turns(store=store)
        if session is None:
            return frame
        sessions = chatnb.sessions(store=store)
        return frame[frame.session_id.isin(sessions[sessions.name == session].id)]


def history(kernel: Kernel, session: str) -> pd.DataFrame:
    """A session's current history, as another process reads it."""
    with store_of(kernel) as store:
        return chatnb.messages(session, store=store)


def prompts(kernel: Kernel, session: str) -> list[str]:
    """The questions of a session's current history, in order."""
    messages = history(kernel, session)
    return [str(text) for text in messages[messages.role == "user"].content]
