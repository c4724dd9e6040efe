"""A slow replica is not waited for: lookups that use nothing up are asked for at another one, a few in a hundred."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from mpi.client import Client, PurposeOfUse
from mpi.client.channel import Channel
from mpi.client.hedging import AWAY_SECONDS, EVERY, LOST_IN_A_ROW, SOONEST_SECONDS, Budget, Pace, Replicas
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.consent import Stance
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import AccessDenied, IndexBehind, ServiceUnavailable
from mpi.server.bootstrap import application
from mpi.server.certs import issue_dev_certificates
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert
from mpi.wire.consent import HEDGED
from tests.building import encoded, key_ring, raw
from tests.server.running import MemoryIndex, certificates, running, server_tls

TREAT, BTG = PurposeOfUse.TREAT, PurposeOfUse.BTG
NOBODY = LocalIdToken(bytes(32))
SAVED = 3
"""Second attempts that a test's lookups have earned."""


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def two(certs: Path) -> Iterator[tuple[MemoryIndex, MemoryIndex, str]]:
    one, other = MemoryIndex(), MemoryIndex()
    with (
        running(one.application(), server_tls(certs)) as first,
        running(other.application(), server_tls(certs)) as second,
    ):
        yield one, other, f"{first},{second}"


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


def earn(client: Client, attempts: int) -> None:
    """Look up until both replicas are known to be there, and then as often as some second attempts take."""
    hedge = client._hedge
    until(lambda: bool(client.locate(NOBODY, TREAT)) and len(hedge._in_turn()) > 1)
    hedge._budget = Budget()
    for _ in range(20 * attempts):
        client.locate(NOBODY, TREAT)


def test_a_slow_replica_is_not_waited_for(two, certs):
    """Whichever is asked first, the other one answers; once the second attempts are used up, a slow one is felt.

    But not for long: after a few lookups that it did not answer it comes last.
    """
    slow, fast, addresses = two
    with Client(
        address=addresses, certificates=certs / "exchange-cdes", timeout=1.0, hedge_after=0.1, coalesce=False
    ) as client:
        earn(client, LOST_IN_A_ROW - 1)
        slow.wait = 2.0
        fast.accesses.clear()
        for _ in range(2 * (LOST_IN_A_ROW - 1)):  # every second one asks the slow one first
            assert client.locate(NOBODY, TREAT).identities == ()
        assert len(fast.accesses) == 2 * (LOST_IN_A_ROW - 1)
        with pytest.raises(ServiceUnavailable, match="no answer within the deadline"):
            [client.locate(NOBODY, TREAT) for _ in range(2)]
        for _ in range(6):
            assert client.locate(NOBODY, TREAT).identities == ()
        slow.wait = 0.0
        assert client.locate(NOBODY, TREAT).identities == ()


def test_batches_too(two, certs):
    """So it is with many keys at once."""
    slow, _, addresses = two
    with Client(address=addresses, certificates=certs / "exchange-cdes", timeout=1.0, hedge_after=0.1) as client:
        earn(client, 1)
        slow.wait = 2.0
        assert [client.batch_locate([NOBODY] * 3, TREAT).answers for _ in range(2)] == [((),) * 3] * 2


def test_few_are_asked_for_twice(two, certs):
    """Even where every lookup counts as slow, no more than one in twenty is made twice."""
    one, other, addresses = two
    with Client(address=addresses, certificates=certs / "exchange-cdes", hedge_after=0.0, coalesce=False) as client:
        earn(client, 0)
        one.accesses.clear()
        other.accesses.clear()
        for _ in range(200):
            client.locate(NOBODY, TREAT)
    assert 200 <= len(one.accesses) + len(other.accesses) <= 210


@pytest.mark.parametrize("hedge", [True, False])
def test_it_is_off_with_one_address_and_by_switch(certs, hedge):
    """Each lookup is one call."""
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        addresses = address if hedge else f"{address},{address}"
        with Client(
            address=addresses, certificates=certs / "exchange-cdes", hedge=hedge, hedge_after=0.0, coalesce=False
        ) as client:
            for _ in range(100):
                client.locate(NOBODY, TREAT)
    assert len(index.accesses) == 100


def test_errors_are_what_the_server_meant(two, certs):
    """A refusal is raised as without hedging, and one that is behind is not made up for by asking others."""
    one, other, addresses = two
    with Client(address=addresses, certificates=certs / "exchange-cdes", timeout=2, hedge_after=5) as client:
        earn(client, 1)
        with pytest.raises(IndexBehind):
            client.locate(NOBODY, TREAT, convert.revision_to_token(99))
    assert [each.reason for index in (one, other) for each in index.accesses if each.reason] == ["INDEX_BEHIND"]
    with Client(address=addresses, certificates=certs / "facility-10661", hedge_after=5) as client:
        earn(client, 0)
        with pytest.raises(AccessDenied):
            client.batch_locate([NOBODY], TREAT)


def test_a_lost_replica_is_made_up_for(certs):
    """Where the one that is asked goes away, the lookup is answered by the other."""
    here, away = MemoryIndex(), MemoryIndex()
    with running(here.application(), server_tls(certs)) as one:
        with running(away.application(), server_tls(certs)) as other:
            client = Client(
                address=f"{one},{other}", certificates=certs / "exchange-cdes", hedge_after=5, coalesce=False
            )
            earn(client, 0)
        with client:
            here.accesses.clear()
            for _ in range(20):
                client.locate(NOBODY, TREAT)
            assert len(here.accesses) == 20


