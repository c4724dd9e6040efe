"""The one map between errors and gRPC status, in both directions.

An error travels as google.rpc.Status in the trailing metadata `grpc-status-details-bin`, with one ErrorInfo that
holds the reason, the domain "mpi.v1" and the part of the request at fault. What a server meets in its own files and
settings never travels: the caller could not act on it, and its message names paths.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from mpi.errors import (
    AccessDenied,
    Conflict,
    IndexBehind,
    IndexCorrupt,
    InputRejected,
    MpiError,
    NotFound,
    RateLimited,
    Reason,
    RecordRejected,
    ServiceUnavailable,
    StoreUnusable,
)
from mpi.v1 import error_reason_pb2

ERROR_DOMAIN = "mpi.v1"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"
INTERNAL_MESSAGE = "the server failed on this request; its log says where"

LOCAL_REASONS = frozenset(
    {
        Reason.EXTRACT_UNREADABLE,
        Reason.RULE_FILE_INVALID,
        Reason.KEY_RING_UNUSABLE,
        Reason.CONFIG_INVALID,
        Reason.AUDIT_UNUSABLE,
    }
)
"""Reasons that concern files of one machine; they have no name in the protos."""

CODES = {
    Reason.REQUEST_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.PROFILE_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.KEY_EPOCH_UNKNOWN: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.RECORD_MALFORMED: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.BATCH_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.CLIENT_UNKNOWN: grpc.StatusCode.UNAUTHENTICATED,
    Reason.FACILITY_MISMATCH: grpc.StatusCode.PERMISSION_DENIED,
    Reason.ROLE_MISSING: grpc.StatusCode.PERMISSION_DENIED,
    Reason.PURPOSE_MISSING: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.PURPOSE_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Reason.IDENTITY_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.INDEX_BEHIND: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_UNUSABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.INDEX_CORRUPT: grpc.StatusCode.DATA_LOSS,
    Reason.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
"""Status code of every reason that travels."""

_FIELDS = {Reason.FACILITY_MISMATCH: "facility"}
"""Part at fault where the error itself names none."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WireError:
    """An error as it leaves the server.

    Attributes:
        code: status code.
        message: text for people; never a value of the request.
        trailing_metadata: the details, and for errors that a repetition cannot cure, a note to gRPC not to try.
    """

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_wire(error: Exception) -> WireError:
    """Say how an error leaves the server.

    Anything but an `MpiError` that the caller can act on becomes INTERNAL with a fixed text; its type and place are
    logged, its message is not, because it may quote a value.
    """
    reason = getattr(error, "reason", None)
    if not isinstance(error, MpiError) or reason not in CODES:
        _log_failure(error)
        return WireError(grpc.StatusCode.INTERNAL, INTERNAL_MESSAGE, ())
    code = CODES[reason]
    field = _field_of(error)
    info = error_details_pb2.ErrorInfo(
        reason=reason.value, domain=ERROR_DOMAIN, metadata={"field": field} if field else {}
    )
    status = status_pb2.Status(code=code.value[0], message=error.message)
    status.details.add().Pack(info)
    if isinstance(error, RateLimited):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(math.ceil(error.retry_after * 1000))
        status.details.add().Pack(retry)
    metadata: tuple[tuple[str, str | bytes], ...] = ((DETAILS_KEY, status.SerializeToString()),)
    if isinstance(error, IndexBehind):
        # The wait has used up the deadline: a retry by gRPC itself would only hide the reason (gRFC A6, pushback).
        metadata += ((PUSHBACK_KEY, "-1"),)
    return WireError(code, error.message, metadata)


def from_wire(error: grpc.RpcError) -> MpiError:
    """Turn what a call raised into the error that the server meant.

    Without details (a broken connection, a deadline, a limit of gRPC itself) the status code decides.
    """
    code = error.code()
    message = error.details() or code.name
    info = _error_info(error)
    if info is None:
        return _without_details(code, message)
    if info.reason == Reason.RATE_LIMITED:
        return RateLimited(message, _retry_after(error))
    return _raised(Reason(info.reason), message, info.metadata.get("field", ""))


