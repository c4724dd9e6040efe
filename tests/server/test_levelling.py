"""Answers that show nobody leave at set times, whatever was read for them."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.config import Limits, ServerConfig, StoreConfig
from mpi.domain.identifiers import IdentifierToken, LocalIdToken
from mpi.server import locating
from mpi.server.bootstrap import application
from tests.building import encoded as encoded_people
from tests.building import key_ring, raw
from tests.server.running import FACILITY, MemoryIndex, encoded, running

TREAT = PurposeOfUse.TREAT


@pytest.mark.parametrize(("spent", "leaves"), [(0.0, 2.0), (0.03, 2.0), (1.97, 2.0), (2.5, 4.0)])
def test_an_answer_leaves_at_the_next_multiple(monkeypatch, spent, leaves):
    """What was spent on it before, from nothing to nearly a whole step, does not show."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    clock = SimpleNamespace(time=lambda: 100.0 + spent)
    monkeypatch.setattr(locating, "asyncio", SimpleNamespace(get_running_loop=lambda: clock, sleep=sleep))
    asyncio.run(locating._levelled(100.0, 2.0))
    assert [spent + each for each in slept] == [pytest.approx(leaves)]


def test_only_answers_that_show_nobody_wait(monkeypatch):
    """Singly, in a batch as soon as one key shows nobody, and of a match; who is shown does not wait."""
    waited: list[float] = []

    async def levelled(begun: float, step: float) -> None:
        waited.append(step)

    monkeypatch.setattr(locating, "_levelled", levelled)
    known, unknown = LocalIdToken(encoded(1).local_id_token), LocalIdToken(b"\x09" * 32)
    with running(MemoryIndex().application()) as address, Client(address=address) as client:
        client.register(encoded(1))
        client.locate(known, TREAT)
        client.batch_locate([known, known], TREAT)
        client.match(encoded(1).demographics, TREAT)
        assert waited == []
        client.locate(unknown, TREAT)
        client.batch_locate([known, unknown], TREAT)
        client.match(encoded(2).demographics, TREAT)
    assert waited == [locating.EMPTY_SECONDS, locating.EMPTY_SECONDS, locating.EMPTY_MATCH_SECONDS]


def national_id(number: int) -> str:
    """A number with its check digit."""
    digits = f"110370{number:06d}"
    return digits + str((11 - sum(int(digit) * (13 - at) for at, digit in enumerate(digits)) % 11) % 10)


@pytest.mark.timing
def test_who_objected_is_answered_as_late_as_nobody(tmp_path: Path) -> None:
    """Through the whole server, lookups of people who objected and of unknown ones, in turn: one distribution."""
    ring = key_ring(tmp_path)
    store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
    limits = Limits(1e9, 1e9, 1e9, 1e9)
    with (
        application(ServerConfig(store, "", (ring.current.name,), None, limits=limits)) as parts,
        running(parts) as address,
        Client(address=address) as client,
    ):
        keys = []
        for at in range(50):
            person = {"birth_date": f"{at % 28 + 1}/{at % 12 + 1}/{2480 + at}", "sex": "1"}
            row = raw("นายสมชาย ใจดี", str(at), national_id=national_id(100_000 + at), **person)
            (record,) = encoded_people(ring, FACILITY, row)
            client.register(record)
            keys.append(record.demographics.tokens[0])
            client.withdraw_consent(keys[-1], "mor-prom", [TREAT])
        unknown = [IdentifierToken(key.kind, bytes([at]) * 32) for at, key in enumerate(keys)]
        times: dict[bool, list[int]] = {True: [], False: []}
        for _ in range(20):
            for pair in zip(keys, unknown, strict=True):
                for hidden, key in zip((True, False), pair, strict=True):
                    begun = time.perf_counter_ns()
                    assert client.locate(key, TREAT).identities == ()
                    times[hidden].append(time.perf_counter_ns() - begun)
    medians = {hidden: statistics.median(each) for hidden, each in times.items()}
    spread = statistics.quantiles(times[False], n=4)
    print(f"medians {medians[True]} ns objected, {medians[False]} ns unknown, quartiles {spread}")  # noqa: T201
    assert abs(medians[True] - medians[False]) < (spread[2] - spread[0]) / 2
