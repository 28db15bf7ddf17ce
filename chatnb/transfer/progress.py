"""A progress bar for long work, where somebody can see it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TypeVar

__all__ = ["DELAY", "seen", "watched"]

T = TypeVar("T")

DELAY = 1.0
"""Seconds of work before a bar appears."""


def watched(items: Iterable[T], doing: str, *, total: int | None = None) -> Iterator[T]:
    """The items, with a bar that shows how far they are: on a terminal and in a notebook, when it takes long."""
    if not seen() or find_spec("tqdm") is None:  # a bar is no reason to fail
        return iter(items)
    bar = import_module("tqdm.auto").tqdm
    return iter(bar(items, desc=doing, total=total, unit=" sessions", delay=DELAY))


def seen() -> bool:
    """Whether a person watches: a terminal, or a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None or sys.stderr.isatty()
