"""The kernel rig does what the tests that stand on it rely on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.kernel import Kernel


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with Kernel(tmp_path_factory.mktemp("work"), {"CHATNB_RIG": "yes"}, notebook="eda.ipynb") as kernel:
        yield kernel


def test_a_cell_gives_its_streams_displays_value_and_status(kernel: Kernel) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); display({'a': 1}); 6 * 7"
    result = kernel.run(code).expect_ok()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert [output.text for output in result.displays] == ["{'a': 1}"]
    assert result.value is not None and result.value.text == "42"
    assert result.duration > 0 and result.execution_count is not None


def test_a_failing_cell_gives_its_error(kernel: Kernel) -> None:
    result = kernel.run("1 / 0")
    assert (result.status, result.ename, result.evalue) == ("error", "ZeroDivisionError", "division by zero")
    assert "1 / 0" in result.traceback


def test_the_kernel_knows_its_folder_environment_notebook_and_cell(kernel: Kernel) -> None:
    code = "import os\nprint(os.getcwd(), os.environ['CHATNB_RIG'], os.environ['JPY_SESSION_NAME'])"
    assert kernel.run(code).stdout == f"{kernel.cwd} yes {kernel.cwd / 'eda.ipynb'}\n"
    result = kernel.run("print(get_ipython().get_parent()['metadata'].get('cellId'))", cell_id="abc-1")
    assert result.stdout == "abc-1\n"


def test_updates_of_a_display_are_folded_into_its_last_state(kernel: Kernel) -> None:
    code = "handle = display('one', display_id=True)\nfor text in ('two', 'three'): handle.update(text)"
    (display,) = kernel.run(code).expect_ok().displays
    assert (display.text, display.updates) == ("'three'", 2)
    later = kernel.run("handle.update('four')").expect_ok()
    assert (later.displays, display.text, display.updates) == ([], "'four'", 3)


def test_cleared_outputs_are_gone(kernel: Kernel) -> None:
    code = "from IPython.display import clear_output\nprint('old'); clear_output(wait=True); print('new')"
    assert kernel.run(code).expect_ok().text == "new\n"


def test_an_interrupt_reaches_the_running_cell(kernel: Kernel) -> None:
    running = kernel.start("import time\nprint('started')\ntime.sleep(60)")
    running.wait_for(lambda so_far: "started" in so_far.stdout)
    kernel.interrupt()
    assert running.result(10).ename == "KeyboardInterrupt"
    assert kernel.run("print('still here')").stdout == "still here\n"


def test_waiting_for_what_never_comes_fails(kernel: Kernel) -> None:
    with pytest.raises(AssertionError, match="ended as 'ok' first"):
        kernel.start("print('x')").wait_for(lambda so_far: "never" in so_far.stdout)
    running = kernel.start("import time\ntime.sleep(60)")
    with pytest.raises(TimeoutError, match="no end in time"):
        running.result(timeout=0.5)
    kernel.interrupt()
    assert running.result(10).ename == "KeyboardInterrupt"


def test_two_kernels_run_at_once(kernel: Kernel, tmp_path: Path) -> None:
    meet = "import time, pathlib\npathlib.Path({own!r}).touch()\nwhile not pathlib.Path({other!r}).exists(): pass"
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    with Kernel(tmp_path) as other:
        assert other.pid != kernel.pid
        first, second = kernel.start(meet.format(own=one, other=two)), other.start(meet.format(own=two, other=one))
        assert (first.result(20).status, second.result(20).status) == ("ok", "ok")


def test_a_killed_kernel_ends_its_cell_as_died_and_can_be_restarted(tmp_path: Path) -> None:
    with Kernel(tmp_path, notebook="a.ipynb") as kernel:
        kernel.run("x = 1").expect_ok()
        running = kernel.start("import time\nprint('started')\ntime.sleep(60)")
        running.wait_for(lambda so_far: "started" in so_far.stdout)
        before, pid = time.monotonic(), kernel.pid
        kernel.kill9()
        assert not kernel.alive
        assert running.result(10).status == "died"
        assert time.monotonic() - before < 5
        kernel.restart()
        assert kernel.alive and kernel.pid != pid
        assert kernel.run("x").ename == "NameError"
        assert "a.ipynb" in kernel.run("import os; print(os.environ['JPY_SESSION_NAME'])").stdout


def test_a_kernel_that_is_closed_runs_its_exit_handlers(tmp_path: Path) -> None:
    with Kernel(tmp_path) as kernel:
        kernel.run("import atexit, pathlib; _ = atexit.register(pathlib.Path('bye').touch)").expect_ok()
    assert (tmp_path / "bye").exists()
