"""The index beside the store: any damage is found, it is made anew under way, and it grows without a restart."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from mpi.domain.changes import Cause, Change, Placement
from mpi.domain.consent import Consent, Stance
from mpi.domain.identifiers import EnterpriseId, IdentifierKind, IdentifierToken, new_eid
from mpi.domain.identity import Decision
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import ChannelEncoding, EncodedDemographics, EncodedRecord
from mpi.encoder.keys import KeyRing
from mpi.errors import IndexBehind, IndexCorrupt
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up, project, rebuild, verify
from mpi.index.tables import TABLES, location_name
from mpi.store.sql import open_sqlite
from tests.building import AT_REST, encoded, key_ring, raw, th_v1
from tests.service.centres import ACTOR, PERSON, STEWARD, Parts, joined

ROOT = Path(__file__).parent.parent.parent
SOMCHAI = raw("นายสมชาย ใจดี", "1", **PERSON)
MALEE = raw("นางมาลี สีดา", "2", birth_date="04/09/2499", sex="2", national_id="3320100123459")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return key_ring(tmp_path)


@pytest.fixture
def at(tmp_path: Path, ring: KeyRing) -> Iterator[Parts]:
    store = open_sqlite(tmp_path / "store.db", AT_REST, th_v1().stored_digest)
    with joined(store, tmp_path / "index", (ring.current.name,)) as parts:
        yield parts


@pytest.fixture
def filled(at: Parts, ring: KeyRing) -> Parts:
    """Two identities, of which one was split off the other, and a retired one: every table has rows."""
    at.registry.register(encoded(ring, "10661", SOMCHAI, MALEE), ACTOR)
    at.registry.register(encoded(ring, "HL001", MALEE, SOMCHAI), ACTOR)
    (eid, other) = {at.stewardship.identity(each.eid)[0].eid for each in _live(at)}
    at.stewardship.merge(eid, other, STEWARD, "r")
    at.stewardship.unlink(3, STEWARD, "r")
    with at.store.transaction(Cause(STEWARD, "")) as transaction:
        for subject in (IdentifierToken(IdentifierKind.NATIONAL_ID, bytes(32)), 3):
            transaction.say([Consent(subject, "link", PurposeOfUse.TREAT, Stance.WITHDRAWN)])
    catch_up(at.index, at.store)
    assert verify(at.index, at.store) == []
    return at


def _live(at: Parts) -> list:
    with at.store.reading() as reading:
        return list(reading.records())


def edited(index: Index, table: str, row: tuple[bytes, bytes], instead: tuple[bytes, bytes] | None) -> None:
    """Change one row of the files behind the index's back."""
    with index.writing() as writer:
        writer._transaction.delete(*row, db=writer._tables[table])
        if instead:
            writer._transaction.put(*instead, db=writer._tables[table])


HOLDS = """
import sys, time
from pathlib import Path
from mpi.index.lmdb_index import Index
from tests.building import AT_REST
index = Index(Path(sys.argv[1]), AT_REST)
with index.reading() if sys.argv[2] == "reads" else index.writing() as held:
    held.revision()
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("what", ["reads", "writes"])
def test_a_process_that_died_holds_nothing(filled, monkeypatch, what):
    """Neither the lock of whoever writes, nor the pages as they were when it began to read, which nobody could free."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(filled.index.folder), what], stdout=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    held = [line for line in filled.index._env.readers().splitlines() if str(process.pid) in line]
    assert len(held) == (what == "reads")
    monkeypatch.setattr("mpi.index.lmdb_index.DEAD_SECONDS", 0.0)
    catch_up(filled.index, filled.store)
    filled.index.cover()
    assert str(process.pid) not in filled.index._env.readers()


