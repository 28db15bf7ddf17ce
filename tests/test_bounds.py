"""The lowest versions that pyproject.toml allows do the main job."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

WORK = """
import sys
import matplotlib
import chatnb

matplotlib.use("agg")
for store in ("memory:", f"duckdb:///{sys.argv[1]}/s.duckdb", f"json:///{sys.argv[1]}/s.json"):
    chat = chatnb.Chat("eda", model="demo", store=store)
    chat.send("My name is Alice.")
    assert chat.send("What is my name?").answer == "Your name is Alice."
    assert chatnb.messages("eda", store=store).seq.tolist() == [1, 2, 3, 4]
    assert len(chatnb.search("Alice", store=store)) > 0
    assert chatnb.sql("SELECT count(*) AS turns FROM turns", store=store).turns.tolist() == [2]
    chatnb.plots.usage(store=store)
"""


@pytest.mark.timeout(400)
def test_the_lowest_versions_that_are_declared_do_the_main_job(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    environment = tmp_path / "env"
    python = environment / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    wanted = [f"{ROOT}[openai,postgres,plots]", "--group", f"{ROOT}/pyproject.toml:demo"]
    words = ["pip", "install", "--quiet", "--python", str(python), "--resolution", "lowest-direct", *wanted]
    subprocess.run([uv, *words], check=True)
    for command in ([str(python), "-c", WORK, str(tmp_path)], [str(environment / "bin" / "chatnb"), "demo"]):
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
