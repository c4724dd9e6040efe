"""kill -9 and a full disk under load: no answer without its entry, and no entry lost."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from pathlib import Path

import grpc

from mpi.audit.verify import Examination
from mpi.server.edge import REQUEST_KEY
from mpi.v1 import locator_service_pb2 as locator_pb2
from tests.audit.journals import Place
from tests.server.test_server import key_of

ROOT = Path(__file__).parents[2]
CALLERS = 8


class Witness:
    """Callers who ask until the server is gone, and keep the names of the calls that were answered."""

    def __init__(self, address: str) -> None:
        self.answered: dict[str, int] = {}
        self.wanted = 150
        self.enough, self.refused = threading.Event(), threading.Event()
        self._address = address
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)

    def _ask(self, number: int) -> None:
        request = locator_pb2.LocateRequest(key=key_of(number), purpose=locator_pb2.PURPOSE_OF_USE_TREAT)
        with grpc.insecure_channel(self._address) as channel:
            locate = channel.unary_unary("/mpi.v1.LocatorService/Locate")
            while True:
                try:
                    content, call = locate.with_call(request.SerializeToString(), timeout=10)
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.UNAVAILABLE and "audit journal" in error.details():
                        self.refused.set()
                        continue
                    return
                results = len(locator_pb2.LocateResponse.FromString(content).identities)
                self.answered[dict(call.trailing_metadata())[REQUEST_KEY]] = results
                if len(self.answered) >= self.wanted:
                    self.enough.set()


def entries(place: Place) -> tuple[Examination, dict[str, int], int]:
    """Hold the journal against its head; give the entries' requests with their counts, and how many there are."""
    examination = Examination(place.journal, place.heads, place.keys.signing.public_key())
    held = [(str(fields["request"]), int(fields["results"])) for _, fields in examination.entries()]
    return examination, dict(held), len(held)


def test_no_answer_is_without_its_entry_and_no_entry_is_lost(tmp_path):
    """A server is killed under load again and again: what its callers saw stands in the journal, once, and verifies."""
    place = Place.at(tmp_path)
    witnessed: dict[str, int] = {}
    before: set[str] = set()
    for _ in range(3):
        command = [sys.executable, "-m", "tests.audit.serving", str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
            assert server.stdout is not None
            witness = Witness(server.stdout.readline().decode().strip())
            assert witness.enough.wait(60)
            server.kill()
            witness.join()
        witnessed |= witness.answered
        examination, held, count = entries(place)
        assert examination.findings == []
        assert count == len(held)
        assert witnessed.items() <= held.items()
        assert before <= held.keys()
        before = set(held)
        # At most what each caller was waiting for may be there beyond what the callers saw.
        assert count - len(witnessed) <= CALLERS * (examination.restarts + 1)
    assert examination.restarts == 2
    assert set(witnessed.values()) == {0, 1}
    assert len(place.segments()) > 3


def test_a_server_stopped_in_order_leaves_nothing_open(tmp_path):
    """After SIGTERM the journal ends in its stop, and everything is confirmed."""
    place = Place.at(tmp_path)
    command = [sys.executable, "-m", "tests.audit.serving", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        witness = Witness(server.stdout.readline().decode().strip())
        assert witness.enough.wait(60)
        server.terminate()
        witness.join()
        server.wait(30)
    examination, held, _ = entries(place)
    assert (examination.findings, examination.unconfirmed) == ([], 0)
    assert witness.answered.items() <= held.items()
    assert b'"kind":"stop"' in place.segments()[-1].read_bytes()


def test_a_server_whose_disk_is_full_answers_nothing_until_there_is_space(tmp_path):
    """Writes that really fail refuse every call; when there is space again the server goes on by itself."""
    place = Place.at(tmp_path)
    command = [sys.executable, "-m", "tests.audit.serving", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        witness = Witness(server.stdout.readline().decode().strip())
        assert witness.enough.wait(60)
        unlimited = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        # No file may grow beyond this: a write that reaches it is cut short, and the next one fails.
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1000, unlimited[1]))
        assert witness.refused.wait(60)
        before = len(witness.answered)
        witness.enough.clear()
        witness.wanted = before + 100
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)
        assert witness.enough.wait(60)
        server.kill()
        witness.join()
    examination, held, count = entries(place)
    assert examination.findings == []
    assert count == len(held)
    assert witness.answered.items() <= held.items()
    assert examination.refused > 0
