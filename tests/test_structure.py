"""What the house promises about itself: layers, sizes, light imports, names, and the tools' verdicts."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import chatnb
from chatnb import settings
from chatnb.stores import schema

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "chatnb").rglob("*.py"))
MODULES = sorted(module.name for module in pkgutil.walk_packages(chatnb.__path__, "chatnb."))


def _run(*words: str) -> None:
    ended = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_linter_finds_nothing() -> None:
    _run("ruff", "check", "--no-cache", ".")


def test_everything_is_formatted() -> None:
    _run("ruff", "format", "--no-cache", "--check", ".")


def test_the_types_hold() -> None:
    _run("mypy")


def test_imports_point_down() -> None:
    from importlinter import cli

    assert cli.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_serves_one_purpose_and_says_it(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    if not text.strip():
        return
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line says what the file is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 60, f"{node.name} is two functions"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_names_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    if not (module.__doc__ or "").strip():
        return
    offered = getattr(module, "__all__", None)
    assert offered is not None
    assert [word for word in offered if not hasattr(module, word)] == []
    for word in offered:
        thing = getattr(module, word)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), f"{name}.{word} says nothing"


def test_every_public_name_can_be_had() -> None:
    for name in chatnb.__all__:
        assert getattr(chatnb, name) is not None
    assert set(chatnb._PLACES) <= set(chatnb.__all__)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Chatt"):
        chatnb.Chatt  # noqa: B018


@pytest.mark.parametrize(
    "code",
    ["import chatnb", "from IPython.core.interactiveshell import InteractiveShell as S; import chatnb.notebook.magics"],
)
def test_importing_costs_next_to_nothing(code: str) -> None:
    heavy = ("pandas", "pydantic_ai", "langchain_core", "duckdb", "pyarrow", "ipywidgets", "matplotlib")
    probe = f"import sys; {code}; print([name for name in {heavy!r} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_every_column_has_a_type_and_a_meaning() -> None:
    known = get_args(schema.Type)
    for relation in (*schema.TABLES, *schema.VIEWS):
        assert relation.says.endswith(".")
        for column in relation.columns:
            assert column.type in known
            assert column.says


def test_the_reference_page_is_current() -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_reference.py"), "--print"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ROOT / "docs" / "reference.md").read_text() == made.stdout, "run: python docs/make_reference.py"


def test_every_environment_variable_is_on_the_reference_page() -> None:
    heard = {name for path in FILES for name in re.findall(r'environ\.get\("(\w+)"', path.read_text())}
    others = {"JPY_SESSION_NAME", "OLLAMA_BASE_URL"}  # Jupyter's and a provider's own
    assert heard - others == set(settings.ENVIRONMENT)


def test_the_lock_names_no_host() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--hash=sha256:" in lock
