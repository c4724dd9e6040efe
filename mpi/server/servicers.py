"""Calls of mpi.v1 that register and keep: convert, hand over, convert back. What blocks leaves the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from mpi.domain.access import Caller, Role
from mpi.domain.consent import Carried, Consent, Opening, OpeningStatus
from mpi.domain.identifiers import IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import (
    Registration,
)
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedRecord
from mpi.errors import (
    AccessDenied,
    Reason,
    RecordRejected,
    ServiceUnavailable,
)
from mpi.server.accounts import ACCOUNT, Account
from mpi.server.edge import CALLER, Context
from mpi.v1 import consent_service_pb2 as consent_pb2
from mpi.v1 import (
    consent_service_pb2_grpc,
    privacy_service_pb2_grpc,
    record_pb2,
    registry_service_pb2_grpc,
)
from mpi.v1 import privacy_service_pb2 as privacy_pb2
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.wire import consent, convert, stewardship

WAITING_BATCHES = 64
"""Most batches that wait for the writer; more than that and callers are told to come back."""
_FOREIGN_RECORD = "a facility may write only its own records"

Result = TypeVar("Result")


class Registry(Protocol):
    """Takes records and links them, and takes them back."""

    def register(
        self, records: Sequence[EncodedRecord], actor: str, request: str
    ) -> tuple[list[Registration | RecordRejected], int]:
        """Store records in one transaction; give an outcome for each, and the revision that holds them all."""

    def retract(
        self, facility: str, local_id: LocalIdToken, actor: str, request: str, *, erase: bool
    ) -> tuple[bool, int]:
        """Take a record back; says whether there was one, and the revision that holds it no more."""


class Privacy(Protocol):
    """Knows who broke the glass."""

    def openings(self, after: int) -> list[Opening]:
        """List the openings that wait to be judged."""

    def judge(self, number: int, status: OpeningStatus, actor: str, request: str) -> None:
        """Judge one."""


class Consents(Protocol):
    """Keeps what citizens say."""

    def give(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        actor: str,
        request: str,
        *,
        once: bool,
        sensitive: bool,
        reference: str,
    ) -> int:
        """Keep a consent; gives the revision from which on it holds."""

    def withdraw(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        actor: str,
        request: str,
        *,
        reference: str,
    ) -> int:
        """Keep an objection; gives the revision from which on it holds."""

    def listed(self, token: IdentifierToken, recorder: str | None) -> list[Consent]:
        """Say what holds under a number, of all that was said or of what one client brought."""

    def every_carried(self, after: bytes) -> tuple[list[Carried], bytes]:
        """List everybody's, a page at a time, and the place of the next page."""

    def carried(self, key: LocateKey) -> list[Carried]:
        """List objections that records behind a key keep by themselves."""

    def lift(
        self, record: int, network: str, purposes: Sequence[PurposeOfUse], actor: str, request: str, *, reference: str
    ) -> int:
        """Take such objections back; gives the revision from which on they hold no more."""


