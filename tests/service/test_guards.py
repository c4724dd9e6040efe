"""What keeps the index from linking too much: identities and buckets that have grown too large."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.domain.identity import Decision
from mpi.domain.review import TaskStatus
from mpi.encoder.keys import KeyRing
from mpi.encoder.tokens import Tokeniser
from mpi.index.projector import verify
from mpi.service.backlog import Backlog
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.service.centres import ACTOR, Parts, joined, open_tasks

CAP = 3
BORN = {"birth_date": "15/03/2525", "sex": "1"}


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


@pytest.fixture
def at(tmp_path: Path, ring: KeyRing) -> Iterator[Parts]:
    """A centre that reads buckets of three rows at most."""
    store = open_sqlite(tmp_path / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, tmp_path / "index", (ring.current.name,), bucket_cap=CAP) as parts:
        yield parts
        assert verify(parts.index, parts.store) == []


def waiting(at: Parts) -> list[int]:
    with at.store.reading() as reading:
        return [held.task.record for held in reading.tasks(TaskStatus.WAITING)]


def same(local_id: str, **changes: str):
    return raw("นายสมชาย ใจดี", local_id, **{**BORN, **changes})


def test_a_full_bucket_links_nobody_and_is_worked_off(at, ring):
    """Beyond the cap a record is placed by itself, counted and put off; comparing it later asks a person."""
    for number in range(CAP + 1):
        at.registry.register(encoded(ring, f"1066{number}", same("1")), ACTOR)
    records, identities, _ = at.store.count()
    assert (records, identities) == (CAP + 1, 1), "up to the cap the same person is linked"
    (outcome,), _ = at.registry.register(encoded(ring, "HL001", same("9")), ACTOR)
    assert outcome.decision is Decision.NEW
    assert sum(count for (what, _), count in at.registry.counts.items() if what == "deferred") >= 1
    assert waiting(at) == [CAP + 2]
    assert at.registry.work_off() == 1
    assert waiting(at) == []
    (task,) = open_tasks(at)
    assert (task.task.record, task.task.eid) == (CAP + 2, outcome.eid)
    assert task.task.rival
    assert task.task.why == "bucket_full"
    assert at.registry.work_off() == 0


def test_a_number_still_links_beside_a_full_bucket(at, ring):
    """What other evidence decides is not put off."""
    number = {"national_id": "1103702488992", "phone": "0812345678"}
    for facility in range(CAP + 1):
        at.registry.register(encoded(ring, f"1066{facility}", same("1", **number)), ACTOR)
    assert at.store.count()[:2] == (CAP + 1, 1)


def test_a_record_that_is_gone_is_not_compared(at, ring):
    """What was put off for a record that was retracted since is settled with it."""
    for number in range(CAP + 1):
        at.registry.register(encoded(ring, f"1066{number}", same("1")), ACTOR)
    at.registry.register(encoded(ring, "HL001", same("9")), ACTOR)
    at.registry.retract("HL001", Tokeniser(ring.current).local_id("HL001", "9"), ACTOR)
    assert waiting(at) == []
    assert at.registry.work_off() == 0


def test_the_backlog_works_off_by_itself(at, ring):
    """The server's thread takes up what waits without being asked."""
    for number in range(CAP + 2):
        at.registry.register(encoded(ring, f"1066{number}", same("1")), ACTOR)
    assert waiting(at)
    backlog = Backlog(at.registry, 0.01)
    until = time.monotonic() + 20
    while waiting(at) and time.monotonic() < until:
        time.sleep(0.02)
    backlog.close()
    assert waiting(at) == []


def test_an_identity_that_grew_too_large_takes_no_more(at, ring):
    """Past the number of members that the rules allow, a person must say so."""
    most = th_v1().model.decision.most_members
    eid = ""
    with joined(at.store, at.index.folder.with_name("wide"), (ring.current.name,)) as wide:
        for number in range(most):
            (outcome,), _ = wide.registry.register(
                encoded(ring, f"{10000 + number}", same("1", national_id="1103702488992")), ACTOR
            )
            eid = eid or outcome.eid
            assert outcome.eid == eid
        (outcome,), _ = wide.registry.register(encoded(ring, "HL001", same("1", national_id="1103702488992")), ACTOR)
    assert (outcome.decision, outcome.why) == (Decision.REVIEW, "too_many_members")
    assert outcome.eid != eid
