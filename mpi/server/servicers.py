"""The gRPC services: they convert, ask who calls, and hand over to the use cases."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import grpc

from mpi.domain.identifiers import LocateKey
from mpi.domain.identity import Decision, Identity, MatchCandidate, Registration
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.errors import IndexBehind, InputRejected, MpiError, Reason, RecordRejected, ServiceUnavailable
from mpi.server.callers import Caller, caller_of
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import locator_service_pb2_grpc, registry_service_pb2_grpc
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.wire import convert
from mpi.wire.status import status_out

log = logging.getLogger("mpi.server")

MOST_WAITING_BATCHES = 64
"""Batches that may wait for the writer; beyond that callers are told to come back."""
MOST_CANDIDATES = 50
_DEFAULT_CANDIDATES = 10
_POLL_SECONDS = 0.01
_LONGEST_WAIT_SECONDS = 30.0

Answer = TypeVar("Answer")


class Registers(Protocol):
    """Use case of registration."""

    def register(self, records: Sequence[EncodedRecord], actor: str) -> tuple[list[Registration | RecordRejected], int]:
        """Store records and link them; returns outcomes and the store's revision."""


class Locates(Protocol):
    """Use case of location."""

    def locate(self, key: LocateKey) -> tuple[Identity, ...]:
        """Find the identities that a key leads to."""

    def revision(self) -> int:
        """Revision that answers are given from."""


class Matches(Protocol):
    """Use case of matching."""

    def match(self, demographics: EncodedDemographics, limit: int) -> tuple[list[MatchCandidate], Decision]:
        """Weigh demographics without storing them."""


@contextmanager
def _answering() -> Iterator[None]:
    """Let our own errors out as they are, and anything unforeseen only as the fact that it happened."""
    try:
        yield
    except (MpiError, asyncio.CancelledError, grpc.aio.AbortError):
        raise
    except Exception as error:  # noqa: BLE001 (the edge of the process: nothing unforeseen may pass)
        # A traceback may quote values, so only the place is logged.
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
        log.error("unforeseen %s at %s", type(error).__name__, where)
        raise _Unforeseen from None


class _Unforeseen(Exception):
    """Something that nobody foresaw; the caller learns no more than that."""


async def _refuse(context: Any, error: Exception) -> None:
    if isinstance(error, MpiError):
        code, message, metadata = status_out(error)
        await context.abort(code, message, metadata)
    await context.abort(grpc.StatusCode.INTERNAL, "the server failed to answer; its log says where")


def unary(
    method: Callable[[Any, Any, Caller, Any], Awaitable[Answer]],
) -> Callable[[Any, Any, Any], Awaitable[Answer]]:
    """Wrap a method that takes (request, caller, context): name the caller, and answer errors by status."""

    @functools.wraps(method)
    async def answer(self: Any, request: Any, context: Any) -> Any:
        try:
            with _answering():
                return await method(self, request, caller_of(context, secure=self.secure), context)
        except (MpiError, _Unforeseen) as error:
            await _refuse(context, error)

    return answer


class RegistryServicer(registry_service_pb2_grpc.RegistryServiceServicer):
    """RegistryService: registrations run one after another in the writer's own thread."""

    def __init__(self, registry: Registers, writer: ThreadPoolExecutor, *, secure: bool) -> None:
        self.secure = secure
        self._registry = registry
        self._writer = writer
        self._waiting = 0

    @unary
    async def Register(
        self, request: registry_pb2.RegisterRequest, caller: Caller, context: Any
    ) -> registry_pb2.RegisterResponse:
        """Store and link one record."""
        record = convert.record_in(request.record)
        caller.must_own(record.facility)
        (outcome,), revision = await self._register([record], caller)
        if isinstance(outcome, RecordRejected):
            raise outcome
        return registry_pb2.RegisterResponse(
            registration=convert.registration_out(outcome), revision=convert.revision_out(revision)
        )

    async def RegisterBatch(
        self, requests: AsyncIterator[registry_pb2.RegisterBatchRequest], context: Any
    ) -> AsyncIterator[registry_pb2.RegisterBatchResponse]:
        """Store and link batches, one transaction each."""
        try:
            with _answering():
                caller = caller_of(context, secure=self.secure)
                async for request in requests:
                    yield await self._batch(request, caller)
        except (MpiError, _Unforeseen) as error:
            await _refuse(context, error)

    async def _batch(
        self, request: registry_pb2.RegisterBatchRequest, caller: Caller
    ) -> registry_pb2.RegisterBatchResponse:
        convert.check_batch("records", request.records)
        if len(request.cursor) > convert.MAX_CURSOR_BYTES:
            raise RecordRejected(
                Reason.REQUEST_INVALID, "cursor", f"at most {convert.MAX_CURSOR_BYTES} bytes are expected"
            )
        outcomes: list[Registration | InputRejected] = []
        taken: list[EncodedRecord] = []
        places: list[int] = []
        for message in request.records:
            try:
                record = convert.record_in(message)
            except RecordRejected as rejected:
                outcomes.append(rejected)
                continue
            caller.must_own(record.facility)
            places.append(len(outcomes))
            outcomes.append(RecordRejected(Reason.REQUEST_INVALID, "record", "not registered"))
            taken.append(record)
        done, revision = await self._register(taken, caller)
        for place, outcome in zip(places, done, strict=True):
            outcomes[place] = outcome
        return registry_pb2.RegisterBatchResponse(
            cursor=request.cursor,
            outcomes=[
                registry_pb2.RecordOutcome(registration=convert.registration_out(outcome))
                if isinstance(outcome, Registration)
                else registry_pb2.RecordOutcome(error=convert.item_error_out(outcome))
                for outcome in outcomes
            ],
            revision=convert.revision_out(revision),
        )

    async def _register(
        self, records: Sequence[EncodedRecord], caller: Caller
    ) -> tuple[list[Registration | RecordRejected], int]:
        if self._waiting >= MOST_WAITING_BATCHES:
            raise ServiceUnavailable("too many batches wait for the writer; try again in a moment")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            # A batch that has begun is finished even if its caller goes away: it is one transaction.
            return await loop.run_in_executor(self._writer, self._registry.register, records, caller.urn)
        finally:
            self._waiting -= 1


