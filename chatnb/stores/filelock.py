"""One file held by one process at a time: take the lock, wait a bounded time, say who holds it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from chatnb.errors import StoreBusy

__all__ = ["TELL_AFTER", "Notice", "hold_file", "holder", "process_name"]

Notice = Callable[[str], None]
"""Is told, once, that there is something to wait for."""

TELL_AFTER = 1.0
"""Seconds of waiting before it is worth a word."""


@contextmanager
def hold_file(path: Path, wait: float, notice: Notice | None) -> Iterator[None]:
    """Hold the lock file at `path` for the time of the block.

    Parameters
    ----------
    path
        The lock file; made when it is missing.
    wait
        Seconds to wait at most.
    notice
        Is told after a second of waiting.

    Raises
    ------
    StoreBusy
        When the wait is over; the sentence names the process that holds it, where the system tells.
    """
    lock = FileLock(path, is_singleton=False, thread_local=False)
    deadline = time.monotonic() + wait
    try:
        lock.acquire(timeout=min(TELL_AFTER, wait), poll_interval=0.005)
    except Timeout:
        who = holder(path)
        if notice is not None:
            notice(f"Waiting for {path.with_suffix('').name}, which {who} holds …")
        try:
            lock.acquire(timeout=max(deadline - time.monotonic(), 0), poll_interval=0.02)
        except Timeout:
            raise StoreBusy(
                f"{str(path.with_suffix(''))!r} was held by {holder(path)} for more than {wait:g} s. "
                "Wait for it to end or close it there, then run this again."
            ) from None
    try:
        yield
    finally:
        lock.release()


def holder(path: Path) -> str:
    """The process that holds a lock file, as `process 123 (python)`, where /proc tells; else another process."""
    with suppress(OSError):
        status = path.stat()
        wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if len(fields) > 5 and fields[5] == wanted and fields[4].isdigit():
                return process_name(int(fields[4]))
    return "another process"


def process_name(pid: int) -> str:
    """A process as people know it: `process 123 (jupyter-lab)`."""
    with suppress(OSError):
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    return f"process {pid}"
