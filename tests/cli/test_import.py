"""`mpi import`: what was linked in one batch is held as if it had been registered, and registration goes on from it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import event

from mpi.cli import link, load
from mpi.config import load_gateway_config
from mpi.domain.changes import Placement, Selection
from mpi.domain.identifiers import IdentifierKind, IdentifierToken, LocalIdToken
from mpi.domain.identity import Decision, Registration
from mpi.domain.purpose import PurposeOfUse
from mpi.encoder.demographics import RawDemographics, normalize
from mpi.encoder.encoded_file import encoded_schema, read_encoded, to_batch, write_encoded
from mpi.encoder.encoder import Encoder
from mpi.encoder.keys import KeyRing, load_key_ring, new_key_ring
from mpi.errors import InputRejected
from mpi.index.lmdb_index import Index
from mpi.index.projector import catch_up, sampled, verify
from mpi.rules import load_rules, rule_file
from mpi.server.bootstrap import index_folder, keys_at_rest, open_store
from mpi.service.consent import Consents
from mpi.service.gateway import Gateway
from mpi.service.initial_load import LOAD_ACTOR, InitialLoad
from mpi.service.keys import open_service_keys
from mpi.service.matching import Matching
from mpi.service.policy import load_policy
from mpi.service.registration import Registry
from mpi.service.stewardship import Stewardship
from mpi.store.sql import Store
from tests.building import TODAY, encoded, raw
from tests.databases import BACKENDS, postgres_database

ACTOR = "urn:mpi:facility:10661"
PERSONS = 12
PER_GROUP = 3
ROOT = Path(__file__).parent.parent.parent


def person(number: int, local_id: str = "", **changes: str) -> RawDemographics:
    fields = {"birth_date": f"{number % 28 + 1}/03/2525", "sex": "1", "phone": f"08123456{number:02d}"} | changes
    return raw(f"นายสมชาย {['ใจดี', 'สีดา', 'ศรีสุข'][number % 3]}", local_id or str(number), **fields)


@dataclass(frozen=True)
class Population:
    """Two encoded files in row groups of a few records, and what `mpi link` made of them."""

    folder: Path
    keys: Path
    files: list[Path]
    clusters: Path

    @property
    def ring(self) -> KeyRing:
        return load_key_ring(self.keys)

    def rows(self) -> list[list[str]]:
        with self.clusters.open(encoding="utf-8") as file:
            return list(csv.reader(file))

    def write_rows(self, rows: Sequence[Sequence[str]], name: str = "other.csv") -> Path:
        path = self.folder / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
        return path


def write(path: Path, ring: KeyRing, facility: str, people: list[RawDemographics]) -> Path:
    encoder = Encoder(load_rules(rule_file("th-v1")).profile, ring, facility, TODAY)
    schema = encoded_schema(encoder.header, 128)
    rows = [(at, each.local_id, normalize(each, TODAY)) for at, each in enumerate(people, 1)]
    groups = (rows[at : at + PER_GROUP] for at in range(0, len(rows), PER_GROUP))
    write_encoded(path, schema, [pa.Table.from_batches([to_batch(encoder.columns(each), schema)]) for each in groups])
    return path


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Population:
    """Each person is at both facilities."""
    folder = tmp_path_factory.mktemp("linked")
    ring = new_key_ring(folder / "keys")
    everybody = [person(number) for number in range(PERSONS)]
    files = [write(folder / f"{facility}.parquet", ring, facility, everybody) for facility in ("10661", "HL001")]
    link.run(files, "th-v1", folder / "clusters.csv", [], None, None, as_json=True)
    return Population(folder, folder / "keys", files, folder / "clusters.csv")


@dataclass
class Centre:
    """A centre's folder, and what is done there."""

    population: Population
    data: Path
    config: Path
    capsys: pytest.CaptureFixture[str]

    def load(self, files: Sequence[Path] = (), clusters: Path | None = None, **options: Any) -> dict[str, Any]:
        at = self.population
        options = {"keys": [], "workers": 1, "as_json": True} | options
        self.capsys.readouterr()
        load.run(files or at.files, clusters or at.clusters, self.data, self.config, **options)
        figures: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return figures

    @contextmanager
    def opened(self) -> Iterator[tuple[Store, Index, Registry]]:
        settings, epochs = load_gateway_config(self.data, self.config)
        rules, keys = load_rules(rule_file(settings.rules)), open_service_keys(settings.service_key)
        with open_store(settings) as store:
            index = Index(index_folder(settings), keys_at_rest(settings))
            catch_up(index, store)
            gateway = Gateway(keys.gateway, rules, epochs)
            try:
                yield (
                    store,
                    index,
                    Registry(gateway, store, index, Matching(rules.profile, rules.model), rules.model.digest),
                )
            finally:
                index.close()

    def held(self) -> dict[tuple[str, bytes], str]:
        """Identity of every record."""
        with self.opened() as (store, _, _):
            return {(each.record.facility, each.record.pointer): each.eid for each in store.records()}

    def kill_after(self, transactions: int) -> int:
        """Import in a process of its own that kills itself amid its work; gives its exit code."""
        at = self.population
        script = f"""
import os, signal
from pathlib import Path
from mpi.cli import load
load.RECORDS_PER_TRANSACTION = {2 * PER_GROUP}
left = [None] * {transactions}
whole = load.InitialLoad.take
def take(self, parts):
    reached = whole(self, parts)
    left.pop()
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return reached
load.InitialLoad.take = take
files = [Path(each) for each in {[str(path) for path in at.files]!r}]
load.run(files, Path({str(at.clusters)!r}), Path({str(self.data)!r}), Path({str(self.config)!r}), [], 1, as_json=True)
"""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False).returncode


