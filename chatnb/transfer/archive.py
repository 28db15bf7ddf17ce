"""The JSON of a data export: one file, a folder, or the ZIP archive it came in, read conversation by conversation."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from chatnb.errors import BadInput

__all__ = ["Archive", "Entry", "opened"]

_HEAD = 1 << 20
"""How many bytes are looked at to tell whose export it is."""


@dataclass(frozen=True)
class Entry:
    """One element of the list of conversations, and its place for a person; `value` None could not be read."""

    place: str
    value: object
    error: str = ""


@dataclass(frozen=True)
class Archive:
    """The members of an export by name, each read when it is asked for."""

    names: tuple[str, ...]
    read: Callable[[str, int], bytes]

    def conversations(self) -> list[str]:
        """The members that hold conversations: `conversations.json`, or its numbered parts (since 2026)."""
        found = [name for name in self.names if PurePosixPath(name).match("conversations*.json")]
        return sorted(found) or (list(self.names) if len(self.names) == 1 else [])

    def head(self) -> bytes:
        """How the first of them begins."""
        members = self.conversations()
        return self.read(members[0], _HEAD) if members else b""

    def entries(self) -> Iterator[Entry]:
        """Every conversation of every member, up to where a member stops being JSON."""
        for name in self.conversations():
            yield from _elements(PurePosixPath(name).name, self.read(name, -1))

    def asset(self, part: str) -> tuple[str, bytes] | None:
        """The member whose file name holds `part`, with its name."""
        name = next((name for name in self.names if part in PurePosixPath(name).name), None)
        return (name, self.read(name, -1)) if name is not None else None


def opened(path: Path) -> Archive | None:
    """The export at this path; None when it is neither JSON, nor a folder or archive with conversations."""
    if path.is_dir():
        names = tuple(str(one.relative_to(path)) for one in sorted(path.rglob("*")) if one.is_file())
        return _holding(Archive(names, lambda name, size: _read(path / name, size)))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = tuple(archive.namelist())
        return _holding(Archive(names, lambda name, size: _unzipped(path, name, size)))
    if _read(path, 64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        return Archive((path.name,), lambda _, size: _read(path, size))
    return None


def _holding(archive: Archive) -> Archive | None:
    return archive if any(PurePosixPath(name).match("conversations*.json") for name in archive.names) else None


def _read(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def _unzipped(path: Path, name: str, size: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            return member.read(size)
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise BadInput(f"{name!r} in {str(path)!r} cannot be read ({error}). Download the archive again.") from error


def _elements(name: str, data: bytes) -> Iterator[Entry]:
    """The elements of a JSON list one by one, so that a file that was cut off gives what is whole."""
    text = data.decode("utf-8-sig", "replace")
    decoder = json.JSONDecoder()
    place = _skip(text, 0)
    if text[place : place + 1] != "[":  # an object: one conversation, or a list under a key
        yield from _object(name, text)
        return
    place, number = _skip(text, place + 1), 0
    while text[place : place + 1] != "]":
        number += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            yield Entry(
                f"{name}, conversation {number}", None, f"this is not JSON ({error}); nothing after it was read."
            )
            return
        yield Entry(f"{name}, conversation {number}", value)
        place = _skip(text, place)
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "]":
            yield Entry(f"{name}, after conversation {number}", None, "the list has no end; the file was cut off.")
            return


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n":
        place += 1
    return place


def _object(name: str, text: str) -> Iterator[Entry]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Entry(name, None, f"this is not JSON ({error}).")
        return
    listed = value.get("conversations") if isinstance(value, dict) else None
    for number, one in enumerate(listed if isinstance(listed, list) else [value], start=1):
        yield Entry(f"{name}, conversation {number}", one)
