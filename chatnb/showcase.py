"""`chatnb demo`: the main job in a real kernel, printed as a notebook would show it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TextIO

from chatnb.errors import ChatnbError

__all__ = ["CELLS", "run"]

CELLS = (
    "%load_ext chatnb",
    "%%chat eda -m demo\nMy name is Alice, and my table has 1,240 rows.",
    "%%chat eda\nWhat is my name?",
    "%chat",
    'import chatnb\nchatnb.messages("eda")[["seq", "role", "content"]]',
    "%chatsql SELECT status, model, count(*) AS turns, sum(output_tokens) AS tokens FROM turns GROUP BY ALL",
)
"""What the demonstration runs."""


def run(out: TextIO) -> None:
    """Run the cells in a fresh kernel on a store of their own, and print each with its outputs.

    Parameters
    ----------
    out
        Where to print.

    Raises
    ------
    ChatnbError
        When the packages that start a kernel are missing, or a cell fails.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError as error:
        raise ChatnbError(
            "The demonstration runs a real kernel. Install one: pip install ipykernel nbclient"
        ) from error
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    with tempfile.TemporaryDirectory(prefix="chatnb-demo-") as folder:
        environment = {**os.environ, "CHATNB_STORE": str(Path(folder) / "chat.duckdb")}
        client = NotebookClient(
            notebook, timeout=120, extra_arguments=["--log-level=ERROR"], resources={"metadata": {"path": folder}}
        )
        try:
            with client.setup_kernel(env=environment):
                for index, cell in enumerate(notebook.cells):
                    _print_cell(client.execute_cell(cell, index), out)
        except CellExecutionError as error:
            raise ChatnbError(f"The demonstration failed: {error}") from error


def _print_cell(cell: Any, out: TextIO) -> None:
    print(f"In [{cell.execution_count}]: " + cell.source.replace("\n", "\n" + " " * 8), file=out)
    for output in cell.outputs:
        data = output.get("data", {})
        text = output.get("text") or data.get("text/plain", "")
        if text.strip():
            print(text.rstrip(), file=out)
    print(file=out, flush=True)
