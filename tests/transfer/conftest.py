"""A store of each kind, for what has to work in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatnb.stores.opening import open_store
from chatnb.stores.store import Store
from tests.stores.conftest import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=("duckdb", "sqlite", "json", "postgresql"))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    kind = request.param
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else f"{kind}:///{tmp_path / 'own'}.{kind}"
    with open_store(url) as opened:
        yield opened
