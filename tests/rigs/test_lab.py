"""The JupyterLab rig does what the tests that stand on it rely on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.kernel import Kernel
from tests.rigs.lab import Lab, LabPage

WIDGET = """\
import ipywidgets
button, label = ipywidgets.Button(description="Press me"), ipywidgets.Label("not pressed")
button.on_click(lambda _: setattr(label, "value", "pressed"))
ipywidgets.VBox([button, label])"""


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[LabPage]:
    """One page for all tests here, as opening one takes three seconds; each test sets the cells it uses."""
    lab.write_notebook("first.ipynb", ["print('zero')", "1", "2"])
    with lab.open("first.ipynb") as page:
        yield page


def test_a_cell_is_run_and_its_output_is_saved_and_there_after_a_reload(lab: Lab, page: LabPage) -> None:
    page.run_cell(0)
    assert page.cell_output_text(0).strip() == "zero"
    page.save()
    assert lab.read_notebook("first.ipynb").cells[0].outputs[0].text == "zero\n"
    page.edit_cell(0, "never saved")
    page.reload()
    assert page.source(0) == "print('zero')"
    assert page.cell_output_text(0).strip() == "zero"
    assert "<pre>zero" in page.cell_output_html(0)
    assert page.problems == []


def test_all_cells_or_those_below_one_are_run(page: LabPage) -> None:
    for place, source in enumerate(("x = 2", "x * 21", "x * 22")):
        page.edit_cell(place, source)
    page.run_all()
    assert (page.cell_output_text(1), page.cell_output_text(2)) == ("42", "44")
    page.edit_cell(0, "x = 3")
    page.run_all_below(1)
    assert page.cell_output_text(1) == "42"
    page.run_cell(0)
    page.run_all_below(2)
    assert (page.cell_output_text(1), page.cell_output_text(2)) == ("42", "66")


def test_a_cell_is_added_and_typed_into(page: LabPage) -> None:
    source = "for i in range(2):\n    if i:\n        print('typed (here)', i)\n\nprint('end')"
    count = page.cell_count
    place = page.add_cell(source, below=0)
    assert (place, page.cell_count, page.source(1)) == (1, count + 1, source)
    page.run_cell(1)
    assert page.cell_output_text(1).split("\n")[:2] == ["typed (here) 1", "end"]


def test_a_widget_is_drawn_and_answers_a_click(page: LabPage) -> None:
    page.edit_cell(0, WIDGET)
    page.run_cell(0)
    page.output(0).get_by_role("button", name="Press me").click()
    page.output(0).get_by_text("pressed", exact=True).wait_for()


def test_a_running_cell_is_watched_and_interrupted(page: LabPage) -> None:
    page.edit_cell(0, "import time\nprint('started')\ntime.sleep(60)")
    page.run_cell(0, wait=False)
    page.wait_for_output(0, "started")
    page.interrupt()
    page.wait_until_idle()
    assert "KeyboardInterrupt" in page.cell_output_text(0)


def test_a_restarted_kernel_has_forgotten(page: LabPage) -> None:
    page.edit_cell(0, "y = 1")
    page.run_cell(0)
    page.restart()
    page.edit_cell(0, "y")
    page.run_cell(0)
    assert "NameError" in page.cell_output_text(0)


def test_the_kernel_runs_in_the_notebooks_folder_and_knows_notebook_and_cell(lab: Lab, page: LabPage) -> None:
    page.edit_cell(0, "import os\nprint(os.getcwd(), os.environ['JPY_SESSION_NAME'])")
    page.run_cell(0)
    assert page.cell_output_text(0).split() == [str(lab.folder), str(lab.folder / "first.ipynb")]
    first = page.add_cell("print(get_ipython().get_parent()['metadata']['cellId'])")
    page.run_cell(first)
    page.save()
    assert page.cell_output_text(first).strip() == lab.read_notebook("first.ipynb").cells[first].id


def test_a_screenshot_shows_the_whole_notebook_in_either_theme(page: LabPage, tmp_path: Path) -> None:
    page.edit_cell(0, "for line in range(60): print(line)")
    page.run_cell(0)
    shots = []
    for dark in (True, False):
        page.use_theme(dark=dark)
        shots.append(page.screenshot(tmp_path / f"{dark}.png").read_bytes())
    assert shots[0] != shots[1]
    for shot in shots:
        height = int.from_bytes(shot[20:24])  # in a PNG's header
        assert 1200 < height < 2200


def test_a_kernel_of_the_kernel_rig_runs_beside_the_lab(lab: Lab, tmp_path: Path) -> None:
    with Kernel(tmp_path) as kernel:
        assert kernel.run("print(1)").stdout == "1\n"
