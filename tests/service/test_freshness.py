"""When facilities registered last: noted whether anything changed or not, at little cost, and said of whom is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from mpi.domain.changes import Cause
from mpi.domain.consent import Asking
from mpi.domain.identifiers import EnterpriseId
from mpi.domain.purpose import PurposeOfUse
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up, rebuild, verify
from mpi.index.sealing import Sealer
from mpi.linkage.rekeying import Rekeying
from mpi.service.disclosure import Disclosure
from mpi.service.matching import Matching
from mpi.service.policy import load_policy
from mpi.service.registration import HEARD_SECONDS, Registry
from mpi.store.sql import Store
from mpi.v1 import identity_pb2
from mpi.wire import convert
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.databases import BACKENDS, postgres_database
from tests.service.centres import ACTOR, PERSON, Parts, joined, open_at

SOMCHAI = raw("นายสมชาย ใจดี", "1", **PERSON)
MALEE = raw("นางมาลี สีดา", "2", birth_date="04/09/2499", sex="2", national_id="3320100123459")
BEGIN = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)


class Clock:
    """The wall's clock and the steady one, which go together until somebody sets the wall's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds, self.wrong = 1000.0, timedelta()
        for module in ("mpi.store.facilities", "mpi.service.registration"):
            monkeypatch.setattr(f"{module}.datetime", self)

    def now(self, zone: object) -> datetime:
        return BEGIN + timedelta(seconds=self.seconds - 1000) + self.wrong

    def __call__(self) -> float:
        return self.seconds


class Here:
    """A centre whose registry has a clock of the test's."""

    def __init__(self, parts: Parts, clock: Clock, folder: Path) -> None:
        rules = th_v1()
        self.parts, self.clock, self.ring = parts, clock, key_ring(folder)
        matching = Matching(rules.profile, rules.model)
        self.registry = Registry(parts.gateway, parts.store, parts.index, matching, rules.model.digest, clock=clock)
        self.disclosure = Disclosure(parts.gateway, parts.index, parts.store, load_policy(), rules.model.digest)

    def register(self, facility: str, *rows: object) -> list:
        return self.registry.register(encoded(self.ring, facility, *(rows or (SOMCHAI,))), ACTOR)[0]

    def known(self, index: Index | None = None) -> dict[str, datetime]:
        with (index or self.parts.index).reading() as reader:
            found = reader.last_registrations(["10661", "HL001", "22222"])
        return told(found.values())


def told(ready: object) -> dict[str, datetime]:
    return convert.registrations_from_proto(map(identity_pb2.LastRegistration.FromString, ready))


