"""Takes the pictures of the README in a real JupyterLab: docs/images/*.png. Needs the test environment and Chromium."""

from __future__ import annotations

import shutil
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


def take_browser(folder: Path) -> None:
    """The session browser on the sample, with a session open."""
    from tests.rigs.lab import Lab

    shutil.copy(ROOT / "notebooks" / "sample.jsonl", folder)
    cells = ['%load_ext chatnb\n%config ChatMagics.store = "memory:"\n%chat import sample.jsonl', "%chat browse"]
    with Lab(folder) as lab:
        lab.write_notebook("browse.ipynb", cells)
        with lab.open("browse.ipynb") as page:
            page.run_all()
            page.page.get_by_text("slow join").first.click()
            page.page.get_by_text("The row counts before and after").first.wait_for()
            page.output(1).screenshot(path=IMAGES / "browser.png")


def take_plot() -> None:
    """Tokens and cost of the sample."""
    import matplotlib

    import chatnb
    from chatnb.transfer import import_

    matplotlib.use("agg")
    store = chatnb.open_store("memory:")
    import_(store, ROOT / "notebooks" / "sample.jsonl")
    chatnb.plots.usage(user=None, store=store).figure.savefig(IMAGES / "usage.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    IMAGES.mkdir(exist_ok=True)
    for take in (take_chat, take_browser):
        with tempfile.TemporaryDirectory() as name:
            take(Path(name))
    take_plot()
