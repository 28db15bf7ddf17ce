"""Two real kernels at once on one DuckDB file, and a third process that does not know the lock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chatnb
from chatnb.stores.opening import open_store
from chatnb.stores.sessions import SessionFilter
from tests.rigs.kernel import Kernel

TURNS = 50


def _kernel(folder: Path, name: str, wait: int = 60) -> Kernel:
    store = str(folder / "chat.duckdb")
    environment = {"CHATNB_STORE": store, "CHATNB_DEMO_DELAY": "0", "CHATNB_LOCK_WAIT": str(wait)}
    return Kernel(folder, env=environment, notebook=folder / f"{name}.ipynb")


def _both(folder: Path, first: str, second: str) -> list[str]:
    """Fifty turns in each of two kernels, always two at the same time; what was not as it should be."""
    failures: list[str] = []
    with _kernel(folder, "one") as one, _kernel(folder, "two") as two:
        for kernel in (one, two):
            kernel.run("%load_ext chatnb").expect_ok()
        for number in range(TURNS):
            asked = [
                kernel.start(f"%%chat {session} -m demo\n{who} asks {number}", cell_id=f"{who}-{number}")
                for kernel, session, who in ((one, first, "one"), (two, second, "two"))
            ]
            for handle in asked:
                result = handle.result(timeout=120)
                if result.status != "ok" or result.stderr:
                    failures.append(f"{result.code}: {result.ename} {result.evalue} {result.stderr}")
    return failures


def test_two_kernels_in_two_sessions_lose_nothing(tmp_path: Path) -> None:
    assert _both(tmp_path, "left", "right") == []
    for name, who in (("left", "one"), ("right", "two")):
        history = chatnb.messages(name, store=tmp_path / "chat.duckdb")
        assert history.seq.tolist() == list(range(1, 2 * TURNS + 1))
        asked = history[history.role == "user"].content.tolist()
        assert asked == [f"{who} asks {number}" for number in range(TURNS)]


def test_two_kernels_in_one_session_give_whole_turns_in_one_history(tmp_path: Path) -> None:
    assert _both(tmp_path, "shared", "shared") == []
    history = chatnb.messages("shared", store=tmp_path / "chat.duckdb")
    assert history.seq.tolist() == list(range(1, 4 * TURNS + 1))
    asked = history[history.role == "user"].content
    assert sorted(asked) == sorted(f"{who} asks {number}" for who in ("one", "two") for number in range(TURNS))
    pairs = history.turn_id.to_numpy().reshape(-1, 2)
    assert (pairs[:, 0] == pairs[:, 1]).all(), "a turn was torn apart by another"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the file open without the lock, until it is told to end."""
    open_store(tmp_path / "chat.duckdb").list_sessions(SessionFilter())
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "chat.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_a_shell_that_holds_the_file_is_named_after_a_bounded_wait(
    tmp_path: Path, shell: subprocess.Popen[str]
) -> None:
    with _kernel(tmp_path, "one", wait=2) as kernel:
        kernel.run("%load_ext chatnb").expect_ok()
        result = kernel.run("%%chat eda -m demo\nhello")
        assert "Waiting for chat.duckdb" in result.text
        assert f"process {shell.pid}" in result.text
        assert result.ename == "StoreBusy"
        assert f"process {shell.pid}" in result.evalue
        assert "\n" not in result.evalue


def test_a_shell_that_lets_go_in_time_is_waited_for(tmp_path: Path, shell: subprocess.Popen[str]) -> None:
    with _kernel(tmp_path, "one") as kernel:
        kernel.run("%load_ext chatnb").expect_ok()
        handle = kernel.start("%%chat eda -m demo\nMy name is Alice")
        handle.wait_for(lambda result: "Waiting for chat.duckdb" in result.text)
        assert shell.stdin is not None
        shell.stdin.close()
        assert handle.result().expect_ok().status == "ok"
    assert len(chatnb.messages("eda", store=tmp_path / "chat.duckdb")) == 2
