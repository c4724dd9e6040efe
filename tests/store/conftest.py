"""Stores that the conformance suite is held against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.store.sql import Store
from tests.databases import BACKENDS, Opener, database


@pytest.fixture(params=BACKENDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens one fresh database of each kind, as often as it is called."""
    with database(request.param, tmp_path) as opener:
        yield opener


@pytest.fixture
def store(opener: Opener) -> Iterator[Store]:
    """An open store of each kind."""
    store = opener()
    yield store
    store.close()
