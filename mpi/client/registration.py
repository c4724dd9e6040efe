"""What facilities register, one record or batch after batch, and take back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import grpc

from mpi.client.channel import Part
from mpi.client.stream import BATCHES_IN_FLIGHT, Stream
from mpi.domain.identifiers import LocalIdToken
from mpi.domain.identity import Registration
from mpi.domain.record import EncodedRecord
from mpi.errors import RecordRejected
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.wire import convert


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


class Registering(Part):
    """Calls of facilities."""

    def register(self, record: EncodedRecord) -> Registered:
        """Store one record and link it (compare IHE ITI-93); the same content again changes nothing.

        Raises:
            RecordRejected: the index cannot take the record.
            AccessDenied: the record belongs to another facility, or the client registers nothing.
        """
        request = registry_pb2.RegisterRequest(record=convert.record_to_proto(record))
        response = self._call(self._channel.registry.Register, request)
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
        stream = Stream(self._channel.begun(self._channel.registry.RegisterBatch))
        try:
            for cursor, records in batches:
                messages = [convert.record_to_proto(record) for record in records]
                stream.send(registry_pb2.RegisterBatchRequest(cursor=cursor, records=messages))
                for response in stream.answers(BATCHES_IN_FLIGHT - 1, self._channel.timeout):
                    yield _batch(response)
            stream.finish()
            for response in stream.answers(0, self._channel.timeout):
                yield _batch(response)
        except grpc.RpcError as error:
            raise self._channel.meant(error) from None
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
        response = self._call(self._channel.registry.Retract, request)
        return Retracted(response.retracted, response.revision)


def _batch(response: registry_pb2.RegisterBatchResponse) -> BatchRegistered:
    outcomes = tuple(convert.outcome_from_proto(outcome) for outcome in response.outcomes)
    return BatchRegistered(response.cursor, outcomes, response.revision, response.request_id)
