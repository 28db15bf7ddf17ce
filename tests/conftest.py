"""What every test shares: no test sees the developer's own store, keys or settings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.rigs.parts import need

if TYPE_CHECKING:
    from tests.rigs.lab import Lab

KEPT = ("CHATNB_TEST_", "CHATNB_CHROMIUM")
FOREIGN = (
    "CHATNB_",
    "OPENAI_",
    "ANTHROPIC_",
    "GOOGLE_API_KEY",
    "GEMINI_",
    "JUPYTERHUB_",
    "JPY_",
    "LANGSMITH_",
    "LANGCHAIN_",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of our own."""
    parser.addoption("--durability-turns", default="50", help="turns of each of the eight writers (50)")


@pytest.fixture(scope="session", autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An environment without settings of ours, and a data folder of the test run's own; kernels inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(FOREIGN) and not name.startswith(KEPT):
                patch.delenv(name)
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab in Chromium, one for each test module."""
    for part in ("chromium", "jupyterlab", "playwright"):
        need(part)
    from tests.rigs.lab import Lab  # not before it is known that Playwright is there

    with Lab(tmp_path_factory.mktemp("notebooks")) as lab:
        yield lab
