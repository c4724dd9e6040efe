"""No call of any service leaves without its entry: answers, empty ones, denials and failures alike."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

import mpi.v1
from mpi.domain.accounting import Access, NotAccounted
from mpi.domain.identifiers import LocalIdToken
from mpi.errors import StoreUnusable
from mpi.server import admin, locating, servicers, stewards
from mpi.server.accounts import IDENTITY_FIELDS, Account
from mpi.server.edge import REQUEST_KEY
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import stewardship_service_pb2 as stewardship_pb2
from mpi.wire.answers import Answer
from tests.server.running import MemoryIndex, certificates, encoded, running, server_tls
from tests.server.test_server import Caller, issue, key_of

METHODS = [
    method
    for module in pkgutil.iter_modules(mpi.v1.__path__)
    if module.name.endswith("_service_pb2")
    for service in importlib.import_module(f"mpi.v1.{module.name}").DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
EVERY_METHOD = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
TEXTS = {
    "Evidence": {"comparison", "level"},
    "MatchCandidate": {"veto"},
    "Location": {"facility"},
    "LastRegistration": {"facility"},
    "Registration": {"why"},
    "RegisterResponse": {"request_id"},
    "RegisterBatchResponse": {"request_id"},
    "UndoResponse": {"request_id"},
    "ItemError": {"field", "message"},
    "Change": {"actor", "rules_digest", "request_id", "facility", "why"},
    "Task": {"why", "holder", "assignee", "facilities"},
    "Reason": {"comparison", "level", "english", "thai"},
    "Comparison": {"missing", "rule", "english", "thai"},
    "IfLinked": {"facilities", "veto"},
    "Remark": {"actor", "reason", "text"},
    "DecidedTask": {"refused"},
    "DecideTasksResponse": {"request_id"},
    "Node": {"facility"},
    "RevealViewResponse": {"facility"},
    "DayCount": {"day"},
    "StewardCount": {"steward"},
    "FacilityCount": {"facility"},
    "RulesStratum": {"before_why", "after_why"},
    "PreviewRulesResponse": {"rules_digest"},
    "Consent": {"network", "recorder", "reference"},
    "Opening": {"client", "reason", "request"},
    "ClientRule": {"client", "roles"},
    "DescribeIndexResponse": {"rules_digest", "key_epochs"},
    "Carried": {"facility", "network", "reference"},
    "IdentityEvent": {"facilities"},
}
"""Text of answers that is no enterprise id; a new field must be named here or be one of IDENTITY_FIELDS."""


def answer_of(method: MethodDescriptor) -> Any:
    return GetMessageClass(method.output_type)()


def called(channel: grpc.Channel, method: MethodDescriptor, content: bytes = b"") -> grpc.RpcError | None:
    """Make a call with raw bytes; give its error, if it has one, and make sure that it names its request."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    if method.server_streaming:
        call = channel.stream_stream(path)(iter([content]), timeout=5)
    else:
        call = channel.unary_unary(path).future(content, timeout=5)
    try:
        list(call) if method.server_streaming else call.result()
        error = None
    except grpc.RpcError as refused:
        error = refused
    assert REQUEST_KEY in dict(call.trailing_metadata())
    return error


class Outcomes:
    """What every method answers with or raises, instead of its use case."""

    def __init__(self) -> None:
        self.outcome: object = None

    def stand_in(self, patched: pytest.MonkeyPatch, method: MethodDescriptor) -> None:
        async def unary(servicer: object, request: object, context: object) -> object:
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return self.outcome

        async def stream(servicer: object, requests: AsyncIterator[object], context: object) -> AsyncIterator[object]:
            async for request in requests:
                yield await unary(servicer, request, context)

        async def feed(servicer: object, request: object, context: object) -> AsyncIterator[object]:
            yield await unary(servicer, request, context)

        def together(servicer: object, asked: Sequence[object]) -> list[object]:
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return [Answer(self.outcome.SerializeToString(), 0, 0) for _ in asked]  # type: ignore[attr-defined]

        name = f"{method.containing_service.name.removesuffix('Service')}Servicer"
        (servicer,) = {
            getattr(module, name) for module in (admin, locating, servicers, stewards) if hasattr(module, name)
        }
        answers = stream if method.client_streaming else feed if method.server_streaming else unary
        if method.name == "Locate":
            patched.setattr(servicer, "locate_together", together)
        else:
            patched.setattr(servicer, method.name, answers)


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def index() -> MemoryIndex:
    return MemoryIndex()


