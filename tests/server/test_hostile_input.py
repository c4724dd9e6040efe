"""What may come over the network: whatever it is, the status is precise, the server lives, and others are served."""

from __future__ import annotations

import asyncio
import datetime
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpi.client import Client, PurposeOfUse
from mpi.config import Limits, ServerConfig, StoreConfig
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import Conflict, MpiError, RateLimited, ServiceUnavailable
from mpi.server import edge
from mpi.server.bootstrap import application
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.wire import convert
from mpi.wire.status import from_wire
from tests.building import encoded as encoded_people
from tests.building import key_ring, raw
from tests.server.running import FACILITY, MemoryIndex, certificates, encoded, running, server_tls
from tests.server.test_access import methods as method_names
from tests.server.test_accounts import METHODS

PRECISE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.OUT_OF_RANGE,
}
"""What a call may be answered with that nobody meant; INTERNAL, UNKNOWN and UNAVAILABLE are none of it."""

MEGABYTE = 1 << 20
IDLE_CONNECTIONS = 1000
_INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
}
_DEPTH = 4


def values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    """Values that a field can hold on the wire, likely or not."""
    if field.type in _INTEGERS:
        least, most = _INTEGERS[field.type]
        return st.one_of(st.integers(least, most), st.sampled_from([0, 1, 2, most]))
    if field.type == FieldDescriptor.TYPE_ENUM:
        known = [each.number for each in field.enum_type.values]
        return st.one_of(st.sampled_from(known), st.integers(-(2**31), 2**31 - 1))
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return built(field.message_type, depth + 1)
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return st.floats()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.one_of(st.binary(max_size=40), st.binary(min_size=32, max_size=32), st.just(b"\x01" + bytes(8)))
    eids = st.uuids().map(str)
    texts = st.text(max_size=40).filter(lambda text: text.isascii() or text.isprintable())
    return st.one_of(texts, eids, st.sampled_from(["10661", "mor-prom", "th-v1", "A", "\0", "ก" * 300, "../x"]))


@st.composite
def built(draw: st.DrawFn, kind: Descriptor, depth: int = 0) -> Any:
    """Messages of a kind with any of their fields set to anything."""
    message = GetMessageClass(kind)()
    for field in kind.fields:
        if depth >= _DEPTH or not draw(st.booleans()):
            continue
        if field.is_repeated:
            for value in draw(st.lists(values(field, depth), max_size=3)):
                place = getattr(message, field.name)
                place.add().CopyFrom(value) if field.message_type else place.append(value)
        elif field.message_type:
            getattr(message, field.name).CopyFrom(draw(values(field, depth)))
        else:
            setattr(message, field.name, draw(values(field, depth)))
    return message


@st.composite
def requests(draw: st.DrawFn, kind: Descriptor) -> bytes:
    """Bytes that claim to be a request: well-formed, spoilt, or anything."""
    content = bytearray(draw(built(kind)).SerializeToString())
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content)


