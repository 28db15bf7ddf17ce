"""chatnb: LLM conversations as a first-class thing in a Jupyter notebook.

`%load_ext chatnb` gives the magics; the names below are the same in Python. They are imported at their first use, so
that `import chatnb` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from chatnb import plots
    from chatnb.bm25 import search
    from chatnb.chat import Chat
    from chatnb.errors import ChatnbError
    from chatnb.frames import connect, messages, sessions, sql, tool_calls, turns, usage
    from chatnb.notebook.browser import SessionBrowser
    from chatnb.records import Message, Session, Turn
    from chatnb.stores.opening import open_store
    from chatnb.stores.store import Store

__version__ = "0.1.0"

_PLACES = {
    "Chat": "chatnb.chat",
    "ChatnbError": "chatnb.errors",
    "Message": "chatnb.records",
    "Session": "chatnb.records",
    "SessionBrowser": "chatnb.notebook.browser",
    "Store": "chatnb.stores.store",
    "Turn": "chatnb.records",
    "connect": "chatnb.frames",
    "messages": "chatnb.frames",
    "open_store": "chatnb.stores.opening",
    "search": "chatnb.bm25",
    "sessions": "chatnb.frames",
    "sql": "chatnb.frames",
    "tool_calls": "chatnb.frames",
    "turns": "chatnb.frames",
    "usage": "chatnb.frames",
}

_MODULES = frozenset({"plots"})

__all__ = [
    "Chat",
    "ChatnbError",
    "Message",
    "Session",
    "SessionBrowser",
    "Store",
    "Turn",
    "connect",
    "load_ipython_extension",
    "messages",
    "open_store",
    "plots",
    "search",
    "sessions",
    "sql",
    "tool_calls",
    "turns",
    "unload_ipython_extension",
    "usage",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"chatnb.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'chatnb' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What `%load_ext chatnb` calls."""
    import_module("chatnb.notebook.magics").load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """What `%unload_ext chatnb` calls."""
    import_module("chatnb.notebook.magics").unload(shell)
