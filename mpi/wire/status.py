"""The only map between errors and gRPC status, in both directions."""

from __future__ import annotations

from typing import cast

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from mpi.errors import (
    AccessDenied,
    ConfigInvalid,
    IndexBehind,
    IndexCorrupt,
    InputRejected,
    MpiError,
    NotFound,
    Reason,
    RecordRejected,
    ServiceUnavailable,
    StoreUnusable,
)

DOMAIN = "mpi.v1"
DETAILS_KEY = "grpc-status-details-bin"

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
    Reason.IDENTITY_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Reason.INDEX_BEHIND: grpc.StatusCode.UNAVAILABLE,
    Reason.STORE_UNUSABLE: grpc.StatusCode.UNAVAILABLE,
    Reason.INDEX_CORRUPT: grpc.StatusCode.DATA_LOSS,
    Reason.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}
"""Status of every reason that crosses the wire; the others arise on one side only."""


def status_out(error: MpiError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Status code, message and trailing metadata of an error; the metadata holds ErrorInfo."""
    code = CODES.get(error.reason, grpc.StatusCode.INTERNAL)
    info = ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    if isinstance(error, RecordRejected):
        info.metadata["field"] = error.field
    detail = Any()
    detail.Pack(info)
    status = Status(code=code.value[0], message=error.message, details=[detail])
    return code, error.message, ((DETAILS_KEY, status.SerializeToString()),)


def error_in(error: grpc.RpcError) -> MpiError:
    """The error that a failed call stands for."""
    call = cast(grpc.Call, error)
    message = call.details() or "no details"
    info = _info(call)
    if info is None:
        return _without_info(call.code(), message)
    reason = Reason(info.reason)
    if reason in (Reason.CLIENT_UNKNOWN, Reason.FACILITY_MISMATCH, Reason.ROLE_MISSING):
        return AccessDenied(reason, message)
    by_reason: dict[Reason, type[MpiError]] = {
        Reason.IDENTITY_NOT_FOUND: NotFound,
        Reason.INDEX_BEHIND: IndexBehind,
        Reason.STORE_UNUSABLE: StoreUnusable,
        Reason.INDEX_CORRUPT: IndexCorrupt,
        Reason.SERVICE_UNAVAILABLE: ServiceUnavailable,
    }
    if reason in by_reason:
        return by_reason[reason](message)
    field = info.metadata.get("field", "")
    if field:
        return RecordRejected(reason, field, message.removeprefix(f"{field}: "))
    return InputRejected(message, reason)


def _without_info(code: grpc.StatusCode, message: str) -> MpiError:
    """The error of a status that our server did not write: the transport's or a proxy's."""
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return AccessDenied(Reason.CLIENT_UNKNOWN, message)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return InputRejected(message, Reason.BATCH_TOO_LARGE)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
        return InputRejected(message)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServiceUnavailable("no answer within the deadline")
    if "ssl" in message.lower() or "tls" in message.lower() or "certificate" in message.lower():
        return ConfigInvalid("certificates", f"the TLS handshake failed ({message})")
    return ServiceUnavailable(f"the server does not answer ({message})")


def _info(call: grpc.Call) -> ErrorInfo | None:
    for key, value in cast(tuple[tuple[str, bytes], ...], call.trailing_metadata() or ()):
        if key == DETAILS_KEY:
            status = Status.FromString(value)
            info = ErrorInfo()
            if status.details and status.details[0].Unpack(info) and info.domain == DOMAIN:
                return info
    return None
