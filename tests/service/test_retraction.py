"""Records that are taken back: gone from every lookup, back when they come again, and for good when erased."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.domain.changes import Selection
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, LocalIdToken
from mpi.domain.identity import Decision
from mpi.encoder.keys import KeyRing
from mpi.encoder.tokens import Tokeniser
from mpi.errors import Conflict
from mpi.index.projector import catch_up, verify
from mpi.index.tables import TABLES
from mpi.store.sql import Store
from tests.building import encoded, key_ring, raw, th_v1
from tests.databases import BACKENDS, Opener, database
from tests.service.centres import ACTOR, PERSON, STEWARD, Parts, joined

SOMCHAI = raw("นายสมชาย ใจดี", "1", **PERSON)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


@pytest.fixture(params=BACKENDS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    with database(request.param, tmp_path, th_v1().stored_digest) as opener:
        yield opener


@pytest.fixture
def at(opener: Opener, tmp_path: Path, ring: KeyRing) -> Iterator[Parts]:
    with joined(opener(), tmp_path / "index", (ring.current.name,)) as parts:
        yield parts
        assert verify(parts.index, parts.store) == []


def token(ring: KeyRing, local_id: str = "1") -> LocalIdToken:
    return Tokeniser(ring.current).local_id("10661", local_id)


def test_a_retracted_record_is_found_by_nothing(at, ring):
    """No number, local id or enterprise id leads to it, and nothing is compared with it."""
    (outcome,), _ = at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    assert at.registry.retract("10661", token(ring), ACTOR) == (True, 2)
    number = Tokeniser(ring.current).identifier(IdentifierKind.NATIONAL_ID, "1103702488992")
    for key in (token(ring), number, EnterpriseId(outcome.eid)):
        assert at.locator.locate(key) == ()
    of_records = set(TABLES) - {"state", "facilities"}
    assert {table: len(list(at.index.rows(table))) for table in of_records} == dict.fromkeys(of_records, 0)
    (twin,), _ = at.registry.register(encoded(ring, "HL001", SOMCHAI), ACTOR)
    assert twin.decision is Decision.NEW


def test_taking_back_twice_changes_nothing(at, ring):
    """A retraction that was carried out, or of what was never there, leaves the revision where it was."""
    at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    at.registry.retract("10661", token(ring), ACTOR)
    assert at.registry.retract("10661", token(ring), ACTOR) == (False, 2)
    assert at.registry.retract("10661", token(ring, "unknown"), ACTOR) == (False, 2)
    assert at.registry.retract("HL001", token(ring), ACTOR) == (False, 2)


def test_the_same_content_after_a_retraction_is_registered_again(at, ring):
    """What was taken back is not "unchanged" when it comes again."""
    records = encoded(ring, "10661", SOMCHAI)
    at.registry.register(records, ACTOR)
    at.registry.retract("10661", token(ring), ACTOR)
    (outcome,), revision = at.registry.register(records, ACTOR)
    assert (outcome.unchanged, revision) == (False, 3)
    assert len(at.locator.locate(token(ring))) == 1


def test_a_retraction_can_be_undone(at, ring):
    """A steward brings the record back where it was."""
    (outcome,), _ = at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    at.registry.retract("10661", token(ring), ACTOR)
    at.stewardship.undo(Selection(revisions=(2,)), STEWARD, "u")
    assert at.locator.locate(token(ring))[0].eid == outcome.eid


def test_an_erasure_is_for_good(at, ring):
    """Nothing brings an erased record back; its history is gone, and the log has no gap."""
    (outcome,), _ = at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    at.registry.register(encoded(ring, "HL001", SOMCHAI), ACTOR)
    assert at.registry.retract("10661", token(ring), ACTOR, erase=True) == (True, 3)
    for revision in (1, 3):
        with pytest.raises(Conflict):
            at.stewardship.undo(Selection(revisions=(revision,)), STEWARD, "u")
    view, _ = at.stewardship.identity(outcome.eid, 2)
    assert [member.location.facility for member in view.members] == ["HL001"]
    changes, head = at.stewardship.changes(Selection(), 0, 10)
    assert [change.revision for change in changes] == [1, 2, 3]
    assert head == 3
    (again,), _ = at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    assert again.eid == outcome.eid
    assert at.registry.retract("10661", token(ring), ACTOR, erase=True)[0]


def test_a_retracted_record_can_still_be_erased(at, ring):
    """Taking a record back first and erasing it later destroys its key as well."""
    at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    at.registry.retract("10661", token(ring), ACTOR)
    assert at.registry.retract("10661", token(ring), ACTOR, erase=True) == (True, 3)
    with pytest.raises(Conflict):
        at.stewardship.undo(Selection(revisions=(2,)), STEWARD, "u")
    assert at.store.content([1]) == {}


@pytest.mark.parametrize("behind", range(4))
def test_another_host_follows_an_erasure_from_anywhere(opener, tmp_path, ring, behind):
    """An index that stopped at any revision before an erasure ends up without the record, like every other."""
    with joined(opener(), tmp_path / "one", (ring.current.name,)) as one:
        one.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
        stopped = [(1, lambda: one.registry.register(encoded(ring, "HL001", SOMCHAI), ACTOR))]
        stopped += [
            (
                2,
                lambda: one.registry.register(
                    encoded(ring, "10661", raw("นายสมชาย ใจดี", "1", phone="0812345678", **PERSON)), ACTOR
                ),
            )
        ]
        with joined(opener(), tmp_path / "two", (ring.current.name,)) as two:
            for revision, work in stopped:
                if revision <= behind:
                    catch_up(two.index, two.store)
                work()
            if behind == 3:
                catch_up(two.index, two.store)
            one.registry.retract("10661", token(ring), ACTOR, erase=True)
            catch_up(two.index, two.store)
            assert two.locator.locate(token(ring)) == ()
            assert verify(two.index, two.store) == verify(one.index, one.store) == []


def test_an_erased_record_is_in_no_payload(at, ring):
    """Every payload of the store is tried with every key that can be had: only the other record's opens."""
    at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    at.registry.register(encoded(ring, "HL001", SOMCHAI), ACTOR)
    at.registry.retract("10661", token(ring), ACTOR, erase=True)
    assert sorted(change.revision for change in at.store.changes(0) if change.record) == [2]
    assert [live.number for live in _live(at.store)] == [2]


def _live(store: Store) -> list:
    with store.reading() as reading:
        return list(reading.records())
