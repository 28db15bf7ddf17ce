"""The quickstart as a person opens it: JupyterLab in Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.lab import Lab
from tests.rigs.parts import need

QUICKSTART = Path(__file__).parents[2] / "notebooks" / "01_quickstart.ipynb"
LOAD, ASK, ASK_ON = 1, 3, 5
"""The cells of the notebook that load the extension, tell the name and ask for it."""


@pytest.fixture
def slow_lab(tmp_path: Path) -> Iterator[Lab]:
    """A JupyterLab whose demo model takes its time, so that a person sees it stream."""
    need("playwright")
    need("jupyterlab")
    need("chromium")
    shutil.copy(QUICKSTART, tmp_path / "quickstart.ipynb")
    with Lab(tmp_path, env={"CHATNB_STORE": str(tmp_path / "chat.duckdb"), "CHATNB_DEMO_DELAY": "0.15"}) as lab:
        yield lab


def test_the_quickstart_streams_and_its_outputs_are_there_after_a_reload(slow_lab: Lab) -> None:
    with slow_lab.open("quickstart.ipynb") as page:
        page.run_cell(LOAD)
        page.run_cell(ASK, wait=False)
        page.wait_for_output(ASK, "Hello Alice")
        assert "no history" not in page.cell_output_text(ASK), "the beginning is seen before the end"
        page.wait_for_output(ASK, "no history")
        page.run_cell(ASK_ON)
        assert "Your name is Alice." in page.cell_output_text(ASK_ON)
        assert "$0" in page.cell_output_text(ASK_ON), "the cost is money, not mathematics"
        page.save()
        page.reload()
        assert "Hello Alice" in page.cell_output_text(ASK)
        assert "history 1 of 1 turn" in page.cell_output_text(ASK_ON)
        assert page.problems == []
