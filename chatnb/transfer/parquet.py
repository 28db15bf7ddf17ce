"""Parquet files that keep everything: a folder with one file a table.

Columns are those of the public tables (docs/reference.md); JSON columns are text, tags lists of text.
`session_number` says which session of the export a row came with, from 0: a row that two sessions share is written
with each.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chatnb.errors import BadInput
from chatnb.stores.copying import Whole
from chatnb.stores.plainjson import json_text
from chatnb.stores.schema import Table
from chatnb.transfer.base import Format, Problem, Reader, Reading
from chatnb.transfer.own import TABLES, VERSION, Built, owned, rows_of

__all__ = ["FORMAT"]

_NUMBER = "session_number"

_BUFFER = 5_000
"""How many rows of a table are gathered before they are written together."""


def _schema(table: Table) -> Any:
    import pyarrow as pa

    types = {
        "text": pa.string(), "bigint": pa.int64(), "double": pa.float64(), "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", "UTC"), "json": pa.string(), "tags": pa.list_(pa.string()),
        "blob": pa.large_binary(),
    }  # fmt: skip
    fields = [pa.field(_NUMBER, pa.int64()), *(pa.field(one.name, types[one.type]) for one in table.columns)]
    return pa.schema(fields, metadata={"chatnb": VERSION})


def _write(wholes: Iterable[Whole], path: Path) -> None:
    from pyarrow import parquet

    path.mkdir()
    waiting: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(parquet.ParquetWriter(path / f"{table.name}.parquet", _schema(table)))
            for name, (table, _) in TABLES.items()
        }
        for number, whole in enumerate(wholes):
            for name, record in rows_of(whole):
                waiting[name].append({_NUMBER: number, **_values(TABLES[name][0], record)})
                if len(waiting[name]) >= _BUFFER:
                    _flush(writers[name], waiting[name])
        for name, writer in writers.items():
            _flush(writer, waiting[name])


def _values(table: Table, record: object) -> dict[str, object]:
    return {
        column.name: json_text(value, column.name) if column.type == "json" and value is not None else value
        for column in table.columns
        for value in (getattr(record, column.name),)
    }


def _flush(writer: Any, rows: list[dict[str, object]]) -> None:
    import pyarrow as pa

    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=writer.schema))
        rows.clear()


def _sessions_file(path: Path) -> Path:
    """The file of sessions in this folder, or beside this file."""
    folder = path if path.is_dir() else path.parent
    return folder / "sessions.parquet"


def _recognises(path: Path) -> bool:
    return (path.is_dir() or path.suffix == ".parquet") and _sessions_file(path).is_file()


def _read(path: Path, reader: Reader) -> Reading:
    import pyarrow as pa
    from pyarrow import parquet

    folder = _sessions_file(path).parent
    for table in (table for table, _ in TABLES.values()):
        file = folder / f"{table.name}.parquet"
        try:
            found = parquet.read_schema(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise BadInput(f"{str(file)!r} cannot be read: {str(error).splitlines()[0]}.") from error
        if _NUMBER not in found.names:
            raise BadInput(f"{str(file)!r} was not written by chatnb: it has no column {_NUMBER!r}.")
    total = parquet.read_metadata(folder / "sessions.parquet").num_rows
    return Reading(_items(folder, reader), total)


def _items(folder: Path, reader: Reader) -> Iterator[Whole | Problem]:
    """Each session with its rows. Every file is read once, in the order of its sessions."""
    rows = {name: _Rows(folder / f"{table.name}.parquet", table) for name, (table, _) in TABLES.items()}
    for number, session in rows["sessions"].all():
        built = Built()
        try:
            built.add("sessions", session)
            for name in rows:
                if name != "sessions":
                    for values in rows[name].of(number):
                        built.add(name, values)
            yield owned(built.whole(), reader)
        except BadInput as error:
            yield Problem(f"{folder.name}, session_number {number}", f"{error}; its session is left out.")


class _Rows:
    """The rows of one file by session number; DuckDB sorts them, however the file was rewritten meanwhile."""

    def __init__(self, path: Path, table: Table) -> None:
        import duckdb

        self._table = table
        connection = duckdb.connect(":memory:")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")  # the import has one of its own
        source = [str(path)]
        there = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", source).description or []
        names = {str(column[0]) for column in there}
        wanted = ", ".join([_NUMBER, *(name for name in table.names if name in names)])
        order = ", ".join(name for name in (_NUMBER, "branch_id", "seq", "created_at", "started_at") if name in names)
        rows = connection.sql(f"SELECT {wanted} FROM read_parquet(?) ORDER BY {order}", params=source)
        self._connection = connection  # it has to live as long as its rows are read
        self._batches: Iterator[Any] = iter(rows.to_arrow_reader(1_000))
        self._waiting: deque[tuple[int, dict[str, object]]] = deque()

    def all(self) -> Iterator[tuple[int, dict[str, object]]]:
        """Every row with its session number."""
        for batch in self._batches:
            yield from self._decoded(batch)

    def of(self, number: int) -> Iterator[dict[str, object]]:
        """The rows of this session; numbers are to be asked for in order."""
        while True:
            while self._waiting and self._waiting[0][0] <= number:
                found, values = self._waiting.popleft()
                if found == number:
                    yield values
            if self._waiting:
                return
            batch = next(self._batches, None)
            if batch is None:
                return
            self._waiting.extend(self._decoded(batch))

    def _decoded(self, batch: Any) -> Iterator[tuple[int, dict[str, object]]]:
        types = {column.name: column.type for column in self._table.columns}
        for row in batch.to_pylist():
            number = row.pop(_NUMBER)
            for name, value in row.items():
                if types[name] == "json" and isinstance(value, str):
                    row[name] = _json(value)
            yield int(number), row


def _json(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


FORMAT = Format(
    name="parquet",
    says="a folder of chatnb's Parquet files",
    suffixes=(".parquet",),
    write=_write,
    keeps_all=True,
    recognises=_recognises,
    read=_read,
)
"""Keeps everything; can be imported again."""