class Writer:
    """The one thread that registers: the store takes one writer at a time, so a second could only wait for it.

    Work whose caller has gone before it began is never begun; work that has begun is finished.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mpi-writer")
        self._waiting = 0
        self._stopping = False

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do blocking work on the writer's thread, after what was handed in before.

        Raises:
            ServiceUnavailable: too much waits already, or the server is stopping.
        """
        if self._stopping:
            raise ServiceUnavailable("the server is stopping")
        if self._waiting > WAITING_BATCHES:
            raise ServiceUnavailable("too many batches wait to be registered; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    def refuse(self) -> None:
        """Take no further work."""
        self._stopping = True

    def close(self) -> None:
        """Wait until the work that has begun is done."""
        self.refuse()
        self._thread.shutdown()


class RegistryServicer(registry_service_pb2_grpc.RegistryServiceServicer):
    """Takes encoded records from facilities (compare IHE ITI-93)."""

    def __init__(self, registry: Registry, writer: Writer) -> None:
        self._registry = registry
        self._writer = writer

    async def Register(self, request: registry_pb2.RegisterRequest, context: Context) -> registry_pb2.RegisterResponse:
        """Store one record and link it."""
        if not request.HasField("record"):
            raise RecordRejected(Reason.REQUEST_INVALID, "record", "is missing")
        caller, account = CALLER.get(), ACCOUNT.get()
        (outcome,), revision = await self._writer.run(partial(self._register, [request.record], caller, account))
        if isinstance(outcome, RecordRejected):
            if outcome.reason is Reason.FACILITY_MISMATCH:
                raise AccessDenied(outcome.reason, _FOREIGN_RECORD)
            raise outcome
        return registry_pb2.RegisterResponse(
            registration=convert.registration_to_proto(outcome),
            revision=convert.revision_to_token(revision),
            request_id=account.request,
        )

    async def RegisterBatch(
        self, request_iterator: AsyncIterator[registry_pb2.RegisterBatchRequest], context: Context
    ) -> AsyncIterator[registry_pb2.RegisterBatchResponse]:
        """Store batches, one transaction each; the next is read when the answer to the last has been sent."""
        caller, account = CALLER.get(), ACCOUNT.get()
        async for request in request_iterator:
            cursor = convert.check_cursor(request.cursor)
            convert.check_batch(request.records, "records")
            yield await self._writer.run(partial(self._batch, request, cursor, caller, account))

    async def Retract(self, request: registry_pb2.RetractRequest, context: Context) -> registry_pb2.RetractResponse:
        """Take a record back."""
        caller, name = CALLER.get(), ACCOUNT.get().request
        facility, local_id = convert.retraction_from_proto(request)
        if not caller.may_write(facility):
            raise AccessDenied(Reason.FACILITY_MISMATCH, _FOREIGN_RECORD)
        retracted, revision = await self._writer.run(
            partial(self._registry.retract, facility, local_id, caller.urn, name, erase=request.erase)
        )
        return registry_pb2.RetractResponse(retracted=retracted, revision=convert.revision_to_token(revision))

    def _batch(
        self, request: registry_pb2.RegisterBatchRequest, cursor: bytes, caller: Caller, account: Account
    ) -> registry_pb2.RegisterBatchResponse:
        outcomes, revision = self._register(request.records, caller, account)
        return registry_pb2.RegisterBatchResponse(
            cursor=cursor,
            outcomes=[convert.outcome_to_proto(outcome) for outcome in outcomes],
            revision=convert.revision_to_token(revision),
            request_id=account.request,
        )

    def _register(
        self, messages: Sequence[record_pb2.EncodedRecord], caller: Caller, account: Account
    ) -> tuple[list[Registration | RecordRejected], int]:
        """Register what can be taken, and put the refusals back in their places."""
        entries = [_record(message, caller) for message in messages]
        taken = [entry for entry in entries if isinstance(entry, EncodedRecord)]
        outcomes, revision = self._registry.register(taken, caller.urn, account.request)
        if caller.is_outside:
            # The journal knows the identities all the same.
            account.identities |= {each.eid for each in outcomes if isinstance(each, Registration)}
            outcomes = [each.acknowledged() if isinstance(each, Registration) else each for each in outcomes]
        answers = iter(outcomes)
        return [next(answers) if isinstance(entry, EncodedRecord) else entry for entry in entries], revision


class ConsentServicer(consent_service_pb2_grpc.ConsentServiceServicer):
    """Keeps what citizens say about who may locate their records."""

    def __init__(self, consents: Consents, writer: Writer, pool: Executor) -> None:
        self._consents = consents
        self._writer = writer
        self._pool = pool

    async def Give(self, request: consent_pb2.GiveRequest, context: Context) -> consent_pb2.GiveResponse:
        """Keep a consent."""
        work = partial(
            self._consents.give,
            *consent.said_from_proto(request),
            *signed(),
            once=request.once,
            sensitive=request.includes_sensitive,
            reference=request.reference,
        )
        return consent_pb2.GiveResponse(revision=convert.revision_to_token(await self._writer.run(work)))

    async def Withdraw(self, request: consent_pb2.WithdrawRequest, context: Context) -> consent_pb2.WithdrawResponse:
        """Keep an objection."""
        said = consent.said_from_proto(request)
        work = partial(self._consents.withdraw, *said, *signed(), reference=request.reference)
        return consent_pb2.WithdrawResponse(revision=convert.revision_to_token(await self._writer.run(work)))

    async def List(self, request: consent_pb2.ListRequest, context: Context) -> consent_pb2.ListResponse:
        """Say what holds under a number."""
        caller = CALLER.get()
        recorder = None if caller.has(Role.PRIVACY_OFFICER) else caller.urn
        token = convert.token_from_proto(request.identifier, "identifier", Reason.REQUEST_INVALID)
        work = partial(self._consents.listed, token, recorder)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        return consent_pb2.ListResponse(consents=[consent.consent_to_proto(each) for each in found])


class PrivacyServicer(privacy_service_pb2_grpc.PrivacyServiceServicer):
    """Shows privacy officers who broke the glass, and takes their judgement."""

    def __init__(self, privacy: Privacy, consents: Consents, writer: Writer, pool: Executor) -> None:
        self._privacy = privacy
        self._consents = consents
        self._writer = writer
        self._pool = pool

    async def ListOpenings(
        self, request: privacy_pb2.ListOpeningsRequest, context: Context
    ) -> privacy_pb2.ListOpeningsResponse:
        """List the openings that wait to be judged."""
        after = stewardship.check_number(request.after, "after")
        found = await asyncio.get_running_loop().run_in_executor(self._pool, self._privacy.openings, after)
        return privacy_pb2.ListOpeningsResponse(openings=[consent.opening_to_proto(each) for each in found])

    async def JudgeOpening(
        self, request: privacy_pb2.JudgeOpeningRequest, context: Context
    ) -> privacy_pb2.JudgeOpeningResponse:
        """Judge one."""
        number = stewardship.check_number(request.number, "number")
        status = consent.judgement_from_proto(request.judgement)
        await self._writer.run(partial(self._privacy.judge, number, status, *signed()))
        return privacy_pb2.JudgeOpeningResponse()

    async def ListCarried(
        self, request: privacy_pb2.ListCarriedRequest, context: Context
    ) -> privacy_pb2.ListCarriedResponse:
        """List objections that records keep by themselves."""
        key = convert.key_from_proto(request.key) if request.HasField("key") else None
        run = asyncio.get_running_loop().run_in_executor
        if key is None:
            found, place = await run(self._pool, self._consents.every_carried, consent.check_cursor(request.cursor))
        else:
            found, place = await run(self._pool, self._consents.carried, key), b""
        return privacy_pb2.ListCarriedResponse(carried=[consent.carried_to_proto(each) for each in found], cursor=place)

    async def LiftCarried(
        self, request: privacy_pb2.LiftCarriedRequest, context: Context
    ) -> privacy_pb2.LiftCarriedResponse:
        """Take some of them back."""
        record = stewardship.check_number(request.record, "record")
        purposes = [convert.purpose_from_proto(each) for each in request.purposes]
        work = partial(self._consents.lift, record, request.network, purposes, *signed(), reference=request.reference)
        return privacy_pb2.LiftCarriedResponse(revision=convert.revision_to_token(await self._writer.run(work)))


def signed() -> tuple[str, str]:
    """Who calls, and the name of the call, which is the same in the log of changes and in the audit journal."""
    return CALLER.get().urn, ACCOUNT.get().request


def _record(message: record_pb2.EncodedRecord, caller: Caller) -> EncodedRecord | RecordRejected:
    try:
        record = convert.record_from_proto(message)
    except RecordRejected as rejected:
        return rejected
    if not caller.may_write(record.facility):
        return RecordRejected(Reason.FACILITY_MISMATCH, "facility", _FOREIGN_RECORD)
    return record