@pytest.fixture(scope="module")
def stood_in() -> Iterator[tuple[MemoryIndex, Outcomes, grpc.Channel]]:
    """A server whose methods do what a test tells them to."""
    index, outcomes, patched = MemoryIndex(), Outcomes(), pytest.MonkeyPatch()
    for method in METHODS:
        outcomes.stand_in(patched, method)
    with running(index.application()) as address, grpc.insecure_channel(address) as channel:
        patched.undo()  # this server has taken its methods; others have the real ones
        yield index, outcomes, channel


@pytest.fixture
def at(stood_in: tuple[MemoryIndex, Outcomes, grpc.Channel]) -> tuple[MemoryIndex, Outcomes, grpc.Channel]:
    stood_in[0].accesses.clear()
    return stood_in


def call_of(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}/{method.name}"


def test_all_services_are_walked():
    """The walk below covers the calls that the protos name."""
    assert len(METHODS) >= 15
    assert {"Locate", "RegisterBatch", "Undo", "WatchIdentities"} <= {method.name for method in METHODS}
    assert not [method.full_name for method in METHODS if method.client_streaming and not method.server_streaming]


@EVERY_METHOD
def test_every_answer_has_its_entry(at, method):
    """Whatever answers a call, the entry is there when the answer arrives."""
    index, outcomes, channel = at
    outcomes.outcome = answer_of(method)
    assert called(channel, method) is None
    (access,) = index.accesses
    assert (access.call, access.status, access.caller) == (call_of(method), "OK", "urn:mpi:insecure:local")
    assert (access.results, access.reason) == (0, "")
    assert (access.rules_digest, access.key_epochs) == ("ab" * 32, "1-5f2c90aa")


@EVERY_METHOD
@pytest.mark.parametrize("error", [StoreUnusable("secret"), RuntimeError("secret")])
def test_every_failure_has_its_entry(at, method, error):
    """Failures on purpose and unforeseen ones are entered, without their text."""
    index, outcomes, channel = at
    outcomes.outcome = error
    refused = called(channel, method)
    (access,) = index.accesses
    assert access.status == refused.code().name
    assert access.reason == ("STORE_UNUSABLE" if isinstance(error, StoreUnusable) else "")
    assert "secret" not in repr(access)


@EVERY_METHOD
def test_every_denial_has_its_entry(at, monkeypatch, method):
    """A caller whose role does not allow the call is entered under its name."""
    index, _, channel = at
    monkeypatch.setattr("mpi.domain.access.ALLOWED", {})
    assert called(channel, method).code() is grpc.StatusCode.PERMISSION_DENIED
    (access,) = index.accesses
    assert (access.call, access.status, access.reason) == (call_of(method), "PERMISSION_DENIED", "ROLE_MISSING")
    assert access.caller == "urn:mpi:insecure:local"


@EVERY_METHOD
def test_every_malformed_request_has_its_entry(at, method):
    """Bytes that are no message are entered, and none of them is."""
    index, outcomes, channel = at
    outcomes.outcome = answer_of(method)
    assert called(channel, method, b"\xff\xff\xff").code() is grpc.StatusCode.INVALID_ARGUMENT
    (access,) = index.accesses
    assert (access.call, access.status) == (call_of(method), "INVALID_ARGUMENT")


