"""The client: synchronous, with a deadline on every call, and errors of `mpi.errors` instead of gRPC's.

Usage::

    with Client("index.example:7443", certificates=Path("certs/exchange-cdes")) as client:
        for identity in client.locate(key, Purpose.TREAT).identities:
            print(identity.eid, identity.locations)
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from mpi.domain.identifiers import LocateKey
from mpi.domain.identity import Decision, Identity, MatchCandidate, Registration
from mpi.domain.record import EncodedDemographics, EncodedRecord
from mpi.errors import ConfigInvalid, RecordRejected
from mpi.v1 import locator_service_pb2 as locator_pb2
from mpi.v1 import locator_service_pb2_grpc, registry_service_pb2_grpc
from mpi.v1 import registry_service_pb2 as registry_pb2
from mpi.wire import convert
from mpi.wire.status import error_in

Answer = TypeVar("Answer")

_RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                # Every call may be repeated: reads change nothing, and registering twice changes nothing.
                "name": [{"service": "mpi.v1.RegistryService"}, {"service": "mpi.v1.LocatorService"}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)
_MAX_MESSAGE_BYTES = 4 << 20


class Purpose(StrEnum):
    """Why a lookup is made (HL7 v3 PurposeOfUse)."""

    TREAT = "TREAT"
    ETREAT = "ETREAT"
    BTG = "BTG"
    HPAYMT = "HPAYMT"
    PUBHLTH = "PUBHLTH"
    HRESCH = "HRESCH"
    PATRQT = "PATRQT"
    HOPERAT = "HOPERAT"


@dataclass(frozen=True, slots=True)
class Located:
    """Answer to a lookup: identities, and the revision token of the state it was answered from."""

    identities: tuple[Identity, ...]
    revision: bytes


@dataclass(frozen=True, slots=True)
class BatchRegistered:
    """Answer to one batch: its cursor, what became of each record, and the revision token after it."""

    cursor: bytes
    outcomes: tuple[Registration | RecordRejected, ...]
    revision: bytes


class Client:
    """A connection to the index.

    Parameters:
        address: host and port.
        certificates: folder with ca.pem, cert.pem and key.pem; None speaks plain text, to loopback only.
        timeout: seconds that a call may take.
    """

    def __init__(self, address: str, *, certificates: Path | None = None, timeout: float = 10.0) -> None:
        self._timeout = timeout
        options = [
            ("grpc.service_config", _RETRIES),
            ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ]
        if certificates is None:
            _must_be_loopback(address)
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, _credentials(certificates), options)
        self._registry = registry_service_pb2_grpc.RegistryServiceStub(self._channel)
        self._locator = locator_service_pb2_grpc.LocatorServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def register(self, record: EncodedRecord) -> tuple[Registration, bytes]:
        """Register one record; returns what became of it and a revision token."""
        request = registry_pb2.RegisterRequest(record=convert.record_out(record))
        response = self._call(self._registry.Register, request)
        return convert.registration_in(response.registration), response.revision

    def register_batches(
        self, batches: Iterable[tuple[bytes, Sequence[EncodedRecord]]], *, timeout: float | None = None
    ) -> Iterator[BatchRegistered]:
        """Register batches over one stream; each answer arrives when its batch is durable.

        A broken stream is resumed by calling again with the batches after the last cursor that was answered.
        Registering a batch again changes nothing.

        Args:
            batches: pairs of a cursor, the caller's own position after the batch, and at most 1000 records.
            timeout: seconds that the whole stream may take; None sets no limit.
        """
        requests = (
            registry_pb2.RegisterBatchRequest(cursor=cursor, records=[convert.record_out(r) for r in records])
            for cursor, records in batches
        )
        try:
            for response in self._registry.RegisterBatch(requests, timeout=timeout):
                outcomes = tuple(
                    convert.registration_in(outcome.registration)
                    if outcome.HasField("registration")
                    else convert.item_error_in(outcome.error)
                    for outcome in response.outcomes
                )
                yield BatchRegistered(response.cursor, outcomes, response.revision)
        except grpc.RpcError as error:
            raise error_in(error) from None

    def locate(self, key: LocateKey, purpose: Purpose, *, at_least: bytes = b"") -> Located:
        """Find out where a person's records are.

        Args:
            key: token of a number or a local id, or an enterprise id.
            purpose: why.
            at_least: revision token of a write that the answer must have seen.
        """
        request = locator_pb2.LocateRequest(
            key=convert.locate_key_out(key), purpose=_purpose(purpose), at_least=at_least
        )
        response = self._call(self._locator.Locate, request)
        return Located(tuple(convert.identity_in(i) for i in response.identities), response.revision)

    def batch_locate(self, keys: Sequence[LocateKey], purpose: Purpose) -> list[tuple[Identity, ...] | RecordRejected]:
        """Find out where many persons' records are; the answers come in the order of the keys, at most 1000."""
        request = locator_pb2.BatchLocateRequest(
            keys=[convert.locate_key_out(key) for key in keys], purpose=_purpose(purpose)
        )
        response = self._call(self._locator.BatchLocate, request)
        return [
            convert.item_error_in(outcome.error)
            if outcome.HasField("error")
            else tuple(convert.identity_in(i) for i in outcome.identities)
            for outcome in response.outcomes
        ]

    def match(
        self, demographics: EncodedDemographics, purpose: Purpose, *, limit: int = 10
    ) -> tuple[list[MatchCandidate], Decision]:
        """Weigh demographics without storing anything: the nearest identities, and what would be decided."""
        request = locator_pb2.MatchRequest(
            demographics=convert.demographics_out(demographics), purpose=_purpose(purpose), limit=limit
        )
        response = self._call(self._locator.Match, request)
        return [convert.candidate_in(c) for c in response.candidates], convert.decision_in(response.decision)

    def _call(self, method: Callable[..., Answer], request: Any) -> Answer:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise error_in(error) from None


def _purpose(purpose: Purpose) -> locator_pb2.PurposeOfUse.ValueType:
    return locator_pb2.PurposeOfUse.Value(f"PURPOSE_OF_USE_{purpose.value}")


def _credentials(folder: Path) -> grpc.ChannelCredentials:
    parts = []
    for name in ("ca.pem", "key.pem", "cert.pem"):
        try:
            parts.append((folder / name).read_bytes())
        except OSError as error:
            raise ConfigInvalid("certificates", f"{folder / name}: {error.strerror}") from None
        if b"-----BEGIN " not in parts[-1]:
            raise ConfigInvalid("certificates", f"{folder / name}: is not a PEM file")
    authority, key, certificate = parts
    return grpc.ssl_channel_credentials(authority, key, certificate)


def _must_be_loopback(address: str) -> None:
    host = address.rpartition(":")[0].strip("[]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigInvalid("certificates", "are needed for every server that is not on this machine")