@pytest.fixture(params=BACKENDS)
def centre(
    request: pytest.FixtureRequest, linked: Population, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Centre]:
    """An empty centre on each kind of database."""
    lines = ['service_key = "keys/service.json"', f'key_epochs = "{linked.keys}/epochs.json"']
    config = tmp_path / "mpi.toml"
    if request.param == "sqlite":
        config.write_text("\n".join(lines))
        yield Centre(linked, tmp_path / "data", config, capsys)
        return
    with postgres_database() as url:
        config.write_text("\n".join([*lines, f'database = "{url}"']))
        yield Centre(linked, tmp_path / "data", config, capsys)


def clusters_of(population: Population) -> dict[tuple[str, bytes], str]:
    rows = (row for row in population.rows()[1:])
    return {(name.split("/")[0], bytes.fromhex(name.split("/")[1])): eid for name, eid in rows}


def test_the_clusters_are_held_and_logged_as_registered(centre: Centre) -> None:
    """Each record in the identity of its cluster, one change each, the index right to the row."""
    figures = centre.load()
    expected = clusters_of(centre.population)
    assert len(set(expected.values())) == PERSONS
    assert centre.held() == expected
    assert figures["imported"] == figures["records"] == figures["checked"] == 2 * PERSONS
    assert figures["identities"] == PERSONS
    with centre.opened() as (store, index, _):
        assert verify(index, store) == []
        with store.reading() as reading:
            log = reading.selected(Selection(actor=LOAD_ACTOR, request=figures["request"]))
    assert [change.revision for change in log] == list(range(1, 2 * PERSONS + 1))
    placements = [change.event for change in log if isinstance(change.event, Placement)]
    assert [each.decision for each in placements] == [Decision.NEW] * PERSONS + [Decision.LINK] * PERSONS
    assert {change.cause.facility for change in log if change.cause} == {"10661", "HL001"}
    assert {len(change.cause.rules_digest) for change in log if change.cause} == {64}


