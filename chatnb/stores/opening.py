"""`open_store`: from an address to an open store. The one place that knows every backend by name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote

from chatnb.errors import BadInput, nearest
from chatnb.settings import default_store_url
from chatnb.stores.base import Backend
from chatnb.stores.store import Store

__all__ = ["SCHEMES", "open_store", "shared_store"]

SCHEMES = ("cockroachdb", "duckdb", "json", "memory", "postgres", "postgresql", "sqlite")
"""The schemes that chatnb itself brings; others come from entry points of the group `chatnb.stores`."""

_shared: dict[str, Store] = {}
_sharing = threading.Lock()


def open_store(url: str | Path | None = None) -> Store:
    """Open a store.

    Parameters
    ----------
    url
        `duckdb:///chat.duckdb` or a bare path, `sqlite:///chat.db`, `json:///folder`, `postgresql://user@host/db`,
        `cockroachdb://user@host:26257/db`, `memory:` (SQLite in memory). None is `CHATNB_STORE`, or one DuckDB file in
        the user's data folder. Three slashes begin a path that is relative to the working directory, four an absolute
        one; `duckdb:////data/chat.duckdb` is `/data/chat.duckdb`.

    Raises
    ------
    BadInput
        When the scheme is unknown, or its driver is not installed.

    Examples
    --------
    >>> with open_store("memory:") as store:
    ...     store.url
    'memory:'
    """
    text = default_store_url() if url is None else str(url)
    if not text.strip():
        raise BadInput("The store's address is empty. Give a path such as chat.duckdb, or a URL.")
    scheme, separator, rest = text.partition(":")
    if not separator or isinstance(url, Path) or len(scheme) == 1:  # one letter is a drive
        return Store(_duckdb(text))
    scheme = scheme.lower().partition("+")[0]
    if scheme in ("postgresql", "postgres", "cockroachdb"):
        return Store(_postgres(text))
    makers: dict[str, Callable[[str], Backend]] = {
        "duckdb": _duckdb,
        "sqlite": _sqlite,
        "json": _json,
        "memory": _memory,
    }
    if scheme in makers:
        return Store(makers[scheme](_path(rest)))
    plugins = {point.name: point for point in entry_points(group="chatnb.stores")}
    if scheme in plugins:
        return Store(plugins[scheme].load()(text))
    known = sorted({*SCHEMES, *plugins})
    raise BadInput(f"No store has the scheme {scheme!r}.{nearest(scheme, known)} There are {', '.join(known)}.")


def shared_store(url: str | Path | None = None) -> Store:
    """The process's one open store of this address, so that what is in flight is known in one place."""
    key = default_store_url() if url is None else str(url)
    with _sharing:
        if key not in _shared:
            _shared[key] = open_store(url)
        return _shared[key]


def _path(rest: str) -> str:
    """The path of `///relative` and `////absolute`."""
    return unquote(rest[3:] if rest.startswith("///") else rest)


def _duckdb(path: str) -> Backend:
    if not path.strip("/ "):
        raise BadInput("The DuckDB store has no path. Write duckdb:///chat.duckdb.")
    return import_module("chatnb.stores.duckdb").DuckdbBackend(Path(path))  # type: ignore[no-any-return]


def _sqlite(path: str) -> Backend:
    backend = import_module("chatnb.stores.sqlite").SqliteBackend
    return backend(Path(path).expanduser().absolute() if path and path != ":memory:" else None)  # type: ignore[no-any-return]


def _memory(_: str) -> Backend:
    return import_module("chatnb.stores.sqlite").SqliteBackend(None)  # type: ignore[no-any-return]


def _json(path: str) -> Backend:
    if not path.strip("/ "):
        raise BadInput("The JSON store has no folder. Write json:///chats.")
    return import_module("chatnb.stores.jsonlog").JsonBackend(Path(path).expanduser().absolute())  # type: ignore[no-any-return]


def _postgres(url: str) -> Backend:
    try:
        backend = import_module("chatnb.stores.postgres").PostgresBackend
    except ImportError as error:
        raise BadInput(f'PostgreSQL needs a driver ({error}). Install it: pip install "chatnb[postgres]"') from error
    return backend(url)  # type: ignore[no-any-return]
