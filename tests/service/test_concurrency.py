"""Several processes at once, and several hosts: one person has one identity, and every index tells the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpi.domain.identifiers import EnterpriseId
from mpi.encoder.tokens import Tokeniser
from mpi.index.projector import Follower, catch_up, verify
from tests.building import encoded, key_ring, raw
from tests.databases import BACKENDS, postgres_database
from tests.service.centres import ACTOR, PERSON, joined, open_at

ROOT = Path(__file__).parent.parent.parent
PROCESSES, PERSONS = 3, 5
SOMCHAI = raw("นายสมชาย ใจดี", "1", **PERSON)


@pytest.fixture(params=BACKENDS)
def place(request, tmp_path):
    """Where a fresh store is: a path or a URL."""
    if request.param == "sqlite":
        yield str(tmp_path / "store.db")
    else:
        with postgres_database() as url:
            yield url


@pytest.mark.parametrize("shared", [True, False], ids=["one host", "several hosts"])
def test_processes_that_register_one_person_at_once_make_one_identity(place, tmp_path, shared):
    """Real processes, started on the tick of the clock, agree on who is who, on one index or on one each."""
    ring = key_ring(tmp_path)
    open_at(place).close()
    start = time.time() + 3
    folders = [tmp_path / "index" if shared else tmp_path / f"index-{number}" for number in range(PROCESSES)]
    arguments = [place, None, str(tmp_path / "keys"), str(start), str(PERSONS)]
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.service.centres",
                *(str(folder) if each is None else each for each in arguments),
                str(number),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for number, folder in enumerate(folders)
    ]
    answers = []
    for process in running:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        answers.append(json.loads(out))
    for eids in zip(*answers, strict=True):
        assert len(set(eids)) == 1
    with joined(open_at(place), folders[0], (ring.current.name,)) as at:
        assert at.store.count()[:2] == (PROCESSES * PERSONS, PERSONS)
        assert [change.revision for change in at.store.changes(0)] == list(range(1, PROCESSES * PERSONS + 1))
        assert verify(at.index, at.store) == []


def test_another_host_follows(place, tmp_path):
    """What one host registers is found on another one, which only follows the log."""
    ring = key_ring(tmp_path)
    with (
        joined(open_at(place), tmp_path / "one", (ring.current.name,)) as one,
        joined(open_at(place), tmp_path / "two", (ring.current.name,)) as two,
    ):
        follower = Follower(two.index, two.store, 0.01)
        try:
            (outcome,), revision = one.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
            until = time.monotonic() + 20
            while two.locator.revision() < revision and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            follower.close()
        assert two.locator.locate(EnterpriseId(outcome.eid)) == one.locator.locate(EnterpriseId(outcome.eid)) != ()


def test_an_unchanged_record_is_answered_with_a_revision_that_holds_it(place, tmp_path):
    """A host that has not followed yet knows from the store that a record is there; its token says what to wait for."""
    ring = key_ring(tmp_path)
    records = encoded(ring, "10661", SOMCHAI)
    with (
        joined(open_at(place), tmp_path / "one", (ring.current.name,)) as one,
        joined(open_at(place), tmp_path / "two", (ring.current.name,)) as two,
    ):
        _, revision = one.registry.register(records, ACTOR)
        (outcome,), token = two.registry.register(records, ACTOR)
        assert outcome.unchanged
        assert two.locator.revision() < revision == token


def test_a_commit_that_was_never_carried_over_is_healed(place, tmp_path, monkeypatch):
    """A process that dies between its commit and the index leaves nothing out: the next one sees it at its start."""
    ring = key_ring(tmp_path)
    with joined(open_at(place), tmp_path / "index", (ring.current.name,)) as at:
        with monkeypatch.context() as patched:
            patched.setattr("mpi.service.registration.project", _dies)
            with pytest.raises(KeyboardInterrupt):
                at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
        assert at.store.head() == 1
        assert at.locator.revision() == 0
        (outcome,), _ = at.registry.register(encoded(ring, "HL001", SOMCHAI), ACTOR)
        assert at.store.count()[:2] == (2, 1), "whoever writes next brings the index up first"
        with monkeypatch.context() as patched:
            patched.setattr("mpi.service.registration.project", _dies)
            with pytest.raises(KeyboardInterrupt):
                at.registry.register(encoded(ring, "11111", SOMCHAI), ACTOR)
    with joined(open_at(place), tmp_path / "index", (ring.current.name,)) as at:
        assert len(at.locator.locate(EnterpriseId(outcome.eid))[0].locations) == 3
        assert verify(at.index, at.store) == []


def _dies(*_) -> None:
    raise KeyboardInterrupt


def test_what_was_acknowledged_outlives_a_kill(place, tmp_path):
    """A process that is killed amid its work leaves every record that it acknowledged, and a right index."""
    ring = key_ring(tmp_path)
    program = [sys.executable, "-m", "tests.service.centres", place, str(tmp_path / "index"), str(tmp_path / "keys")]
    said: list[str] = []
    for least in (10, 25):
        with subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said += [process.stdout.readline() for _ in range(least)]
            process.kill()
            said += [line for line in process.stdout if line.endswith("\n")]
    tokens = Tokeniser(ring.current)
    with joined(open_at(place), tmp_path / "index", (ring.current.name,)) as at:
        assert verify(at.index, at.store) == []
        for number, eid in map(str.split, said):
            assert [each.eid for each in at.locator.locate(tokens.local_id("10661", number))] == [eid]
        assert [change.revision for change in at.store.changes(0)] == list(range(1, at.store.head() + 1))


def test_lookups_go_on_while_the_database_is_down(tmp_path):
    """The index answers by itself; the thread that follows the store says so once and goes on trying."""
    ring = key_ring(tmp_path)
    with joined(open_at(str(tmp_path / "store.db")), tmp_path / "index", (ring.current.name,)) as at:
        (outcome,), _ = at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
        at.store.close()
        (tmp_path / "store.db").rename(tmp_path / "away.db")
        (tmp_path / "store.db").mkdir()
        follower = Follower(at.index, at.store, 0.01)
        assert len(at.locator.locate(EnterpriseId(outcome.eid))) == 1
        (tmp_path / "store.db").rmdir()
        (tmp_path / "away.db").rename(tmp_path / "store.db")
        assert catch_up(at.index, at.store) == 1
        follower.close()
