"""JupyterLab in Chromium, used as a person uses it.

Playwright's synchronous API keeps an event loop running in the thread that opened it: while a `Lab` is open,
`asyncio.run` fails in that thread. Keep a Lab to one test module (the fixture `lab` does).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from tests.rigs.kernel import python_path
from tests.rigs.parts import need

START_LIMIT = 60.0  # seconds
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
]
SETTINGS: dict[str, Any] = {
    # all cells are in the page, so that those outside the viewport can be read and photographed too
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "scrollPastEnd": False},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
# JavaScript functions that the methods below share
SCRIPT = """
window.rig = {
  running: 0,
  panel: () => window.jupyterapp.shell.currentWidget,
  cells: () => rig.panel().content.widgets,
  select: (i) => { rig.panel().content.deselectAll(); rig.panel().content.activeCellIndex = i; },
  run: (command, args) => {
    rig.running += 1;
    window.jupyterapp.commands.execute(command, args).catch(() => {}).then(() => { rig.running -= 1; });
  },
  unveiled: () => document.getElementById('jupyterlab-splash') === null,
  ready: () => {
    const context = rig.panel()?.context;
    return context?.isReady && context.sessionContext?.isReady
      && context.sessionContext.session?.kernel?.status === 'idle'
      && context.sessionContext.session.kernel.connectionStatus === 'connected'
      && document.querySelector('.jp-Notebook') !== null && rig.unveiled();
  },
  idle: () => rig.running === 0 && rig.ready()
    && rig.cells().every((cell) => cell.prompt !== '*' && cell.model.executionState !== 'running'),
  outputs: (i) => [...rig.cells()[i].node.querySelectorAll('.jp-OutputArea-output')]
    .filter((node) => node.parentElement.closest('.jp-OutputArea-output') === null),
};
"""


class Lab:
    """A JupyterLab server on this machine and a browser for it.

    Parameters
    ----------
    folder
        Where the notebooks are; also the working directory of their kernels.
    env
        Environment variables for the server and its kernels, beyond this process's own.
    """

    def __init__(self, folder: Path | str, env: Mapping[str, str] | None = None, python: str = sys.executable) -> None:
        self.folder = Path(folder)
        self._python = python
        self._home = Path(tempfile.mkdtemp(prefix="lab-"))
        self._stack = ExitStack()
        self._stack.callback(shutil.rmtree, self._home, ignore_errors=True)
        try:
            self.url = self._serve({**os.environ, **self._own_folders(), **python_path(), **(env or {})})
            playwright = self._stack.enter_context(sync_playwright())
            chromium = playwright.chromium.launch(executable_path=need("chromium"), args=CHROMIUM_FLAGS)
            self._stack.callback(chromium.close)
            # One context for all pages: its cache saves most of a page's loading time.
            self.browser = chromium.new_context(viewport=VIEWPORT, reduced_motion="reduce")
            self.browser.set_default_timeout(30_000)
        except BaseException:
            self._stack.close()
            raise

    def _own_folders(self) -> dict[str, str]:
        """Settings, kernels and runtime files of this server's own, nothing of the person's who runs the tests."""
        home = self._home
        spec = {
            "argv": [self._python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            "display_name": "Python 3",
            "language": "python",
            "metadata": {"debugger": False},
        }
        for path, content in (
            ("data/kernels/python3/kernel", spec),
            ("config/labconfig/default_setting_overrides", SETTINGS),
        ):
            file = home / f"{path}.json"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(content))
        return {
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "JUPYTER_PREFER_ENV_PATH": "0",  # our kernel comes before the environment's
            "IPYTHONDIR": str(home / "ipython"),
        }

    def _serve(self, env: dict[str, str]) -> str:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": "0",
            "ServerApp.root_dir": str(self.folder),
            "ServerApp.disable_check_xsrf": "True",
            "IdentityProvider.token": "",
            "LabApp.news_url": "None",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.extension_manager": "readonly",
            "LanguageServerManager.autodetect": "False",
        }
        flags = ["--no-browser", "--allow-root", "--expose-app-in-browser"]
        command = [self._python, "-m", "jupyterlab", *flags, *(f"--{key}={value}" for key, value in options.items())]
        with open(self._home / "log", "wb") as log:
            server = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._stack.callback(stop, server)
        info = self._home / "runtime" / f"jpserver-{server.pid}.json"  # written when the server listens
        deadline = time.monotonic() + START_LIMIT
        while not (info.exists() and info.read_text().endswith("}")):
            assert server.poll() is None and time.monotonic() < deadline, f"JupyterLab did not start:\n{self.log}"
            time.sleep(0.02)
        return f"http://127.0.0.1:{json.loads(info.read_text())['port']}"

    @property
    def log(self) -> str:
        """What the server and its kernels wrote."""
        return (self._home / "log").read_text(errors="replace")

    def write_notebook(self, name: str, cells: Iterable[str]) -> Path:
        """Make a notebook of code cells; their ids are ``cell-0``, ``cell-1``, …"""
        made = [nbformat.v4.new_code_cell(source, id=f"cell-{place}") for place, source in enumerate(cells)]
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": spec})
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    def read_notebook(self, name: str) -> nbformat.NotebookNode:
        """The notebook as it is on disk."""
        return nbformat.read(self.folder / name, as_version=4)

    def open(self, name: str) -> LabPage:
        """Open a notebook of the folder in a browser window of its own and wait for its kernel."""
        return LabPage(self, name)

    def close(self) -> None:
        """Close the browser and stop the server and its kernels."""
        self._stack.close()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LabPage:
    """One notebook in the browser. Cells are counted from 0.

    Attributes
    ----------
    page
        Playwright's page, for what is not here.
    problems
        Uncaught errors of the page's JavaScript.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.page: Page = lab.browser.new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: dialog.accept())  # "Leave the page?" on reload
        self.page.goto(f"{lab.url}/lab/tree/{name}?reset")
        self._wait_until_ready()

    def __enter__(self) -> LabPage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Shut the notebook's kernel down and close the window."""
        self.page.evaluate("async () => { await rig.panel().context.sessionContext.shutdown(); }")
        self.page.close()

    def _wait_until_ready(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp !== undefined", timeout=START_LIMIT * 1000)
        self.page.evaluate(SCRIPT)
        self._wait("rig.ready()", START_LIMIT)

    def _wait(self, condition: str, timeout: float) -> None:
        self.page.wait_for_function(f"() => {condition}", timeout=timeout * 1000)

    def command(self, name: str, **arguments: Any) -> None:
        """Run one of JupyterLab's commands to its end, as its menu entry does."""
        self.page.evaluate(
            "async ([name, args]) => { await jupyterapp.commands.execute(name, args); }", [name, arguments]
        )

    def _run(self, command: str, cell: int | None, wait: bool, timeout: float) -> None:
        if cell is not None:
            self.page.evaluate("(i) => rig.select(i)", cell)
        self.page.evaluate("(command) => rig.run(command)", command)
        if wait:
            self.wait_until_idle(timeout)

    def run_cell(self, cell: int, wait: bool = True, timeout: float = 60) -> None:
        """Run > Run Selected Cell and Do not Advance."""
        self._run("notebook:run-cell", cell, wait, timeout)

    def run_all(self, wait: bool = True, timeout: float = 60) -> None:
        """Run > Run All Cells."""
        self._run("notebook:run-all-cells", None, wait, timeout)

    def run_all_below(self, cell: int, wait: bool = True, timeout: float = 60) -> None:
        """Run > Run Selected Cell and All Below."""
        self._run("notebook:run-all-below", cell, wait, timeout)

    def wait_until_idle(self, timeout: float = 60) -> None:
        """Until no cell runs or waits to run."""
        self._wait("rig.idle()", timeout)

    def wait_for_output(self, cell: int, text: str, timeout: float = 60) -> None:
        """Until the cell's output shows the text, running or not."""
        condition = "([i, text]) => rig.outputs(i).some((node) => node.innerText.includes(text))"
        self.page.wait_for_function(condition, arg=[cell, text], timeout=timeout * 1000)

    def interrupt(self) -> None:
        """Kernel > Interrupt Kernel."""
        self.command("notebook:interrupt-kernel")

    def restart(self) -> None:
        """A new kernel process, without the dialog that asks."""
        self.page.evaluate("async () => { await rig.panel().context.sessionContext.session.kernel.restart(); }")
        self.wait_until_idle()

    def cell(self, cell: int) -> Locator:
        """The cell's element, to click into."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(cell)

    def output(self, cell: int) -> Locator:
        """The cell's output area, to click into."""
        return self.cell(cell).locator(".jp-Cell-outputArea")

    @property
    def cell_count(self) -> int:
        return int(self.page.evaluate("() => rig.cells().length"))

    def source(self, cell: int) -> str:
        """What the cell holds."""
        return str(self.page.evaluate("(i) => rig.cells()[i].model.sharedModel.getSource()", cell))

    def edit_cell(self, cell: int, source: str) -> None:
        """Click into the cell, select all of it and type over it with the keyboard."""
        self.cell(cell).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.press("Delete")
        self.page.keyboard.insert_text(source)
        assert self.source(cell) == source

    def add_cell(self, source: str, below: int | None = None) -> int:
        """Insert a cell below the one named (default: the last), type into it, and return its place."""
        above = self.cell_count - 1 if below is None else below
        self.page.evaluate("(i) => rig.select(i)", above)
        self.command("notebook:insert-cell-below")
        self.edit_cell(above + 1, source)
        return above + 1

    def cell_output_text(self, cell: int) -> str:
        """The cell's outputs as a reader sees them."""
        return str(self.page.evaluate("(i) => rig.outputs(i).map((node) => node.innerText).join('\\n')", cell))

    def cell_output_html(self, cell: int) -> str:
        """The cell's outputs as the page holds them."""
        return str(self.page.evaluate("(i) => rig.outputs(i).map((node) => node.outerHTML).join('\\n')", cell))

    def save(self) -> None:
        """File > Save Notebook."""
        self.command("docmanager:save")
        self._wait("!rig.panel().context.model.dirty", 30)

    def reload(self) -> None:
        """Load the page again; what was not saved is gone, the kernel stays."""
        self.page.reload()
        self._wait_until_ready()

    def use_theme(self, dark: bool) -> None:
        """Settings > Theme > JupyterLab Dark or Light; pages that this Lab opens later have it too."""
        name = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.command("apputils:change-theme", theme=name)
        self._wait(f"document.body.dataset.jpThemeName === '{name}' && rig.unveiled()", 30)

    def screenshot(self, path: Path | str) -> Path:
        """The whole notebook, however long, as a PNG."""
        hidden = self.page.evaluate(
            "() => Math.max(0, ...[...document.querySelectorAll('.jp-Notebook, .jp-WindowedPanel-outer')]"
            ".map((node) => node.scrollHeight - node.clientHeight))"
        )
        self.page.set_viewport_size({**VIEWPORT, "height": VIEWPORT["height"] + int(hidden)})
        try:
            self.page.locator(".jp-NotebookPanel").first.screenshot(path=path)
        finally:
            self.page.set_viewport_size(VIEWPORT)
        return Path(path)


def stop(server: subprocess.Popen[bytes]) -> None:
    """SIGTERM lets JupyterLab shut its kernels down."""
    server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