@pytest.fixture(params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        yield open_at(str(tmp_path / "store.db"))
    else:
        with postgres_database() as url:
            yield open_at(url)


@pytest.fixture
def at(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    with joined(store, tmp_path / "index", (key_ring(tmp_path).current.name,)) as parts:
        yield Here(parts, Clock(monkeypatch), tmp_path)


def test_an_answer_says_when_its_facilities_registered(at):
    """Those whose records are in it and no other, also in a batch, from the same snapshot as the answer."""
    (outcome,) = at.register("10661")
    at.clock.seconds += 90
    at.register("HL001")
    at.clock.seconds += 90
    at.register("22222", MALEE)
    asking = Asking("urn:mpi:exchange:cdes", "", PurposeOfUse.TREAT)
    key = EnterpriseId(outcome.eid)
    found = at.disclosure.locate_all([key, EnterpriseId("0" * 8 + "-0000-0000-0000-" + "0" * 12)], [asking] * 2)
    assert told(found.registered.values()) == {"10661": BEGIN, "HL001": BEGIN + timedelta(seconds=90)}
    assert at.disclosure.locate_all([], []).registered == {}
    assert at.disclosure.break_glass(key, asking, "unconscious").registered == found.registered
    assert verify(at.parts.index, at.parts.store) == []


def test_registering_the_same_again_counts(at):
    """What a nightly feed sends again changes nothing, and still shows that the facility sends."""
    at.register("10661")
    head = at.parts.store.head()
    at.clock.seconds += HEARD_SECONDS + 1
    (again,) = at.register("10661")
    assert again.unchanged
    assert at.parts.store.head() == head
    assert at.known() == {"10661": BEGIN + timedelta(seconds=HEARD_SECONDS + 1)}
    assert verify(at.parts.index, at.parts.store) == []


def test_it_is_noted_once_a_minute_by_one_of_all_processes(at, monkeypatch):
    """Otherwise records that are unchanged would wait for their turn to write."""
    at.register("10661")
    other = Here(at.parts, at.clock, at.parts.index.folder.parent)
    monkeypatch.setattr(Store, "transaction", _never)
    at.clock.seconds += HEARD_SECONDS - 1
    for here in (at, other, other):
        assert here.register("10661")[0].unchanged
    assert at.known() == {"10661": BEGIN}


def _never(*_: object) -> None:
    raise AssertionError("a transaction was begun")


def test_who_only_follows_learns_of_it(at, tmp_path):
    """Another host's index has it from the store, without a change to carry over; so has one that is made anew."""
    theirs = Index(tmp_path / "theirs", AT_REST)
    at.register("10661")
    catch_up(theirs, at.parts.store)
    at.clock.seconds += 3600
    at.register("10661")
    assert at.known(theirs) == {"10661": BEGIN}
    catch_up(theirs, at.parts.store)
    assert at.known(theirs) == at.known() == {"10661": BEGIN + timedelta(hours=1)}
    assert verify(theirs, at.parts.store) == []
    rebuild(theirs.folder, AT_REST, at.parts.store)
    assert at.known(theirs) == at.known()
    theirs.close()


def test_a_clock_that_was_wrong_is_not_believed_for_ever(at):
    """A time that lies ahead is noted anew as soon as the clock is right again, everywhere."""
    at.clock.wrong = timedelta(days=400)
    at.register("10661")
    assert at.known() == {"10661": BEGIN + timedelta(days=400)}
    at.clock.wrong = timedelta()
    other = Here(at.parts, at.clock, at.parts.index.folder.parent)
    assert other.register("10661")[0].unchanged
    assert at.known() == {"10661": BEGIN}


def test_what_is_refused_or_rolled_back_does_not_count(at, monkeypatch):
    """A batch without one record that is taken says nothing of its facility; nor does one that failed."""
    (record,) = encoded(key_ring(at.parts.index.folder.parent / "others"), "10661", SOMCHAI)
    at.registry.register([record], ACTOR)
    assert at.known() == {}
    with monkeypatch.context() as patched:
        patched.setattr(Rekeying, "vectors", _never)
        with pytest.raises(AssertionError):
            at.register("10661")
    assert at.known() == {}
    at.register("10661")
    assert at.known() == {"10661": BEGIN}


def test_a_commit_that_was_not_carried_over_is_not_lost(at, monkeypatch):
    """Whoever writes next brings it into the index."""
    with monkeypatch.context() as patched:
        patched.setattr("mpi.service.registration.project", _never)
        with pytest.raises(AssertionError):
            at.register("10661")
    assert at.known() == {}
    at.clock.seconds += 5
    at.register("HL001")
    assert at.known() == {"10661": BEGIN, "HL001": BEGIN + timedelta(seconds=5)}
    with at.parts.store.transaction(Cause(ACTOR, "")) as transaction:
        assert [each.turn for each in transaction.last_registrations()] == [1, 2]


def test_lookups_ask_the_database_nothing(at):
    """Neither for whom is found nor for when facilities registered; nor do they write to the index."""
    (outcome,) = at.register("10661")
    keys = [EnterpriseId(outcome.eid), EnterpriseId("0" * 8 + "-0000-0000-0000-" + "0" * 12)] * 100
    asked: list[str] = []
    listener = (at.parts.store._engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    before = at.parts.index._env.info()["last_txnid"]
    event.listen(*listener)
    found = at.disclosure.locate_all(keys, [Asking("urn:mpi:exchange:cdes", "", PurposeOfUse.TREAT)] * len(keys))
    event.remove(*listener)
    assert len(found.answers) == 200
    assert [len(each) for each in found.answers[:2]] == [1, 0]
    assert asked == []
    assert at.parts.index._env.info()["last_txnid"] == before


def test_who_is_asked_for_often_is_read_once_whether_there_or_not(at, monkeypatch):
    """A batch of one key a thousand times must not take longer for nobody than for somebody hidden."""
    (outcome,) = at.register("10661")
    somebody, nobody = EnterpriseId(outcome.eid), EnterpriseId("0" * 8 + "-0000-0000-0000-" + "0" * 12)
    opened = list[bytes]()
    open_values = Sealer.open_all

    def counted(sealer: Sealer, rows: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        opened.extend(key for key, _ in rows)
        return open_values(sealer, rows)

    monkeypatch.setattr(Sealer, "open_all", counted)
    counts = []
    for key in (somebody, nobody):
        opened.clear()
        with at.parts.index.reading() as reader:
            assert len(reader.held([key] * 1000)) == 1000
        counts.append(len(opened))
    assert counts == [1, 1]
