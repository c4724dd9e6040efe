"""Answers that show nobody leave at set times, whatever was read for them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.server import servicers
from tests.server.running import MemoryIndex, encoded, running

TREAT = PurposeOfUse.TREAT


@pytest.mark.parametrize(("spent", "leaves"), [(0.0, 2.0), (0.03, 2.0), (1.97, 2.0), (2.5, 4.0)])
def test_an_answer_leaves_at_the_next_multiple(monkeypatch, spent, leaves):
    """What was spent on it before, from nothing to nearly a whole step, does not show."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    clock = SimpleNamespace(time=lambda: 100.0 + spent)
    monkeypatch.setattr(servicers, "asyncio", SimpleNamespace(get_running_loop=lambda: clock, sleep=sleep))
    asyncio.run(servicers._levelled(100.0, 2.0))
    assert [spent + each for each in slept] == [pytest.approx(leaves)]


def test_only_answers_that_show_nobody_wait(monkeypatch):
    """Singly, in a batch as soon as one key shows nobody, and of a match; who is shown does not wait."""
    waited: list[float] = []

    async def levelled(begun: float, step: float) -> None:
        waited.append(step)

    monkeypatch.setattr(servicers, "_levelled", levelled)
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
    assert waited == [servicers.EMPTY_SECONDS, servicers.EMPTY_SECONDS, servicers.EMPTY_MATCH_SECONDS]
