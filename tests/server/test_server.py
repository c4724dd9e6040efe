"""The server over real sockets and real mutual TLS; after every refusal the same channel still answers."""

from __future__ import annotations

import datetime
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mpi.config import TlsFiles
from mpi.errors import (
    AccessDenied,
    ConfigInvalid,
    IndexBehind,
    InputRejected,
    MpiError,
    Reason,
    RecordRejected,
    ServiceUnavailable,
    StoreUnusable,
)
from mpi.server.certs import issue_dev_certificates
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import locator_service_pb2_grpc, registry_service_pb2_grpc
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.wire import convert
from mpi.wire.status import INTERNAL_MESSAGE, from_wire
from tests.server.running import FACILITY, MemoryIndex, certificates, encoded, running, server_tls


class Caller:
    """A bare gRPC channel of one client, so that requests can be as wrong as a test needs."""

    def __init__(self, address: str, folder: Path | None) -> None:
        if folder is None:
            self.channel = grpc.insecure_channel(address)
        else:
            files = ((folder / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
            self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))
        self.registry = registry_service_pb2_grpc.RegistryServiceStub(self.channel)
        self.locator = locator_service_pb2_grpc.LocatorServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def register(self, record: object, timeout: float = 5) -> registry_pb2.RegisterResponse:
        request = registry_pb2.RegisterRequest(record=convert.record_to_proto(record))
        return self.registry.Register(request, timeout=timeout)

    def locate(self, **fields: object) -> locator_pb2.LocateResponse:
        request = {"key": key_of(1), "purpose": locator_pb2.PURPOSE_OF_USE_TREAT, **fields}
        return self.locator.Locate(locator_pb2.LocateRequest(**request), timeout=5)


def key_of(number: int) -> locator_pb2.LocateKey:
    return convert.key_to_proto(encoded(number).demographics.tokens[0])


def refusal(call: Callable[[], object]) -> MpiError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return from_wire(caught.value)


def issue(authority: Path, folder: Path, uris: list[str], days: int = 1) -> None:
    """Issue a client certificate with any URIs, which the development authority itself would not."""
    signer = x509.load_pem_x509_certificate((authority / "ca.pem").read_bytes())
    signing_key = serialization.load_pem_private_key((authority / "key.pem").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "urn:mpi:facility:10661")]))
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
    # A DNS name that reads like a client's URN must count for nothing.
    names = [x509.DNSName("urn:mpi:facility:10661"), *map(x509.UniformResourceIdentifier, uris)]
    certificate = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
        signing_key, hashes.SHA256()
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(signer.public_bytes(pem))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


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
def client(shared: tuple[MemoryIndex, str], index: MemoryIndex, certs: Path) -> Iterator[Callable[[str], Caller]]:
    """Give the caller of a name; after the test every one of them must still get an answer."""
    callers: dict[str, Caller] = {}

    def named(name: str) -> Caller:
        return callers.setdefault(name, Caller(shared[1], certs / name))

    yield named
    index.failure, index.delay = None, 0.0
    for caller in callers.values():
        assert caller.health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
        assert caller.locate().revision
        caller.channel.close()


FACILITY_CLIENT, EXCHANGE_CLIENT, STEWARD_CLIENT = f"facility-{FACILITY}", "exchange-cdes", "steward-somchai"


def test_a_facility_registers_and_an_exchange_locates(client, index):
    """A record that a facility registers is found by an exchange, by number, local id and enterprise id."""
    answer = client(FACILITY_CLIENT).register(encoded(1))
    assert answer.registration.eid == ""
    eid = client(EXCHANGE_CLIENT).locate(key=key_of(1)).identities[0].eid
    assert index.actors == ["urn:mpi:facility:10661"]
    keys = [
        key_of(1),
        locator_pb2.LocateKey(local_id_token=encoded(1).local_id_token),
        locator_pb2.LocateKey(eid=eid),
    ]
    for key in keys:
        found = client(EXCHANGE_CLIENT).locate(key=key, at_least=answer.revision)
        assert [(i.eid, i.locations[0].facility, i.locations[0].pointer) for i in found.identities] == [
            (eid, FACILITY, b"sealed")
        ]


