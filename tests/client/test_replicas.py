"""Several servers behind one client: calls go to all that can be reached, and each is who it should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.client.addresses import Addresses, read_addresses
from mpi.client.hedging import LOST_IN_A_ROW
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.record import EncodedRecord
from mpi.errors import ConfigInvalid, ServiceUnavailable
from mpi.server.certs import issue_dev_certificates
from tests.building import encoded, key_ring, raw
from tests.server.running import MemoryIndex, certificates, running, server_tls

TREAT = PurposeOfUse.TREAT
NOBODY = LocalIdToken(bytes(32))


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@contextmanager
def two(certs: Path) -> Iterator[tuple[list[MemoryIndex], list[str]]]:
    indexes = [MemoryIndex(), MemoryIndex()]
    first, second = (index.application() for index in indexes)
    with running(first, server_tls(certs)) as one, running(second, server_tls(certs)) as other:
        yield indexes, [one, other]


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def test_calls_go_to_every_replica(certs):
    """One client speaks to both servers in turn, with TLS and the name that both certificates bear."""
    with (
        two(certs) as (indexes, addresses),
        Client(address=",".join(addresses), certificates=certs / "exchange-cdes") as client,
    ):
        until(lambda: client.locate(NOBODY, TREAT).identities == () and all(index.accesses for index in indexes))


def test_a_dead_replica_is_skipped_and_used_again(certs):
    """While one server is away no lookup fails; when it is back at its address it is asked again."""
    there, gone = MemoryIndex(), MemoryIndex()
    with running(there.application(), server_tls(certs)) as one:
        with running(gone.application(), server_tls(certs)) as other:
            client = Client(address=f"{one},{other}", certificates=certs / "exchange-cdes")
            until(lambda: client.locate(NOBODY, TREAT).revision != b"" and bool(there.accesses and gone.accesses))
        there.accesses.clear()
        for _ in range(20):
            client.locate(NOBODY, TREAT)
        assert len(there.accesses) == 20
        gone.accesses.clear()
        with running(gone.application(), server_tls(certs), other), client:
            until(lambda: client.locate(NOBODY, TREAT).revision != b"" and bool(gone.accesses))


@contextmanager
def serving(folder: Path, role: str, listen: str = "127.0.0.1:0") -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(folder / "data"), "--config", str(folder / "c.toml")]
    command += ["--insecure", "--json", "--role", role, "--listen", listen]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            yield json.loads(server.stdout.readline())["listening"], server.pid
        finally:
            server.kill()


@pytest.fixture
def record(tmp_path: Path) -> EncodedRecord:
    """Somebody who may be registered at servers with `c.toml`."""
    ring = key_ring(tmp_path)
    (tmp_path / "c.toml").write_text(
        f'listen = "127.0.0.1:0"\nrules = "th-v1"\nservice_key = "{tmp_path}/centre/service.json"\n'
        f'key_epochs = ["{ring.current.name}"]\n'
    )
    (record,) = encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1"))
    return record


def test_a_hung_replica_keeps_few_waiting(tmp_path, record):
    """No lookup fails: the first ones are asked for twice, then it comes last."""
    with ExitStack() as stack:
        one, _ = stack.enter_context(serving(tmp_path, "all"))
        other, hanging = stack.enter_context(serving(tmp_path, "locator"))
        client = stack.enter_context(Client(address=f"{one},{other}", timeout=3.0, coalesce=False))
        hedge = client._hedge
        with Client(address=one) as registrar, Client(address=other) as replica:
            replica.locate(NOBODY, TREAT, at_least=registrar.register(record).revision)

        def found() -> bool:
            return len(client.locate(LocalIdToken(record.local_id_token), TREAT).identities) == 1

        until(lambda: found() and len(hedge._replicas.in_turn()) == 2)
        assert all(found() for _ in range(20 * (LOST_IN_A_ROW + 1)))
        os.kill(hanging, signal.SIGSTOP)
        try:
            assert all(found() for _ in range(300))
        finally:
            os.kill(hanging, signal.SIGCONT)
        until(lambda: found() and len(hedge._replicas.in_turn()) == 2)


def test_two_servers_on_one_folder(tmp_path, record):
    """What is registered at one process the client finds at each; the replica is killed, and comes back."""
    key = LocalIdToken(record.local_id_token)
    with serving(tmp_path, "all") as (one, _):
        with Client(address=one) as registrar:
            revision = registrar.register(record).revision
        with serving(tmp_path, "locator") as (other, _):
            client = Client(address=f"{one},{other}")

            def found() -> bool:
                return len(client.locate(key, TREAT, at_least=revision).identities) == 1

            assert all(found() for _ in range(10))
            (identity,) = client.locate(key, TREAT).identities
            command = [sys.executable, "-m", "mpi", "locate", "--server", f"{one},{other}", "--eid", identity.eid]
            said = subprocess.run([*command, "--purpose", "TREAT"], capture_output=True, text=True, check=True).stdout
            assert said.startswith(f"{identity.eid}\n  10661  ")
        assert all(found() for _ in range(10))
        with serving(tmp_path, "locator", other), client:
            with Client(address=other) as replica:  # it serves again, whatever the client knows of it
                assert len(replica.locate(key, TREAT, at_least=revision).identities) == 1
            assert all(found() for _ in range(10))


def test_every_replica_must_bear_the_name(certs, tmp_path):
    """A server of the list that another authority vouches for, or that bears another name, is not spoken to."""
    issue_dev_certificates(tmp_path, [], ["cdes"], [])
    with two(certs) as (indexes, addresses):
        listed = ",".join(addresses)
        for address, folder in (
            (f"mpi.example.go.th={listed}", certs / "exchange-cdes"),
            (listed, tmp_path / "exchange-cdes"),
        ):
            with (
                Client(address=address, certificates=folder, timeout=5) as client,
                pytest.raises(ServiceUnavailable, match=r"not from the authority in ca\.pem, or not for this address"),
            ):
                client.locate(NOBODY, TREAT)
        assert not any(index.accesses for index in indexes)
        with Client(address=f"localhost={listed}", certificates=certs / "exchange-cdes") as client:
            assert client.locate(NOBODY, TREAT).identities == ()


class TestAddresses:
    """How addresses are written."""

    def test_one(self):
        """A single address is left to gRPC, which resolves its name; it answers for its own host."""
        for text in ("mpi.example.go.th:7443", "10.0.0.1:7443", "[fd00::1]:7443"):
            assert read_addresses(text) == Addresses((text,))
            assert read_addresses(text).target == text

    @pytest.mark.parametrize(
        ("text", "target", "name"),
        [
            ("10.0.0.1:1,10.0.0.1:2", "ipv4:10.0.0.1:1,10.0.0.1:2", "10.0.0.1"),
            ("[::1]:1,[::1]:2", "ipv6:[::1]:1,[::1]:2", "::1"),
            ("mpi.th=10.0.0.1:1, 10.0.0.2:1", "ipv4:10.0.0.1:1,10.0.0.2:1", "mpi.th"),
        ],
    )
    def test_several(self, text, target, name):
        """Several are numbers; what their certificates must bear is the host that they share, or the name given."""
        found = read_addresses(text)
        assert (found.target, found.name) == (target, name)

    @pytest.mark.parametrize(
        "text",
        [
            "10.0.0.1:1,10.0.0.2:1",  # no name
            "=10.0.0.1:1,10.0.0.2:1",
            "10.0.0.1:1,",
            "a.th:1,b.th:1",
            "x=10.0.0.1:1,[::1]:1",
            "x=10.0.0.1,10.0.0.2",
            "x=::1:1,[::1]:2",
            "x=[10.0.0.1]:1,10.0.0.1:2",
            "x=10.0.0.1:65536,10.0.0.1:2",
            "",
            "a.th",
            ":7443",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:99999",
            "127.0.0.1:https",
            "https://mpi.example.go.th:7443",
            "::1:7443",
            "127.0.0.1:" + "1" * 5000,
        ],
    )
    def test_unusable(self, text):
        """What gRPC could not use or would take for another address, or servers that could not be told from others."""
        with pytest.raises(ConfigInvalid, match="address"):
            read_addresses(text)

    def test_plain_text_stays_on_this_machine(self):
        """Without certificates every address of a list is loopback; a name changes nothing."""
        with pytest.raises(ConfigInvalid, match="certificates"):
            Client(address="localhost=127.0.0.1:1,10.0.0.1:1")
