"""A real ipykernel in its own process, driven as JupyterLab drives one."""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

REPOSITORY = Path(__file__).parents[2]
COLOURS = re.compile(r"\x1b\[[\d;]*m")
POLL = 0.1  # seconds between two looks at whether the kernel still lives; a message ends the wait at once

Status = Literal["running", "ok", "error", "aborted", "died"]


@dataclass
class Output:
    """One output of a cell as a notebook would save it, with every update already folded in.

    Attributes
    ----------
    kind
        ``stream``, ``display``, ``result`` (the cell's value, ``Out[n]``) or ``error``.
    name
        ``stdout`` or ``stderr`` for a stream, else ''.
    data
        MIME type to content; a stream's text is under ``text/plain``, an error's traceback (without colours) too.
    updates
        How many times ``update_display_data`` replaced it.
    """

    kind: Literal["stream", "display", "result", "error"]
    data: dict[str, Any]
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    display_id: str | None = None
    updates: int = 0

    @property
    def text(self) -> str:
        """The plain text form."""
        return str(self.data.get("text/plain", ""))


@dataclass
class Result:
    """What one cell gave: live while it runs, final when ``status`` is no longer ``running``."""

    code: str
    status: Status = "running"
    outputs: list[Output] = field(default_factory=list)
    execution_count: int | None = None
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    duration: float = 0.0  # seconds from sending the cell to its end
    help: str = ""  # what a cell such as `len?` opens in the pager
    messages: list[dict[str, Any]] = field(default_factory=list, repr=False)  # iopub as it came, comms too

    @property
    def stdout(self) -> str:
        return "".join(output.text for output in self.outputs if output.name == "stdout")

    @property
    def stderr(self) -> str:
        return "".join(output.text for output in self.outputs if output.name == "stderr")

    @property
    def displays(self) -> list[Output]:
        return [output for output in self.outputs if output.kind == "display"]

    @property
    def value(self) -> Output | None:
        """The execute_result, if the cell ended in an expression."""
        return next((output for output in self.outputs if output.kind == "result"), None)

    @property
    def text(self) -> str:
        """All outputs as plain text, in the order a reader sees them."""
        return "\n".join(output.text for output in self.outputs)

    def expect_ok(self) -> Result:
        """This result, or an AssertionError that shows the cell's traceback."""
        assert self.status == "ok", f"the cell ended as {self.status!r}:\n{self.code}\n{self.traceback or self.text}"
        return self


@dataclass
class Handle:
    """A cell that was sent to the kernel and may still be running."""

    kernel: Kernel
    message_id: str
    live: Result
    sent: float
    clear_before_next: bool = False

    def wait_for(self, predicate: Callable[[Result], bool], timeout: float = 60) -> Result:
        """Read outputs until the predicate holds; fails if the cell ends or the time is over before it does."""
        deadline = time.monotonic() + timeout
        while not predicate(self.live):
            assert self.live.status == "running", f"the cell ended as {self.live.status!r} first:\n{self.live.text}"
            self.kernel.read_one(deadline, self)
        return self.live

    def result(self, timeout: float = 60) -> Result:
        """Wait for the cell's end. A kernel that dies ends it with status ``died``."""
        deadline = time.monotonic() + timeout
        while self.live.status == "running":
            self.kernel.read_one(deadline, self)
        return self.live