def test_an_unknown_key_is_answered_with_nothing(client):
    """A key that nothing is held under gives an empty answer, not an error."""
    assert list(client(STEWARD_CLIENT).locate(key=key_of(99)).identities) == []


def test_batches_answer_record_by_record(client, index):
    """In a batch each refused record has its reason beside it, and the others are stored."""
    records = [
        convert.record_to_proto(record)
        for record in (encoded(1), encoded(2, "11111"), encoded(3, pointer=b""), encoded(4, local_id_token=b"x" * 32))
    ]
    records.append(convert.record_to_proto(encoded(5)))
    records[4].demographics.profile_digest = b"\x08" * 32
    request = registry_pb2.RegisterBatchRequest(cursor=b"row 5", records=records)
    (answer,) = client(FACILITY_CLIENT).registry.RegisterBatch(iter([request]), timeout=5)
    outcomes = [convert.outcome_from_proto(outcome) for outcome in answer.outcomes]
    assert answer.cursor == b"row 5"
    assert [
        (outcome.reason, outcome.field) if isinstance(outcome, RecordRejected) else outcome.decision
        for outcome in outcomes
    ] == [
        "stored",
        (Reason.FACILITY_MISMATCH, "facility"),
        (Reason.RECORD_MALFORMED, "pointer"),
        "stored",
        (Reason.PROFILE_MISMATCH, "demographics.profile_digest"),
    ]
    assert len(index.records) == 2


def test_registration_leaves_the_event_loop(client, index):
    """All registrations run on one thread of their own, matching on others."""
    for number in range(3):
        client(FACILITY_CLIENT).register(encoded(number))
    request = locator_pb2.MatchRequest(
        demographics=convert.demographics_to_proto(encoded(1).demographics), purpose=locator_pb2.PURPOSE_OF_USE_TREAT
    )
    answer = client(FACILITY_CLIENT).locator.Match(request, timeout=5)
    assert len(answer.candidates) == 1
    assert sorted(name.rpartition("_")[0] for name in index.threads) == ["mpi-match", "mpi-writer"]


def test_lookups_are_answered_while_a_registration_is_slow(client, index):
    """A look-up does not wait for a registration that is under way."""
    index.delay = 1.0
    caller = client(FACILITY_CLIENT)
    slow = threading.Thread(target=caller.register, args=(encoded(1),))
    slow.start()
    time.sleep(0.1)
    caller.locate()
    assert slow.is_alive()
    slow.join()


def test_batch_locate_keeps_the_order_of_the_keys(client):
    """Answers of a batch come in the order of the keys, and a malformed key spoils only its own."""
    client(FACILITY_CLIENT).register(encoded(1))
    request = locator_pb2.BatchLocateRequest(
        keys=[key_of(9), locator_pb2.LocateKey(), key_of(1)], purpose=locator_pb2.PURPOSE_OF_USE_TREAT
    )
    answer = client(EXCHANGE_CLIENT).locator.BatchLocate(request, timeout=5)
    none, bad, found = (convert.located_from_proto(outcome) for outcome in answer.outcomes)
    assert none == ()
    assert (bad.reason, bad.field) == (Reason.REQUEST_INVALID, "key")
    assert len(found) == 1


