"""Figures for Prometheus."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import pytest

from mpi.errors import ConfigInvalid, StoreUnusable
from mpi.server.metrics import Figures, served
from tests.building import ACTOR, centre, encoded, key_ring, raw

SOMCHAI = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}


class Standing:
    """A store and an index that stand where the test says, or cannot be asked."""

    def __init__(self, behind: int | None) -> None:
        self._behind = behind

    def tasks(self) -> dict[str, int]:
        return {"open": 3, "waiting": 1}

    def behind(self) -> int:
        if self._behind is None:
            raise StoreUnusable("the database is away")
        return self._behind


def scraped(address: str) -> dict[str, float]:
    with urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_what_was_decided_can_be_scraped(tmp_path: Path) -> None:
    """Decisions are counted by rule, and nothing else of a record shows."""
    ring = key_ring(tmp_path)
    with centre(tmp_path, (ring.current.name,)) as at:
        at.registry.register(encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", **SOMCHAI)), ACTOR)
        at.registry.register(encoded(ring, "10661", raw("นายสมชาย ใจดี", "2", **SOMCHAI)), ACTOR)
        with served("127.0.0.1:0", Figures(at.registry, Standing(7))) as address:
            found = scraped(address)
    assert found == {
        'mpi_placements_total{decision="new",why="no_candidate"}': 1,
        'mpi_placements_total{decision="link",why="number_and_demographics"}': 1,
        "mpi_joins_total": 0,
        'mpi_tasks{status="open"}': 3,
        'mpi_tasks{status="waiting"}': 1,
        "mpi_index_behind": 7,
    }


def test_without_the_database_the_rest_is_told(tmp_path: Path) -> None:
    """A scrape while the database is away leaves a gap, and no error."""
    ring = key_ring(tmp_path)
    with (
        centre(tmp_path, (ring.current.name,)) as at,
        served("127.0.0.1:0", Figures(at.registry, Standing(None))) as address,
    ):
        assert scraped(address) == {"mpi_joins_total": 0}


@pytest.mark.parametrize("listen", ["9464", "127.0.0.1:", "127.0.0.1:99999", "nowhere.invalid:9464"])
def test_an_address_that_cannot_be_used(listen: str) -> None:
    """It is refused by the name of the setting."""
    with pytest.raises(ConfigInvalid, match="metrics"), served(listen, Figures(None, None)):  # type: ignore[arg-type]
        pass
