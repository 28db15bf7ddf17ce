"""Run an agent's synchronous tools in the thread that runs the agent: the notebook's own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

__all__ = ["InlineExecutor"]

_P = ParamSpec("_P")
_T = TypeVar("_T")


class InlineExecutor(Executor):
    """Runs what is submitted at once, in the calling thread, so that a tool sees the notebook's connections.

    A Ctrl-C (SIGINT) while it runs stops the work, calls `on_interrupt` and cancels the future; the loop's own handler
    could not, as the work holds the loop's thread.

    Parameters
    ----------
    on_interrupt
        Called after an interrupt. `AgentRun` puts its own `cancel` here when there is none.
    """

    def __init__(self, on_interrupt: Callable[[], object] | None = None) -> None:
        self.on_interrupt = on_interrupt

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """The finished (or cancelled) future of `fn(*args, **kwargs)`."""
        future: Future[_T] = Future()
        try:
            with _interruptible():
                result = fn(*args, **kwargs)
        except KeyboardInterrupt:
            if self.on_interrupt is not None:
                self.on_interrupt()
            future.cancel()
            future.set_running_or_notify_cancel()
        except BaseException as error:  # noqa: BLE001  the future carries it to who awaits it
            future.set_exception(error)
        else:
            future.set_result(result)
        return future


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt here, whatever handler the kernel has set; only the main thread has signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
