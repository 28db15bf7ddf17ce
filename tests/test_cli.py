"""The command `chatnb`, as a person types it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def _chatnb(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("chatnb")), *words], capture_output=True, text=True, check=False
    )


def test_the_demonstration_remembers_and_prints_its_history() -> None:
    ended = _chatnb("demo")
    assert ended.returncode == 0, ended.stderr
    assert "Your name is Alice." in ended.stdout
    assert "assistant" in ended.stdout.split("chatnb.messages")[1]


def test_the_doctor_finds_a_new_store_well(tmp_path: Path) -> None:
    ended = _chatnb("doctor", "--store", str(tmp_path / "chat.duckdb"))
    assert ended.returncode == 0, ended.stderr
    assert "It holds 0 sessions" in ended.stdout


def test_a_file_that_is_no_store_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one " * 200)
    before = path.read_bytes()
    ended = _chatnb("doctor", "--store", str(path))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert "is not a DuckDB database" in said
    assert path.read_bytes() == before


def test_an_unknown_scheme_names_the_nearest() -> None:
    ended = _chatnb("doctor", "--store", "duckbd:///x")
    assert ended.returncode == 1
    assert "Did you mean 'duckdb'?" in ended.stderr
    assert ended.stderr.count("\n") == 1
