"""Lookups of several threads share calls, and each has the answer that it would have had alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mpi.client import Client, PurposeOfUse
from mpi.client.lookups import MOST_TOGETHER
from mpi.client.stream import BATCHES_IN_FLIGHT
from mpi.coalescing import Coalescer
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.errors import AccessDenied, RecordRejected, ServiceUnavailable
from tests.server.running import MemoryIndex, certificates, encoded, running, server_tls

TREAT = PurposeOfUse.TREAT
PEOPLE = 40


def at_once(work: Sequence[Callable[[], object]]) -> list[object]:
    """Do several things in threads of their own that begin together; gives their results or errors, in order."""
    start, results = threading.Barrier(len(work)), [None] * len(work)

    def run(place: int, each: Callable[[], object]) -> None:
        start.wait()
        try:
            results[place] = each()
        except Exception as error:  # noqa: BLE001 (looked at by the test)
            results[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(work)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def at(certs: Path) -> Iterator[tuple[MemoryIndex, str]]:
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        yield index, address


def test_threads_share_calls(at, certs):
    """Many threads at once make few calls; each finds its own person, whatever the others asked."""
    index, address = at
    records = [encoded(number) for number in range(PEOPLE)]
    with Client(address=address, certificates=certs / "facility-10661") as facility:
        for record in records:
            facility.register(record)
    with Client(address=address, certificates=certs / "exchange-cdes") as client:
        expected = [client.batch_locate([LocalIdToken(each.local_id_token)], TREAT).answers[0] for each in records]
        index.accesses.clear()
        found = at_once(
            [lambda each=each: client.locate(LocalIdToken(each.local_id_token), TREAT).identities for each in records]
        )
        assert found == expected
        assert len(index.accesses) < PEOPLE
        assert {access.call for access in index.accesses} == {"LocatorService/Locate", "LocatorService/BatchLocate"}


def test_an_error_is_its_own(at, certs):
    """A key that is refused fails for whoever asked for it, and for nobody else."""
    _, address = at
    phone = IdentifierToken(IdentifierKind.PHONE, b"short")
    nobody = LocalIdToken(bytes(32))
    with Client(address=address, certificates=certs / "exchange-cdes") as client:
        keys = [phone if turn % 5 == 0 else nobody for turn in range(PEOPLE)]
        results = at_once([lambda key=key: client.locate(key, TREAT).identities for key in keys])
    assert [isinstance(each, RecordRejected) for each in results] == [key is phone for key in keys]


def test_a_facility_goes_on_one_by_one(at, certs):
    """Who may not look up many at once is answered all the same; and with the switch off nothing is shared."""
    index, address = at
    nobody = LocalIdToken(bytes(32))
    for certificate, coalesce in (("facility-10661", True), ("exchange-cdes", False)):
        index.accesses.clear()
        with Client(address=address, certificates=certs / certificate, coalesce=coalesce) as client:
            results = at_once([lambda client=client: client.locate(nobody, TREAT).identities] * PEOPLE)
        assert results == [()] * PEOPLE
        answered = [access for access in index.accesses if access.status == "OK"]
        assert [access.call for access in answered] == ["LocatorService/Locate"] * PEOPLE


def test_any_number_of_keys(at, certs):
    """Keys are read a few batches ahead of where answers are taken, and progress is told."""
    _, address = at
    read, told = [], []

    def keys() -> Iterator[LocalIdToken]:
        for number in range(4200):
            read.append(number)
            yield LocalIdToken(number.to_bytes(32, "big"))

    with Client(address=address, certificates=certs / "exchange-cdes") as client:
        answers = client.locate_many(keys(), TREAT, told.append)
        next(answers)
        assert len(read) == BATCHES_IN_FLIGHT * MOST_TOGETHER < 4200
        assert len(list(answers)) == 4199
    assert told == [*range(500, 4001, 500), 4200]
    with Client(address=address, certificates=certs / "facility-10661") as client, pytest.raises(AccessDenied):
        list(client.locate_many(keys(), TREAT))


@pytest.mark.parametrize("error", [ServiceUnavailable("of another service"), ValueError("of a file")])
def test_keys_that_cannot_be_read_on_are_an_error(at, certs, error):
    """Whatever it is, also one that a lost server would have; what was read before is answered."""

    def keys() -> Iterator[LocalIdToken]:
        for number in range(700):
            yield LocalIdToken(number.to_bytes(32, "big"))
        raise error

    found = []
    with Client(address=at[1], certificates=certs / "exchange-cdes") as client:
        with pytest.raises(type(error), match=str(error)):
            found.extend(client.locate_many(keys(), TREAT))
        with pytest.raises(type(error), match=str(error)):
            client.locate_frame(keys(), TREAT)
    assert len(found) == 700


def test_what_is_told_of_progress_may_fail(at, certs):
    """As itself, whatever it is: nothing is left out."""

    def told(done: int) -> None:
        if done > 1000:
            raise ServiceUnavailable("of another service")

    keys, found = [LocalIdToken(number.to_bytes(32, "big")) for number in range(2600)], []
    client = Client(address=at[1], certificates=certs / "exchange-cdes")
    with client, pytest.raises(ServiceUnavailable, match="of another service"):
        found.extend(client.locate_many(keys, TREAT, told))
    assert [key for key, _ in found] == keys[:1000]


def test_many_keys_outlive_a_server_that_goes_away(certs):
    """The stream is opened again and goes on with what has no answer; each key is answered once, in its order."""
    keys = [LocalIdToken(number.to_bytes(32, "big")) for number in range(2600)]
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        client = Client(address=address, certificates=certs / "exchange-cdes")
        answers = client.locate_many(iter(keys), TREAT)
        found = [next(answers) for _ in range(700)]
    again = MemoryIndex()
    with client, running(again.application(), server_tls(certs), address):
        found += answers
        assert found == [(key, ()) for key in keys]
        assert again.accesses
    with Client(address=address, certificates=certs / "exchange-cdes", timeout=2) as client:
        answers = client.locate_many(iter(keys), TREAT)
        with pytest.raises(ServiceUnavailable):
            next(answers)


def test_nothing_is_lost_or_mixed_up():
    """Under any interleaving each question has its own answer, calls hold no more than they may, and none is left."""
    sizes, under_way, most_under_way, lock = [], 0, 0, threading.Lock()

    def ask(asked: Sequence[int], left: float) -> list[int | Exception]:
        nonlocal under_way, most_under_way
        with lock:
            under_way += 1
            most_under_way = max(most_under_way, under_way)
            sizes.append(len(asked))
        time.sleep(0.001)
        with lock:
            under_way -= 1
        if 13 in asked:
            raise LookupError
        return [ValueError() if each % 7 == 0 else 10 * each for each in asked]

    coalescer = Coalescer[int, int](ask, 5, 2)
    numbers = [number for number in range(200) if number != 13]
    results = at_once([lambda number=number: coalescer.get(number, 20) for number in numbers])
    for number, result in zip(numbers, results, strict=True):
        assert isinstance(result, ValueError) if number % 7 == 0 else result == 10 * number
    assert sum(sizes) == len(numbers)
    assert max(sizes) == 5
    assert most_under_way == 2
    with pytest.raises(LookupError):
        coalescer.get(13, 20)
    assert coalescer.get(1, 20) == 10


def test_an_interrupted_thread_keeps_nobody_waiting():
    """Ctrl-C in the thread that asks for others lets another one ask; none of them waits for ever."""
    begun, release, calls = threading.Event(), threading.Event(), []

    def ask(asked: Sequence[int], left: float) -> list[int | Exception]:
        calls.append(list(asked))
        if len(calls) == 1:
            begun.set()
            release.wait(20)
        if 3 in asked:
            raise KeyboardInterrupt
        return [10 * each for each in asked]

    coalescer = Coalescer[int, int](ask, 10, 1)
    results: dict[int, object] = {}

    def get(number: int) -> None:
        try:
            results[number] = coalescer.get(number, 20)
        except KeyboardInterrupt as interrupted:
            results[number] = interrupted

    threads = [threading.Thread(target=get, args=(number,)) for number in (0, 1, 2, 3)]
    threads[0].start()
    begun.wait(20)
    for thread in threads[1:]:
        thread.start()
        time.sleep(0.05)  # so that 3 stands last in the queue and leads the others
    release.set()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert isinstance(results.pop(3), KeyboardInterrupt)
    assert results == {0: 0, 1: 10, 2: 20}
    assert calls == [[0], [1, 2, 3], [1, 2]]
    assert coalescer.get(4, 20) == 40


def test_the_wait_in_the_queue_counts():
    """Who waited its whole deadline fails then, not later, and is not asked for; the others are answered."""
    begun, release, calls = threading.Event(), threading.Event(), []

    def ask(asked: Sequence[int], left: float) -> list[int | Exception]:
        calls.append((list(asked), left))
        begun.set()
        release.wait(20)
        return [10 * each for each in asked]

    coalescer = Coalescer[int, int](ask, 10, 1)
    results: dict[int, int] = {}
    others = [
        threading.Thread(target=lambda each=each: results.update({each: coalescer.get(each, 20)})) for each in (0, 2)
    ]
    others[0].start()
    begun.wait(20)
    others[1].start()
    with pytest.raises(TimeoutError):
        coalescer.get(1, 0.1)
    assert not release.is_set()  # it gave up while the call that it waited for was still under way
    release.set()
    for thread in others:
        thread.join(20)
    assert results == {0: 0, 2: 20}
    assert [asked for asked, _ in calls] == [[0], [2]]
    assert calls[1][1] < 20


def test_those_who_gave_up_lead_nobody():
    """A group whose leader is interrupted is handed on without those whose time is up meanwhile."""
    begun, release, calls = threading.Event(), threading.Event(), []

    def ask(asked: Sequence[int], left: float) -> list[int | Exception]:
        calls.append(list(asked))
        if len(calls) == 1:
            begun.set()
            release.wait(20)
        if len(calls) == 2:  # two's time is up while three asks for it, and then three is interrupted
            late.join(20)
            raise KeyboardInterrupt
        return [10 * each for each in asked]

    coalescer = Coalescer[int, int](ask, 10, 1)
    results: dict[int, object] = {}

    def get(number: int, timeout: float) -> None:
        try:
            results[number] = coalescer.get(number, timeout)
        except BaseException as error:  # noqa: BLE001 (looked at below)
            results[number] = type(error)

    first, one, late, leader = (
        threading.Thread(target=get, args=each) for each in ((0, 20), (1, 20), (2, 0.5), (3, 20))
    )
    first.start()
    begun.wait(20)
    for thread in (one, late, leader):
        thread.start()
        time.sleep(0.05)  # so that they stand in the queue in this order
    release.set()
    for thread in (first, one, late, leader):
        thread.join(20)
    assert results == {0: 0, 1: 10, 2: TimeoutError, 3: KeyboardInterrupt}
    assert calls == [[0], [1, 2, 3], [1]]
    assert coalescer.get(4, 20) == 40


def test_a_lookup_that_waits_too_long_is_unavailable(at, certs):
    """Lookups that queue behind slow ones fail at their deadline as one that the server did not answer in time."""
    index, address = at
    index.wait = 1.0
    nobody = LocalIdToken(bytes(32))
    with Client(address=address, certificates=certs / "exchange-cdes", timeout=0.3) as client:
        results = at_once([lambda: client.locate(nobody, TREAT)] * 5)
    assert [type(each) for each in results] == [ServiceUnavailable] * 5
    assert all("no answer within the deadline" in str(each) for each in results)
