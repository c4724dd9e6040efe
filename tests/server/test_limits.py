"""Limits of lookups: by client, harder for what finds nothing, in bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.config import Limits, load_config
from mpi.domain.access import Caller, Role
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.errors import ConfigInvalid, RateLimited
from mpi.server.app import Application
from mpi.server.limits import CLIENTS_KEPT, Guard
from mpi.server.metrics import Figures
from tests.server.running import MemoryIndex, certificates, encoded, running, server_tls

LIMITS = Limits(lookups=10, lookups_at_once=100, misses=1, misses_at_once=3)
CDES, OTHER = (Caller(f"urn:mpi:exchange:{name}", Role.EXCHANGE, name) for name in ("cdes", "other"))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lookups_are_limited_by_client():
    """A client that has used up its lookups is told when to come back; another one is served."""
    clock = Clock()
    guard = Guard(LIMITS, clock)
    guard.admit(CDES, 99)
    guard.admit(CDES, 1)
    with pytest.raises(RateLimited) as caught:
        guard.admit(CDES, 20)
    assert caught.value.retry_after == 2.0
    guard.admit(OTHER, 100)
    clock.now = 1.9
    with pytest.raises(RateLimited):
        guard.admit(CDES, 20)
    clock.now = 2.0
    guard.admit(CDES, 20)
    assert guard.refused == {"lookups": 2}


def test_a_batch_beyond_the_limit_is_served_when_it_is_full():
    """It overdraws, and what follows waits for longer."""
    clock = Clock()
    guard = Guard(LIMITS, clock)
    guard.admit(CDES, 150)
    with pytest.raises(RateLimited) as caught:
        guard.admit(CDES, 1)
    assert caught.value.retry_after == pytest.approx(5.1)


def test_whoever_finds_nothing_is_stopped_far_sooner():
    """Three misses, and every lookup of the client waits, whatever it would find."""
    clock = Clock()
    guard = Guard(LIMITS, clock)
    guard.admit(CDES, 1)
    guard.missed(CDES, 5)
    with pytest.raises(RateLimited, match="find nothing") as caught:
        guard.admit(CDES, 1)
    assert caught.value.retry_after == 3.0
    clock.now = 3.0
    guard.admit(CDES, 1)
    assert guard.refused == {"misses": 1}


def test_memory_is_bounded():
    """However many clients call, no more than some are kept; this machine's own caller has no limit."""
    guard = Guard(LIMITS, Clock())
    for number in range(CLIENTS_KEPT + 100):
        guard.admit(Caller(f"urn:mpi:exchange:{number}", Role.EXCHANGE, str(number)), 1)
    assert len(guard) == CLIENTS_KEPT
    for _ in range(10):
        guard.admit(Caller("urn:mpi:insecure:local", Role.INSECURE, "local"), 1000)
        guard.missed(Caller("urn:mpi:insecure:local", Role.INSECURE, "local"), 1000)
    assert len(guard) == CLIENTS_KEPT


def test_guessing_numbers_is_stopped_over_the_wire(tmp_path: Path):
    """Singly or in batches; the refusal says when to come back and is counted for an alarm."""
    certs = certificates(tmp_path / "certs")
    index = MemoryIndex()
    guard = Guard(LIMITS, Clock())
    served = index.application()
    parts = {name: getattr(served, name) for name in Application.__slots__}
    with (
        running(Application(**{**parts, "guard": guard}), server_tls(certs)) as address,
        Client(address=address, certificates=certs / "exchange-cdes") as client,
        Client(address=address, certificates=certs / "facility-10661") as facility,
    ):
        facility.register(encoded(1))
        found = encoded(1).demographics.tokens[0]
        for _ in range(20):
            assert client.locate(found, PurposeOfUse.TREAT).identities
        guesses = [IdentifierToken(IdentifierKind.NATIONAL_ID, bytes([number]) * 32) for number in range(100, 110)]
        assert client.batch_locate(guesses, PurposeOfUse.TREAT).answers == ((),) * 10
        for call in (
            lambda: client.locate(found, PurposeOfUse.TREAT),
            lambda: client.batch_locate([found], PurposeOfUse.TREAT),
            lambda: client.match(encoded(1).demographics, PurposeOfUse.TREAT),
        ):
            with pytest.raises(RateLimited) as caught:
                call()
            assert caught.value.retry_after == 8.0
        assert facility.locate(found, PurposeOfUse.TREAT).identities
    lines = [
        (sample.labels, sample.value)
        for metric in Figures(_Nothing(), _Nothing(), guard).collect()
        if metric.name == "mpi_refusals"
        for sample in metric.samples
    ]
    assert lines == [({"limit": "misses"}, 3.0)]


class _Nothing:
    @property
    def counts(self) -> dict[tuple[str, str], int]:
        return {}

    def tasks(self) -> dict[str, int]:
        return {}

    def behind(self) -> int:
        return 0


@pytest.mark.parametrize("text", ["limits = 3", "[limits]\nfun = 1", "[limits]\nmisses = 0", "[limits]\nmisses = 'x'"])
def test_limits_that_are_none_are_refused(tmp_path, text):
    """Unknown names and values that no limit can have."""
    path = tmp_path / "mpi.toml"
    path.write_text("key_epochs = ['1']\n" + text)
    with pytest.raises(ConfigInvalid, match="limits"):
        load_config(tmp_path, path, insecure=True)
    path.write_text("key_epochs = ['1']\n[limits]\nmisses = 7")
    assert load_config(tmp_path, path, insecure=True).limits == Limits(misses=7)
