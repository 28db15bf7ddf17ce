"""The manual runs, in a real kernel, and its saved outputs are what it gives."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def execute() -> Callable[[Path], nbformat.NotebookNode]:
    """The function that made the saved outputs."""
    found: Callable[[Path], nbformat.NotebookNode] = runpy.run_path(str(ROOT / "docs" / "make_notebooks.py"))["execute"]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_gives_its_saved_outputs(path: Path, execute: Callable[[Path], nbformat.NotebookNode]) -> None:
    saved = nbformat.read(path, as_version=4)
    made = execute(path)
    for before, now in zip(saved.cells, made.cells, strict=True):
        assert _texts(now) == _texts(before), f"{now.source}\n\nrun: python docs/make_notebooks.py"


def _texts(cell: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """The outputs as text; pictures and widgets only by their kind."""
    found = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        text = data.get("text/markdown") or data.get("text/plain") or output.get("text") or output.get("evalue", "")
        drawn = "image/png" in data or any("widget" in kind for kind in data)
        found.append((output.output_type, "drawn" if drawn else str(text)))
    return found


def test_the_manual_is_numbered_without_gaps() -> None:
    numbers = [int(path.name[:2]) for path in NOTEBOOKS]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_between_notebooks_lead_somewhere(path: Path) -> None:
    import re

    for cell in nbformat.read(path, as_version=4).cells:
        for target in re.findall(
            r"\]\(([\w./-]+\.(?:ipynb|md))\)", cell.source if cell.cell_type == "markdown" else ""
        ):
            assert (path.parent / target).exists(), target
