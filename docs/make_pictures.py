"""Takes the pictures of the README in a real JupyterLab: docs/images/*.png. Needs the test environment and Chromium."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"

CHAT = (
    "%load_ext chatnb",
    "%%chat eda -m demo\nMy name is Alice, and I like DuckDB.",
    "# another day, another kernel\n%load_ext chatnb",
    "%%chat eda\nWhat is my name?",
    "%%chatsql\nSELECT seq, role, content, model, output_tokens\n"
    "FROM history WHERE session_name = {{ 'eda' }} ORDER BY seq",
)
RESTART_BEFORE = 2


def take_chat(folder: Path) -> None:
    """A session that goes on after the kernel was restarted."""
    from tests.rigs.lab import Lab

    with Lab(folder, env={"CHATNB_STORE": str(folder / "chat.duckdb"), "CHATNB_DEMO_DELAY": "0.01"}) as lab:
        lab.write_notebook("explore.ipynb", list(CHAT))
        with lab.open("explore.ipynb") as page:
            for index in range(len(CHAT)):
                if index == RESTART_BEFORE:
                    page.restart()
                page.run_cell(index)
            page.screenshot(IMAGES / "chat.png")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        take_chat(Path(name))
