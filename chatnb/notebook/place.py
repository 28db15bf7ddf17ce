"""Where code runs: the notebook's path, the cell's id, the kernel's facts. Everything may be absent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatnb.rerun import Cell
from chatnb.settings import running_notebook

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["cell_of", "notebook_path"]


def notebook_path(shell: InteractiveShell) -> str | None:
    """The notebook's path, as Jupyter Server or VS Code tells it; None elsewhere."""
    named = shell.user_ns.get("__vsc_ipynb_file__")
    return named if isinstance(named, str) and named else running_notebook()


def cell_of(shell: InteractiveShell, source: str) -> Cell:
    """The cell that runs now; `source` is its body."""
    parent: object = getattr(shell, "get_parent", dict)()
    cell_id = parent.get("metadata", {}).get("cellId") if isinstance(parent, dict) else None
    return Cell(
        notebook=notebook_path(shell),
        cell_id=cell_id if isinstance(cell_id, str) else None,
        source=source,
        execution_count=shell.execution_count,
    )
