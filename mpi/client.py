"""A client of the index: calls become methods, messages become words of the domain, status becomes errors.

Usage::

    with mpi.Client(address="mpi.example.go.th:7443", certificates=Path("certs/facility-10661")) as client:
        client.register(record)
        client.locate(key, PurposeOfUse.TREAT)
"""

from __future__ import annotations

import ipaddress
import json
import queue
import ssl
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from mpi.coalescing import Coalescer
from mpi.domain.access import ClientRule
from mpi.domain.changes import Change, Selection
from mpi.domain.consent import Carried, Consent, Opening, OpeningStatus
from mpi.domain.dashboard import Dashboard, TaskCount
from mpi.domain.identifiers import IdentifierToken, LocalIdToken, LocateKey
from mpi.domain.identity import Decision, Identity, IdentityView, MatchCandidate, Registration, Regrouped, Undone
from mpi.domain.learning import Preview, Thresholds
from mpi.domain.purpose import PurposeOfUse
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.domain.review import Answer, TaskFilter, Verdict
from mpi.domain.task_detail import AskedQuestion, BulkDecided, Decided, Graph, ListedTask, TaskDetail
from mpi.domain.watching import Wanted, Watched
from mpi.errors import AccessDenied, ConfigInvalid, MpiError, Reason, RecordRejected, ServiceUnavailable
from mpi.feed import PATIENCE_SECONDS, follow
from mpi.v1 import admin_service_pb2 as admin_pb2
from mpi.v1 import (
    admin_service_pb2_grpc,
    consent_service_pb2_grpc,
    locator_service_pb2_grpc,
    privacy_service_pb2_grpc,
    question_service_pb2_grpc,
    registry_service_pb2_grpc,
    stewardship_service_pb2_grpc,
)
from mpi.v1 import consent_service_pb2 as consent_pb2
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import privacy_service_pb2 as privacy_pb2
from mpi.v1 import question_service_pb2 as question_pb2
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.v1 import stewardship_service_pb2 as stewardship_pb2
from mpi.wire import admin, consent, convert, review, reviewing, stewardship, watching
from mpi.wire.status import from_wire

__all__ = [
    "BatchLocated",
    "BatchRegistered",
    "Client",
    "Located",
    "Matched",
    "PurposeOfUse",
    "Registered",
    "Retracted",
]

_PREVIEW_SECONDS = 120.0
"""Deadline of a preview, which compares as much as many registrations."""
LOOK_SECONDS = 0.5
"""How often a stream that waits for an answer looks whether its call still lives."""
MOST_TOGETHER = 500
"""Lookups that share a call."""
CALLS_TOGETHER = 2
"""Calls for lookups under way at the same time, from which on further lookups share the next one."""
BATCHES_IN_FLIGHT = 4
"""Batches sent ahead of the answers: enough to keep the server busy, few enough to lose little."""
EVERYTHING = Wanted()