def item_error(error: MpiError) -> error_reason_pb2.ItemError:
    """Write the error of one entry of a batch."""
    return error_reason_pb2.ItemError(
        reason=error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{error.reason.value}"),
        field=_field_of(error),
        message=error.message,
    )


def from_item_error(item: error_reason_pb2.ItemError) -> RecordRejected:
    """Read the error of one entry of a batch; a reason that this release does not know is REQUEST_INVALID."""
    return RecordRejected(_item_reason(item.reason), item.field, item.message.removeprefix(f"{item.field}: "))


def _item_reason(number: error_reason_pb2.ErrorReason.ValueType) -> Reason:
    if number in error_reason_pb2.ErrorReason.values():
        name = error_reason_pb2.ErrorReason.Name(number).removeprefix("ERROR_REASON_")
        if name in Reason.__members__:
            return Reason(name)
    return Reason.REQUEST_INVALID


def _field_of(error: MpiError) -> str:
    if isinstance(error, RecordRejected):
        return error.field
    return _FIELDS.get(error.reason, "")


def _error_info(error: grpc.RpcError) -> error_details_pb2.ErrorInfo | None:
    for detail in _details(error):
        info = error_details_pb2.ErrorInfo()
        try:
            if detail.Unpack(info) and info.domain == ERROR_DOMAIN and info.reason in Reason.__members__:
                return info
        except DecodeError:
            return None
    return None


def _retry_after(error: grpc.RpcError) -> float:
    """Seconds after which a call may be repeated."""
    for detail in _details(error):
        retry = error_details_pb2.RetryInfo()
        try:
            if detail.Unpack(retry):
                return float(retry.retry_delay.ToTimedelta().total_seconds())
        except DecodeError:
            break
    return 1.0


def _details(error: grpc.RpcError) -> list[Any]:
    for key, value in cast(Iterable[tuple[str, str | bytes]], error.trailing_metadata() or ()):
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                return []
    return []


def _rejected(reason: Reason, message: str, field: str) -> MpiError:
    if field:
        return RecordRejected(reason, field, message.removeprefix(f"{field}: "))
    return InputRejected(message, reason)


def _denied(reason: Reason, message: str, field: str) -> MpiError:
    return AccessDenied(reason, message)


def _plain(error: type[MpiError]) -> Callable[[Reason, str, str], MpiError]:
    return lambda reason, message, field: error(message)


_MAKERS: dict[Reason, Callable[[Reason, str, str], MpiError]] = {
    Reason.CLIENT_UNKNOWN: _denied,
    Reason.FACILITY_MISMATCH: _denied,
    Reason.ROLE_MISSING: _denied,
    Reason.PURPOSE_DENIED: _denied,
    Reason.IDENTITY_NOT_FOUND: _plain(NotFound),
    Reason.CONFLICT: _plain(Conflict),
    Reason.INDEX_BEHIND: _plain(IndexBehind),
    Reason.STORE_UNUSABLE: _plain(StoreUnusable),
    Reason.INDEX_CORRUPT: _plain(IndexCorrupt),
    Reason.SERVICE_UNAVAILABLE: _plain(ServiceUnavailable),
}
"""How the client makes the error of a reason; every other reason rejects the input."""


def _raised(reason: Reason, message: str, field: str) -> MpiError:
    return _MAKERS.get(reason, _rejected)(reason, message, field)


def _without_details(code: grpc.StatusCode, message: str) -> MpiError:
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return AccessDenied(Reason.CLIENT_UNKNOWN, message)
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return AccessDenied(Reason.ROLE_MISSING, message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return InputRejected(message, Reason.BATCH_TOO_LARGE)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
        return InputRejected(message, Reason.REQUEST_INVALID)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServiceUnavailable("no answer within the deadline")
    return ServiceUnavailable(message)


def _log_failure(error: Exception) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else "unknown place"
    _log.error("request failed: %s at %s", type(error).__name__, place)
