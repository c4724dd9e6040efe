"""Several processes behind one address: workers look up, the registrar writes, and one of them dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpi.client import Client, PurposeOfUse
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import ConfigInvalid, MpiError
from mpi.server.http2.listener import _bound
from mpi.server.supervisor import reserved
from tests.building import encoded, key_ring, raw

TREAT = PurposeOfUse.TREAT
WORKERS = 2


def children(pid: int) -> set[int]:
    """Process numbers of the processes that one has started."""
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.1)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    ring = key_ring(folder)
    config = folder / "mpi.toml"
    config.write_text(
        f'listen = "127.0.0.1:0"\nrules = "th-v1"\nservice_key = "{folder}/centre/service.json"\n'
        f'key_epochs = ["{ring.current.name}"]\n'
    )
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(folder / "data"), "--config", str(config)]
    command += ["--insecure", "--json", "--workers", str(WORKERS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        try:
            yield supervisor, json.loads(supervisor.stdout.readline())
        finally:
            supervisor.kill()


def test_workers_answer_and_the_registrar_writes(tmp_path: Path) -> None:
    """What the registrar has acknowledged every worker finds; a worker that dies is replaced; all stop together."""
    (record,) = encoded(key_ring(tmp_path), "10661", raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525", sex="1"))
    key = LocalIdToken(record.local_id_token)
    with serving(tmp_path) as (supervisor, where):
        with Client(address=where["registrar"]) as registrar:
            revision = registrar.register(record).revision

        def found() -> bool:
            with Client(address=where["listening"]) as client:
                return len(client.locate(key, TREAT, at_least=revision).identities) == 1

        assert all(found() for _ in range(4))  # each on a connection of its own, which the kernel hands to a worker
        with Client(address=where["listening"]) as client, pytest.raises(MpiError):
            client.register(record)
        with grpc.insecure_channel(where["listening"]) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            asked = health_pb2.HealthCheckRequest(service="mpi.v1.LocatorService")
            assert health.Check(asked, timeout=20).status == health_pb2.HealthCheckResponse.SERVING
            with pytest.raises(grpc.RpcError):
                health.Check(health_pb2.HealthCheckRequest(service="mpi.v1.RegistryService"), timeout=20)
        before = children(supervisor.pid)
        assert len(before) == WORKERS + 1
        niceness = sorted(os.getpriority(os.PRIO_PROCESS, each) for each in before)
        assert niceness == [*[os.getpriority(os.PRIO_PROCESS, 0)] * WORKERS, max(niceness)]
        assert niceness[-1] > niceness[0], "lookups go before registrations"
        os.kill(max(before), signal.SIGKILL)
        until(lambda: max(before) not in children(supervisor.pid) and len(children(supervisor.pid)) == WORKERS + 1)
        assert found()
        after = children(supervisor.pid)
        supervisor.terminate()
        assert supervisor.wait(60) == 0
        assert not any(map(alive, after))


def test_a_feed_goes_on_in_another_worker(tmp_path: Path) -> None:
    """Workers are killed again and again; what they had told and what the next ones tell is all that happened, once."""
    rows = [raw("นายสมชาย ใจดี", str(turn), birth_date=f"{turn + 1}/03/2525", sex="1") for turn in range(9)]
    records = encoded(key_ring(tmp_path), "10661", *rows)
    found: list[str] = []
    with serving(tmp_path) as (supervisor, where):
        begun = threading.Event()

        def watch() -> None:
            with Client(address=where["listening"]) as client, closing(client.watch(TREAT)) as pages:
                for page in pages:
                    begun.set()
                    found.extend(event.eid for event in page.events)
                    if len(found) >= len(records):
                        return

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert begun.wait(60)
        with Client(address=where["registrar"]) as registrar:
            eids = [registrar.register(record).registration.eid for record in records[:3]]
            for turn in (3, 6):
                until(lambda turn=turn: len(found) == turn)  # type: ignore[misc]
                _, *workers = sorted(children(supervisor.pid))
                for worker in workers:
                    os.kill(worker, signal.SIGKILL)
                eids += [registrar.register(record).registration.eid for record in records[turn : turn + 3]]
                until(lambda: len(children(supervisor.pid)) == WORKERS + 1)
        watcher.join(60)
        assert not watcher.is_alive()
    assert found == eids


def test_no_process_outlives_its_supervisor(tmp_path: Path) -> None:
    """Where the supervisor is killed, its processes stop by themselves."""
    with serving(tmp_path) as (supervisor, _):
        started = children(supervisor.pid)
        supervisor.kill()
        supervisor.wait()
        until(lambda: not any(map(alive, started)))


def test_connections_that_ended_keep_no_address() -> None:
    """Clients of the server before, which have not closed their ends."""
    before = _bound("127.0.0.1", 0, shared=False)
    before.setblocking(True)
    before.listen()
    address = f"127.0.0.1:{before.getsockname()[1]}"
    with socket.create_connection(before.getsockname()):
        before.accept()[0].close()
        before.close()
        holder, _ = reserved(address)
        with holder, _bound("127.0.0.1", int(address.rpartition(":")[2]), shared=True) as worker:
            worker.listen()


def test_an_address_in_use_is_refused() -> None:
    """A port that another server has is named, not shared."""
    holder, address = reserved("127.0.0.1:0")
    with holder:
        with pytest.raises(ConfigInvalid, match="another server"):
            reserved(address)
        worker = _bound("127.0.0.1", int(address.rpartition(":")[2]), shared=True)
        with worker:
            worker.listen()
            with pytest.raises(ConfigInvalid, match="another server"):
                reserved(address)
        holder.listen()
        for place in (address, "nowhere"):
            with pytest.raises(ConfigInvalid):
                reserved(place)
    again, _ = reserved(address.replace(address.rpartition(":")[2], "0"))
    again.close()
