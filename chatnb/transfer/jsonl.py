"""JSON Lines that keep everything: a line a row, each session's rows together.

The first line is `{"chatnb": "chatnb/1"}`. Every other line is a row of one of the public tables
(docs/reference.md) with its columns as keys and the table's name under `table`; `{"end": ID}` closes a session, so
that a file that was cut off is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from chatnb.errors import BadInput
from chatnb.stores.copying import Whole
from chatnb.transfer.base import Format, Problem, Reader, Reading
from chatnb.transfer.own import VERSION, Built, as_values, owned, rows_of

__all__ = ["FORMAT"]

_HEADER = 200
"""How many characters the first line takes at most."""


def _write(wholes: Iterable[Whole], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        _line(file, {"chatnb": VERSION})
        for whole in wholes:
            for name, record in rows_of(whole):
                _line(file, {"table": name, **as_values(name, record)})
            _line(file, {"end": whole.session.id})


def _line(file: TextIO, values: dict[str, object]) -> None:
    file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")


def _header(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        line = file.readline(_HEADER)
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) and "chatnb" in found else {}


def _read(path: Path, reader: Reader) -> Reading:
    header = _header(path)
    if not header:
        raise BadInput(f"{str(path)!r} does not begin as chatnb's JSON Lines do.")
    if header["chatnb"] != VERSION:
        raise BadInput(f"{str(path)!r} was written as {header['chatnb']!r}, and this chatnb reads {VERSION!r}.")
    return Reading(_items(path, reader))


def _items(path: Path, reader: Reader) -> Iterator[Whole | Problem]:
    """Each session, or what is wrong with it; a session ends where the next begins."""
    built: Built | None = None
    wrong: Problem | None = None
    begun = 1
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1 or not line.strip():
                continue
            values = _row(line)
            if values.get("table") == "sessions":
                if built is not None or wrong is not None:
                    yield wrong or _cut_off(path, begun)
                built, wrong, begun = Built(), None, number
            if "end" in values:
                yield wrong or _whole(path, begun, built, reader)
                built, wrong = None, None
            elif wrong is None:
                wrong = _taken(path, number, built, values)
    if built is not None or wrong is not None:
        yield wrong or _cut_off(path, begun)


def _row(line: bytes) -> dict[str, object]:
    """A line's values; none when it is no row."""
    try:
        values = json.loads(line)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _taken(path: Path, number: int, built: Built | None, values: dict[str, object]) -> Problem | None:
    """Give a row to its session; what is wrong with it."""
    place = f"{path.name}, line {number}"
    if "table" not in values:
        return Problem(place, "this is no row in JSON; its session is left out.")
    if built is None:
        return Problem(place, "this row belongs to no session.")
    try:
        built.add(str(values["table"]), values)
    except BadInput as error:
        return Problem(place, f"{error}; its session is left out.")
    return None


def _whole(path: Path, begun: int, built: Built | None, reader: Reader) -> Whole | Problem:
    try:
        if built is None:
            raise BadInput("a session ends here that did not begin")
        return owned(built.whole(), reader)
    except BadInput as error:
        return Problem(f"{path.name}, line {begun}", f"{error}; its session is left out.")


def _cut_off(path: Path, begun: int) -> Problem:
    return Problem(f"{path.name}, line {begun}", "the session that begins here has no end; the file was cut off.")


FORMAT = Format(
    name="jsonl",
    says="chatnb's JSON Lines",
    suffixes=(".jsonl", ".ndjson"),
    write=_write,
    keeps_all=True,
    recognises=lambda path: bool(_header(path)),
    read=_read,
)
"""Keeps everything; can be imported again."""
