"""The Python client against a real server: domain objects in and out, our own errors, bounded streams."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import mpi
from mpi.client import Client, PurposeOfUse
from mpi.client.stream import BATCHES_IN_FLIGHT
from mpi.domain.identifiers import EnterpriseId, LocalIdToken
from mpi.domain.identity import Decision
from mpi.errors import (
    AccessDenied,
    ConfigInvalid,
    IndexBehind,
    InputRejected,
    Reason,
    RecordRejected,
    ServiceUnavailable,
    StoreUnusable,
)
from mpi.server.certs import issue_dev_certificates
from mpi.wire.convert import revision_to_token
from tests.server.running import FACILITY, MemoryIndex, certificates, encoded, running, server_tls

NOBODY = LocalIdToken(bytes(32))


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def shared(certs: Path) -> Iterator[tuple[MemoryIndex, str]]:
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        yield index, address


@pytest.fixture
def index(shared: tuple[MemoryIndex, str]) -> MemoryIndex:
    index = shared[0]
    index.__init__()
    return index


@pytest.fixture
def facility(shared: tuple[MemoryIndex, str], index: MemoryIndex, certs: Path) -> Iterator[Client]:
    with Client(address=shared[1], certificates=certs / f"facility-{FACILITY}", timeout=5) as client:
        yield client


@pytest.fixture
def exchange(shared: tuple[MemoryIndex, str], index: MemoryIndex, certs: Path) -> Iterator[Client]:
    with Client(address=shared[1], certificates=certs / "exchange-cdes", timeout=5) as client:
        yield client


def batches(count: int, size: int = 3) -> Iterator[tuple[bytes, list]]:
    for number in range(count):
        yield str(number).encode(), [encoded(number * size + place) for place in range(size)]


def test_a_record_is_registered_and_located(facility, exchange):
    """What one client registers another finds by every kind of key, at the revision of the write."""
    record = encoded(1)
    done = facility.register(record)
    assert done.registration.decision is Decision.STORED
    (first,) = exchange.locate(record.demographics.tokens[0], PurposeOfUse.TREAT, done.revision).identities
    for key in (LocalIdToken(record.local_id_token), EnterpriseId(first.eid)):
        found = exchange.locate(key, PurposeOfUse.TREAT, done.revision)
        assert found.identities == (first,)
        assert found.revision >= done.revision


def test_the_same_content_again_changes_nothing(facility):
    """Registering the same record a second time is answered as unchanged."""
    assert not facility.register(encoded(1)).registration.unchanged
    assert facility.register(encoded(1)).registration.unchanged


def test_batches_come_back_in_order(facility, index):
    """Every batch is answered once, in order, with its cursor and its outcomes."""
    results = list(facility.register_batches(batches(20)))
    assert [int(result.cursor) for result in results] == list(range(20))
    assert {len(result.outcomes) for result in results} == {3}
    assert len(index.records) == 60


def test_no_batches_is_no_error(facility):
    """A stream without batches ends without results."""
    assert list(facility.register_batches([])) == []


def test_refused_records_stand_beside_the_others(facility, index):
    """A refused record is a RecordRejected in its place, and the others are registered."""
    (result,) = facility.register_batches([(b"", [encoded(1), encoded(2, "11111"), encoded(3)])])
    taken, refused, last = result.outcomes
    assert (refused.reason, refused.field) == (Reason.FACILITY_MISMATCH, "facility")
    assert taken.decision is last.decision is Decision.STORED
    assert len(index.records) == 2


def test_batches_are_read_only_a_little_ahead(facility):
    """The caller's batches are taken in its own thread, and never more than a few ahead of the answers."""
    read = 0
    threads = set()

    def counted() -> Iterator[tuple[bytes, list]]:
        nonlocal read
        for batch in batches(30, 1):
            read += 1
            threads.add(threading.current_thread())
            yield batch

    for answered, _ in enumerate(facility.register_batches(counted())):
        assert read - answered <= BATCHES_IN_FLIGHT
    assert threads == {threading.current_thread()}


def test_a_broken_stream_is_resumed_after_its_cursor(facility, index):
    """After a failure everything up to the last cursor is durable, and the rest can be sent again."""
    index.delay = 0.01
    seen = []

    def until_the_disk_is_full() -> None:
        for result in facility.register_batches(batches(20)):
            seen.append(int(result.cursor))
            if len(seen) == 5:
                index.failure = StoreUnusable("the disk is full")

    with pytest.raises(StoreUnusable):
        until_the_disk_is_full()
    index.failure = None
    rest = (batch for batch in batches(20) if int(batch[0]) > seen[-1])
    seen += [int(result.cursor) for result in facility.register_batches(rest)]
    assert seen == list(range(20))
    assert len(index.records) == 60


