"""Every command and every block of the README does what it says."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.kernel import Kernel

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
MAKE = re.findall(r"\bmake ([a-z]+)", README)


def test_make_knows_every_target_that_is_named() -> None:
    for target in MAKE:
        if target == "are":
            continue
        ended = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


def test_make_demo_prints_a_history() -> None:
    ended = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=170)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Your name is Alice." in ended.stdout


def test_make_lab_serves_the_manual() -> None:
    words = ["make", "lab", "LAB=--no-browser --port=0 --IdentityProvider.token=x"]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True) as lab:
        assert lab.stderr is not None
        said = []
        for line in lab.stderr:
            said.append(line)
            if "is running at" in line:
                break
        os.killpg(lab.pid, signal.SIGKILL)
    assert any("is running at" in line for line in said), "".join(said)


@pytest.mark.timeout(300)
def test_the_package_installs_with_an_extra(tmp_path: Path) -> None:
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    assert '".[openai]"' in README
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(python.parents[1])], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), f"{ROOT}[openai]"], check=True)
    code = "import chatnb, openai; print(chatnb.Chat('a', model='demo', store='memory:').send('2 + 3?').answer)"
    said = subprocess.run([str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "5" in said.stdout


def test_the_first_session_runs_as_it_stands(tmp_path: Path) -> None:
    environment = {"CHATNB_STORE": str(tmp_path / "chat.duckdb"), "CHATNB_DEMO_DELAY": "0"}
    with Kernel(tmp_path, env=environment) as kernel:
        kernel.run("import pandas as pd; df = pd.DataFrame({'id': [1], 'city': ['Oslo']})").expect_ok()
        for block in BLOCKS:
            result = kernel.run(block.strip().replace("-m openai:gpt-5", "-m demo"))
            assert result.status == "ok", f"{block}\n{result.traceback}"
        assert "Your name is Alice." in result.stdout


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
