"""Defaults, and the environment names that override them."""

from __future__ import annotations

import getpass
import hashlib
import os
import sys
from pathlib import Path

import platformdirs

from chatnb.errors import BadInput

__all__ = [
    "ENVIRONMENT",
    "HISTORY_TOKENS",
    "LOCK_WAIT_SECONDS",
    "REST_HISTORY_MESSAGES",
    "default_model",
    "default_project",
    "default_store_url",
    "default_user",
    "lock_wait",
    "running_notebook",
    "waiting_folder",
]

HISTORY_TOKENS = 50_000
"""How many tokens of history a notebook session sends at most."""

REST_HISTORY_MESSAGES = 20
"""How many user and assistant messages of history a REST session sends at most."""

LOCK_WAIT_SECONDS = 10.0
"""How long to wait for a store that another process holds, unless `CHATNB_LOCK_WAIT` says otherwise."""


ENVIRONMENT = {
    "CHATNB_STORE": "The store's address; without it, one DuckDB file in your data folder.",
    "CHATNB_MODEL": "The model of sessions that name none, such as openai:gpt-5.",
    "CHATNB_LOCK_WAIT": "Seconds to wait for a store that another process holds; without it, 10.",
    "CHATNB_DEMO_DELAY": "Seconds between two words of the offline model.",
    "JUPYTERHUB_USER": "Whose sessions; without it, your login name's.",
}
"""The environment variables that are heard, with what each says."""


def default_store_url() -> str:
    """`CHATNB_STORE`, or one DuckDB file in the user's data folder."""
    configured = os.environ.get("CHATNB_STORE")
    if configured:
        return configured
    return f"duckdb:///{platformdirs.user_data_path('chatnb') / 'chat.duckdb'}"


def waiting_folder(url: str) -> Path:
    """Where turns wait that a server could not take: a folder for each server in the user's data folder."""
    return platformdirs.user_data_path("chatnb") / "waiting" / hashlib.sha256(url.encode()).hexdigest()[:16]


def lock_wait() -> float:
    """`CHATNB_LOCK_WAIT` in seconds, or 10.

    Raises
    ------
    BadInput
        When it is no number of seconds.
    """
    text = os.environ.get("CHATNB_LOCK_WAIT", "")
    try:
        seconds = float(text) if text else LOCK_WAIT_SECONDS
    except ValueError as error:
        raise BadInput(f"CHATNB_LOCK_WAIT is {text!r}. Give a number of seconds, as in 10.") from error
    if not 0 <= seconds < float("inf"):
        raise BadInput(f"CHATNB_LOCK_WAIT is {text!r}. Give a number of seconds from 0.")
    return seconds


def default_user() -> str:
    """`JUPYTERHUB_USER`, or the login name ('unknown' where the system has none)."""
    hub = os.environ.get("JUPYTERHUB_USER")
    if hub:
        return hub
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"


def default_model() -> str | None:
    """`CHATNB_MODEL`, or None."""
    return os.environ.get("CHATNB_MODEL") or None


def running_notebook() -> str | None:
    """The path of the notebook that runs this code, as Jupyter Server or VS Code tells it; None elsewhere."""
    told = getattr(sys.modules.get("__main__"), "__vsc_ipynb_file__", None)  # VS Code defines it in the notebook
    if isinstance(told, str) and told:
        return told
    session = os.environ.get("JPY_SESSION_NAME", "")
    return session if session.endswith(".ipynb") else None


def default_project(notebook: str | None) -> str:
    """The nearest folder above `notebook` with `.git` or `pyproject.toml`, else the notebook's own.

    Parameters
    ----------
    notebook
        The notebook's path, or None outside a notebook, which gives ''.
    """
    if not notebook:
        return ""
    folder = Path(notebook).expanduser().resolve().parent
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists() or (candidate / "pyproject.toml").exists():
            return str(candidate)
    return str(folder)