class LocatorServicer(locator_service_pb2_grpc.LocatorServiceServicer):
    """LocatorService: lookups read memory-mapped pages, so they are answered in the event loop itself."""

    def __init__(self, locator: Locates, matcher: Matches, readers: ThreadPoolExecutor, *, secure: bool) -> None:
        self.secure = secure
        self._locator = locator
        self._matcher = matcher
        self._readers = readers

    @unary
    async def Locate(
        self, request: locator_pb2.LocateRequest, caller: Caller, context: Any
    ) -> locator_pb2.LocateResponse:
        """Answer one key."""
        _need_purpose(request.purpose)
        key = convert.locate_key_in(request.key)
        revision = await self._fresh(request.at_least, context)
        identities = [convert.identity_out(identity) for identity in self._locator.locate(key)]
        return locator_pb2.LocateResponse(identities=identities, revision=convert.revision_out(revision))

    @unary
    async def BatchLocate(
        self, request: locator_pb2.BatchLocateRequest, caller: Caller, context: Any
    ) -> locator_pb2.BatchLocateResponse:
        """Answer many keys."""
        _need_purpose(request.purpose)
        convert.check_batch("keys", request.keys)
        revision = await self._fresh(request.at_least, context)
        outcomes = []
        for message in request.keys:
            try:
                identities = self._locator.locate(convert.locate_key_in(message))
                outcomes.append(locator_pb2.LocateOutcome(identities=[convert.identity_out(i) for i in identities]))
            except RecordRejected as rejected:
                outcomes.append(locator_pb2.LocateOutcome(error=convert.item_error_out(rejected)))
            await asyncio.sleep(0)  # single lookups go on between the keys of a batch
        return locator_pb2.BatchLocateResponse(outcomes=outcomes, revision=convert.revision_out(revision))

    @unary
    async def Match(self, request: locator_pb2.MatchRequest, caller: Caller, context: Any) -> locator_pb2.MatchResponse:
        """Weigh demographics."""
        _need_purpose(request.purpose)
        if request.limit > MOST_CANDIDATES:
            raise RecordRejected(Reason.REQUEST_INVALID, "limit", f"at most {MOST_CANDIDATES} candidates are given")
        demographics = convert.demographics_in(request.demographics)
        loop = asyncio.get_running_loop()
        limit = request.limit or _DEFAULT_CANDIDATES
        candidates, decision = await loop.run_in_executor(self._readers, self._matcher.match, demographics, limit)
        return locator_pb2.MatchResponse(
            candidates=[convert.candidate_out(candidate) for candidate in candidates],
            decision=convert.decision_out(decision),
            revision=convert.revision_out(self._locator.revision()),
        )

    async def _fresh(self, at_least: bytes, context: Any) -> int:
        """Wait for a revision within the call's deadline.

        Raises:
            IndexBehind: it was not reached in time.
        """
        wanted = convert.revision_in(at_least)
        revision = self._locator.revision()
        if revision >= wanted:
            return revision
        remaining = context.time_remaining()
        # A little is kept back, so that the answer "not in time" still arrives in time.
        wait = _LONGEST_WAIT_SECONDS if remaining is None else min(_LONGEST_WAIT_SECONDS, 0.8 * remaining)
        loop = asyncio.get_running_loop()
        until = loop.time() + wait
        while loop.time() < until:
            await asyncio.sleep(_POLL_SECONDS)
            revision = self._locator.revision()
            if revision >= wanted:
                return revision
        raise IndexBehind("the index has not reached the revision asked for; try again")


def _need_purpose(purpose: int) -> None:
    known = locator_pb2.PurposeOfUse.values()
    if purpose == locator_pb2.PURPOSE_OF_USE_UNSPECIFIED or purpose not in known:
        raise RecordRejected(Reason.PURPOSE_MISSING, "purpose", "every lookup states its purpose of use")