def status(channel: grpc.Channel, method: MethodDescriptor, content: bytes) -> grpc.StatusCode:
    """What raw bytes are answered with."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    try:
        if method.client_streaming:
            list(channel.stream_stream(path)(iter([content]), timeout=20))
        elif method.server_streaming:
            call = channel.unary_stream(path)(content, timeout=0.5)
            next(call, None)
            call.cancel()
        else:
            channel.unary_unary(path)(content, timeout=20)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@dataclass
class Fuzzed:
    """A real centre that holds something, and channels to it."""

    channel: grpc.Channel
    other: Client


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    with fuzzed_centre(tmp_path_factory.mktemp("fuzzed")) as opened:
        yield opened


@contextmanager
def fuzzed_centre(folder: Path) -> Iterator[Fuzzed]:
    """Serve a real centre on a socket."""
    ring = key_ring(folder)
    store = StoreConfig(folder / "data", folder / "secret/service.json", "th-v1")
    limits = Limits(1e9, 1e9, 1e9, 1e9)
    with (
        application(ServerConfig(store, "", (ring.current.name,), None, limits=limits)) as parts,
        running(parts) as address,
        grpc.insecure_channel(address) as channel,
        Client(address=address) as other,
    ):
        for record in encoded_people(ring, FACILITY, *(raw("นายสมชาย ใจดี", str(n), sex="1") for n in range(3))):
            other.register(record)
        yield Fuzzed(channel, other)


def served(client: Client) -> None:
    """Make sure that another caller gets its answer."""
    assert client.locate(LocalIdToken(b"\x07" * 32), PurposeOfUse.TREAT).identities == ()


def tell(centre: Fuzzed, method: MethodDescriptor, content: bytes) -> None:
    """Send bytes to a call, and hold what comes back against what may."""
    code = status(centre.channel, method, content)
    assert code in PRECISE or (method.server_streaming and code is grpc.StatusCode.DEADLINE_EXCEEDED), code


def test_every_call_is_fuzzed():
    """The calls below are those of the protos."""
    assert {f"/{m.containing_service.full_name}/{m.name}" for m in METHODS} == set(method_names())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name.removeprefix("mpi.v1."))
def test_fuzzed_bytes_are_answered_precisely(centre, method):
    """Any bytes to any call of the real centre: an answer or a refusal that is meant, and the next caller is served."""

    @settings(max_examples=20, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(requests(method.input_type))
    def fuzzed(content: bytes) -> None:
        tell(centre, method, content)

    fuzzed()
    served(centre.other)


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def secured(certs: Path) -> Iterator[str]:
    with running(MemoryIndex().application(), server_tls(certs)) as address:
        yield address


def self_signed(folder: Path, uri: str) -> Path:
    """A certificate of its own making that bears a client's name."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "facility-10661")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


def located(address: str, authority: Path, folder: Path) -> grpc.StatusCode:
    """What a lookup with the certificate of a folder is answered with."""
    files = (authority / "server/ca.pem", folder / "key.pem", folder / "cert.pem")
    credentials = grpc.ssl_channel_credentials(*(path.read_bytes() for path in files))
    method = next(each for each in METHODS if each.name == "Locate")
    request = locator_pb2.LocateRequest(
        key=convert.key_to_proto(LocalIdToken(b"\x07" * 32)), purpose=locator_pb2.PURPOSE_OF_USE_TREAT
    )
    with grpc.secure_channel(address, credentials) as channel:
        return status(channel, method, request.SerializeToString())


def test_certificates_that_are_not_the_authoritys_are_refused_in_the_handshake(secured, certs, tmp_path):
    """A self-signed one with a client's name, and the server's own, which is not for clients; others are served."""
    forged = self_signed(tmp_path / "forged", "urn:mpi:exchange:cdes")
    assert located(secured, certs, forged) is grpc.StatusCode.UNAVAILABLE
    assert located(secured, certs, certs / "server") in {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.PERMISSION_DENIED,
    }
    assert located(secured, certs, certs / "exchange-cdes") is grpc.StatusCode.OK


def test_a_key_that_is_not_the_certificates_makes_no_connection(secured, certs, tmp_path):
    """Who has another's certificate and no key of it gets nowhere."""
    (tmp_path / "mixed").mkdir()
    for name, of in (("cert.pem", "exchange-cdes"), ("key.pem", "steward-somchai")):
        (tmp_path / "mixed" / name).write_bytes((certs / of / name).read_bytes())
    assert located(secured, certs, tmp_path / "mixed") is grpc.StatusCode.UNAVAILABLE


# --- replay ------------------------------------------------------------------------------------------------------


