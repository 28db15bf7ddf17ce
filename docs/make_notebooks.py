"""Runs every notebook of the manual in a fresh kernel on a store of its own, and saves its outputs.

Give paths to run only these. What differs from run to run (times, ids, folders) is written in one form, so that a
notebook changes only when its outputs do.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"

_DAYS = "|".join(str(datetime.now(UTC).date() + timedelta(days=shift)) for shift in (-1, 0, 1))
"""The days around now: other dates are the notebook's own."""

_FORMS = (
    (
        re.compile(r"\b01[9a-f][0-9a-f]{5}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
        "01890a5d-ac96-774b-bcce-b302099a8057",
    ),
    (re.compile(rf"\b({_DAYS})[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "2026-11-20 12:00:00+00:00"),
    (re.compile(rf"\b({_DAYS})\b(?!-)"), "2026-11-20"),
    (re.compile(r"\b\d+\.\d s\b"), "0.1 s"),
    (re.compile(r"\b\d+\.\d (KB|MB)\b"), r"2.5 \1"),
    (re.compile(r"\b\d+ weeks? ago|\b\d+ (month|year)s? ago"), "3 weeks ago"),
    (re.compile(r"/tmp/tmp\w+/"), "/tmp/chatnb/"),
    (re.compile(r"duckdb:////\S*/chat\.duckdb"), "duckdb:////home/you/.local/share/chatnb/chat.duckdb"),
    (re.compile(r"user: \S+"), "user: you"),
    (re.compile(r"project: \S+"), "project: /home/you/chatnb"),
)


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs in their one form."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "CHATNB_STORE": str(Path(folder) / "chat.duckdb"),
            "CHATNB_DEMO_DELAY": "0",
            "JPY_SESSION_NAME": str(path),
            "JUPYTERHUB_USER": "you",
        }
        client = NotebookClient(
            notebook,
            timeout=120,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(path.parent)}},
            store_widget_state=False,
        )
        with client.setup_kernel(env=environment):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    _settle(notebook)
    return notebook


def _settle(notebook: nbformat.NotebookNode) -> None:
    """Write what differs from run to run in one form."""
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            output.pop("transient", None)
            _settle_texts(output)


def _settle_texts(output: dict[str, Any]) -> None:
    for key, value in output.items():
        if key in ("data", "text") or key.startswith("text/"):
            if isinstance(value, dict):
                _settle_texts(value)
            elif isinstance(value, str):
                for form, one in _FORMS:
                    value = form.sub(one, value)
                output[key] = value


def main(paths: list[str]) -> None:
    """Run and save."""
    for path in [Path(name).resolve() for name in paths] or sorted(NOTEBOOKS.glob("*.ipynb")):
        nbformat.write(execute(path), path)
        print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