class Kernel:
    """A running ipykernel.

    Parameters
    ----------
    cwd
        The kernel's working directory.
    env
        Environment variables beyond this process's own; None as a value takes one away.
    notebook
        The notebook's path, absolute or below cwd; told to the kernel as JupyterLab tells it (``JPY_SESSION_NAME``).
    """

    def __init__(
        self, cwd: Path | str, env: Mapping[str, str | None] | None = None, notebook: Path | str | None = None
    ) -> None:
        self.cwd = Path(cwd)
        # Sockets of the ipc transport have short paths, so they do not go below pytest's tmp_path.
        self._folder = Path(tempfile.mkdtemp(prefix="kernel-"))
        self.env = self._environment(env or {}, notebook)
        self._starts = 0
        self._start()

    def _environment(self, env: Mapping[str, str | None], notebook: Path | str | None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
        own: dict[str, str | None] = {
            "IPYTHONDIR": str(self._folder / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(self._folder),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            **python_path(),
        }
        if notebook is not None:
            own["JPY_SESSION_NAME"] = str(self.cwd / notebook)
        merged = {**inherited, **own, **env}
        return {name: value for name, value in merged.items() if value is not None}

    def _start(self) -> None:
        self._starts += 1
        self._displays: dict[str, list[Output]] = {}
        self._handles: dict[str, Handle] = {}
        self._log = open(self._folder / "log", "ab")  # noqa: SIM115 (closed in _stop)
        # With no folders to look in, the spec is ipykernel's own for this very Python.
        self.manager = KernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            transport="ipc",
            connection_file=str(self._folder / f"{self._starts}.json"),
        )
        self.manager.start_kernel(cwd=str(self.cwd), env=self.env, stdout=self._log, stderr=self._log)
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=60)
        except BaseException as error:
            error.add_note(f"the kernel's log: {self.log}")
            self._stop(now=True)
            raise

    def _stop(self, now: bool) -> None:
        self.client.stop_channels()
        # A cell that still runs would not let the kernel answer a shutdown request.
        busy = any(handle.live.status == "running" for handle in self._handles.values())
        self.manager.shutdown_kernel(now=now or busy)
        for handle in self._handles.values():
            if handle.live.status == "running":
                handle.live.status = "died"
        self._log.close()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Shut down as closing a notebook does (exit handlers run), at once if a cell still runs."""
        self._stop(now=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """What the process wrote past the kernel's own streams."""
        return (self._folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        pid = getattr(self.manager.provisioner, "pid", None)
        assert isinstance(pid, int)
        return pid

    @property
    def alive(self) -> bool:
        return bool(self.manager.is_alive())

    def start(self, code: str, cell_id: str | None = None) -> Handle:
        """Send a cell and return at once. Its id travels in the request's metadata, as JupyterLab sends it."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        metadata = {"deletedCells": [], "recordTiming": False, **({"cellId": cell_id} if cell_id else {})}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        handle = Handle(self, message["header"]["msg_id"], Result(code), time.monotonic())
        self._handles[handle.message_id] = handle
        self.client.shell_channel.send(message)
        return handle

    def run(self, code: str, cell_id: str | None = None, timeout: float = 60) -> Result:
        """Run a cell to its end."""
        return self.start(code, cell_id).result(timeout)

    def interrupt(self) -> None:
        """The stop button: SIGINT."""
        self.manager.interrupt_kernel()

    def kill9(self) -> None:
        """SIGKILL to the kernel and whatever it started; returns when it is dead. `restart` brings a new one."""
        self.manager.signal_kernel(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while self.alive:
            assert time.monotonic() < deadline, "the kernel outlived SIGKILL by 10 s"
            time.sleep(0.01)

    def restart(self) -> None:
        """A new process with the same folder, environment and notebook."""
        self._stop(now=not self.alive)
        self._start()

    def read_one(self, deadline: float, handle: Handle) -> None:
        """Take in one iopub message, whichever cell it belongs to, or notice that the kernel is dead."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no end in time of the cell\n{handle.live.code}\nso far:\n{handle.live.text}")
        was_alive = self.alive  # asked before reading: what a dying kernel still sent is read first
        try:
            message = self.client.get_iopub_msg(timeout=min(left, POLL))
        except queue.Empty:
            if not was_alive:
                handle.live.status = "died"
            return
        owner = self._handles.get(message["parent_header"].get("msg_id", ""))
        if owner is not None:
            owner.live.messages.append(message)
            self._take(message["header"]["msg_type"], message["content"], owner)

    def _take(self, kind: str, content: dict[str, Any], handle: Handle) -> None:
        result = handle.live
        if kind == "status" and content["execution_state"] == "idle":
            self._finish(handle)
        elif kind == "execute_input":
            result.execution_count = content["execution_count"]
        elif kind == "clear_output":
            handle.clear_before_next = content["wait"]
            if not content["wait"]:
                result.outputs.clear()
        elif kind == "update_display_data":
            for output in self._displays.get(content["transient"]["display_id"], ()):
                output.data, output.metadata = content["data"], content["metadata"]
                output.updates += 1
        elif kind in ("stream", "display_data", "execute_result", "error"):
            if handle.clear_before_next:
                result.outputs.clear()
                handle.clear_before_next = False
            self._add(kind, content, result)

    def _add(self, kind: str, content: dict[str, Any], result: Result) -> None:
        last = result.outputs[-1] if result.outputs else None
        if kind == "stream" and last and last.name == content["name"]:
            last.data["text/plain"] += content["text"]
        elif kind == "stream":
            result.outputs.append(Output("stream", {"text/plain": content["text"]}, content["name"]))
        elif kind == "error":
            result.ename, result.evalue = content["ename"], content["evalue"]
            result.traceback = COLOURS.sub("", "\n".join(content["traceback"]))
            result.outputs.append(Output("error", {"text/plain": result.traceback}))
        else:
            display_id = content.get("transient", {}).get("display_id")
            name: Literal["display", "result"] = "result" if kind == "execute_result" else "display"
            output = Output(name, content["data"], metadata=content["metadata"], display_id=display_id)
            result.outputs.append(output)
            if display_id:
                self._displays.setdefault(display_id, []).append(output)

    def _finish(self, handle: Handle) -> None:
        reply = self.client.get_shell_msg(timeout=10)
        while reply["parent_header"].get("msg_id") != handle.message_id:
            reply = self.client.get_shell_msg(timeout=10)
        pages = [page["data"]["text/plain"] for page in reply["content"].get("payload", ()) if page["source"] == "page"]
        handle.live.help = COLOURS.sub("", "\n".join(pages))
        handle.live.status = reply["content"]["status"]
        handle.live.duration = time.monotonic() - handle.sent


def python_path() -> dict[str, str]:
    """The PYTHONPATH that a new process needs to import chatnb: none where it is installed, else this checkout."""
    try:
        metadata.distribution("chatnb")
    except metadata.PackageNotFoundError:
        others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]
        return {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *others])}
    return {}