@pytest.mark.parametrize("table", TABLES)
def test_any_single_difference_is_found(filled, table):
    """A row missing, a bit flipped in each part of one, and a row too many: all of them, in every table."""
    found = list(filled.index.rows(table))
    assert found
    for key, value in found[:3] + found[-2:]:
        for at in (0, len(value) // 2, len(value) - 1):
            flipped = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
            edited(filled.index, table, (key, value), (key, flipped))
            if table == "state":  # the index believes to be elsewhere, or nowhere
                with pytest.raises((AssertionError, IndexBehind, IndexCorrupt)):
                    assert verify(filled.index, filled.store) == []
            else:
                assert _only(verify(filled.index, filled.store), table)
            edited(filled.index, table, (key, flipped), (key, value))
    if table != "state":
        edited(filled.index, table, found[0], None)
        assert verify(filled.index, filled.store) == [
            f"{table}: 1 rows missing or damaged, 0 rows that should not be there"
        ]
        edited(filled.index, table, found[0], found[0])
        extra = (b"\xff" * len(found[0][0]), found[0][1])
        edited(filled.index, table, extra, extra)
        assert _only(verify(filled.index, filled.store), table)
        edited(filled.index, table, extra, None)
    assert verify(filled.index, filled.store) == []


def _only(findings: list[str], table: str) -> bool:
    return [finding.partition(":")[0] for finding in findings] == [table]


def test_an_index_is_made_anew_while_it_is_used(filled, ring, tmp_path):
    """Registrations and lookups go on during a rebuild, nothing that was committed is missing, readers follow."""
    stop, failures, eids = threading.Event(), [], []

    def register() -> None:
        number = 100
        while not stop.is_set():
            row = raw("นายวิชัย แก้วดี", str(number), birth_date=f"{number % 28 + 1}/07/2533", sex="1")
            try:
                (outcome,), _ = filled.registry.register(encoded(ring, "10661", row), ACTOR)
                eids.append(outcome.eid)
                if not filled.locator.locate(EnterpriseId(outcome.eid)):
                    failures.append(number)
            except Exception as error:  # noqa: BLE001 (any failure is one too many)
                failures.append(error)
            number += 1

    thread = threading.Thread(target=register)
    thread.start()
    before = (tmp_path / "index" / "data.mdb").stat().st_ino
    places = set()
    for _ in range(3):
        rebuild(tmp_path / "index", AT_REST, filled.store)
        places.add((tmp_path / "index" / "data.mdb").stat().st_ino)
    stop.set()
    thread.join(60)
    assert failures == []
    assert eids
    assert places - {before}
    assert verify(filled.index, filled.store) == []
    assert not (tmp_path / "index.new").exists()


def test_a_reader_under_way_keeps_its_snapshot_during_a_rebuild(filled, tmp_path):
    """Who reads the old index when the new one takes its place reads on."""
    with filled.index.reading() as reader:
        before = list(reader.rows("records"))
        rebuild(tmp_path / "index", AT_REST, filled.store)
        assert list(reader.rows("records")) == before
    assert list(filled.index.rows("records")) == before


def test_a_damaged_index_is_made_anew(filled, tmp_path, ring):
    """An index that cannot even be opened is replaced by a right one."""
    filled.index.close()
    (tmp_path / "index" / "data.mdb").write_bytes(b"damage" * 10_000)
    with pytest.raises(IndexCorrupt):
        Index(tmp_path / "index", AT_REST)
    rebuild(tmp_path / "index", AT_REST, filled.store)
    index = Index(tmp_path / "index", AT_REST)
    try:
        assert verify(index, filled.store) == []
    finally:
        index.close()


def test_a_gap_is_never_passed_over(at, ring):
    """Changes that do not follow on what the index holds are refused, and it stays as it was."""
    at.registry.register(encoded(ring, "10661", SOMCHAI), ACTOR)
    placement = Placement(7, new_eid(), "", Decision.NEW, None, "alone", "")
    with pytest.raises(IndexBehind):
        project(at.index, [Change(9, placement, at.store.content([1])[1])])
    assert verify(at.index, at.store) == []


def test_changes_that_are_there_already_are_passed_over(at, ring):
    """Two processes that carry the same changes over leave one state."""
    at.registry.register(encoded(ring, "10661", SOMCHAI, MALEE), ACTOR)
    assert project(at.index, at.store.changes(0)) == 2
    assert verify(at.index, at.store) == []


def many(first: int, count: int) -> list[Change]:
    """Changes of records that take some space."""
    changes = []
    for number in range(first, first + count):
        channels = tuple(
            ChannelEncoding(channel, (number * 7 + place).to_bytes(32, "big"), bytes([number % 256]) * 128)
            for place, channel in enumerate("ABCDE")
        )
        demographics = EncodedDemographics("th-v1", bytes(32), "1-00000000", (), channels)
        record = EncodedRecord("10661", number.to_bytes(32, "big"), b"pointer" * 20, demographics)
        changes.append(Change(number, Placement(number, new_eid(), "", Decision.NEW, None, "alone", ""), record))
    return changes


def is_read_at_random(file: Path) -> bool:
    """Say whether the kernel knows (VmFlags "rr", see proc(5)) that pages beside one that is read are of no use."""
    mappings = Path("/proc/self/smaps").read_text(encoding="utf-8").split("VmFlags:")
    (flags,) = (after for before, after in pairwise(mappings) if f"{file}\n" in before)
    return "rr" in flags.splitlines()[0].split()


def test_the_index_outgrows_its_address_space(tmp_path):
    """When what was reserved is full, more is reserved and the write is done, while others read."""
    index = Index(tmp_path / "index", AT_REST, map_bytes=1 << 18)
    try:
        assert is_read_at_random(tmp_path / "index" / "data.mdb")
        for batch in range(4):
            assert project(index, many(1 + 200 * batch, 200)) == 200 * (batch + 1)
        assert is_read_at_random(tmp_path / "index" / "data.mdb")
        assert len(list(index.rows("records"))) == 800
        assert (tmp_path / "index" / "data.mdb").stat().st_size > 1 << 18
    finally:
        index.close()


def test_a_key_that_leads_to_nobody_as_well_leads_to_somebody(at, ring):
    """Whoever is held is found, whatever else a damaged index says; where nobody is, one nobody stands for all."""
    (record,) = encoded(ring, "10661", SOMCHAI)
    at.registry.register([record], ACTOR)
    (key,) = at.gateway.identifiers(record.demographics.tokens[0])
    with at.index.reading() as reader:
        ((before,),) = reader.held([key])
    nobody = at.gateway.identifiers(IdentifierToken(IdentifierKind.NATIONAL_ID, bytes(32)))[0]
    with at.index.writing() as writer:
        for name, eids in ((key, 8), (nobody, 2)):
            for _ in range(eids):
                block = writer._sealer.record_value.seal_eid(new_eid())
                writer._transaction.put(location_name(writer._sealer, name), block, db=writer._tables["locations"])
    with at.index.reading() as reader:
        found, (none,) = reader.held([key, nobody])
    assert found == (before,)
    assert none.eid == ""


GROW = """
import sys
from pathlib import Path
from mpi.index.lmdb_index import Index
from mpi.index.projector import project
from tests.building import AT_REST
from tests.service.test_index import many
index = Index(Path(sys.argv[1]), AT_REST, map_bytes=1 << 18)
print(project(index, many(1, 600)))
"""


def test_another_process_may_outgrow_it(tmp_path):
    """What another process of the host has written beyond our address space is read and written on."""
    index = Index(tmp_path / "index", AT_REST, map_bytes=1 << 18)
    try:
        with index.reading() as reader:
            assert reader.revision() == 0
        done = subprocess.run(
            [sys.executable, "-c", GROW, str(tmp_path / "index")], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.stdout.strip() == "600", done.stderr
        with index.reading() as reader:
            assert reader.revision() == 600
        assert project(index, many(601, 10)) == 610
    finally:
        index.close()


def test_a_new_host_fills_its_index_from_the_log_or_the_state(filled, tmp_path):
    """Following the log from its beginning and filling from the state give the same rows."""
    index = Index(tmp_path / "another", AT_REST)
    try:
        catch_up(index, filled.store)
        for table in TABLES:
            assert list(index.rows(table)) == list(filled.index.rows(table))
    finally:
        index.close()