def test_a_replayed_request_changes_nothing(centre, tmp_path):
    """The same bytes once more: a record is unchanged, a retraction takes nothing back, a judgement conflicts."""
    record = encoded(50)
    message = registry_pb2.RegisterRequest(record=convert.record_to_proto(record)).SerializeToString()
    with running(MemoryIndex().application()) as address, grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/mpi.v1.RegistryService/Register")
        first, again = (registry_pb2.RegisterResponse.FromString(call(message, timeout=5)) for _ in range(2))
    assert (first.registration.unchanged, again.registration.unchanged) == (False, True)
    key = LocalIdToken(b"\x09" * 32)
    reason = "unconscious in the emergency room"
    centre.other.locate(key, PurposeOfUse.BTG, reason=reason)
    opening = next(each for each in centre.other.openings() if each.reason == reason)
    centre.other.judge_opening(opening.number, justified=True)
    with pytest.raises(Conflict):
        centre.other.judge_opening(opening.number, justified=True)
    assert [centre.other.retract(FACILITY, key).retracted for _ in range(2)] == [False, False]


# --- slow and many -----------------------------------------------------------------------------------------------


def waiting(channel: grpc.Channel) -> Any:
    """A stream that is opened, and on which nothing ever comes."""

    def silence() -> Iterator[bytes]:
        while not over:
            time.sleep(0.02)
        yield from ()

    over: list[bool] = []
    call = channel.stream_stream("/mpi.v1.RegistryService/RegisterBatch")(silence(), timeout=30)
    return call, over


def test_a_stream_on_which_nothing_comes_is_ended(monkeypatch):
    """It is told why, and holds no place."""
    monkeypatch.setattr(edge, "IDLE_SECONDS", 0.2)
    with running(MemoryIndex().application()) as address, grpc.insecure_channel(address) as channel:
        call, over = waiting(channel)
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        over.append(True)
        error = from_wire(caught.value)
        assert isinstance(error, ServiceUnavailable)
        assert "nothing came" in error.message