@EVERY_METHOD
def test_nothing_leaves_when_the_journal_cannot_be_written(at, monkeypatch, method):
    """Neither an answer nor a refusal of another kind leaves unaudited, and a known failure stops a call at once.

    Each call is refused by the journal once, as it keeps count of them.
    """
    index, outcomes, channel = at
    outcomes.outcome = answer_of(method)
    tried = list[Access]()

    async def failing(access: Access) -> None:
        tried.append(access)
        raise NotAccounted("the journal is full")

    monkeypatch.setattr(index, "write", failing)
    assert called(channel, method).code() is grpc.StatusCode.UNAVAILABLE
    assert len(tried) == 1
    assert called(channel, method, b"\xff\xff\xff").code() is grpc.StatusCode.UNAVAILABLE
    assert len(tried) == 2
    outcomes.outcome = StoreUnusable("was begun")

    def checking() -> None:
        raise NotAccounted("the journal is full")

    monkeypatch.setattr(index, "check", checking)
    error = called(channel, method)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "journal" in error.details()
    assert len(tried) == 2


def test_an_answer_waits_for_its_entry(index):
    """While the disk takes its time the answer stays; when the entry is there it leaves."""
    waits, entered = threading.Event(), threading.Event()

    async def slow(access: Access) -> None:
        entered.set()
        await asyncio.get_running_loop().run_in_executor(None, waits.wait, 20)

    index.write = slow  # type: ignore[method-assign]
    request = locator_pb2.LocateRequest(key=key_of(1), purpose=locator_pb2.PURPOSE_OF_USE_TREAT)
    with running(index.application()) as address, grpc.insecure_channel(address) as channel:
        call = channel.unary_unary("/mpi.v1.LocatorService/Locate").future(request.SerializeToString(), timeout=20)
        assert entered.wait(10)
        assert not call.done()
        waits.set()
        assert call.result() is not None


def test_a_certificate_that_names_no_client_is_entered_by_its_digest(certs, tmp_path):
    """Who is refused for having no name is known by the certificate, and not by what it says of itself."""
    index = MemoryIndex()
    issue(certs / "ca", tmp_path, ["urn:other:1103702488992"])
    with running(index.application(), server_tls(certs)) as address:
        caller = Caller(address, tmp_path)
        for method in METHODS:
            assert called(caller.channel, method).code() is grpc.StatusCode.UNAUTHENTICATED
        caller.channel.close()
    assert [access.call for access in index.accesses] == [call_of(method) for method in METHODS]
    (name,) = {access.caller for access in index.accesses}
    assert name.startswith("certificate:sha256:")
    assert "1103702488992" not in repr(index.accesses)


def test_names_of_certificates_are_entered(certs):
    """A denied and an answered call of a client with a name stand under that name."""
    index = MemoryIndex()
    with running(index.application(), server_tls(certs)) as address:
        caller = Caller(address, certs / "facility-11111")
        caller.locate()
        with pytest.raises(grpc.RpcError):
            caller.register(encoded(1))
        caller.channel.close()
    assert [(access.caller, access.status) for access in index.accesses] == [
        ("urn:mpi:facility:11111", "OK"),
        ("urn:mpi:facility:11111", "PERMISSION_DENIED"),
    ]


def test_health_leaves_no_entry(at):
    """Health is asked for all day and tells nothing of anybody."""
    index, _, channel = at
    health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert index.accesses == []


def test_what_an_entry_says_of_answers(index):
    """Purpose, identities, count and revision are taken from the messages; of the key nothing is."""
    with running(index.application()) as address:
        caller = Caller(address, None)
        first = caller.register(encoded(1)).registration.eid
        second = caller.register(encoded(2, "11111")).registration.eid
        caller.locate()
        caller.locate(key=key_of(9), purpose=locator_pb2.PURPOSE_OF_USE_ETREAT)
        keys = [key_of(2), key_of(7), key_of(1), key_of(1), locator_pb2.LocateKey()]
        purpose = locator_pb2.PURPOSE_OF_USE_PUBHLTH
        caller.locator.BatchLocate(locator_pb2.BatchLocateRequest(keys=keys, purpose=purpose), timeout=5)
        with pytest.raises(grpc.RpcError):
            caller.locate(purpose=0)
        caller.channel.close()
    registered, other, found, empty, batch, refused = index.accesses
    assert (registered.identities, registered.results, registered.purpose, registered.revision) == ((first,), 1, "", 1)
    assert other.identities == (second,)
    assert (found.identities, found.results, found.purpose, found.revision) == ((first,), 1, "TREAT", 2)
    assert (empty.identities, empty.results, empty.purpose, empty.status) == ((), 0, "ETREAT", "OK")
    assert (batch.identities, batch.results, batch.purpose) == (tuple(sorted((first, second))), 2, "PUBHLTH")
    assert (refused.status, refused.reason, refused.purpose) == ("INVALID_ARGUMENT", "PURPOSE_MISSING", "")
    assert len({access.request for access in index.accesses}) == 6
    shown = repr(index.accesses)
    assert not [number for number in (1, 2, 7, 9) if number.to_bytes(32, "big").hex() in shown]