def test_importing_again_changes_nothing(centre: Centre) -> None:
    """Also after the index was lost, and after records were erased: they do not come back."""
    centre.load()
    before = centre.held()
    again = centre.load()
    assert (again["imported"], again["done_before"], again["checked"]) == (0, 2 * PERSONS, None)
    record = next(read_encoded(centre.population.files[0]))[0]
    with centre.opened() as (_, _, registry):
        assert registry.retract(record.facility, LocalIdToken(record.local_id_token), ACTOR, erase=True)[0]
    assert centre.load()["revision"] == 2 * PERSONS + 1
    assert centre.held() == {key: eid for key, eid in before.items() if key != (record.facility, record.pointer)}


def test_registration_goes_on_from_it(centre: Centre) -> None:
    """The same content is unchanged, other records of the persons join them, and strangers begin identities."""
    centre.load()
    expected = clusters_of(centre.population)
    sent = [record for path in centre.population.files for batch in read_encoded(path) for record in batch]
    newcomers = encoded(centre.population.ring, "10662", *(person(number) for number in range(PERSONS)))
    stranger = encoded(centre.population.ring, "10662", raw("นางมาลี รักไทย", "99", birth_date="1/1/2500", sex="2"))
    with centre.opened() as (store, index, registry):
        same, revision = registry.register(sent, ACTOR)
        assert revision == 2 * PERSONS
        assert all(isinstance(each, Registration) and each.unchanged for each in same)
        joined, _ = registry.register(newcomers, ACTOR)
        wanted = [expected[record.facility, record.pointer] for record in sent[:PERSONS]]
        assert [each.eid for each in joined if isinstance(each, Registration)] == wanted
        ((alone,), _) = registry.register(stranger, ACTOR)
        assert isinstance(alone, Registration)
        assert alone.decision is Decision.NEW
        assert verify(index, store) == []


def test_an_import_is_taken_back_by_its_request(centre: Centre) -> None:
    """As any call is."""
    request = centre.load()["request"]
    with centre.opened() as (store, index, _):
        stewardship = Stewardship(store, index, "ab" * 32)
        done = stewardship.undo(
            Selection(request=request), "urn:mpi:steward:somsri", "undo", preview=False, keep_later=False
        )
        assert done.undone == 2 * PERSONS
        assert store.count()[:2] == (0, 0)


def test_a_killed_import_goes_on(centre: Centre) -> None:
    """What was committed stays, the rest follows, and the end is the same."""
    assert centre.kill_after(transactions=3) == -signal.SIGKILL
    figures = centre.load()
    assert figures["done_before"] == 3 * 2 * PER_GROUP
    assert figures["imported"] == 2 * PERSONS - figures["done_before"]
    assert centre.held() == clusters_of(centre.population)
    with centre.opened() as (store, index, _):
        assert [change.revision for change in store.changes(0)] == list(range(1, 2 * PERSONS + 1))
        assert verify(index, store) == []


def test_a_killed_import_goes_on_after_the_store_was_filled(centre: Centre) -> None:
    """Killed between the last record and the index: the index is made."""
    everything = 2 * PERSONS // (2 * PER_GROUP)
    assert centre.kill_after(everything) == -signal.SIGKILL
    figures = centre.load()
    assert figures["imported"] == 0
    assert figures["checked"] == 2 * PERSONS


