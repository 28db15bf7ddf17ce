"""What a format is, which formats there are, and which one a file has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from chatnb.errors import BadInput, nearest
from chatnb.stores.copying import Whole

__all__ = ["GROUP", "Format", "Problem", "Reader", "Reading", "Writer", "find_format", "formats", "recognised"]

GROUP = "chatnb.transfers"
"""The group of entry points that add formats; each is a `Format`."""

_OWN = {
    "markdown": "markdown",
    "jsonl": "jsonl",
    "parquet": "parquet",
    "notebook": "notebook",
    "openai": "finetuning",
    "llm": "llm",
    "chatgpt": "chatgpt",
    "claude": "claude",
}
"""The formats that chatnb itself brings, and the modules they are in."""


@dataclass(frozen=True)
class Problem:
    """A conversation that was left out: where it stands in its file, and why."""

    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(frozen=True)
class Reader:
    """For whom a file is read. `user` None keeps the users that the file names; `me` is whoever else is meant."""

    me: str
    user: str | None = None
    project: str = ""


@dataclass(frozen=True)
class Reading:
    """What a file holds, conversation by conversation; `total` is how many there are where that is known."""

    items: Iterator[Whole | Problem]
    total: int | None = None


Writer = Callable[[Iterable[Whole], Path], None]
"""Writes sessions to a path that does not exist yet."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format.

    Parameters
    ----------
    name
        What people call it.
    says
        What it is, in a few words.
    suffixes
        How the names of its files end; the first of all formats that claims a suffix has it.
    write
        Writes sessions; None for a format that is only read.
    keeps_all
        Whether it writes everything, also the ways that were left, or the current histories alone.
    recognises
        Tells whether a file or folder has this format, without reading all of it.
    read
        Reads a file; None for a format that is only written.
    """

    name: str
    says: str
    suffixes: tuple[str, ...] = ()
    write: Writer | None = None
    keeps_all: bool = False
    recognises: Callable[[Path], bool] | None = None
    read: Callable[[Path, Reader], Reading] | None = None


def formats() -> dict[str, Format]:
    """Every format by its name: chatnb's own, then those of entry points."""
    own: dict[str, Format] = {name: import_module(f"chatnb.transfer.{place}").FORMAT for name, place in _OWN.items()}
    return own | {point.name: point.load() for point in entry_points(group=GROUP) if point.name not in own}


def find_format(name: str) -> Format:
    """The format of this name.

    Raises
    ------
    BadInput
        When there is none; the sentence names the nearest.
    """
    if name in _OWN:
        found: Format = import_module(f"chatnb.transfer.{_OWN[name]}").FORMAT
        return found
    for point in entry_points(group=GROUP, name=name):
        plugin: Format = point.load()
        return plugin
    known = sorted({*_OWN, *(point.name for point in entry_points(group=GROUP))})
    raise BadInput(f"There is no format {name!r}.{nearest(name, known)} There are {', '.join(known)}.")


def recognised(path: Path) -> Format:
    """The format that a file or folder has.

    Raises
    ------
    BadInput
        When it has none of those that can be read; the sentence names them.
    """
    readable = [one for one in formats().values() if one.read is not None]
    for one in readable:
        if one.recognises is not None and one.recognises(path):
            return one
    known = "; ".join(f"{one.says} ({one.name})" for one in readable)
    raise BadInput(f"{str(path)!r} is none of the files that can be imported: {known}. Nothing was imported.")
