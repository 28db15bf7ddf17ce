"""What the readers of other programs' data exports share: one conversation at a time, a bad one told of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chatnb.stores.copying import Whole
from chatnb.transfer.archive import Archive, Entry
from chatnb.transfer.base import Problem, Reader, Reading
from chatnb.transfer.tree import Conversation, assembled

__all__ = ["UNREADABLE", "conversations", "title", "why"]

UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
"""What reading a conversation of an unexpected shape raises."""


def conversations(archive: Archive, reader: Reader, read: Callable[[Mapping[str, Any]], Conversation]) -> Reading:
    """Every conversation of an export as a session.

    Parameters
    ----------
    archive
        The export.
    reader
        For whom it is read.
    read
        Makes a conversation of one element of the export's list.
    """

    def items() -> Iterator[Whole | Problem]:
        for entry in archive.entries():
            yield _item(entry, reader, read)

    return Reading(items())


def _item(entry: Entry, reader: Reader, read: Callable[[Mapping[str, Any]], Conversation]) -> Whole | Problem:
    if entry.error:
        return Problem(entry.place, entry.error)
    if not isinstance(entry.value, Mapping):
        return Problem(entry.place, f"this is {type(entry.value).__name__}, not a conversation.")
    try:
        return assembled(read(entry.value), reader)
    except UNREADABLE as error:
        return Problem(entry.place + title(entry.value), why(error))


def why(error: Exception) -> str:
    """What keeps a conversation of an unexpected shape from being read, as a sentence."""
    if isinstance(error, KeyError):
        return f"it has no {error}."
    return f"it has not the shape of a conversation ({error})."


def title(value: Mapping[str, Any]) -> str:
    """A conversation's title in brackets, to be found by."""
    named = value.get("title") or value.get("name")
    return f" ({str(named)[:60]!r})" if named else ""
