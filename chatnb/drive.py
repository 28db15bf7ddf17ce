"""Run a turn from synchronous code: it goes on on one background event loop, its tools in the caller's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from chatnb.turn import Closed, TurnEvent, TurnRun

__all__ = ["awake", "drive", "wait_for"]

T = TypeVar("T")

_lock = threading.Lock()
_background: asyncio.AbstractEventLoop | None = None


@dataclass(frozen=True)
class _Call:
    """A synchronous tool that waits to be run in the caller's thread."""

    work: Callable[[], object]
    future: Future[Any]


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class _CallerExecutor(Executor):
    """Sends work to the thread that reads the inbox."""

    def __init__(self, inbox: SimpleQueue[Any]) -> None:
        self._inbox = inbox

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Queue one call."""
        future: Future[T] = Future()
        self._inbox.put(_Call(partial(fn, *args, **kwargs), future))
        return future


def drive(make: Callable[[Executor], TurnRun]) -> Generator[TurnEvent]:
    """The events of a turn, in the calling thread; a KeyboardInterrupt or closing the iterator stops the turn.

    Parameters
    ----------
    make
        Makes the turn, given where its synchronous tools are to run: in the calling thread, between two events.
    """
    inbox: SimpleQueue[Any] = SimpleQueue()
    run = make(_CallerExecutor(inbox))

    async def pump() -> None:
        try:
            async for event in run.events():
                inbox.put(event)
        except BaseException as error:  # noqa: BLE001  it is raised in the caller's thread
            inbox.put(_Failed(error))

    asyncio.run_coroutine_threadsafe(pump(), _loop())
    over = False
    try:
        while not over:
            item = _next(inbox, run)
            over = isinstance(item, Closed | _Failed)
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        if not over:  # closed by its reader, or a KeyboardInterrupt between two events
            run.cancel()
            while not isinstance(_next(inbox, run), Closed | _Failed):
                continue


@asynccontextmanager
async def awake() -> AsyncGenerator[None]:
    """Wake the running event loop ten times a second.

    A kernel's loop that waits learns of an interrupt only when something else wakes it (ipykernel 7.4 calls back from
    the signal handler with tornado's `add_callback`, which does not wake a loop from its own thread).
    """

    loop = asyncio.get_running_loop()
    beating: asyncio.Handle = loop.call_soon(lambda: None)

    def beat() -> None:
        nonlocal beating
        beating = loop.call_later(0.1, beat)

    beat()
    try:
        yield
    finally:
        beating.cancel()


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns, waited for from synchronous code; it runs on the background loop."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result()


def _next(inbox: SimpleQueue[Any], run: TurnRun) -> TurnEvent | _Failed:
    """The next event; runs the tools that come before it."""
    while True:
        try:
            item = inbox.get()
        except KeyboardInterrupt:
            run.cancel()
            continue
        if not isinstance(item, _Call):
            return item  # type: ignore[no-any-return]  # the inbox holds events, calls and failures
        if item.future.set_running_or_notify_cancel():
            _do(item, run)


def _do(call: _Call, run: TurnRun) -> None:
    try:
        call.future.set_result(call.work())
    except KeyboardInterrupt as error:
        run.cancel()
        call.future.set_exception(RuntimeError(f"interrupted: {error!r}"))
    except BaseException as error:  # noqa: BLE001  whatever a tool raises belongs to the agent that called it
        call.future.set_exception(error)


def _loop() -> asyncio.AbstractEventLoop:
    """The process's one background event loop, started at the first use; it ends with the process."""
    global _background
    with _lock:
        if _background is None:
            _background = asyncio.new_event_loop()
            threading.Thread(target=_background.run_forever, name="chatnb", daemon=True).start()
        return _background
