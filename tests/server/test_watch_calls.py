"""Feeds of changes and streams of lookups over real sockets: resumed, refused, ended, and read slowly or not at all."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import pytest

from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig, TlsFiles
from mpi.domain.accounting import Access
from mpi.domain.consent import Asking
from mpi.domain.identifiers import EnterpriseId, LocalIdToken
from mpi.domain.record import EncodedRecord
from mpi.domain.watching import EventKind, IdentityEvent, Wanted, Watched
from mpi.errors import (
    AccessDenied,
    IndexBehind,
    InputRejected,
    MpiError,
    RateLimited,
    Reason,
    RecordRejected,
    ServiceUnavailable,
    StoreUnusable,
)
from mpi.server import edge as server_edge
from mpi.server import tls as server_side_tls
from mpi.server import watches
from mpi.server.app import Application
from mpi.server.bootstrap import application, open_store
from mpi.server.certs import issue_dev_certificates
from mpi.server.limits import Guard, Limits
from mpi.service.cursors import Cursors
from mpi.service.keys import read_service_keys
from mpi.v1 import locator_service_pb2 as pb2
from mpi.wire import convert
from mpi.wire import watching as wire
from mpi.wire.status import from_wire
from tests.building import encoded, key_ring, raw
from tests.server.running import MemoryIndex, running, server_tls
from tests.server.running import encoded as in_memory
from tests.server.test_access import serial_of

TREAT, BTG, HRESCH = PurposeOfUse.TREAT, PurposeOfUse.BTG, PurposeOfUse.HRESCH
CDES = "urn:mpi:exchange:cdes"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    issue_dev_certificates(folder, ["10661"], ["cdes", "paotang"], ["somchai"], {"privacy-officer": ["pim"]})
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages leave soon, and empty ones too."""
    monkeypatch.setattr(watches, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(watches, "STILL_SECONDS", 0.1)
    monkeypatch.setattr(watches, "WAIT_SECONDS", 0.2)


@dataclass
class Centre:
    """Where a centre lies, to be served once or several times."""

    folder: Path
    certs: Path
    accesses: list[Access] = field(default_factory=list)

    @contextmanager
    def serving(self, listen: str = "127.0.0.1:0", tls: TlsFiles | None = None) -> Iterator[str]:
        """Serve it until the block ends."""
        ring = key_ring(self.folder)
        store = StoreConfig(self.folder / "data", self.folder / "secret/service.json", "th-v1")
        with application(ServerConfig(store, "", (ring.current.name,), None)) as parts:
            noted = _Noting(parts, self.accesses)
            with running(replace(parts, journal=noted), tls or server_tls(self.certs), listen) as address:
                yield address

    def client(self, address: str, name: str = "exchange-cdes") -> Client:
        """Connect as a client."""
        return Client(address=address, certificates=self.certs / name)

    def record(self, turn: int, facility: str = "10661") -> EncodedRecord:
        """A facility's record of somebody, as encoded there."""
        row = raw("นายสมชาย ใจดี", str(turn), birth_date=f"{turn % 28 + 1}/03/2525", sex="1")
        (record,) = encoded(key_ring(self.folder), facility, row)
        return record

    def cursor(self, client: str, revision: int) -> bytes:
        """A cursor that this centre could have given."""
        store = StoreConfig(self.folder / "data", self.folder / "secret/service.json", "th-v1")
        with open_store(store) as held:
            cursors = Cursors(read_service_keys(store.service_key).pseudonyms)
            return cursors.seal(client, held.lineage(), revision)


class _Noting:
    """Keeps what the journal is told."""

    def __init__(self, parts: Application, accesses: list[Access]) -> None:
        self._journal, self._accesses = parts.journal, accesses

    def check(self) -> None:
        self._journal.check()

    async def write(self, access: Access) -> None:
        await self._journal.write(access)
        self._accesses.append(access)

    def put(self, accesses: Sequence[Access]) -> asyncio.Future[None]:
        self._accesses += accesses
        return self._journal.put(accesses)

    def note(self, access: Access) -> None:
        self._journal.note(access)
        self._accesses.append(access)


@pytest.fixture
def centre(tmp_path: Path, certs: Path) -> Centre:
    return Centre(tmp_path, certs)


def events_of(pages: Iterator[Watched], wanted: int) -> list[IdentityEvent]:
    """Take pages until so many events have come."""
    found: list[IdentityEvent] = []
    while len(found) < wanted:
        found += next(pages).events
    return found


def raised(call: Callable[[], object]) -> MpiError:
    with pytest.raises(MpiError) as caught:
        call()
    return caught.value


def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        time.sleep(0.02)
    pytest.fail("it did not come to that in time")


class TestFeed:
    """A real centre, over mutual TLS."""

    def test_an_event_names_who_is_found_by_it(self, centre):
        """The id is the client's own; opening and every page have their entries, and name nobody who was not told."""
        with (
            centre.serving() as at,
            centre.client(at) as exchange,
            centre.client(at, "facility-10661") as facility,
            closing(exchange.watch(TREAT)) as pages,
        ):
            assert next(pages).events == ()
            revision = facility.register(centre.record(1)).revision
            (told,) = events_of(pages, 1)
            assert (told.kind, told.source, told.facilities) == (EventKind.LINK, "", ("10661",))
            (found,) = exchange.locate(EnterpriseId(told.eid), TREAT, revision).identities
            assert found.eid == told.eid
        entries = [access for access in centre.accesses if access.call == "LocatorService/WatchIdentities"]
        assert (entries[0].status, entries[0].results, entries[0].identities) == ("OK", 0, ())
        (page,) = (entry for entry in entries if entry.results)
        assert (page.purpose, page.basis, page.caller) == ("TREAT", "statutory:mor-prom", CDES)
        looked_up = next(access for access in centre.accesses if access.call == "LocatorService/Locate")
        assert page.identities == looked_up.identities
        assert len({entry.request for entry in entries}) == 1

    def test_a_feed_goes_on_where_the_server_was_started_again(self, centre):
        """The same pages go on over the restart: nothing is missing, nothing comes twice."""
        found: list[IdentityEvent] = []
        with centre.serving() as at, centre.client(at) as exchange, closing(exchange.watch(TREAT)) as pages:
            next(pages)
            with centre.client(at, "facility-10661") as facility:
                eids = []
                for turn in range(3):
                    facility.register(centre.record(turn))
                found += events_of(pages, 3)
            late = exchange.watch(TREAT, b"", Wanted(frozenset({EventKind.MERGE})))
            cursor = next(late).cursor
            late.close()
        with centre.serving(at) as at, centre.client(at) as exchange:
            with centre.client(at, "facility-10661") as facility:
                for turn in range(3, 6):
                    facility.register(centre.record(turn))
            with closing(exchange.watch(TREAT, cursor)) as pages:
                found += events_of(pages, 3)
                assert next(pages).events == ()
            eids = [exchange.locate(LocalIdToken(centre.record(turn).local_id_token), TREAT) for turn in range(6)]
            assert [event.eid for event in found] == [located.identities[0].eid for located in eids]

    def test_the_client_opens_a_broken_feed_again_by_itself(self, centre):
        """It waits while the server is away, and takes up the thread at the same address."""
        found: list[IdentityEvent] = []
        enough = threading.Semaphore(0)

        def watch(at: str) -> None:
            with centre.client(at) as exchange, closing(exchange.watch(TREAT)) as pages:
                for page in pages:
                    found.extend(page.events)
                    for _ in range(1 + len(page.events)):
                        enough.release()
                    if len(found) == 4:
                        return

        with centre.serving() as at:
            thread = threading.Thread(target=watch, args=(at,))
            thread.start()
            assert enough.acquire(timeout=20)
            with centre.client(at, "facility-10661") as facility:
                for turn in range(2):
                    facility.register(centre.record(turn))
            until(lambda: len(found) == 2)
        with centre.serving(at), centre.client(at, "facility-10661") as facility:
            for turn in range(2, 4):
                facility.register(centre.record(turn))
            thread.join(60)
        assert not thread.is_alive()
        assert len({event.eid for event in found}) == len(found) == 4

    def test_a_server_that_stays_away_is_told(self, centre):
        """After the patience of the caller; until then the feed waits."""
        with centre.serving() as at:
            exchange = centre.client(at)
            pages = exchange.watch(TREAT, patience=0.5)
            next(pages)
        with exchange, closing(pages):
            assert isinstance(raised(lambda: list(pages)), ServiceUnavailable)

    def test_hidden_changes_leave_no_mark(self, centre):
        """Pages without events come as before, all alike in size, and their cursors lead past what was hidden."""
        with (
            centre.serving() as at,
            centre.client(at) as exchange,
            centre.client(at, "facility-10661") as facility,
            centre.client(at, "privacy-officer-pim") as officer,
        ):
            (record,) = encoded(key_ring(centre.folder), "10661", raw("นายสมชาย ใจดี", "1", birth_date="15/03/2525",
                                sex="1", national_id="1103702488992"))  # fmt: skip
            officer.withdraw_consent(record.demographics.tokens[0], "mor-prom", [TREAT])
            with closing(exchange.watch(TREAT)) as pages:
                quiet = [next(pages) for _ in range(3)]
                facility.register(record)
                facility.retract("10661", LocalIdToken(record.local_id_token))
                busy = [next(pages) for _ in range(4)]
            assert {page.events for page in quiet + busy} == {()}
            assert len({len(page.cursor) for page in quiet + busy}) == 1
            assert len({page.cursor for page in quiet + busy}) == 7
            facility.register(centre.record(2))
            with closing(exchange.watch(TREAT, busy[-1].cursor)) as pages:
                assert len(events_of(pages, 1)) == 1

    def test_cursors_that_lead_nowhere(self, centre):
        """Forged, another client's, cut, or ahead of the index: told apart only as far as it helps."""
        with (
            centre.serving() as at,
            centre.client(at) as exchange,
            centre.client(at, "exchange-paotang") as other,
            centre.client(at, "facility-10661") as facility,
        ):
            facility.register(centre.record(1))
            with closing(exchange.watch(TREAT)) as pages:
                cursor = next(pages).cursor
            for client, said in ((other, cursor), (exchange, cursor[:-1]), (exchange, b"x"), (exchange, bytes(57))):
                error = raised(lambda client=client, said=said: next(client.watch(TREAT, said)))
                assert isinstance(error, RecordRejected)
                assert (error.reason, error.field) == (Reason.REQUEST_INVALID, "cursor")
            ahead = centre.cursor(CDES, 1000)
            error = raised(lambda: next(exchange.watch(TREAT, ahead, patience=0.3)))
            assert isinstance(error, IndexBehind)

    def test_what_cannot_be_watched(self, centre):
        """BTG, no purpose, kinds and codes that are none, and a role that may not."""
        with centre.serving() as at, centre.client(at) as exchange, centre.client(at, "facility-10661") as facility:
            for client, purpose, wanted, reason in (
                (exchange, BTG, Wanted(), Reason.REQUEST_INVALID),
                (exchange, TREAT, Wanted(facilities=frozenset({"no code"})), Reason.REQUEST_INVALID),
                (facility, TREAT, Wanted(), Reason.ROLE_MISSING),
            ):
                feed = client.watch(purpose, b"", wanted)
                assert raised(lambda feed=feed: next(feed)).reason is reason
            for request in (pb2.WatchIdentitiesRequest(), pb2.WatchIdentitiesRequest(purpose=1, kinds=[99])):
                with pytest.raises(grpc.RpcError) as caught:
                    next(exchange._channel.locator.WatchIdentities(request))
                assert from_wire(caught.value).reason in {Reason.PURPOSE_MISSING, Reason.REQUEST_INVALID}


@dataclass(frozen=True)
class Page:
    """A page of a feed that is made up."""

    events: tuple[IdentityEvent, ...]
    revision: int


class MadeUp(MemoryIndex):
    """A centre in memory whose every revision is a page of many events."""

    def __init__(self, last: int, facilities: int = 0) -> None:
        super().__init__()
        self.last = last
        self.facilities = tuple(f"{turn:05}" for turn in range(facilities))
        self.pages = 0
        self.away = False

    def revision(self) -> int:
        return self.last

    def opened(self, client: str, cursor: bytes) -> int:
        return int(cursor)

    def cursor(self, client: str, revision: int) -> bytes:
        return str(revision).encode()

    def page(self, asking: Asking, wanted: Wanted, after: int, *, outside: bool) -> Page:
        if self.away:
            raise StoreUnusable("the database does not answer as it should")
        self.pages += 1
        eids = (f"00000000-0000-0000-{turn:04}-{after + 1:012}" for turn in range(500))
        return Page(tuple(IdentityEvent(eid, "", EventKind.LINK, self.facilities) for eid in eids), after + 1)


@contextmanager
def made_up(
    certs: Path, last: int, tls: TlsFiles | None = None, facilities: int = 0
) -> Iterator[tuple[MadeUp, Client]]:
    index = MadeUp(last, facilities)
    with (
        running(index.application(), tls or server_tls(certs)) as at,
        Client(address=at, certificates=certs / "exchange-cdes") as client,
    ):
        yield index, client


class TestPace:
    """Made-up pages, to see when they leave and when they end."""

    def test_a_client_that_does_not_read_holds_a_few_pages_and_nobody_else(self, certs):
        """The server stops reading for it; lookups and another feed go on; then everything comes, in order."""
        with made_up(certs, 150, facilities=50) as (index, client):
            request = pb2.WatchIdentitiesRequest(purpose=1, cursor=b"0")
            lazy = client._channel.locator.WatchIdentities(request)
            held = -1
            while index.pages != held:
                held = index.pages
                time.sleep(0.5)
            assert held < 100  # of some 200 KB: what the connection holds
            client.locate(LocalIdToken(bytes(32)), TREAT)
            with closing(client.watch(TREAT, b"149")) as other:
                assert len(events_of(other, 500)) == 500
            found = []
            while len(found) < 150 * 500:
                found += [event.eid for event in next(lazy).events]
            lazy.cancel()
            assert [eid[-12:] for eid in found[::500]] == [f"{turn:012}" for turn in range(1, 151)]
            assert len(set(found)) == len(found)

    def test_a_database_that_is_away_is_waited_for(self, certs, caplog):
        """The feed stays open with empty pages at the same place, and then goes on; the log says so once."""
        with made_up(certs, 0) as (index, client), closing(client.watch(TREAT, b"0")) as pages:
            index.away, index.last = True, 1
            assert [next(pages).cursor for _ in range(4)] == [b"0"] * 4
            index.away = False
            assert len(events_of(pages, 500)) == 500
        assert caplog.text.count("changes cannot be told") == 1

    def test_a_client_may_open_a_few_feeds(self, certs):
        """One more is refused with the time to come back; when one ends, its place is free."""
        with made_up(certs, 0) as (_, client):
            feeds = [client.watch(TREAT) for _ in range(watches.WATCHES_OF_ONE)]
            for feed in feeds:
                next(feed)
            assert isinstance(raised(lambda: next(client.watch(TREAT))), RateLimited)
            feeds.pop().close()

            def free() -> bool:
                feed = client.watch(TREAT)
                try:
                    return next(feed).cursor == b"0"
                except RateLimited:
                    return False
                finally:
                    feed.close()

            until(free)
            for feed in feeds:
                feed.close()

    def test_opening_feeds_counts_as_looking_up(self, certs):
        """Who opens feeds again and again is stopped by the limit of lookups."""
        index = MadeUp(0)
        limited = replace(index.application(), guard=Guard(Limits(lookups=0.01, lookups_at_once=3.0)))
        with (
            running(limited, server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
        ):
            for _ in range(3):
                with closing(client.watch(TREAT)) as feed:
                    next(feed)
            assert isinstance(raised(lambda: next(client.watch(TREAT))), RateLimited)

    def test_a_server_that_stops_says_so_on_every_stream(self, certs):
        """Feeds, and streams that wait for their client's next batch, end with UNAVAILABLE."""
        ends: list[grpc.RpcError] = []
        with made_up(certs, 0) as (_, client):
            asked = threading.Event()
            calls = [
                client._channel.locator.WatchIdentities(pb2.WatchIdentitiesRequest(purpose=1)),
                client._channel.locator.LocateStream(_waiting(asked)),
            ]
            for call in calls:
                next(call)

            def end(call: Iterator[object]) -> None:
                try:
                    for _ in call:
                        pass
                except grpc.RpcError as error:
                    ends.append(error)

            threads = [threading.Thread(target=end, args=(call,)) for call in calls]
            for thread in threads:
                thread.start()
            client.close = lambda: None  # the server ends first
        for thread in threads:
            thread.join(20)
        asked.set()
        assert [error.code() for error in ends] == [grpc.StatusCode.UNAVAILABLE] * 2
        assert {error.details() for error in ends} == {"the server is stopping; go on elsewhere"}

    def test_a_revoked_certificate_ends_open_streams(self, tmp_path, certs, monkeypatch):
        """A feed that has nothing to tell, and a stream of lookups at its next batch."""
        monkeypatch.setattr(server_side_tls, "LOOK_SECONDS", 0)
        listed = tmp_path / "revoked.txt"
        listed.write_text("")
        with made_up(certs, 0, replace(server_tls(certs), revoked=listed)) as (index, client):
            feed = client.watch(TREAT)
            next(feed)
            keys = [LocalIdToken(bytes(32))]
            batches = _batches(lambda: listed.write_text(f"{serial_of(certs / 'exchange-cdes')}\n"), keys)
            stream = client.locate_stream(batches, TREAT)
            error = raised(lambda: list(stream))
            assert isinstance(error, AccessDenied)
            assert error.reason is Reason.CLIENT_UNKNOWN
            error = raised(lambda: list(feed))
            assert isinstance(error, AccessDenied)
            until(lambda: sum(access.reason == "CLIENT_UNKNOWN" for access in index.accesses) == 2)

    def test_a_purpose_that_is_taken_away_ends_the_feed(self, certs):
        """Decisions of the centre hold for feeds that are open."""
        index, decided = MadeUp(0), {}
        parts = index.application()
        ruled = replace(parts, rule_of=lambda urn: replace(parts.rule_of(urn), **decided))
        with (
            running(ruled, server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
            closing(client.watch(TREAT)) as feed,
        ):
            next(feed)
            decided["purposes"] = frozenset({HRESCH})
            assert raised(lambda: list(feed)).reason is Reason.PURPOSE_DENIED


def _waiting(asked: threading.Event) -> Iterator[pb2.LocateStreamRequest]:
    yield pb2.LocateStreamRequest(keys=[pb2.LocateKey(local_id_token=bytes(32))], purpose=1)
    asked.wait(30)


def _batches(then: Callable[[], object], keys: list[LocalIdToken]) -> Iterator[list[LocalIdToken]]:
    """One batch, then something happens, then more."""
    yield keys
    time.sleep(0.3)
    then()
    yield from [keys] * 5


def test_events_cross_the_wire_unchanged():
    """Every kind, with and without a source; one that this release does not know asks to look again."""
    for kind in EventKind:
        for source in ("", "b" * 36):
            event = IdentityEvent("a" * 36, source, kind, ("10661", "22222"))
            assert wire.event_from_proto(wire.event_to_proto(event)) == event
    later = pb2.IdentityEvent(kind=99, eid="a" * 36)  # type: ignore[arg-type]
    assert wire.event_from_proto(later) == IdentityEvent("a" * 36, "", EventKind.LOOK_AGAIN)
    wanted = Wanted(frozenset({EventKind.MERGE, EventKind.LINK}), frozenset({"10661"}))
    assert wire.wanted_from_proto(wire.request_to_proto(TREAT, b"c", wanted)) == wanted
    many = Wanted(facilities=frozenset(f"{turn:05}" for turn in range(1001)))
    with pytest.raises(RecordRejected) as caught:
        wire.wanted_from_proto(wire.request_to_proto(TREAT, b"", many))
    assert caught.value.reason is Reason.BATCH_TOO_LARGE


class TestLocateStream:
    """Batches over one stream, in memory."""

    def test_answers_come_in_order_with_an_entry_each(self, certs):
        """Two hundred batches of a generator; every batch is accounted for by itself under one request."""
        index = MemoryIndex()
        eids = []
        for turn in range(10):
            (registered,), _ = index.register([in_memory(turn)], "")
            eids.append(registered.eid)
        taken = []

        def batches() -> Iterator[list[LocalIdToken]]:
            for turn in range(200):
                taken.append(turn)
                yield [LocalIdToken(in_memory(turn % 10).local_id_token), LocalIdToken(bytes(32))]

        with (
            running(index.application(), server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
        ):
            for turn, located in enumerate(client.locate_stream(batches(), TREAT)):
                found, nobody = located.answers
                assert (found[0].eid, nobody) == (eids[turn % 10], ())
                assert len(taken) <= turn + 5  # read a few ahead and no further
        assert turn == 199
        entries = [access for access in index.accesses if access.call == "LocatorService/LocateStream"]
        # The client hangs up when it has its answers, and the server may notice that before the end of the batches.
        answered = [(each.status, each.results, each.purpose) for each in entries if each.status != "CANCELLED"]
        assert answered == [("OK", 1, "TREAT")] * 200
        assert len({each.request for each in entries}) == 1

    def test_a_bad_batch_stops_nothing(self, certs, monkeypatch):
        """A malformed key, a whole batch without purpose, one that asks for a revision that does not come."""
        index = MemoryIndex()
        index.register([in_memory(1)], "")
        good = pb2.LocateKey(local_id_token=in_memory(1).local_id_token)
        ahead = convert.revision_to_token(9)
        requests = [
            pb2.LocateStreamRequest(keys=[good, pb2.LocateKey(eid="nonsense")], purpose=1),
            pb2.LocateStreamRequest(keys=[good, good]),
            pb2.LocateStreamRequest(keys=[good], purpose=1, at_least=b"nonsense"),
            pb2.LocateStreamRequest(keys=[good], purpose=3),
            pb2.LocateStreamRequest(keys=[good], purpose=1, at_least=ahead),
            pb2.LocateStreamRequest(purpose=1),
            pb2.LocateStreamRequest(keys=[good], purpose=1),
        ]
        monkeypatch.setattr("mpi.server.locating.WAIT_WITHOUT_DEADLINE", 0.05)
        with (
            running(index.application(), server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
        ):
            answers = list(client._channel.locator.LocateStream(iter(requests)))
        named = [[convert.located_from_proto(outcome) for outcome in answer.outcomes] for answer in answers]
        reasons = [
            [each.reason if isinstance(each, RecordRejected) else len(each) for each in batch] for batch in named
        ]
        missing, invalid = Reason.PURPOSE_MISSING, Reason.REQUEST_INVALID
        behind = Reason.INDEX_BEHIND
        assert reasons == [[1, invalid], [missing, missing], [invalid], [invalid], [behind], [], [1]]

    def test_too_large_a_batch_ends_the_stream(self, certs):
        """So many errors would be as large; what came before was answered."""
        index = MemoryIndex()
        with (
            running(index.application(), server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
        ):
            stream = client.locate_stream([[LocalIdToken(bytes(32))], [LocalIdToken(bytes(32))] * 1001], TREAT)
            assert next(stream).answers == ((),)
            error = raised(lambda: next(stream))
            assert isinstance(error, InputRejected)
            assert error.reason is Reason.BATCH_TOO_LARGE

    def test_limits_slow_a_stream_down(self, certs):
        """Where the limit lets it go on a moment later, the stream waits; where somebody guesses, it ends."""
        index = MemoryIndex()
        index.register([in_memory(1)], "")
        known, nobody = LocalIdToken(in_memory(1).local_id_token), LocalIdToken(bytes(32))
        limits = Limits(lookups=100.0, lookups_at_once=10.0, misses=0.01, misses_at_once=2.0)
        guard = Guard(limits)
        with (
            running(replace(index.application(), guard=guard), server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
        ):
            assert len(list(client.locate_stream([[known] * 10] * 4, TREAT))) == 4
            assert guard.refused["lookups"] > 0
            with pytest.raises(RateLimited):
                list(client.locate_stream([[nobody] * 3] * 3, TREAT))

    def test_a_stream_whose_client_falls_silent_ends(self, certs, monkeypatch):
        """One that never sends must not hold a place for ever."""
        monkeypatch.setattr(server_edge, "IDLE_SECONDS", 0.2)
        asked = threading.Event()
        with (
            running(MemoryIndex().application(), server_tls(certs)) as at,
            Client(address=at, certificates=certs / "exchange-cdes") as client,
        ):
            call = client._channel.locator.LocateStream(_waiting(asked))
            next(call)
            with pytest.raises(grpc.RpcError) as caught:
                next(call)
            asked.set()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "open it again" in caught.value.details()

    def test_a_signal_ends_a_stream_that_waits(self):
        """SIGTERM tells the client to go on elsewhere, and the server stops as if nobody had been there."""
        command = [sys.executable, "-m", "tests.server.running"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
            assert server.stdout is not None
            asked = threading.Event()
            with Client(address=server.stdout.readline().strip()) as client:
                call = client._channel.locator.LocateStream(_waiting(asked))
                next(call)
                server.terminate()
                with pytest.raises(grpc.RpcError) as caught:
                    next(call)
                asked.set()
            assert server.wait(20) == 0
        assert (caught.value.code(), caught.value.details()) == (
            grpc.StatusCode.UNAVAILABLE,
            "the server is stopping; go on elsewhere",
        )
