"""Lookups that are served together: each is accounted for, has its own outcome, and holds a place while it waits."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from mpi.domain.accounting import Access
from mpi.domain.consent import Asking
from mpi.domain.identifiers import LocalIdToken, LocateKey
from mpi.domain.identity import Lookups
from mpi.errors import IndexCorrupt, RateLimited
from mpi.server import edge
from mpi.server.http2.messages import framed
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert
from mpi.wire.status import from_wire
from tests.server.http2.raw import Raw
from tests.server.running import FACILITY, MemoryIndex, certificates, running, server_tls

LOCATE = "/mpi.v1.LocatorService/Locate"


def asking_for(number: int) -> bytes:
    key = convert.key_to_proto(LocalIdToken(number.to_bytes(32, "big")))
    return pb2.LocateRequest(key=key, purpose=pb2.PURPOSE_OF_USE_TREAT).SerializeToString()


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def index() -> Iterator[MemoryIndex]:
    return MemoryIndex()


def channel(address: str, folder: Path) -> grpc.Channel:
    files = ((folder / name).read_bytes() for name in ("ca.pem", "key.pem", "cert.pem"))
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files))


def test_what_fails_for_one_fails_for_no_other(index):
    """A row of the index that cannot be read, say, is the misfortune of who asked for it."""
    found = index.locate_all

    def damaged(keys: Sequence[LocateKey], askings: Sequence[Asking]) -> Lookups:
        if LocalIdToken((3).to_bytes(32, "big")) in keys:
            raise IndexCorrupt("a row")
        return found(keys, askings)

    index.locate_all = damaged  # type: ignore[method-assign]
    with running(index.application()) as address, Raw(address) as raw:
        streams = []
        for number in range(6):
            streams.append(raw.http.send_request(tuple({**HEADERS}.items())))
            raw.http.send_data(streams[-1], framed(asking_for(number)), end_stream=True)
        raw.send()
        states = [raw.status(stream)[0][b"grpc-status"] for stream in streams]
    assert states == [b"0", b"0", b"0", str(grpc.StatusCode.DATA_LOSS.value[0]).encode(), b"0", b"0"]
    assert sorted(access.status for access in index.accesses) == ["DATA_LOSS", *["OK"] * 5]


HEADERS = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": LOCATE.encode(),
    b":authority": b"localhost",
    b"content-type": b"application/grpc",
}


@pytest.mark.parametrize("role_allows", [True, False])
def test_who_gives_up_at_once_is_accounted_for(index, monkeypatch, role_allows):
    """However soon a call is reset after it came, its entry is written, whether it was answered or denied."""
    if not role_allows:
        monkeypatch.setattr("mpi.domain.access.ALLOWED", {})

    async def taken(access: Access) -> None:  # as the journal takes an entry before it waits for the disk
        index.accesses.append(access)

    index.write = taken  # type: ignore[method-assign]
    with running(index.application()) as address, Raw(address) as raw:
        for number in range(200):
            stream = raw.http.send_request(tuple(HEADERS.items()))
            raw.http.send_data(stream, framed(asking_for(number)), end_stream=True)
            came = raw.http.data_to_send()
            raw.http.reset_stream(stream)
            raw.socket.sendall(came)
            time.sleep((number % 20) * 5e-5)
            raw.send()
            raw.read(0.001)
        raw.read(0.3)
        asked = [access for access in index.accesses if access.call == "LocatorService/Locate"]
    # What was reset before the server looked at it was never asked, and never weighed.
    assert len(asked) == ASKED.total
    assert len(asked) > 20


class ASKED:
    """How many lookups came to be looked at."""

    total = 0


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.total = 0
    admitted = edge.Edge._admitted

    def counted(self: edge.Edge, method: str, *arguments: object) -> object:
        ASKED.total += method == LOCATE
        return admitted(self, method, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(edge.Edge, "_admitted", counted)


def test_lookups_that_wait_for_the_journal_hold_places(index, monkeypatch, certs):
    """One client has its share of them while the disk is slow; another one is served."""
    monkeypatch.setattr(edge, "CALLS_OF_ONE", 8)
    lets = threading.Event()

    async def slow(access: Access) -> None:
        await asyncio.get_running_loop().run_in_executor(None, lets.wait, 20)

    index.write = slow  # type: ignore[method-assign]
    with (
        running(index.application(), server_tls(certs)) as address,
        channel(address, certs / f"facility-{FACILITY}") as one,
        channel(address, certs / "facility-11111") as other,
    ):
        calls = [one.unary_unary(LOCATE).future(asking_for(number), timeout=20) for number in range(12)]
        theirs = other.unary_unary(LOCATE).future(asking_for(1), timeout=20)
        time.sleep(0.5)
        lets.set()
        errors = [call.exception() for call in calls]
        assert theirs.exception() is None
    refused = [from_wire(error) for error in errors if error is not None]
    assert len(refused) == 4
    assert all(isinstance(error, RateLimited) for error in refused)


def test_sessions_of_before_are_not_taken_up(index, certs):
    """A client of an older TLS, which could do so, is not let in; one of today's shows its certificate each time."""
    with running(index.application(), server_tls(certs)) as address:
        host, _, port = address.rpartition(":")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        folder = certs / "exchange-cdes"
        old.load_verify_locations(folder / "ca.pem")
        old.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection((host, int(port)), timeout=10) as opened, pytest.raises((ssl.SSLError, OSError)):
            old.wrap_socket(opened, server_hostname=host)
        with channel(address, folder) as today:
            assert today.unary_unary(LOCATE)(asking_for(1), timeout=10) is not None