def test_a_registration_that_comes_between_is_kept(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made ready for other places of the log is made again; a record that is held stays where it is."""
    monkeypatch.setattr(load, "RECORDS_PER_TRANSACTION", PER_GROUP)
    last = [record for batch in read_encoded(centre.population.files[1]) for record in batch][-1]
    stranger = encoded(centre.population.ring, "10662", raw("นางมาลี รักไทย", "99", birth_date="1/1/2500", sex="2"))
    whole = InitialLoad.take
    online: list[str] = []

    def take(self: InitialLoad, parts: Any) -> tuple[int, int]:
        reached = whole(self, parts)
        if not online:
            with centre.opened() as (_, _, registry):
                outcomes, _ = registry.register([*stranger, last], ACTOR)
            online.extend(each.eid for each in outcomes if isinstance(each, Registration))
        return reached

    monkeypatch.setattr(InitialLoad, "take", take)
    figures = centre.load()
    assert (figures["imported"], figures["kept"]) == (2 * PERSONS - 1, 1)
    expected = clusters_of(centre.population) | {(last.facility, last.pointer): online[1]}
    expected[stranger[0].facility, stranger[0].pointer] = online[0]
    assert centre.held() == expected
    with centre.opened() as (store, index, _):
        assert [change.revision for change in store.changes(0)] == list(range(1, 2 * PERSONS + 2))
        assert verify(index, store) == []


def test_a_record_that_comes_twice_is_taken_once(centre: Centre) -> None:
    """The first one counts, in one row group or in two files."""
    at = centre.population
    twice = [*(person(number) for number in (0, 1, 0)), person(1)]
    again = write(at.folder / "twice.parquet", at.ring, "10661", twice)
    files = [again, *at.files]
    link.run(files, "th-v1", at.folder / "twice.csv", [], None, None, as_json=True)
    figures = centre.load(files, at.folder / "twice.csv")
    assert (figures["imported"], figures["kept"]) == (2 * PERSONS, 4)
    with centre.opened() as (store, index, _):
        assert verify(index, store) == []


def test_a_store_that_holds_other_records_is_refused(centre: Centre) -> None:
    """Clusters say nothing of what is held; nothing is written."""
    with centre.opened() as (_, _, registry):
        registry.register(encoded(centre.population.ring, "10662", person(3)), ACTOR)
    with pytest.raises(InputRejected, match="mpi register"):
        centre.load()
    assert len(centre.held()) == 1


def test_a_store_that_holds_a_consent_is_refused(centre: Centre) -> None:
    """Registration carries what citizens said from one epoch's numbers to the next one's; an import would not."""
    with centre.opened() as (store, index, registry):
        consents = Consents(registry._gateway, store, index, load_policy(), "rules")
        token = IdentifierToken(IdentifierKind.NATIONAL_ID, bytes(32))
        consents.withdraw(token, "health-link", [PurposeOfUse.TREAT], ACTOR)
    with pytest.raises(InputRejected, match=r"or consents.*mpi register"):
        centre.load()
    assert not centre.held()


def test_another_import_is_refused(centre: Centre) -> None:
    """A second population is linked with the first, not beside it."""
    centre.load()
    at = centre.population
    rows = [row for row in at.rows() if not row[0].startswith("HL001")]
    with pytest.raises(InputRejected, match="did not bring"):
        centre.load(at.files[:1], at.write_rows(rows))
    assert len(centre.held()) == 2 * PERSONS


Change = Callable[[list[list[str]]], Sequence[Sequence[str]]]
DAMAGED: dict[str, tuple[Change, str]] = {
    "a row too few": (lambda rows: rows[:-1], "names 23 records, and the files hold 24"),
    "a row too many": (lambda rows: [*rows, rows[-1]], "more records than the files hold"),
    "another order": (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "record 1: is not about record 1 of"),
    "another facility": (lambda rows: [rows[0], ["99999" + rows[1][0][5:], rows[1][1]], *rows[2:]], "record 1"),
    "no enterprise id": (lambda rows: [*rows[:5], [rows[5][0], "7"], *rows[6:]], "record 5"),
    "a row cut short": (lambda rows: [*rows[:5], rows[5][:1], *rows[6:]], "record 5"),
    "another header": (lambda rows: [["record_id", "person_id"], *rows[1:]], "no clusters file"),
    "an empty file": (lambda _: [], "no clusters file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_clusters_that_do_not_fit_are_refused(
    linked: Population, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Before anything is written, and without a record id in the error."""
    damage, said = DAMAGED[name]
    rows = linked.rows()
    centre = Centre(linked, tmp_path / "data", tmp_path / "mpi.toml", capsys)
    centre.config.write_text(f'key_epochs = "{linked.keys}/epochs.json"')
    with pytest.raises(InputRejected, match=said) as refused:
        centre.load(clusters=linked.write_rows(damage(rows), f"{name}.csv"))
    assert not any(row[0].split("/")[1] in refused.value.message for row in rows[1:])
    assert not centre.data.exists()


def test_files_that_cannot_be_imported_are_refused(
    linked: Population, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing ones, another profile, and key epochs that the centre does not accept."""
    centre = Centre(linked, tmp_path / "data", tmp_path / "mpi.toml", capsys)
    centre.config.write_text(f'key_epochs = "{linked.keys}/epochs.json"')
    with pytest.raises(InputRejected, match="cannot be read"):
        centre.load(clusters=tmp_path / "missing.csv")
    with pytest.raises(InputRejected, match="no such file"):
        centre.load([tmp_path / "missing.parquet"])
    centre.config.write_text('key_epochs = ["2-0badcafe"]')
    with pytest.raises(InputRejected, match="accepts 2-0badcafe"):
        centre.load()
    centre.config.write_text(f'rules = "latin-v1"\nkey_epochs = "{linked.keys}/epochs.json"')
    with pytest.raises(InputRejected, match="encoded by profile th-v1"):
        centre.load()
    assert not centre.data.exists()


def test_clusters_with_local_ids_want_the_same_keys(
    linked: Population, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without them nobody could tell which record is meant."""
    centre = Centre(linked, tmp_path / "data", tmp_path / "mpi.toml", capsys)
    centre.config.write_text(f'key_epochs = "{linked.keys}/epochs.json"')
    link.run(linked.files, "th-v1", tmp_path / "opened.csv", [linked.keys], None, None, as_json=True)
    with pytest.raises(InputRejected, match="--keys"):
        centre.load(clusters=tmp_path / "opened.csv")
    assert centre.load(clusters=tmp_path / "opened.csv", keys=[linked.keys])["imported"] == 2 * PERSONS


def test_several_processes_import_the_same(
    linked: Population, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever they make ready first is written in the order of the files."""
    monkeypatch.setattr(load, "_SMALL", 0)
    centre = Centre(linked, tmp_path / "data", tmp_path / "mpi.toml", capsys)
    centre.config.write_text(f'key_epochs = "{linked.keys}/epochs.json"')
    centre.load(workers=2)
    assert centre.held() == clusters_of(linked)


def test_a_quick_check_finds_what_differs(centre: Centre) -> None:
    """A missing row by its count, a wrong one by looking the record up."""
    centre.load()
    with centre.opened() as (store, index, _):
        assert sampled(index, store) == (2 * PERSONS, [])
        for table in ("candidates", "locations", "identities"):
            row = next(iter(index.rows(table)))
            with index.writing() as writer:
                writer._transaction.delete(*row, db=writer._tables[table])
            _, findings = sampled(index, store)
            assert findings
            with index.writing() as writer:
                writer._transaction.put(*row, db=writer._tables[table])


def test_a_transaction_takes_a_constant_number_of_statements(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many for one row group as for all records of a facility."""
    counts: list[int] = []
    whole = InitialLoad.take

    def take(self: InitialLoad, parts: Any) -> tuple[int, int]:
        sent: list[str] = []
        listener = (self._store._engine, "before_cursor_execute", lambda *said: sent.append(said[2]))
        event.listen(*listener)
        try:
            return whole(self, parts)
        finally:
            event.remove(*listener)
            counts.append(len(sent) // len(parts))

    monkeypatch.setattr(InitialLoad, "take", take)
    monkeypatch.setattr(load, "RECORDS_PER_TRANSACTION", PER_GROUP)
    centre.load()
    assert len(counts) == 2 * PERSONS // PER_GROUP
    assert max(counts) <= 20