def test_one_client_cannot_take_every_place(monkeypatch, secured, certs):
    """Beyond its share of streams a client is refused; another client opens one; when they end it may open again."""
    monkeypatch.setattr(edge, "STREAMS_OF_ONE", 8)
    with ExitStack() as stack:
        files = ((certs / f"facility-{FACILITY}" / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
        channel = stack.enter_context(grpc.secure_channel(secured, grpc.ssl_channel_credentials(*files)))
        opened = [waiting(channel) for _ in range(8)]
        client = stack.enter_context(Client(address=secured, certificates=certs / f"facility-{FACILITY}"))
        other = stack.enter_context(Client(address=secured, certificates=certs / "facility-11111"))
        error: MpiError | None = None
        for _ in range(100):  # the eight are opened when the server has seen them
            try:
                list(client.register_batches([(b"", [encoded(1)])]))
            except RateLimited as refused:
                error = refused
                break
            time.sleep(0.05)
        assert isinstance(error, RateLimited)
        assert len(list(other.register_batches([(b"", [encoded(2, "11111")])]))) == 1
        for call, over in opened:
            over.append(True)
            call.cancel()
        for _ in range(100):
            try:
                assert len(list(client.register_batches([(b"", [encoded(1)])]))) == 1
                break
            except RateLimited:
                time.sleep(0.05)
        else:
            pytest.fail("the places were not given back")


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
"""How an HTTP/2 connection begins, with empty settings."""
HALF_HEADER = b"\x00\x00\x64\x01\x00\x00\x00\x00\x01\x82"
"""A frame of headers that says it has 100 bytes, and one of them."""


def resident(pid: int) -> int:
    """Memory that a process holds, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def program() -> Iterator[tuple[int, str]]:
    """A server in a process of its own, whose memory can be told from that of its callers."""
    process = subprocess.Popen([sys.executable, "-m", "tests.server.running"], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().decode().strip()
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout:
            process.stdout.close()


def test_a_thousand_idle_connections_and_half_sent_requests_leave_the_server_serving(program):
    """Silent sockets, connections without calls, and headers that never end: memory is bounded, others are served."""
    process, address = program
    host, _, port = address.rpartition(":")
    with Client(address=address) as client, ExitStack() as stack:
        served(client)
        before = resident(process)
        for number in range(IDLE_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            if number % 2:
                connection.sendall(PREFACE)
            if number % 4 == 3:
                connection.sendall(HALF_HEADER)
        served(client)
        grown = resident(process) - before
        with Client(address=address) as late:
            served(late)
        assert grown < 256 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB"


def test_messages_over_the_limit_do_not_pile_up(program):
    """Requests of twice the limit are refused one by one; memory does not grow with them, and others are served."""
    process, address = program
    register = next(each for each in METHODS if each.name == "Register")
    content = bytes(8 * MEGABYTE)
    with grpc.insecure_channel(address, (("grpc.max_send_message_length", -1),)) as channel:
        assert status(channel, register, content) is grpc.StatusCode.RESOURCE_EXHAUSTED
        before = resident(process)
        for _ in range(10):
            assert status(channel, register, content) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert resident(process) - before < 64 * MEGABYTE
    with Client(address=address) as client:
        served(client)


def test_requests_that_never_come_take_nobodys_place(program):
    """Far more calls than the server serves at once, over several connections, without their requests."""
    process, address = program

    async def hold() -> None:
        channels = [grpc.aio.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),)) for _ in range(8)]
        calls = [channel.stream_unary("/mpi.v1.LocatorService/Locate")() for channel in channels for _ in range(250)]
        await asyncio.sleep(1.0)
        assert sum(not call.done() for call in calls) > edge.MAX_CALLS
        await asyncio.to_thread(served, client)
        assert resident(process) - before < 128 * MEGABYTE
        for call in calls:
            call.cancel()
        for channel in channels:
            await channel.close()

    with Client(address=address) as client:
        served(client)
        before = resident(process)
        asyncio.run(hold())
        served(client)


def test_a_burst_on_one_connection_waits_and_is_served(program):
    """More calls than a connection may have under way: none is refused, though nothing repeats them."""
    _, address = program
    request = locator_pb2.LocateRequest(
        key=locator_pb2.LocateKey(local_id_token=bytes(32)), purpose=locator_pb2.PURPOSE_OF_USE_TREAT
    )

    async def burst() -> None:
        async with grpc.aio.insecure_channel(address, (("grpc.enable_retries", 0),)) as channel:
            call = channel.unary_unary("/mpi.v1.LocatorService/Locate")

            async def caller() -> None:
                for _ in range(10):
                    await call(request.SerializeToString())

            await asyncio.gather(*(caller() for _ in range(600)))

    asyncio.run(burst())


def test_calls_that_are_given_up_at_once_hold_nobody_up(program):
    """Thousands of calls opened and cancelled: the server serves others, in bounded memory."""
    process, address = program

    async def give_up() -> None:
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary("/mpi.v1.LocatorService/Locate")
            for _ in range(200):
                calls = [call(b"") for _ in range(100)]
                await asyncio.sleep(0.002)
                for each in calls:
                    each.cancel()

    with Client(address=address) as client:
        served(client)
        before = resident(process)
        asyncio.run(give_up())
        served(client)
        assert resident(process) - before < 256 * MEGABYTE


def test_one_client_cannot_keep_all_others_waiting(monkeypatch, certs):
    """Beyond its share of calls under way a client is refused, and told when to come again; another one is served."""
    monkeypatch.setattr(edge, "CALLS_OF_ONE", 2)
    index = MemoryIndex()
    index.delay = 0.5
    with ExitStack() as stack:
        address = stack.enter_context(running(index.application(), server_tls(certs)))
        client, other = (
            stack.enter_context(Client(address=address, certificates=certs / f"facility-{code}"))
            for code in (FACILITY, "11111")
        )
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(client.register, encoded(number)) for number in range(4)]
            assert other.register(encoded(9, "11111")).revision
        outcomes = [call.exception() for call in calls]
        assert sum(isinstance(each, RateLimited) for each in outcomes) == 2
        assert outcomes.count(None) == 2
