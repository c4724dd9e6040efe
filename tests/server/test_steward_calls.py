"""The calls of stewards and Retract, over mutual TLS, against the real centre."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from typer.testing import CliRunner

from mpi.cli.main import app
from mpi.client import Client, PurposeOfUse
from mpi.config import ServerConfig, StoreConfig
from mpi.domain.changes import Action, Placement, Selection
from mpi.domain.identifiers import EnterpriseId, LocalIdToken
from mpi.domain.identity import Decision
from mpi.domain.record import EncodedRecord
from mpi.domain.review import TaskStatus, Verdict
from mpi.errors import AccessDenied, Conflict, InputRejected, NotFound, Reason, RecordRejected
from mpi.server.bootstrap import application
from mpi.v1 import stewardship_service_pb2 as pb2
from mpi.v1 import stewardship_service_pb2_grpc
from tests.building import encoded, key_ring, raw
from tests.server.running import certificates, running, server_tls

PERSON = {"birth_date": "15/03/2525", "sex": "1", "national_id": "1103702488992"}
SOMCHAI = raw("นายสมชาย ใจดี", "1", **PERSON)
MALEE = raw("นางมาลี สีดา", "2", birth_date="04/09/2499", sex="2", national_id="3320100123459")
NUMBER_ALONE = raw("นางปราณี ทองดี", "3", birth_date="20/11/2510", sex="2", national_id="1103702488992")
TREAT = PurposeOfUse.TREAT


class Clients:
    """A client of each role at one server, and records to send."""

    def __init__(self, address: str, certs: Path, records: Callable[..., list[EncodedRecord]]) -> None:
        self.records = records
        self.address = address
        self._open = {
            name: Client(address=address, certificates=certs / name)
            for name in ("facility-10661", "facility-11111", "exchange-cdes", "steward-somchai")
        }
        self.facility, self.other, self.exchange, self.steward = self._open.values()

    def eid_of(self, record: EncodedRecord) -> str:
        """The enterprise id as the centre knows it; a facility was told another one."""
        (identity,) = self.steward.locate(LocalIdToken(record.local_id_token), TREAT).identities
        return identity.eid

    def close(self) -> None:
        for client in self._open.values():
            client.close()


@contextmanager
def served(folder: Path, certs: Path) -> Iterator[Clients]:
    """A real centre with its data below a folder."""
    ring = key_ring(folder)
    config = ServerConfig(
        StoreConfig(folder / "data", folder / "secret" / "service.json", "th-v1"), "", (ring.current.name,), None
    )
    with application(config) as centre, running(centre, server_tls(certs)) as address:
        clients = Clients(address, certs, lambda facility, *rows: encoded(ring, facility, *rows))
        try:
            yield clients
        finally:
            clients.close()


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def at(tmp_path: Path, certs: Path) -> Iterator[Clients]:
    with served(tmp_path, certs) as clients:
        yield clients


def test_a_facility_takes_its_own_record_back(at):
    """A retracted record is located no more; another facility may not retract it."""
    (record,) = at.records("10661", SOMCHAI)
    at.facility.register(record)
    key = LocalIdToken(record.local_id_token)
    with pytest.raises(AccessDenied) as denied:
        at.other.retract("10661", key)
    assert denied.value.reason is Reason.FACILITY_MISMATCH
    done = at.facility.retract("10661", key)
    assert done.retracted
    assert at.exchange.locate(key, TREAT, at_least=done.revision).identities == ()
    assert not at.facility.retract("10661", key, erase=False).retracted
    assert at.facility.retract("10661", key, erase=True).retracted
    with pytest.raises(RecordRejected):
        at.facility.retract("10661", LocalIdToken(b"short"))


def test_stewards_alone_may(at):
    """Neither facilities nor exchanges see or change identities; a steward registers nothing."""
    for client in (at.facility, at.exchange):
        for call in (
            lambda client=client: client.identity("00000000-0000-0000-0000-000000000000"),
            lambda client=client: client.link(1, 2),
            lambda client=client: client.unlink(1),
            lambda client=client: client.merge("a", "b"),
            lambda client=client: client.split("a", [[1]]),
            lambda client=client: client.undo(Selection(revisions=(1,))),
            lambda client=client: client.changes(),
            lambda client=client: client.tasks(),
            lambda client=client: client.decide(1, Verdict.SAME),
        ):
            with pytest.raises(AccessDenied) as denied:
                call()
            assert denied.value.reason is Reason.ROLE_MISSING
    with pytest.raises(AccessDenied):
        at.steward.register(at.records("10661", SOMCHAI)[0])
    with pytest.raises(AccessDenied):
        at.steward.retract("10661", LocalIdToken(bytes(32)))


def test_a_stewards_day(at):
    """Link, look, split, undo and see the log, from one merge to the next."""
    (one,) = at.records("10661", SOMCHAI)
    (other,) = at.records("11111", MALEE)
    first = at.facility.register(one)
    second = at.other.register(other)
    ours, theirs = at.eid_of(one), at.eid_of(other)
    merged = at.steward.merge(theirs, ours)
    assert merged.eids == (ours,)
    view = at.steward.identity(theirs)
    assert (view.eid, view.retired) == (ours, (theirs,))
    assert [member.location.facility for member in view.members] == ["10661", "11111"]
    answer = at.steward.locate(EnterpriseId(theirs), TREAT)
    assert [identity.eid for identity in answer.identities] == [ours]
    past = at.steward.locate(EnterpriseId(theirs), TREAT, as_of=second.revision)
    assert [(identity.eid, len(identity.locations)) for identity in past.identities] == [(theirs, 1)]
    assert past.revision == second.revision
    preview = at.steward.undo(Selection(revisions=(merged.change,)), preview=True)
    assert (preview.undone, preview.left, preview.identities) == (1, (), 2)
    undone = at.steward.undo(Selection(revisions=(merged.change,)))
    assert at.steward.identity(theirs).eid == theirs
    at.steward.undo(Selection(request=undone.request))
    assert at.steward.identity(theirs).eid == ours
    parted = at.steward.unlink(view.members[1].record)
    assert len(parted.eids) == 2
    (identity,) = at.steward.locate(EnterpriseId(ours), TREAT).identities
    assert identity.split == tuple(set(parted.eids) - {ours})
    at.steward.link(1, 2)
    at.steward.split(ours, [[2]])
    log = at.steward.changes()
    assert [change.revision for change in log] == list(range(1, 9))
    assert all(isinstance(change.event, Placement) for change in log[:2])
    actions = [change.event.action for change in log[2:]]
    assert actions == [Action.MERGE, Action.UNDO, Action.UNDO, Action.UNLINK, Action.LINK, Action.SPLIT]
    assert log[0].cause.actor == "urn:mpi:facility:10661"
    assert log[0].cause.request == first.request
    assert log[2].cause.actor == "urn:mpi:steward:somchai"
    assert log[3].event.undone == 3
    assert at.steward.changes(Selection(facility="11111"))[0].event.record == 2
    assert [change.revision for change in at.steward.changes(after=6, limit=1)] == [7]


def test_a_stream_is_undone_as_one(at):
    """All batches of one stream carry one name, by which a steward takes them back."""
    rows = at.records("10661", SOMCHAI, MALEE)
    answers = list(at.facility.register_batches([(b"1", rows[:1]), (b"2", rows[1:])]))
    (name,) = {answer.request for answer in answers}
    at.steward.undo(Selection(request=name))
    for row in rows:
        assert at.exchange.locate(LocalIdToken(row.local_id_token), TREAT).identities == ()


def test_tasks_are_listed_and_answered(at):
    """A possible link waits until a steward says one or two persons."""
    at.facility.register(at.records("10661", SOMCHAI)[0])
    (record,) = at.records("11111", NUMBER_ALONE)
    assert at.other.register(record).registration.decision is Decision.STORED
    (listed,), cursor = at.steward.tasks()
    number, task = listed.held.number, listed.held.task
    assert (task.record, task.eid) == (2, at.eid_of(record))
    assert cursor == b""
    done = at.steward.decide(number, Verdict.SAME)
    assert done.status is TaskStatus.SAME
    assert len(done.regrouped.eids) == 1
    assert at.steward.tasks() == ([], b"")
    with pytest.raises(Conflict):
        at.steward.decide(number, Verdict.DIFFERENT)


def test_the_past_can_be_asked_for_by_time(at):
    """An identity as it was at a time; before anything was registered there was none."""
    (record,) = at.records("10661", SOMCHAI)
    at.facility.register(record)
    eid = at.eid_of(record)
    now = datetime.now(UTC)
    assert len(at.steward.identity(eid, now + timedelta(seconds=1)).members) == 1
    with pytest.raises(NotFound):
        at.steward.identity(eid, now - timedelta(days=1))
    with pytest.raises(InputRejected):
        at.steward.identity(eid, 99)


def test_refusals_say_why(at):
    """What is not held, what contradicts, and what is malformed are told apart."""
    (record,) = at.records("10661", SOMCHAI)
    at.facility.register(record)
    eid = at.eid_of(record)
    with pytest.raises(NotFound):
        at.steward.link(1, 99)
    with pytest.raises(Conflict):
        at.steward.unlink(1)
    with pytest.raises(InputRejected):
        at.steward.link(1, 1)
    with pytest.raises(InputRejected):
        at.steward.undo(Selection())
    with pytest.raises(RecordRejected) as refused:
        at.steward.merge(eid, "someone")
    assert refused.value.field == "other"
    with pytest.raises(RecordRejected):
        at.steward.changes(limit=1001)
    with pytest.raises(RecordRejected):
        at.steward.link(1 << 63, 1)
    with pytest.raises(RecordRejected):
        at.steward.locate(LocalIdToken(bytes(32)), TREAT, as_of=b"\x01" + bytes(8))
    with pytest.raises(RecordRejected):
        at.steward.locate(EnterpriseId(eid), TREAT, as_of=b"nonsense")


def test_the_commands_of_stewards_and_facilities(at, certs, tmp_path):
    """Changes are listed and taken back, and a record is retracted, from the command line."""
    at.facility.register(at.records("10661", SOMCHAI)[0])
    request = at.facility.register(at.records("10661", MALEE)[0]).request

    def said(*arguments: str, client: str = "steward-somchai", code: int = 0) -> str:
        done = CliRunner().invoke(app, [*arguments, "--server", at.address, "--certs", str(certs / client)])
        assert done.exit_code == code, done.output
        return done.stdout

    lines = [json.loads(line) for line in said("changes", "list", "--json").splitlines()]
    assert [(line["revision"], line["action"], line["facility"]) for line in lines] == [
        (1, "register", "10661"),
        (2, "register", "10661"),
    ]
    assert "urn:mpi:facility:10661  2: - > " in said("changes", "list", "--request", request)
    assert "no such change" in said("changes", "list", "--after", "2")
    assert json.loads(said("changes", "undo", "--request", request, "--preview", "--json"))["undone"] == 1
    assert "took 1 changes back; 1 identities" in said("changes", "undo", "--request", request)
    keys = ("--keys", str(tmp_path / "keys"), "--facility", "10661", "--local-id")
    assert said("retract", *keys, "1", "--erase", client="facility-10661") == "erased\n"
    assert json.loads(said("retract", *keys, "7", "--json", client="facility-10661")) == {"retracted": False}
    said("changes", "undo", "--revision", "0", code=1)


def test_a_verdict_must_be_given(at, certs):
    """An unspecified verdict decides nothing."""
    folder = certs / "steward-somchai"
    credentials = grpc.ssl_channel_credentials(
        (folder / "ca.pem").read_bytes(), (folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes()
    )
    with grpc.secure_channel(at.address, credentials) as channel:
        stub = stewardship_service_pb2_grpc.StewardshipServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.DecideTask(pb2.DecideTaskRequest(number=1), timeout=10)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        request = pb2.GetIdentityRequest(eid="00000000-0000-0000-0000-000000000000")
        request.time.seconds = -(10**15)
        with pytest.raises(grpc.RpcError) as refused:
            stub.GetIdentity(request, timeout=10)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