def test_a_stream_has_an_entry_for_each_batch(index):
    """All entries of a stream share its request, which is also the one in the log of changes."""
    registry_pb2 = servicers.registry_pb2
    convert = servicers.convert
    batches = [
        registry_pb2.RegisterBatchRequest(records=[convert.record_to_proto(encoded(n)) for n in numbers])
        for numbers in ((1, 2), (3,))
    ]
    with running(index.application()) as address:
        caller = Caller(address, None)
        answers = list(caller.registry.RegisterBatch(iter(batches), timeout=5))
        assert list(caller.registry.RegisterBatch(iter([]), timeout=5)) == []
        caller.channel.close()
    assert [access.results for access in index.accesses] == [2, 1, 0]
    assert {access.request for access in index.accesses[:2]} == {answer.request_id for answer in answers}
    assert index.accesses[2].status == "OK"


def test_a_refused_batch_of_a_stream_is_entered_as_refused(index):
    """The stream goes on; the entries say which of its batches were answered."""
    convert, nobody, pb2 = servicers.convert, LocalIdToken(bytes(32)), locator_pb2
    purposes = (pb2.PURPOSE_OF_USE_TREAT, pb2.PURPOSE_OF_USE_UNSPECIFIED, pb2.PURPOSE_OF_USE_TREAT)
    batches = [pb2.LocateStreamRequest(keys=[convert.key_to_proto(nobody)], purpose=each) for each in purposes]
    with running(index.application()) as address:
        caller = Caller(address, None)
        answers = list(caller.locator.LocateStream(iter(batches), timeout=5))
        caller.channel.close()
    assert [len(answer.outcomes) for answer in answers] == [1, 1, 1]
    said = [(access.status, access.reason, access.purpose) for access in index.accesses]
    assert said == [("OK", "", "TREAT"), ("INVALID_ARGUMENT", "PURPOSE_MISSING", ""), ("OK", "", "TREAT")]


def test_a_caller_who_leaves_is_entered(index):
    """A call that its caller gives up, or whose deadline passes, leaves an entry although nothing leaves."""
    index.delay = 1.0
    with running(index.application()) as address:
        caller = Caller(address, None)
        with pytest.raises(grpc.RpcError):
            caller.register(encoded(1), timeout=0.2)
        caller.channel.close()
    assert [access.status for access in index.accesses] == ["CANCELLED"]


def messages(kind: Descriptor) -> Iterator[Descriptor]:
    yield kind
    for each in kind.fields:
        if each.message_type is not None and each.message_type.full_name.startswith("mpi."):
            yield from messages(each.message_type)


def test_every_text_of_an_answer_is_known_to_be_an_enterprise_id_or_none():
    """A new field of text makes this fail until it is said what it holds."""
    for method in METHODS:
        for kind in messages(method.output_type):
            texts = {each.name for each in kind.fields if each.type == FieldDescriptor.TYPE_STRING}
            assert texts - IDENTITY_FIELDS - TEXTS.get(kind.name, set()) == set(), kind.full_name


def test_identities_are_found_at_every_depth():
    """Lists, single fields and nested messages are searched; empty fields name nobody."""
    change = stewardship_pb2.Change(
        moves=[stewardship_pb2.Move(source="a", target="b"), stewardship_pb2.Move(target="c")],
        redirects=[stewardship_pb2.Redirect(eid="d", target="a")],
    )
    account = Account("StewardshipService/ListChanges", "")
    account.identities.add("hidden")
    access = account.answered(stewardship_pb2.ListChangesResponse(changes=[change], revision=7))
    assert (access.identities, access.results, access.revision) == (("a", "b", "c", "d", "hidden"), 4, 7)
