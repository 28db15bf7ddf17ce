"""What is wrong with a store, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chatnb.errors import StoreError
from chatnb.stores.sessions import SessionFilter
from chatnb.stores.store import Store
from chatnb.wording import counted

__all__ = ["Finding", "examine"]

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "lustre", "beegfs", "ceph", "glusterfs"}
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: how it stands, and what to do when it is not well."""

    level: Literal["ok", "warning", "problem"]
    says: str
    do: str = ""

    def __str__(self) -> str:
        mark = {"ok": "✓", "warning": "!", "problem": "✗"}[self.level]
        return f"{mark} {self.says}" + (f" {self.do}" if self.do else "")


def examine(store: Store) -> list[Finding]:
    """Look at a store. Turns that dead processes left are taken in on the way.

    Parameters
    ----------
    store
        An open store.
    """
    return list(_findings(store))


def _findings(store: Store) -> Iterator[Finding]:
    facts = store.facts()
    size = int(facts["size"])  # type: ignore[call-overload]
    yield Finding("ok", f"The store is {facts['url']} ({facts['engine']}, {_size(size)}).")
    if facts.get("path"):
        yield from _file_system(Path(str(facts["path"])))
    try:
        left = store.recover(look=True)
        active = store.list_sessions(SessionFilter(), limit=0)[1]
        deleted = store.list_sessions(SessionFilter(active=False), limit=0)[1]
    except StoreError as error:
        yield Finding("problem", str(error))
        return
    gone = f", and {deleted:,} that {'was' if deleted == 1 else 'were'} deleted and can be restored" if deleted else ""
    yield Finding("ok", f"It holds {counted(active, 'session')}{gone}.")
    if left:
        they, process = ("It is", "a process that has") if len(left) == 1 else ("They are", "processes that have")
        yield Finding(
            "warning",
            f"{counted(len(left), 'turn')} {'was' if len(left) == 1 else 'were'} left by {process} ended.",
            f"{they} kept as interrupted now.",
        )
    else:
        yield Finding("ok", "No turn was left by a process that has ended.")


def _file_system(path: Path) -> Iterator[Finding]:
    kind = _kind(path)
    if kind in _NETWORK:
        yield Finding(
            "warning",
            f"The file lies on a network file system ({kind}), where locks may not hold.",
            "Put it on a local disk (CHATNB_STORE), or use PostgreSQL.",
        )
    elif kind:
        yield Finding("ok", f"The file lies on {kind}.")


def _kind(path: Path) -> str:
    """The kind of file system that holds a path, where /proc tells; else ''."""
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return ""
    mounts = [(fields[1].replace("\\040", " "), fields[2]) for fields in (line.split() for line in lines)]
    holding = [(mount, kind) for mount, kind in mounts if path.is_relative_to(mount)]
    return max(holding, key=lambda pair: len(pair[0]))[1] if holding else ""


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return ""
