"""A record that shows two identities to be one person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.domain.changes import Action, Selection
from mpi.domain.identifiers import EnterpriseId, IdentifierKind
from mpi.domain.identity import Decision, Registration
from mpi.domain.record import EncodedRecord
from mpi.encoder.keys import KeyRing
from mpi.encoder.tokens import Tokeniser
from mpi.index.projector import verify
from mpi.store.sql import Store, open_sqlite
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.service.centres import ACTOR, STEWARD, Parts, decided, joined, open_tasks

NUMBER = "1103702488992"
BORN = {"birth_date": "15/03/2525", "sex": "2"}
MAIDEN = raw("นางสาววรรณา ใจดี", "1", **BORN)
MARRIED = raw("นางวรรณา ศรีสุขสวัสดิ์", "2", national_id=NUMBER, **BORN)
BRIDGE = raw("นางสาววรรณา ใจดี", "3", national_id=NUMBER, **BORN)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


def store(folder: Path) -> Store:
    return open_sqlite(folder / "store.db", AT_REST, th_v1().stored_digest)


@pytest.fixture
def at(tmp_path: Path, ring: KeyRing) -> Iterator[Parts]:
    with joined(store(tmp_path), tmp_path / "index", (ring.current.name,)) as opened:
        yield opened


def register(at: Parts, *records: EncodedRecord, request: str = "r") -> list[Registration]:
    outcomes, _ = at.registry.register(records, ACTOR, request)
    assert all(isinstance(outcome, Registration) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Registration)]


@pytest.mark.parametrize("one_batch", [True, False])
def test_two_names_of_one_person_are_joined(at: Parts, ring: KeyRing, one_batch: bool) -> None:
    """Maiden and married name do not link by themselves; a record with the one's name and the other's number does."""
    records = encoded(ring, "10661", MAIDEN, MARRIED, BRIDGE)
    if one_batch:
        outcomes = register(at, *records)
    else:
        outcomes = [outcome for record in records for outcome in register(at, record)]
        assert outcomes[0].eid != outcomes[1].eid
    assert outcomes[2].decision is Decision.LINK
    first = outcomes[0].eid
    (identity,) = at.locator.locate(EnterpriseId(first))
    assert (identity.eid, len(identity.locations)) == (first, 3)
    if not one_batch:
        (retired,) = at.locator.locate(EnterpriseId(outcomes[1].eid))
        assert retired.eid == first  # what an exchange has written down goes on leading somewhere
    token = Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, NUMBER)
    assert [found.eid for found in at.locator.locate(token)] == [first]
    assert at.store.count() == (3, 1, 0)  # and nobody is asked any more whether they are one
    assert verify(at.index, at.store) == []


def test_the_log_says_why_and_takes_it_back(at: Parts, ring: KeyRing) -> None:
    """Joining is a change of its own, by the facility's call, and an undo of the call parts the two again."""
    one, two, three = encoded(ring, "10661", MAIDEN, MARRIED, BRIDGE)
    first, second = register(at, one)[0].eid, register(at, two)[0].eid
    register(at, three, request="bridge")
    changes, _ = at.stewardship.changes(Selection(request="bridge"), 0, 10)
    assert [getattr(change.event, "action", None) for change in changes] == [None, Action.JOIN]
    assert {change.cause.facility for change in changes if change.cause} == {"10661"}
    at.stewardship.undo(Selection(request="bridge"), STEWARD, "undo")
    assert [found.eid for eid in (first, second) for found in at.locator.locate(EnterpriseId(eid))] == [first, second]
    assert at.store.count()[:2] == (2, 2)
    assert verify(at.index, at.store) == []


def test_what_a_steward_parted_is_not_joined(at: Parts, ring: KeyRing) -> None:
    """A decision outranks every record that comes later."""
    one, two, three = encoded(ring, "10661", MAIDEN, MARRIED, BRIDGE)
    first, second = register(at, one)[0].eid, register(at, two)[0].eid
    merged = at.stewardship.merge(first, second, STEWARD, "r").eids[0]
    at.stewardship.split(merged, [[2]], STEWARD, "r")
    register(at, three)
    assert at.store.count()[0] == 3
    assert at.locator.locate(EnterpriseId(first)) != at.locator.locate(EnterpriseId(second))
    places = {place.facility for found in at.locator.locate(EnterpriseId(first)) for place in found.locations}
    assert places == {"10661"}
    assert at.store.count()[1] >= 2
    assert verify(at.index, at.store) == []


def test_two_numbers_are_two_persons(at: Parts, ring: KeyRing) -> None:
    """Identities with different national ids are never joined, whatever lies between them."""
    twin = raw("นางสาววรรณา ใจดี", "4", national_id="3101500012347", **BORN)
    first, second = (outcome.eid for outcome in register(at, *encoded(ring, "10661", BRIDGE, twin)))
    assert first != second
    (third,) = register(at, *encoded(ring, "HL001", MAIDEN))
    assert third.decision is Decision.REVIEW
    assert at.store.count()[1] == 3


def test_a_restart_finds_what_was_joined(tmp_path: Path, ring: KeyRing) -> None:
    """An index made anew from the log's end has the same identities."""
    with joined(store(tmp_path), tmp_path / "index", (ring.current.name,)) as at:
        eids = [
            outcome.eid
            for record in encoded(ring, "10661", MAIDEN, MARRIED, BRIDGE)
            for outcome in register(at, record)
        ]
    with joined(store(tmp_path), tmp_path / "other", (ring.current.name,)) as at:
        assert {found.eid for eid in eids for found in at.locator.locate(EnterpriseId(eid))} == {eids[0]}
        assert verify(at.index, at.store) == []


def test_a_question_is_asked_once(at: Parts, ring: KeyRing) -> None:
    """However many records raise it, in one batch or later: two identities are one task, and an answer is final."""
    someone = {"birth_date": "20/11/2510", "sex": "1", "national_id": NUMBER}
    rows = [raw("นายปรีชา ทองดี", str(number), **someone) for number in range(10, 14)]
    register(at, *encoded(ring, "10661", MARRIED))
    register(at, *encoded(ring, "10661", *rows[:2]))
    register(at, *encoded(ring, "10661", rows[2]))
    (task,) = open_tasks(at)
    decided(at, task.number, same=False)
    register(at, *encoded(ring, "10661", rows[3]))
    assert open_tasks(at) == []
    assert at.store.count()[:2] == (5, 2)