def test_the_next_one_answers_for_one_that_is_lost(two, certs, monkeypatch):
    """Without a plain call, which might go to yet another one that hangs."""
    *_, addresses = two
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"127.0.0.1:{closed.getsockname()[1]}"
    with Client(address=f"{gone},{addresses}", certificates=certs / "exchange-cdes", coalesce=False) as client:
        earn(client, 0)
        monkeypatch.setattr(client._hedge._replicas, "_there", [True] * 3)
        monkeypatch.setattr(client._channel, "call", None)
        for _ in range(6):
            assert client.locate(NOBODY, TREAT).identities == ()


class TestUsingUp:
    """What can be had once is never asked for twice."""

    @pytest.fixture
    def centre(self, tmp_path):
        people = tmp_path / "people"
        issue_dev_certificates(people, ["10661"], ["cdes"], [], {"privacy-officer": ["pim"]})
        ring = key_ring(tmp_path)
        policy = tmp_path / "policy.toml"
        policy.write_text('[networks.link]\nbasis = "opt-in"\nfacilities = "every"\n')
        store = StoreConfig(tmp_path / "data", tmp_path / "secret/service.json", "th-v1")
        person = raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1", national_id="1103702488992")
        (record,) = encoded(ring, "10661", person)
        with (
            application(ServerConfig(store, "", (ring.current.name,), None, policy=policy)) as served,
            running(served, server_tls(people)) as address,
            Client(address=address, certificates=people / "facility-10661") as facility,
            Client(address=address, certificates=people / "privacy-officer-pim") as officer,
            Client(
                address=f"{address},{address}", certificates=people / "exchange-cdes", hedge_after=0.0, coalesce=False
            ) as exchange,
        ):
            facility.register(record)
            yield exchange, officer, record.demographics.tokens[0]

    @pytest.mark.parametrize("batch", [True, False])
    def test_a_consent_for_one_lookup(self, centre, batch):
        """It is used by one lookup, which has the whole answer, and the next one has none."""
        exchange, officer, key = centre

        def found() -> tuple[object, ...]:
            return exchange.batch_locate([key], TREAT).answers[0] if batch else exchange.locate(key, TREAT).identities

        earn(exchange, SAVED)
        assert found() == ()
        officer.give_consent(key, "link", [TREAT], once=True)
        assert len(found()) == 1
        assert [each.stance for each in officer.consents(key)] == [Stance.USED]
        assert found() == ()

    def test_the_glass(self, centre):
        """It is broken once, with one task for the privacy officer."""
        exchange, officer, key = centre
        earn(exchange, SAVED)
        assert len(exchange.locate(key, BTG, reason="unconscious in the emergency room").identities) == 1
        assert len(officer.openings()) == 1

    def test_the_server_refuses(self, centre):
        """Whatever a client makes of it: a call that says it is made twice uses nothing up, and opens nothing."""
        exchange, officer, key = centre
        officer.give_consent(key, "link", [TREAT], once=True)
        locator = exchange._channel.locator
        message = convert.key_to_proto(key)
        btg = convert.purpose_to_proto(BTG)
        purpose = convert.purpose_to_proto(TREAT)
        for method, request in (
            (locator.Locate, pb2.LocateRequest(key=message, purpose=purpose)),
            (locator.BatchLocate, pb2.BatchLocateRequest(keys=[message], purpose=purpose)),
            (locator.Locate, pb2.LocateRequest(key=message, purpose=btg, reason="unconscious in the emergency room")),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                method(request, timeout=5, metadata=(HEDGED,))
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert [each.stance for each in officer.consents(key)] == [Stance.GIVEN]
        assert officer.openings() == []


class TestMeasures:
    """What is slow, and how often it may be asked for twice."""

    def test_a_lookup_is_slow_among_the_last_ones(self):
        """Nothing is slow before some were made; then what 95 of 100 were faster than."""
        pace = Pace(None)
        for number in range(EVERY - 1):
            pace.note(number)
        assert pace.slow() is None
        pace.note(EVERY - 1)
        assert pace.slow() == EVERY - 1
        for number in range(200):
            pace.note(number / 100)
        assert pace.slow() == 1.9

    def test_a_least_time(self):
        """However fast they are, a second attempt is not made at once; what is given is taken as it is."""
        pace, given = Pace(None), Pace(0.0)
        for _ in range(EVERY):
            pace.note(0.0)
            given.note(1.0)
        assert (pace.slow(), given.slow()) == (SOONEST_SECONDS, 0.0)

    def test_a_replica_that_answers_nothing_comes_last_for_a_while(self, monkeypatch):
        """After some lookups in a row; one answer in between counts, and afterwards one more lookup is enough."""
        channel = Channel("127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", None, 1.0)
        monkeypatch.setattr(channel, "opened", lambda target, retries: grpc.insecure_channel(target))
        now = 0.0
        replicas = Replicas(channel, lambda: now)
        replicas._there = [True] * 3

        def first() -> set[int]:
            return {replicas.in_turn()[0].place for _ in range(6)}

        for answered in (False, False, True, False, False):
            replicas.note(1, answered=answered)
        assert first() == {0, 1, 2}
        replicas.note(1, answered=False)
        assert first() == {0, 2}
        now = AWAY_SECONDS
        assert first() == {0, 1, 2}
        replicas.note(1, answered=False)
        assert first() == {0, 2}
        for place in (0, 2):
            for _ in range(LOST_IN_A_ROW):
                replicas.note(place, answered=False)
        assert first() == {0, 1, 2}  # one of them has to be

    def test_second_attempts_are_earned(self):
        """Twenty lookups earn one, and no more than ten are saved up."""
        budget = Budget()
        assert not budget.spend()
        for _ in range(20):
            budget.earn()
        assert (budget.spend(), budget.spend()) == (True, False)
        for _ in range(1000):
            budget.earn()
        assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