def test_an_error_of_the_callers_own_batches_passes_through(facility):
    """What the caller's iterator raises is raised as it is, and the client goes on working."""

    def failing() -> Iterator[tuple[bytes, list]]:
        yield from batches(1)
        raise LookupError("the caller's own")

    with pytest.raises(LookupError, match="the caller's own"):
        list(facility.register_batches(failing()))
    assert facility.register(encoded(50)).revision


def test_results_may_be_abandoned(facility):
    """Stopping in the middle of the results ends the stream and no more."""
    for _ in facility.register_batches(batches(50)):
        break
    assert facility.register(encoded(1)).revision


def test_a_batch_without_an_answer_times_out(shared, index, certs):
    """A batch that is not answered within the timeout is SERVICE_UNAVAILABLE."""
    index.delay = 1.0
    with Client(address=shared[1], certificates=certs / f"facility-{FACILITY}", timeout=0.2) as client:
        with pytest.raises(ServiceUnavailable, match=r"0\.2 s"):
            list(client.register_batches(batches(1)))
        with pytest.raises(ServiceUnavailable, match="deadline"):
            client.register(encoded(1))


def test_many_keys_are_located_at_once(facility, exchange):
    """A batch of keys is answered in its order, a malformed one with its own error."""
    facility.register(encoded(1))
    answers = exchange.batch_locate(
        [encoded(9).demographics.tokens[0], EnterpriseId("none"), LocalIdToken(encoded(1).local_id_token)],
        PurposeOfUse.PUBHLTH,
    ).answers
    assert answers[0] == ()
    assert isinstance(answers[1], RecordRejected)
    assert len(answers[2]) == 1


def test_candidates_are_matched_without_storing(facility, exchange, index):
    """A match gives candidates with their evidence, and stores nothing."""
    facility.register(encoded(1))
    ((eid, _),) = index.records.values()
    matched = exchange.match(encoded(1).demographics, PurposeOfUse.TREAT, limit=1)
    assert [candidate.eid for candidate in matched.candidates] == [eid]
    assert matched.candidates[0].evidence[0].comparison == "national_id"
    assert matched.decision is Decision.LINK
    assert len(index.records) == 1


class TestErrors:
    """Errors come back as what the server meant."""

    def test_refusals(self, facility, exchange):
        """A refusal has the class, reason and field that the server gave it; the client goes on working."""
        with pytest.raises(AccessDenied) as denied:
            facility.register(encoded(1, "11111"))
        assert denied.value.reason is Reason.FACILITY_MISMATCH
        with pytest.raises(RecordRejected) as refused:
            facility.register(encoded(1, pointer=b""))
        assert refused.value.field == "pointer"
        with pytest.raises(AccessDenied):
            list(exchange.register_batches(batches(10)))
        with pytest.raises(RecordRejected) as large:
            exchange.batch_locate([EnterpriseId("x")] * 1001, PurposeOfUse.TREAT)
        assert large.value.reason is Reason.BATCH_TOO_LARGE
        assert facility.register(encoded(1)).revision

    def test_a_revision_of_the_future(self, shared, index, certs):
        """INDEX_BEHIND is not hidden behind retries."""
        with (
            Client(address=shared[1], certificates=certs / "exchange-cdes", timeout=1) as client,
            pytest.raises(IndexBehind),
        ):
            client.locate(
                EnterpriseId("00000000-0000-0000-0000-000000000000"), PurposeOfUse.TREAT, revision_to_token(99)
            )

    def test_an_unavailable_store_is_tried_again(self, facility, index):
        """A call that finds the service unavailable is repeated, and succeeds when it recovers."""
        index.failure = StoreUnusable("locked")
        timer = threading.Timer(0.05, lambda: setattr(index, "failure", None))
        timer.start()
        assert facility.register(encoded(1)).revision
        timer.join()

    def test_nothing_listens(self):
        """An address where nothing listens is SERVICE_UNAVAILABLE and says so."""
        with (
            Client(address="127.0.0.1:1", timeout=5) as client,
            pytest.raises(ServiceUnavailable, match="nothing listens there"),
        ):
            client.register(encoded(1))

    def test_a_stream_to_nowhere(self):
        """A stream to an address where nothing listens fails likewise."""
        with Client(address="127.0.0.1:1", timeout=5) as client, pytest.raises(ServiceUnavailable):
            list(client.register_batches(batches(10)))

    def test_a_server_of_another_authority(self, shared, tmp_path):
        """A server whose certificate is from another authority is not trusted, and the message says why."""
        issue_dev_certificates(tmp_path, [FACILITY], [], [])
        with (
            Client(address=shared[1], certificates=tmp_path / f"facility-{FACILITY}", timeout=5) as client,
            pytest.raises(ServiceUnavailable, match=r"not from the authority in ca\.pem"),
        ):
            client.register(encoded(1))

    def test_a_certificate_that_the_server_does_not_accept(self, shared, certs, tmp_path):
        """A client certificate from another authority is refused with a hint at the certificate."""
        issue_dev_certificates(tmp_path, [FACILITY], [], [])
        folder = tmp_path / f"facility-{FACILITY}"
        (folder / "ca.pem").write_bytes((certs / "server/ca.pem").read_bytes())
        with (
            Client(address=shared[1], certificates=folder, timeout=5) as client,
            pytest.raises(ServiceUnavailable, match="may not accept this certificate"),
        ):
            client.register(encoded(1))

    def test_plain_text_to_a_server_with_tls(self, shared):
        """Plain text to a server with TLS fails with a hint at certificates."""
        with (
            Client(address=shared[1], timeout=5) as client,
            pytest.raises(ServiceUnavailable, match="certificates"),
        ):
            client.register(encoded(1))


