"""From an Arrow table to a DataFrame whose dtypes say what its columns are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatnb.stores.schema import Column

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["frame"]

_CATEGORIES = frozenset(
    {"role", "status", "kind", "format", "origin", "model", "provider", "currency", "tool", "weekday"}
)


def frame(table: pa.Table, columns: Sequence[Column] = ()) -> pd.DataFrame:
    """An Arrow table as a DataFrame.

    Integers stay integers where some are missing (`Int64`), so do booleans; sums of integers are integers; decimals
    are floats; times keep their zone; texts that repeat are categories, and JSON columns hold what the JSON says,
    where the columns are known. The dtypes do not depend on what the rows hold, or on there being any.

    Parameters
    ----------
    table
        The result of a query.
    columns
        What the columns are, where they are known.
    """
    import pandas as pd
    import pyarrow as pa

    kinds = {column.name: column.type for column in columns}
    for place, field in enumerate(table.schema):
        column = table.column(place)
        if pa.types.is_decimal(field.type):  # DuckDB's sum of integers is one without a fraction
            whole = field.type.scale == 0 and all(-(2**63) <= value < 2**63 for value in _bounds(column))
            table = table.set_column(place, field.name, column.cast(pa.int64() if whole else pa.float64()))
        elif pa.types.is_interval(field.type):
            table = table.set_column(place, field.name, _durations(column))
        elif field.name in _CATEGORIES and kinds.get(field.name) == "text":
            table = table.set_column(place, field.name, column.cast(pa.large_string()).dictionary_encode())
    nullable = {
        pa.bool_(): pd.BooleanDtype(),
        pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(), pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(),
        pa.uint32(): pd.UInt32Dtype(), pa.uint64(): pd.UInt64Dtype(),
    }  # fmt: skip
    names = table.column_names  # two may be the same, which pyarrow cannot map
    numbered = table.rename_columns([str(place) for place in range(len(names))])
    data: pd.DataFrame = numbered.to_pandas(types_mapper=nullable.get, date_as_object=False)
    data.columns = pd.Index(names)
    for place, name in enumerate(names):
        kind = kinds.get(name)
        if kind in ("json", "tags"):
            read = _read_json(table.column(place), empty=kind == "tags")
            # A Series keeps the dtype, where a list or an array of texts would be texts; the stubs do not know of it.
            data.isetitem(place, pd.Series(read, dtype=object))  # type: ignore[arg-type]
    return data


def _bounds(column: pa.ChunkedArray) -> list[int]:
    import pyarrow.compute as pc

    return [int(value) for value in pc.min_max(column).as_py().values() if value is not None]


def _durations(column: pa.ChunkedArray) -> pa.Array:
    """Intervals as lengths of time; a month counts 30 days, as DuckDB counts it when it compares."""
    import pyarrow as pa

    lengths = [
        None if one is None else ((one.months * 30 + one.days) * 86_400_000_000_000 + one.nanoseconds) // 1000
        for one in column.to_pylist()
    ]
    return pa.array(lengths, pa.duration("us"))


def _read_json(column: pa.ChunkedArray, *, empty: bool) -> list[object]:
    def read(text: str | None) -> object:
        if text is None:
            return [] if empty else None
        try:
            return json.loads(text)
        except ValueError:  # another program's text is shown as it is
            return text

    # Most are empty, and a literal costs a tenth of reading one.
    return [{} if text == "{}" else [] if text == "[]" else read(text) for text in column.to_pylist()]
