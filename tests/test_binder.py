"""The Binder image, laid out as repo2docker does: a fresh environment from binder/ alone, and what a visitor sees."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.rigs.lab import Lab
from tests.rigs.parts import need

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)


def _pins(path: Path) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for name, version in PIN.findall(path.read_text()):
        pins.setdefault(name.lower(), set()).add(version)
    return pins


def test_the_image_is_pinned_to_what_the_tests_run() -> None:
    lock, binder = _pins(ROOT / "requirements.lock"), _pins(ROOT / "binder" / "requirements.txt")
    assert {name: versions for name, versions in binder.items() if not versions <= lock.get(name, set())} == {}


def test_the_image_has_everything_that_the_manual_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    groups = project["dependency-groups"]
    wanted = [*project["project"]["dependencies"], *extras["plots"], *groups["demo"], *groups["lab"]]
    names = {re.split(r"[\[<>=]", word)[0].lower() for word in wanted if isinstance(word, str)}
    assert names <= set(_pins(ROOT / "binder" / "requirements.txt"))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with an environment of its own, after postBuild."""
    folder = tmp_path_factory.mktemp("binder")
    home = folder / "home"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = home / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
    python = folder / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(folder / "env")], check=True)
    pinned = home / "binder" / "requirements.txt"
    words = ["pip", "install", "--quiet", "--require-hashes", "--python", str(python), "-r", str(pinned)]
    subprocess.run([uv, *words], check=True)
    subprocess.run([str(home / "binder" / "postBuild")], cwd=home, env=_environment(folder), check=True)
    return folder


def _environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'env' / 'bin'}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHATNB", "PYTHON", "VIRTUAL"))}
    return {
        **kept,
        "PATH": path,
        "HOME": str(folder),
        "JUPYTERHUB_USER": "visitor",
        "XDG_DATA_HOME": str(folder / "data"),
    }


@pytest.mark.timeout(600)
def test_every_notebook_runs_in_the_image(image: Path) -> None:
    made = subprocess.run(
        ["python", "docs/make_notebooks.py"],
        cwd=image / "home",
        env=_environment(image),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert made.stdout.split() == [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.mark.timeout(600)
def test_a_visitor_finds_sample_conversations_and_talks_without_a_key(image: Path) -> None:
    need("chromium")
    home, environment = image / "home", _environment(image)
    started = subprocess.run(
        [str(home / "binder" / "start"), "chatnb", "sessions", "--format", "csv"],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "churn model" in started.stdout
    shutil.copy(ROOT / "notebooks" / "01_quickstart.ipynb", home / "notebooks" / "01_quickstart.ipynb")
    python = str(image / "env" / "bin" / "python")
    with Lab(home / "notebooks", env=environment, python=python) as lab, lab.open("01_quickstart.ipynb") as page:
        page.run_all(timeout=120)
        assert "Your name is Alice." in page.cell_output_text(5)
        assert page.problems == []