class TestSettings:
    """What the constructor refuses."""

    @pytest.mark.parametrize("address", ["mpi.example.org:7443", "10.0.0.1:7443", "192.168.1.1:7443", "nowhere:7443"])
    def test_plain_text_stays_on_this_machine(self, address):
        """Without certificates no other machine is spoken to."""
        with pytest.raises(ConfigInvalid, match="certificates"):
            Client(address=address)

    @pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "localhost:1"])
    def test_plain_text_on_loopback(self, address):
        """Without certificates loopback addresses are spoken to; the client says so of itself."""
        with Client(address=address) as client:
            assert "plain text" in repr(client)

    @pytest.mark.parametrize("name", ["ca.pem", "cert.pem", "key.pem"])
    @pytest.mark.parametrize("content", [None, b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
    def test_unusable_certificate_files(self, certs, tmp_path, name, content):
        """A missing or malformed file is named before anything is sent."""
        for file in ("ca.pem", "cert.pem", "key.pem"):
            (tmp_path / file).write_bytes((certs / "exchange-cdes" / file).read_bytes())
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigInvalid, match=name.replace(".", r"\.")):
            Client(address="127.0.0.1:1", certificates=tmp_path)

    def test_a_key_of_another_certificate(self, certs, tmp_path):
        """A key that does not belong to the certificate is refused."""
        for file, client in (("ca.pem", "exchange-cdes"), ("cert.pem", "exchange-cdes"), ("key.pem", "server")):
            (tmp_path / file).write_bytes((certs / client / file).read_bytes())
        with pytest.raises(ConfigInvalid, match="not a certificate and its key"):
            Client(address="127.0.0.1:1", certificates=tmp_path)


def test_the_client_is_found_in_the_package():
    """`mpi.Client` is the client, and other names are not invented."""
    assert mpi.Client is Client
    with pytest.raises(AttributeError):
        mpi.Nothing  # noqa: B018


def test_importing_the_package_is_light():
    """Importing `mpi` loads no gRPC; importing the client loads no server."""
    check = (
        "import sys, mpi; assert 'grpc' not in sys.modules; mpi.Client; assert 'grpc' in sys.modules; "
        "assert not {'mpi.server.app', 'uvloop', 'numpy', 'sqlalchemy', 'lmdb'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True)


def test_a_closed_client_says_so(index):
    """Every kind of call, a stream that was under way among them, ends with an error of ours."""
    with running(index.application()) as address:
        client = Client(address=address)
        client.locate(NOBODY, PurposeOfUse.TREAT)
        pages = client.watch(PurposeOfUse.TREAT)
        answers = client.locate_many(iter([NOBODY] * 5000), PurposeOfUse.TREAT)
        next(answers)
        client.close()
        for use in (
            lambda: client.locate(NOBODY, PurposeOfUse.TREAT),
            lambda: client.batch_locate([NOBODY], PurposeOfUse.TREAT),
            lambda: list(answers),
            lambda: next(pages),
            lambda: client.register(encoded(1)),
            lambda: list(client.register_batches([(b"1", [encoded(1)])])),
        ):
            with pytest.raises(InputRejected, match="closed"):
                use()
