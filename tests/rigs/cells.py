"""A notebook with chatnb in it: cells in a real kernel, and the rows that they leave in the store."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chatnb.stores.opening import open_store
from chatnb.stores.schema import PUBLIC_TABLES
from tests.rigs.kernel import Kernel, Result


class Notebook(Kernel):
    """A kernel with chatnb loaded, the offline model without delays, and a DuckDB store in the kernel's own folder.

    Every cell gets a new id unless it is given one.

    Parameters
    ----------
    folder
        The kernel's folder; the store is ``chat.duckdb`` in it.
    env
        Further environment variables.
    name
        The notebook's file name, or None for a kernel without a notebook.
    """

    def __init__(
        self, folder: Path, env: Mapping[str, str | None] | None = None, name: str | None = "eda.ipynb"
    ) -> None:
        self.store = folder / "chat.duckdb"
        self._ids = itertools.count(1)
        super().__init__(
            folder, {"CHATNB_STORE": str(self.store), "CHATNB_DEMO_DELAY": "0", **(env or {})}, notebook=name
        )
        self.run("%load_ext chatnb").expect_ok()

    def run(self, code: str, cell_id: str | None = None, timeout: float = 60) -> Result:
        return super().run(code, cell_id or f"cell-{next(self._ids)}", timeout)

    def ok(self, code: str, cell_id: str | None = None) -> str:
        """What a cell shows that must go well."""
        return self.run(code, cell_id).expect_ok().text

    def refused(self, code: str) -> str:
        """The one line of a cell that must fail, without the error's name; nothing else may be shown."""
        result = self.run(code)
        assert result.status == "error", f"the cell went well:\n{code}\n{result.text}"
        lines = result.traceback.strip().splitlines()
        assert len(lines) == 1, result.traceback
        assert [output.kind for output in result.outputs] == ["error"], result.text
        name, _, said = lines[0].partition(": ")
        assert name == result.ename and said[-1] in ".?", lines[0]
        return said

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, by way of JSON."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))").expect_ok().stdout)

    def rows(self, *tables: str) -> dict[str, list[dict[str, Any]]]:
        """Everything that is stored, or the tables that are named."""
        names = tables or tuple(table.name for table in PUBLIC_TABLES)
        with open_store(self.store) as store, store.hold():
            return {name: store.query(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in names}

    def turns(self, session: str | None = None) -> list[dict[str, Any]]:
        """The stored turns, oldest first; of one session, by its name."""
        rows = self.rows("turns", "sessions")
        names = {row["id"]: row["name"] for row in rows["sessions"]}
        return sorted(
            (row for row in rows["turns"] if session in (None, names[row["session_id"]])), key=lambda row: row["id"]
        )