_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                # Every call may be repeated: lookups read, registering the same content again changes nothing, and
                # a steward's decision that was carried out already is refused as a conflict.
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)
_OPTIONS = (
    ("grpc.service_config", _SERVICE_CONFIG),
    # A thousand persons with all their locations can pass gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of one record.

    Attributes:
        registration: its identity, and how it came there.
        revision: token that a lookup can demand with `at_least`, so that it sees this record.
        request: name of the call in the log of changes, by which a steward can undo it.
    """

    registration: Registration
    revision: bytes
    request: str = ""


@dataclass(frozen=True, slots=True)
class BatchRegistered:
    """A batch that is durable.

    Attributes:
        cursor: the sender's own position; sending goes on after the last one that came back.
        outcomes: for each record, in order, what became of it or why it was not taken.
        revision: token that a lookup can demand with `at_least`, so that it sees this batch.
        request: name of the stream in the log of changes, by which a steward can undo it.
    """

    cursor: bytes
    outcomes: tuple[Registration | RecordRejected, ...]
    revision: bytes
    request: str = ""


@dataclass(frozen=True, slots=True)
class Retracted:
    """Whether there was a record to take back, and the token of the state without it."""

    retracted: bool
    revision: bytes


@dataclass(frozen=True, slots=True)
class Located:
    """The identities that a key belongs to, and the token of the state that was answered from."""

    identities: tuple[Identity, ...]
    revision: bytes


@dataclass(frozen=True, slots=True)
class BatchLocated:
    """For each key, in order, its identities or why it was not looked up."""

    answers: tuple[tuple[Identity, ...] | RecordRejected, ...]
    revision: bytes


@dataclass(frozen=True, slots=True)
class Matched:
    """The identities that came near, nearest first, and what registering the same demographics would lead to."""

    candidates: tuple[MatchCandidate, ...]
    decision: Decision
    revision: bytes


class Client:
    """A connection to an index. Threads may share it; close it, or use it as a context manager.

    Args:
        address: host and port, such as "mpi.example.go.th:7443".
        certificates: folder with ca.pem, cert.pem and key.pem; without it plain text is spoken, to this machine only.
        timeout: deadline of a call in seconds; for a stream, the longest wait for the answer to a batch.
        coalesce: let lookups that several threads make at the same moment share a call; a lookup alone waits for
            nobody. Clients that may look up one by one only, as facilities do, go on as they are.

    Raises:
        ConfigInvalid: a certificate file is unusable, or plain text was asked for across a network.

    Every method raises the `MpiError` that the server meant, and ServiceUnavailable when it cannot be reached
    within the deadline; calls that find it unavailable have been repeated a few times by then.
    """

    def __init__(
        self, *, address: str, certificates: Path | None = None, timeout: float = 10.0, coalesce: bool = True
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._secure = certificates is not None
        if certificates is None:
            _check_loopback(address)
            self._channel = grpc.insecure_channel(address, _OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, _credentials(certificates), _OPTIONS)
        self._registry: Any = registry_service_pb2_grpc.RegistryServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._locator: Any = locator_service_pb2_grpc.LocatorServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._stewardship: Any = stewardship_service_pb2_grpc.StewardshipServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._consent: Any = consent_service_pb2_grpc.ConsentServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._admin: Any = admin_service_pb2_grpc.AdminServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._question: Any = question_service_pb2_grpc.QuestionServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._privacy: Any = privacy_service_pb2_grpc.PrivacyServiceStub(self._channel)  # type: ignore[no-untyped-call]

        self._coalesces = coalesce
        self._coalescer = Coalescer[tuple[LocateKey, PurposeOfUse], Located](
            self._together, MOST_TOGETHER, CALLS_TOGETHER
        )

    def __repr__(self) -> str:
        return f"Client({self._address}, {'mutual TLS' if self._secure else 'plain text'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def register(self, record: EncodedRecord) -> Registered:
        """Store one record and link it (compare IHE ITI-93); the same content again changes nothing.

        Raises:
            RecordRejected: the index cannot take the record.
            AccessDenied: the record belongs to another facility, or the client registers nothing.
        """
        request = registry_pb2.RegisterRequest(record=convert.record_to_proto(record))
        response = self._call(self._registry.Register, request)
        return Registered(
            convert.registration_from_proto(response.registration), response.revision, response.request_id
        )

    def register_batches(self, batches: Iterable[tuple[bytes, Sequence[EncodedRecord]]]) -> Iterator[BatchRegistered]:
        """Store batches over one stream, each in one transaction.

        `batches` is read in the caller's thread, a few batches ahead of the answers and no further. After an error
        everything up to the last result is durable: call again with the batches after its cursor.

        Args:
            batches: pairs of a cursor, at most 64 bytes, and at most 1000 records.

        Yields:
            One result for each batch, in order.

        Raises:
            InputRejected: a batch is too large or its cursor too long.
            AccessDenied: the client registers nothing.
        """
        stream = _Stream(self._registry.RegisterBatch)
        try:
            for cursor, records in batches:
                messages = [convert.record_to_proto(record) for record in records]
                stream.send(registry_pb2.RegisterBatchRequest(cursor=cursor, records=messages))
                for response in stream.answers(BATCHES_IN_FLIGHT - 1, self._timeout):
                    yield _batch(response)
            stream.finish()
            for response in stream.answers(0, self._timeout):
                yield _batch(response)
        except grpc.RpcError as error:
            raise self._meant(error) from None
        finally:
            stream.close()

    def retract(self, facility: str, local_id: LocalIdToken, *, erase: bool = False) -> Retracted:
        """Take a record back; no lookup finds it any more.

        Args:
            facility: whose record it is.
            local_id: token of its local id.
            erase: destroy the record's key, so that nothing that was ever kept of it can be opened again.

        Raises:
            AccessDenied: the record belongs to another facility, or the client registers nothing.
        """
        request = registry_pb2.RetractRequest(facility=facility, local_id_token=local_id.value, erase=erase)
        response = self._call(self._registry.Retract, request)
        return Retracted(response.retracted, response.revision)

    def locate(
        self,
        key: LocateKey,
        purpose: PurposeOfUse,
        at_least: bytes | None = None,
        as_of: bytes | None = None,
        reason: str = "",
    ) -> Located:
        """Find the identities that a key belongs to and where their records are (compare IHE ITI-119).

        Args:
            key: whom to look for.
            purpose: why.
            at_least: token of a write that the answer must reflect.
            as_of: token of the state that is asked about; with an enterprise id only, and for stewards.
            reason: why the glass is broken, with purpose BTG; a privacy officer reads it.

        Raises:
            IndexBehind: the index did not reach `at_least` within the deadline.
            AccessDenied: the client may not look up.
        """
        if self._coalesces and not (at_least or as_of or reason):
            return self._coalescer.get((key, purpose))
        return self._locate(key, purpose, at_least, as_of, reason)

    def _locate(
        self,
        key: LocateKey,
        purpose: PurposeOfUse,
        at_least: bytes | None = None,
        as_of: bytes | None = None,
        reason: str = "",
    ) -> Located:
        request = locator_pb2.LocateRequest(
            key=convert.key_to_proto(key),
            purpose=convert.purpose_to_proto(purpose),
            at_least=at_least or b"",
            as_of=as_of or b"",
            reason=reason,
        )
        response = self._call(self._locator.Locate, request)
        identities = tuple(convert.identity_from_proto(identity) for identity in response.identities)
        return Located(identities, response.revision)

    def _together(self, asked: Sequence[tuple[LocateKey, PurposeOfUse]]) -> list[Located | Exception]:
        """Look up what several threads asked for, one call a purpose; each has its own answer or error."""
        found: dict[int, Located | Exception] = {}
        for purpose in {purpose for _, purpose in asked}:
            places = [place for place, (_, each) in enumerate(asked) if each is purpose]
            keys = [asked[place][0] for place in places]
            try:
                if len(keys) > 1 and self._coalesces:
                    batch = self.batch_locate(keys, purpose)
                    answers: list[Located | Exception] = [
                        each if isinstance(each, RecordRejected) else Located(each, batch.revision)
                        for each in batch.answers
                    ]
                else:
                    answers = [self._alone(key, purpose) for key in keys]
            except AccessDenied as denied:
                if denied.reason is not Reason.ROLE_MISSING:
                    answers = [denied] * len(keys)
                else:
                    self._coalesces = False  # this client may look up one by one only
                    answers = [self._alone(key, purpose) for key in keys]
            except MpiError as error:
                answers = [error] * len(keys)
            found.update(zip(places, answers, strict=True))
        return [found[place] for place in range(len(asked))]

    def _alone(self, key: LocateKey, purpose: PurposeOfUse) -> Located | Exception:
        try:
            return self._locate(key, purpose)
        except MpiError as error:
            return error

    def locate_many(
        self,
        keys: Iterable[LocateKey],
        purpose: PurposeOfUse,
        on_progress: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[LocateKey, tuple[Identity, ...] | RecordRejected]]:
        """Look up any number of keys, some hundred a call, as far ahead as they are taken.

        Args:
            keys: read as the answers are taken, never all at once.
            purpose: why.
            on_progress: told how many have been answered so far.

        Yields:
            Each key, in order, with its identities or why it was not looked up.

        Raises:
            MpiError: a call failed; what was yielded before was answered.
        """
        left, done = iter(keys), 0
        while part := list(islice(left, MOST_TOGETHER)):
            answers = self.batch_locate(part, purpose).answers
            done += len(part)
            if on_progress is not None:
                on_progress(done)
            yield from zip(part, answers, strict=True)

    def batch_locate(
        self, keys: Sequence[LocateKey], purpose: PurposeOfUse, at_least: bytes | None = None
    ) -> BatchLocated:
        """Look up at most 1000 keys at once; arguments and errors as for `locate`.

        Raises:
            InputRejected: BATCH_TOO_LARGE.
        """
        request = locator_pb2.BatchLocateRequest(
            keys=[convert.key_to_proto(key) for key in keys],
            purpose=convert.purpose_to_proto(purpose),
            at_least=at_least or b"",
        )
        return _located(self._call(self._locator.BatchLocate, request))

    def locate_stream(
        self, batches: Iterable[Sequence[LocateKey]], purpose: PurposeOfUse, at_least: bytes | None = None
    ) -> Iterator[BatchLocated]:
        """Look up batches over one stream; `batches` is read a few batches ahead of the answers and no further.

        Args:
            batches: at most 1000 keys each.
            purpose: why.
            at_least: token of a write that the answers must reflect.

        Yields:
            The answers to each batch, in order; of a batch that is refused as a whole, every key has the same error.

        Raises:
            MpiError: the stream ended; what was yielded before was answered.
        """
        stream = _Stream(self._locator.LocateStream)
        try:
            for keys in batches:
                request = locator_pb2.LocateStreamRequest(
                    keys=map(convert.key_to_proto, keys),
                    purpose=convert.purpose_to_proto(purpose),
                    at_least=at_least or b"",
                )
                stream.send(request)
                for response in stream.answers(BATCHES_IN_FLIGHT - 1, self._timeout):
                    yield _located(response)
            stream.finish()
            for response in stream.answers(0, self._timeout):
                yield _located(response)
        except grpc.RpcError as error:
            raise self._meant(error) from None
        finally:
            stream.close()

    def watch(
        self,
        purpose: PurposeOfUse,
        cursor: bytes = b"",
        wanted: Wanted = EVERYTHING,
        patience: float = PATIENCE_SECONDS,
    ) -> Generator[Watched, None, None]:
        """Watch identities change, without end; see `mpi.domain.watching` for what is told.

        A broken feed is opened again after the last page that was taken, so that none comes twice or is left out. Keep
        the cursor of each page once it is dealt with, and begin with it the next time.

        Args:
            purpose: why.
            cursor: of the last page that was dealt with; empty for "from now on".
            wanted: which events are.
            patience: seconds that the server may be away in one piece.

        Yields:
            Pages, the first at once; without events where nothing is to be told.

        Raises:
            RecordRejected: the cursor is none of this client's, or the filter is wrong.
            AccessDenied: the client may not watch.
            ServiceUnavailable: the server was away for too long.
        """

        def opened(after: bytes) -> Any:
            return self._locator.WatchIdentities(watching.request_to_proto(purpose, after, wanted))

        return follow(opened, self._meant, cursor, patience)

    def match(self, demographics: EncodedDemographics, purpose: PurposeOfUse, limit: int = 10) -> Matched:
        """Weigh demographics against the index without storing anything.

        Args:
            demographics: whom to look for.
            purpose: why.
            limit: the most candidates wanted, 1 to 50.

        Raises:
            RecordRejected: the index cannot compare these demographics.
        """
        request = locator_pb2.MatchRequest(
            demographics=convert.demographics_to_proto(demographics),
            purpose=convert.purpose_to_proto(purpose),
            limit=limit,
        )
        response = self._call(self._locator.Match, request)
        candidates = tuple(convert.candidate_from_proto(candidate) for candidate in response.candidates)
        return Matched(candidates, convert.decision_from_proto(response.decision), response.revision)

    def identity(self, eid: str, as_of: int | datetime | None = None) -> IdentityView:
        """Show an identity to a steward, as it is or as it was after a revision or at a time.

        Raises:
            NotFound: it holds nothing, or held nothing then.
            AccessDenied: the client is no steward; so for every call below.
        """
        request = stewardship_pb2.GetIdentityRequest(eid=eid)
        if isinstance(as_of, datetime):
            request.time.FromDatetime(as_of)
        elif as_of is not None:
            request.revision = as_of
        return stewardship.view_from_proto(self._call(self._stewardship.GetIdentity, request).identity)

    def link(self, record: int, other: int) -> Regrouped:
        """Say that two records are of one person.

        Raises:
            NotFound: one of them is not held.
            Conflict: other decisions forbid it.
        """
        request = stewardship_pb2.LinkRequest(record=record, other=other)
        return stewardship.regrouped_from_proto(self._call(self._stewardship.Link, request).regrouped)

    def unlink(self, record: int) -> Regrouped:
        """Say that a record is not of the person whose identity it is in.

        Raises:
            NotFound: it is not held.
            Conflict: it is alone there.
        """
        request = stewardship_pb2.UnlinkRequest(record=record)
        return stewardship.regrouped_from_proto(self._call(self._stewardship.Unlink, request).regrouped)

    def merge(self, eid: str, other: str, *, seen: int = 0) -> Regrouped:
        """Say that two identities are one person.

        Args:
            eid: one.
            other: the other.
            seen: the newest change of them that the caller has seen; 0 where that does not matter.

        Raises:
            NotFound: one of them is not held.
            Conflict: they are one already, other decisions forbid it, or one has changed since.
        """
        request = stewardship_pb2.MergeRequest(eid=eid, other=other, seen=seen)
        return stewardship.regrouped_from_proto(self._call(self._stewardship.Merge, request).regrouped)

    def split(self, eid: str, parts: Sequence[Collection[int]], *, seen: int = 0) -> Regrouped:
        """Say that an identity was several persons; records that no part names are one more together.

        Args:
            eid: the identity.
            parts: numbers of records.
            seen: the newest change of it that the caller has seen; 0 where that does not matter.

        Raises:
            NotFound: it is not held.
            Conflict: there is one part only, or it has changed since.
        """
        message = [stewardship_pb2.Part(records=part) for part in parts]
        request = stewardship_pb2.SplitRequest(eid=eid, parts=message, seen=seen)
        return stewardship.regrouped_from_proto(self._call(self._stewardship.Split, request).regrouped)

    def undo(self, selection: Selection, *, preview: bool = False, keep_later: bool = False) -> Undone:
        """Take changes back, or say what that would do.

        Args:
            selection: which changes.
            preview: change nothing.
            keep_later: leave the changes that later ones build on; without it they forbid the undo.

        Raises:
            NotFound: there is no such change.
            Conflict: later changes build on some.
        """
        request = stewardship_pb2.UndoRequest(
            selection=stewardship.selection_to_proto(selection), preview=preview, keep_later=keep_later
        )
        return stewardship.undone_from_proto(self._call(self._stewardship.Undo, request))

    def changes(self, selection: Selection | None = None, after: int = 0, limit: int = 100) -> list[Change]:
        """Read the log of changes after a revision, the oldest first."""
        request = stewardship_pb2.ListChangesRequest(
            selection=stewardship.selection_to_proto(selection or Selection()), after=after, limit=limit
        )
        response = self._call(self._stewardship.ListChanges, request)
        return [stewardship.change_from_proto(change) for change in response.changes]

    def tasks(
        self, meant: TaskFilter | None = None, cursor: bytes = b"", limit: int = 50
    ) -> tuple[list[ListedTask], bytes]:
        """List tasks, the most valuable first; gives them and the cursor of the next page, empty after the last."""
        wanted = None if meant is None else review.filter_to_proto(meant)
        request = stewardship_pb2.ListTasksRequest(filter=wanted, cursor=cursor, limit=limit)
        response = self._call(self._stewardship.ListTasks, request)
        return [review.task_from_proto(task) for task in response.tasks], response.cursor

    def counts(self) -> tuple[TaskCount, ...]:
        """Count the tasks by kind and state; what is said may be a few seconds old."""
        request = stewardship_pb2.CountTasksRequest()
        return reviewing.counts_from_proto(self._call(self._stewardship.CountTasks, request).counts)

    def task(self, number: int) -> TaskDetail:
        """Show a task with everything that a person needs to decide it.

        Raises:
            NotFound: there is no such task.
        """
        request = stewardship_pb2.GetTaskRequest(number=number)
        return reviewing.detail_from_proto(self._call(self._stewardship.GetTask, request))

    def claim(self, task: int = 0, meant: TaskFilter | None = None) -> ListedTask:
        """Hold a task for a while, or without a number the most valuable one of a filter that is free.

        Raises:
            NotFound: there is no such task, or none is free.
            Conflict: another steward has it, or it is decided.
        """
        wanted = None if meant is None else review.filter_to_proto(meant)
        request = stewardship_pb2.ClaimTaskRequest(number=task, filter=wanted)
        return review.task_from_proto(self._call(self._stewardship.ClaimTask, request).task)

    def release(self, task: int) -> None:
        """Give a task back that was claimed."""
        self._call(self._stewardship.ReleaseTask, stewardship_pb2.ReleaseTaskRequest(number=task))

    def assign(self, task: int, steward: str) -> None:
        """Say whose work a task is, such as "urn:mpi:steward:somsri"; "" for anybody's.

        Raises:
            Conflict: it is decided.
        """
        request = stewardship_pb2.AssignTaskRequest(number=task, assignee=steward)
        self._call(self._stewardship.AssignTask, request)

    def comment(self, task: int, text: str, reason: str = "") -> None:
        """Add a remark to a task; it never names a person.

        Raises:
            InputRejected: it is empty or too long, or the reason is no code.
        """
        request = stewardship_pb2.CommentTaskRequest(number=task, text=text, reason=reason)
        self._call(self._stewardship.CommentTask, request)

    def decide(self, task: int, verdict: Verdict, reason: str = "", text: str = "", seen: int = 0) -> Decided:
        """Answer a task.

        Args:
            task: its number.
            verdict: the answer.
            reason: reason code.
            text: remark.
            seen: the revision that `task` gave: an identity that has changed since makes this fail. 0 does not look.

        Raises:
            NotFound: there is no such task.
            Conflict: it was answered already, another steward has it, or other decisions forbid this one.
        """
        request = stewardship_pb2.DecideTaskRequest(
            number=task, verdict=review.VERDICTS[verdict], reason=reason, text=text, revision=seen
        )
        return review.decided_from_proto(self._call(self._stewardship.DecideTask, request))

    def decide_preview(self, meant: TaskFilter, verdict: Verdict) -> tuple[list[ListedTask], bool]:
        """Say which tasks `decide_all` would answer, at most 500, and whether there are more; nothing is decided.

        Raises:
            InputRejected: the filter is empty.
        """
        request = stewardship_pb2.DecideTasksRequest(
            filter=review.filter_to_proto(meant), verdict=review.VERDICTS[verdict], preview=True
        )
        response = self._call(self._stewardship.DecideTasks, request)
        return [review.task_from_proto(each) for each in response.tasks], response.more

    def decide_all(self, meant: TaskFilter, verdict: Verdict, tasks: Collection[int], reason: str = "") -> BulkDecided:
        """Answer many tasks, one by one: those that were shown and that the filter still means.

        Raises:
            InputRejected: the filter is empty, or these are more than 500 tasks.
        """
        request = stewardship_pb2.DecideTasksRequest(
            filter=review.filter_to_proto(meant), verdict=review.VERDICTS[verdict], numbers=tasks, reason=reason
        )
        return reviewing.bulk_decided_from_proto(self._call(self._stewardship.DecideTasks, request))

    def graph(self, eids: Collection[str]) -> Graph:
        """Show how the records of one or two identities are linked.

        Raises:
            NotFound: one holds nothing.
        """
        request = stewardship_pb2.GetGraphRequest(eids=eids)
        return reviewing.graph_from_proto(self._call(self._stewardship.GetGraph, request))

    def reveal(self, record: int, task: int = 0) -> tuple[bytes, str]:
        """Fetch the sealed view of a record, which only a steward's key opens, and its facility.

        The audit journal notes every call.

        Raises:
            NotFound: nothing is revealed of such a record.
        """
        response = self._call(self._stewardship.RevealView, stewardship_pb2.RevealViewRequest(record=record, task=task))
        return response.sealed_view, response.facility

    def dashboard(self, days: int = 30) -> Dashboard:
        """Tell how the queue does, looking back at most 365 days."""
        request = stewardship_pb2.GetDashboardRequest(days=days)
        return reviewing.dashboard_from_proto(self._call(self._stewardship.GetDashboard, request))

    def preview_rules(self, candidate: Thresholds | str | None = None, sample: int = 0) -> Preview:
        """Say what other thresholds, or the rules of a file's text, would do with a sample of the records.

        Args:
            candidate: what may take the place of the present rules; None to be told of these alone.
            sample: how many records to look at; 0 for 200.

        Raises:
            InputRejected: they are no usable rules, or of another profile or gateway.
            RateLimited: another preview runs.
        """
        request = stewardship_pb2.PreviewRulesRequest(sample=sample)
        if isinstance(candidate, str):
            request.rule_file = candidate
        elif candidate is not None:
            now = stewardship_pb2.Thresholds(link=candidate.link, review=candidate.review, margin=candidate.margin)
            request.thresholds.CopyFrom(now)
        return reviewing.preview_from_proto(self._call(self._stewardship.PreviewRules, request, _PREVIEW_SECONDS))

    def questions(self, after: int = 0, limit: int = 100) -> list[AskedQuestion]:
        """List the questions that wait for this facility, after the number of the last one known, the oldest first.

        Raises:
            AccessDenied: the client is no facility; so for the next call.
        """
        request = question_pb2.ListQuestionsRequest(after=after, limit=limit)
        response = self._call(self._question.ListQuestions, request)
        return [reviewing.question_from_proto(each) for each in response.questions]

    def answer(self, question: int, answer: Answer, reason: str = "") -> None:
        """Answer a question about one of this facility's own records.

        Args:
            question: its number.
            answer: are the numbers, the name and the birth date as the facility's own papers have them?
            reason: reason code.

        Raises:
            NotFound: no such question waits for the facility; it may have been taken back.
            InputRejected: the reason is no code.
        """
        request = question_pb2.AnswerQuestionRequest(number=question, answer=review.ANSWERS[answer], reason=reason)
        self._call(self._question.AnswerQuestion, request)

    def give_consent(
        self,
        token: IdentifierToken,
        network: str,
        purposes: Sequence[PurposeOfUse],
        *,
        once: bool = False,
        includes_sensitive: bool = False,
        reference: str = "",
    ) -> bytes:
        """Keep a citizen's consent, also before anything is registered of them.

        Args:
            token: of the citizen's number. While key epochs are changed, give it under both.
            network: of facilities, as the index's policy names it.
            purposes: purposes of use that it is about.
            once: it holds for one lookup of each purpose.
            includes_sensitive: it includes facilities of sensitive classes.
            reference: where it is documented, never a value that names the citizen.

        Returns:
            A revision token: a lookup that demands it goes by this consent.

        Raises:
            RecordRejected: the network is unknown, or no purpose is named.
            AccessDenied: the client brings no consents.
        """
        request = consent_pb2.GiveRequest(
            identifier=convert.token_to_proto(token),
            network=network,
            purposes=[convert.purpose_to_proto(each) for each in purposes],
            once=once,
            includes_sensitive=includes_sensitive,
            reference=reference,
        )
        return bytes(self._call(self._consent.Give, request).revision)

    def withdraw_consent(
        self, token: IdentifierToken, network: str, purposes: Sequence[PurposeOfUse], *, reference: str = ""
    ) -> bytes:
        """Keep a citizen's objection; arguments, result and errors as of `give_consent`."""
        request = consent_pb2.WithdrawRequest(
            identifier=convert.token_to_proto(token),
            network=network,
            purposes=[convert.purpose_to_proto(each) for each in purposes],
            reference=reference,
        )
        return bytes(self._call(self._consent.Withdraw, request).revision)

    def consents(self, token: IdentifierToken) -> list[Consent]:
        """Say what holds under a number: all of it to a privacy officer, to others what they brought."""
        request = consent_pb2.ListRequest(identifier=convert.token_to_proto(token))
        response = self._call(self._consent.List, request)
        return [consent.consent_from_proto(token, each) for each in response.consents]

    def openings(self, after: int = 0) -> list[Opening]:
        """List lookups that broke the glass and wait to be judged, the oldest first, at most 100."""
        response = self._call(self._privacy.ListOpenings, privacy_pb2.ListOpeningsRequest(after=after))
        return [consent.opening_from_proto(each) for each in response.openings]

    def carried(self, key: LocateKey) -> list[Carried]:
        """List the objections that records of the people behind a key keep by themselves."""
        request = privacy_pb2.ListCarriedRequest(key=convert.key_to_proto(key))
        response = self._call(self._privacy.ListCarried, request)
        return [consent.carried_from_proto(each) for each in response.carried]

    def every_carried(self, cursor: bytes = b"") -> tuple[list[Carried], bytes]:
        """List everybody's, a page at a time: what waits for a privacy officer since records were parted.

        Args:
            cursor: what the page before said; empty for the first one.

        Returns:
            The page, and the cursor of the next one; empty when there is none.
        """
        response = self._call(self._privacy.ListCarried, privacy_pb2.ListCarriedRequest(cursor=cursor))
        return [consent.carried_from_proto(each) for each in response.carried], response.cursor

    def lift_carried(
        self, record: int, network: str, purposes: Sequence[PurposeOfUse], *, reference: str = ""
    ) -> bytes:
        """Take objections back that a record keeps by itself.

        Returns:
            A revision token, which a lookup can demand as `at_least`.

        Raises:
            NotFound: the record keeps no such objection.
        """
        request = privacy_pb2.LiftCarriedRequest(
            record=record,
            network=network,
            purposes=[convert.purpose_to_proto(each) for each in purposes],
            reference=reference,
        )
        return bytes(self._call(self._privacy.LiftCarried, request).revision)

    def judge_opening(self, number: int, *, justified: bool) -> None:
        """Say whether a lookup that broke the glass was right.

        Raises:
            Conflict: no such opening waits to be judged.
        """
        status = OpeningStatus.JUSTIFIED if justified else OpeningStatus.UNJUSTIFIED
        judgement = consent.judgement_to_proto(status)
        self._call(self._privacy.JudgeOpening, privacy_pb2.JudgeOpeningRequest(number=number, judgement=judgement))

    def clients(self) -> list[ClientRule]:
        """List the clients about which something was decided."""
        response = self._call(self._admin.ListClients, admin_pb2.ListClientsRequest())
        return [admin.rule_from_proto(each) for each in response.rules]

    def decide_client(self, rule: ClientRule) -> None:
        """Decide about a client, in place of all that was decided before; servers act on it within a second."""
        self._call(self._admin.DecideClient, admin_pb2.DecideClientRequest(rule=admin.rule_to_proto(rule)))

    def in_force(self) -> tuple[str, tuple[str, ...]]:
        """Say which rules are in force, by their digest, and which key epochs are accepted."""
        response = self._call(self._admin.DescribeIndex, admin_pb2.DescribeIndexRequest())
        return response.rules_digest, tuple(response.key_epochs)

    def _call(self, method: Callable[..., Any], request: Any, timeout: float = 0.0) -> Any:
        try:
            return method(request, timeout=timeout or self._timeout)
        except grpc.RpcError as error:
            raise self._meant(error) from None

    def _meant(self, error: grpc.RpcError) -> MpiError:
        meant = from_wire(error)
        if isinstance(meant, ServiceUnavailable):
            return ServiceUnavailable(f"{self._address}: {meant.message}{_hint(error, self._secure)}")
        return meant


class _Stream:
    """A stream of batches whose answers can be waited for with a time limit, which gRPC's own iterator cannot."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._responses: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._unanswered = 0
        self._call = method(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, name="mpi-stream", daemon=True)
        self._reader.start()

    def send(self, request: Any) -> None:
        self._unanswered += 1
        self._requests.put(request)

    def finish(self) -> None:
        self._requests.put(None)

    def answers(self, most_unanswered: int, timeout: float) -> Iterator[Any]:
        """Give the answers that are there, and wait until no more than `most_unanswered` batches lack theirs."""
        until = time.monotonic() + timeout
        while self._unanswered:
            wait = self._unanswered > most_unanswered
            # Of a server that was killed gRPC may know that the call has ended and still never wake its reader.
            ended = not self._call.is_active()
            try:
                response = self._responses.get(wait, LOOK_SECONDS if wait else None)
            except queue.Empty:
                if not wait:
                    return
                if ended:
                    raise ServiceUnavailable("the connection was lost before every batch was answered") from None
                if time.monotonic() > until:
                    raise ServiceUnavailable(f"no answer to a batch within {timeout:g} s") from None
                continue
            until = time.monotonic() + timeout
            if isinstance(response, grpc.RpcError):
                raise response
            if response is None:
                raise ServiceUnavailable("the server ended the stream before it had answered every batch")
            self._unanswered -= 1
            yield response

    def close(self) -> None:
        self._requests.put(None)
        self._call.cancel()
        self._reader.join(LOOK_SECONDS)  # it may never wake, as above
        # The call takes its lock once more when it is freed. At the interpreter's end a thread of gRPC's may be frozen
        # with that lock, so the call must be freed now: nothing may refer to it any longer, its own traceback included.
        del self._call

    def _read(self) -> None:
        try:
            for response in self._call:
                self._responses.put(response)
            self._responses.put(None)
        except grpc.RpcError as error:
            self._responses.put(error.with_traceback(None))


def _batch(response: registry_pb2.RegisterBatchResponse) -> BatchRegistered:
    outcomes = tuple(convert.outcome_from_proto(outcome) for outcome in response.outcomes)
    return BatchRegistered(response.cursor, outcomes, response.revision, response.request_id)


def _located(response: locator_pb2.BatchLocateResponse | locator_pb2.LocateStreamResponse) -> BatchLocated:
    return BatchLocated(tuple(convert.located_from_proto(item) for item in response.outcomes), response.revision)


def _check_loopback(address: str) -> None:
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    loopback = host == "localhost"
    with suppress(ValueError):
        loopback = loopback or ipaddress.ip_address(host).is_loopback
    if not loopback:
        raise ConfigInvalid(
            "certificates", "are needed for a server on another machine: a folder with ca.pem, cert.pem and key.pem"
        )


def _credentials(folder: Path) -> grpc.ChannelCredentials:
    authority, certificate, key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for path in (authority, certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigInvalid("certificates", f"{path}: {error.strerror}") from None
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError:
        raise ConfigInvalid("certificates", f"{authority} holds no certificate") from None
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise ConfigInvalid("certificates", f"{certificate} and {key} are not a certificate and its key") from None
    return grpc.ssl_channel_credentials(authority.read_bytes(), key.read_bytes(), certificate.read_bytes())


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # instead of a prompt on the terminal


def _hint(error: grpc.RpcError, secure: bool) -> str:
    """Say what to look at when a connection failed: gRPC's own text names the symptom only."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return ""
    details = error.details() or ""
    if "CERTIFICATE_VERIFY_FAILED" in details or "Hostname Verification" in details:
        return "; the server's certificate is not from the authority in ca.pem, or not for this address"
    if secure and "WRONG_VERSION_NUMBER" in details:
        return "; the server speaks plain text"
    if "Connection refused" in details:
        return "; nothing listens there"
    if secure:
        return "; if the server runs, it may not accept this certificate (another authority, or expired)"
    return "; if the server runs, it may demand certificates"