class TestRefusals:
    """What a client may not do or say; the fixture proves that its channel still answers afterwards."""

    def test_another_facilitys_record(self, client, index):
        """A facility cannot write the record of another one."""
        error = refusal(lambda: client("facility-11111").register(encoded(1)))
        assert isinstance(error, AccessDenied)
        assert error.reason is Reason.FACILITY_MISMATCH
        assert not index.records

    @pytest.mark.parametrize("name", [EXCHANGE_CLIENT, STEWARD_CLIENT])
    def test_only_facilities_register(self, client, name):
        """Exchanges and stewards cannot register, neither singly nor in batches."""
        assert refusal(lambda: client(name).register(encoded(1))).reason is Reason.ROLE_MISSING
        stream = client(name).registry.RegisterBatch(iter([registry_pb2.RegisterBatchRequest()]), timeout=5)
        assert refusal(lambda: list(stream)).reason is Reason.ROLE_MISSING

    def test_batch_locate_is_for_exchanges(self, client):
        """A facility cannot look up in batches."""
        request = locator_pb2.BatchLocateRequest(purpose=locator_pb2.PURPOSE_OF_USE_TREAT)
        error = refusal(lambda: client(FACILITY_CLIENT).locator.BatchLocate(request, timeout=5))
        assert error.reason is Reason.ROLE_MISSING

    def test_unspecified_purpose(self, client):
        """Every kind of look-up states its purpose."""
        caller = client(EXCHANGE_CLIENT)
        calls = [
            lambda: caller.locate(purpose=0),
            lambda: caller.locator.BatchLocate(locator_pb2.BatchLocateRequest(), timeout=5),
            lambda: caller.locator.Match(locator_pb2.MatchRequest(), timeout=5),
        ]
        for call in calls:
            error = refusal(call)
            assert (error.reason, error.field) == (Reason.PURPOSE_MISSING, "purpose")

    def test_empty_oneof(self, client):
        """A look-up key in which nothing is set is refused."""
        for fields in ({"key": locator_pb2.LocateKey()}, {"key": None}):
            error = refusal(lambda fields=fields: client(EXCHANGE_CLIENT).locate(**fields))
            assert (error.reason, error.field) == (Reason.REQUEST_INVALID, "key")

    def test_missing_record(self, client):
        """A registration without a record is refused."""
        error = refusal(lambda: client(FACILITY_CLIENT).registry.Register(registry_pb2.RegisterRequest(), timeout=5))
        assert (error.reason, error.field) == (Reason.REQUEST_INVALID, "record")

    def test_missing_demographics(self, client):
        """A match without demographics is refused."""
        request = locator_pb2.MatchRequest(purpose=locator_pb2.PURPOSE_OF_USE_TREAT)
        error = refusal(lambda: client(FACILITY_CLIENT).locator.Match(request, timeout=5))
        assert (error.reason, error.field) == (Reason.REQUEST_INVALID, "demographics")

    def test_oversized_batches(self, client, index):
        """More than 1000 records or keys are refused as a whole."""
        records = [convert.record_to_proto(encoded(1))] * 1001
        stream = client(FACILITY_CLIENT).registry.RegisterBatch(
            iter([registry_pb2.RegisterBatchRequest(records=records)]), timeout=5
        )
        assert refusal(lambda: list(stream)).reason is Reason.BATCH_TOO_LARGE
        request = locator_pb2.BatchLocateRequest(keys=[key_of(1)] * 1001, purpose=locator_pb2.PURPOSE_OF_USE_TREAT)
        error = refusal(lambda: client(EXCHANGE_CLIENT).locator.BatchLocate(request, timeout=5))
        assert (error.reason, error.field) == (Reason.BATCH_TOO_LARGE, "keys")
        assert not index.records

    def test_oversized_cursor(self, client):
        """A cursor of more than 64 bytes is refused."""
        request = registry_pb2.RegisterBatchRequest(cursor=b"c" * 65)
        stream = client(FACILITY_CLIENT).registry.RegisterBatch(iter([request]), timeout=5)
        assert refusal(lambda: list(stream)).field == "cursor"

    def test_oversized_message(self, client):
        """A message of more than 4 MiB is refused before it is read."""
        request = locator_pb2.LocateRequest(key=key_of(1), at_least=bytes(5 << 20))
        error = refusal(lambda: client(EXCHANGE_CLIENT).locator.Locate(request, timeout=5))
        assert isinstance(error, InputRejected)
        assert error.reason is Reason.BATCH_TOO_LARGE

    def test_bytes_that_are_no_message(self, client):
        """Bytes that cannot be parsed are an invalid request, in a single call and in a stream."""
        call = client(EXCHANGE_CLIENT).channel.unary_unary("/mpi.v1.LocatorService/Locate")
        assert refusal(lambda: call(b"\xff\xff\xff", timeout=5)).reason is Reason.REQUEST_INVALID
        stream = client(FACILITY_CLIENT).channel.stream_stream("/mpi.v1.RegistryService/RegisterBatch")
        answers = stream(iter([b"\xff\xff\xff"]), timeout=5)
        assert refusal(lambda: next(answers)).reason is Reason.REQUEST_INVALID

    def test_unknown_call(self, client):
        """A call that does not exist is refused as such."""
        with pytest.raises(grpc.RpcError) as caught:
            client(EXCHANGE_CLIENT).channel.unary_unary("/mpi.v1.LocatorService/Nothing")(b"", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    @pytest.mark.parametrize("token", [b"\x01", b"\x02" + bytes(8), bytes(200)])
    def test_foreign_revision_tokens(self, client, token):
        """A revision token that the service never gave out is refused."""
        error = refusal(lambda: client(EXCHANGE_CLIENT).locate(at_least=token))
        assert (error.reason, error.field) == (Reason.REQUEST_INVALID, "at_least")

    def test_too_many_candidates(self, client):
        """More than 50 candidates are not given."""
        request = locator_pb2.MatchRequest(
            demographics=convert.demographics_to_proto(encoded(1).demographics),
            purpose=locator_pb2.PURPOSE_OF_USE_TREAT,
            limit=51,
        )
        assert refusal(lambda: client(EXCHANGE_CLIENT).locator.Match(request, timeout=5)).field == "limit"


class TestRevisions:
    """Look-ups that demand a revision."""

    def test_a_revision_that_comes_in_time_is_waited_for(self, client, index):
        """A look-up waits for a revision that is reached within its deadline."""
        timer = threading.Timer(0.2, lambda: setattr(index, "at", 5))
        timer.start()
        answer = client(EXCHANGE_CLIENT).locate(at_least=convert.revision_to_token(5))
        assert convert.revision_from_token(answer.revision) == 5
        timer.join()

    def test_a_revision_of_the_future_is_index_behind(self, client):
        """A revision that is not reached gives INDEX_BEHIND just before the deadline, not a bare deadline error."""
        request = locator_pb2.LocateRequest(
            key=key_of(1), purpose=locator_pb2.PURPOSE_OF_USE_TREAT, at_least=convert.revision_to_token(2**63)
        )
        error = refusal(lambda: client(EXCHANGE_CLIENT).locator.Locate(request, timeout=1))
        assert isinstance(error, IndexBehind)


class TestFailures:
    """Failures of the parts behind the edge."""

    def test_an_error_on_purpose_keeps_its_reason(self, client, index):
        """An error of the store reaches the client with its reason."""
        index.failure = StoreUnusable("the database is locked")
        assert isinstance(refusal(lambda: client(FACILITY_CLIENT).register(encoded(1))), StoreUnusable)

    def test_an_unexpected_error_says_nothing(self, client, index, caplog):
        """An unexpected exception is INTERNAL with a fixed text, and its message is neither sent nor logged."""
        index.failure = KeyError("1103702488992")
        with pytest.raises(grpc.RpcError) as caught:
            client(FACILITY_CLIENT).register(encoded(1))
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert caught.value.details() == INTERNAL_MESSAGE
        assert "KeyError at" in caplog.text
        assert "running.py" in caplog.text
        assert "1103702488992" not in caplog.text

    def test_an_error_in_a_stream_ends_the_stream_only(self, client, index):
        """A failing batch ends its stream with the reason; batches answered before stay durable."""

        def requests() -> Iterator[registry_pb2.RegisterBatchRequest]:
            yield registry_pb2.RegisterBatchRequest(cursor=b"1", records=[convert.record_to_proto(encoded(1))])
            assert first.wait(5)
            index.failure = StoreUnusable("the database is locked")
            yield registry_pb2.RegisterBatchRequest(cursor=b"2", records=[convert.record_to_proto(encoded(2))])

        first = threading.Event()
        stream = client(FACILITY_CLIENT).registry.RegisterBatch(requests(), timeout=5)
        assert next(stream).cursor == b"1"
        first.set()
        assert isinstance(refusal(lambda: next(stream)), StoreUnusable)
        assert len(index.records) == 1

    def test_a_full_queue_refuses(self, client, index, monkeypatch):
        """When too many batches wait, further ones are told to come back."""
        monkeypatch.setattr("mpi.server.servicers.WAITING_BATCHES", 2)
        index.delay = 0.3
        errors: list[MpiError] = []

        def register(number: int) -> None:
            try:
                client(FACILITY_CLIENT).register(encoded(number))
            except grpc.RpcError as error:
                errors.append(from_wire(error))

        client(FACILITY_CLIENT)
        threads = [threading.Thread(target=register, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [type(error) for error in errors] == [ServiceUnavailable] * 3
        assert len(index.records) == 3

    def test_work_whose_caller_has_gone_is_not_begun(self, client, index):
        """A registration that waits past its deadline is never made."""
        index.delay = 0.5
        caller = client(FACILITY_CLIENT)
        slow = threading.Thread(target=caller.register, args=(encoded(1),))
        slow.start()
        time.sleep(0.1)
        assert isinstance(refusal(lambda: caller.register(encoded(2), timeout=0.1)), ServiceUnavailable)
        slow.join()
        time.sleep(0.6)
        assert [record.local_id_token for _, record in index.records.values()] == [encoded(1).local_id_token]


class TestCertificates:
    """Who gets through the door."""

    def answered(self, address: str, credentials: grpc.ChannelCredentials) -> bool:
        with grpc.secure_channel(address, credentials) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=3)
            except grpc.RpcError:
                return False
            return True

    def test_no_client_certificate(self, shared, certs):
        """A client without a certificate does not get through the handshake."""
        authority = (certs / "server/ca.pem").read_bytes()
        assert not self.answered(shared[1], grpc.ssl_channel_credentials(authority))

    def test_certificate_of_another_authority(self, shared, certs, tmp_path):
        """A certificate from another authority does not get through, whatever name it bears."""
        issue_dev_certificates(tmp_path, [FACILITY], [], [])
        own = tmp_path / FACILITY_CLIENT
        authority = (certs / "server/ca.pem").read_bytes()
        files = ((own / name).read_bytes() for name in ("key.pem", "cert.pem"))
        assert not self.answered(shared[1], grpc.ssl_channel_credentials(authority, *files))

    def test_plain_text_to_a_tls_port(self, shared):
        """Plain text is not understood on a port with TLS."""
        with grpc.insecure_channel(shared[1]) as channel, pytest.raises(grpc.RpcError):
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=3)

    @pytest.mark.parametrize(
        "uris",
        [
            [],
            ["urn:mpi:facility:1066"],
            ["urn:mpi:facility:"],
            ["urn:mpi:root:root"],
            ["urn:mpi:insecure:local"],
            ["urn:mpi:facility:10661x y"],
            ["https://example.org/urn:mpi:facility:10661"],
            ["urn:mpi:facility:10661", "urn:mpi:facility:11111"],
        ],
    )
    def test_certificate_that_names_no_client(self, shared, certs, tmp_path, uris):
        """A certificate of the right authority that does not name exactly one client is CLIENT_UNKNOWN."""
        issue(certs / "ca", tmp_path, uris)
        caller = Caller(shared[1], tmp_path)
        with caller.channel:
            assert caller.health.Check(health_pb2.HealthCheckRequest(), timeout=5).status == 1
            for call in (caller.locate, lambda: caller.register(encoded(1))):
                error = refusal(call)
                assert isinstance(error, AccessDenied)
                assert error.reason is Reason.CLIENT_UNKNOWN

    def test_certificate_that_has_ended(self, shared, certs, tmp_path):
        """A certificate past its last day does not get through."""
        issue(certs / "ca", tmp_path, ["urn:mpi:facility:10661"], days=-1)
        files = ((tmp_path / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
        assert not self.answered(shared[1], grpc.ssl_channel_credentials(*files))

    @pytest.mark.parametrize("spoilt", ["certificate", "key", "client_authority"])
    def test_malformed_files_of_the_server(self, certs, tmp_path, spoilt):
        """A file that is no certificate or key stops the start with an error that names it."""
        bad = tmp_path / "bad.pem"
        bad.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
        files = server_tls(certs)
        parts = {name: getattr(files, name) for name in ("certificate", "key", "client_authority")}
        with (
            pytest.raises(ConfigInvalid, match=r"bad\.pem"),
            running(MemoryIndex().application(), TlsFiles(**{**parts, spoilt: bad})),
        ):
            pass


class TestInsecure:
    """Plain text, for one machine."""

    @pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.1:0", "example.org:0"])
    def test_only_on_loopback(self, listen):
        """Plain text is not served on an address that other machines reach."""
        with pytest.raises(ConfigInvalid, match="loopback"), running(MemoryIndex().application(), listen=listen):
            pass

    @pytest.mark.parametrize("listen", ["", "7443", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", ":7443"])
    def test_addresses_that_are_none(self, listen):
        """An address without host or port is a setting that cannot be used."""
        with pytest.raises(ConfigInvalid, match="listen"), running(MemoryIndex().application(), listen=listen):
            pass

    def test_the_local_caller_may_do_everything_and_the_log_says_so(self, caplog):
        """Without TLS everyone on the machine may do everything, under a name that shows it; the log warns."""
        index = MemoryIndex()
        with running(index.application()) as address:
            caller = Caller(address, None)
            with caller.channel:
                caller.register(encoded(1, "99999"))
                request = locator_pb2.BatchLocateRequest(keys=[key_of(1)], purpose=locator_pb2.PURPOSE_OF_USE_TREAT)
                assert len(caller.locator.BatchLocate(request, timeout=5).outcomes[0].identities) == 1
        assert index.actors == ["urn:mpi:insecure:local"]
        assert "INSECURE" in caplog.text

    def test_a_port_in_use(self):
        """A second server on the same port fails instead of sharing the callers."""
        with running(MemoryIndex().application()) as address, pytest.raises(ConfigInvalid, match="cannot be bound"):  # noqa: SIM117
            with running(MemoryIndex().application(), listen=address):
                pass


def test_health_and_reflection(client):
    """Health knows both services, and reflection lists them."""
    caller = client(EXCHANGE_CLIENT)
    for service in ("", "mpi.v1.RegistryService", "mpi.v1.LocatorService"):
        assert caller.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == 1
    stub = reflection_pb2_grpc.ServerReflectionStub(caller.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=5)
    names = {service.name for service in answer.list_services_response.service}
    assert {"mpi.v1.RegistryService", "mpi.v1.LocatorService", "grpc.health.v1.Health"} <= names


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_the_server(number):
    """SIGINT and SIGTERM end a server gracefully, with exit code 0."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.server.running"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = server.stdout.readline().strip()
        caller = Caller(address, None)
        with caller.channel:
            caller.locate()
        server.send_signal(number)
        _, errors = server.communicate(timeout=20)
    finally:
        server.kill()
        server.communicate()
    assert server.returncode == 0
    assert "Traceback" not in errors


def test_a_batch_under_way_is_finished_at_stop():
    """Stopping waits for the registration that has begun; its answer still arrives."""
    index = MemoryIndex()
    index.delay = 0.5
    answers: list[object] = []
    with running(index.application()) as address:
        caller = Caller(address, None)
        slow = threading.Thread(target=lambda: answers.append(caller.register(encoded(1))))
        slow.start()
        time.sleep(0.2)
    slow.join()
    caller.channel.close()
    assert len(answers) == 1
    assert len(index.records) == 1
