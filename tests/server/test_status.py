"""The map between errors and gRPC status is complete, goes both ways, and carries no values."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

import mpi.errors
from mpi.errors import (
    AccessDenied,
    AuditUnusable,
    ConfigInvalid,
    Conflict,
    ExtractUnreadable,
    IndexBehind,
    IndexCorrupt,
    InputRejected,
    KeyRingUnusable,
    MpiError,
    NotFound,
    RateLimited,
    Reason,
    RecordRejected,
    RuleFileInvalid,
    ServiceUnavailable,
    StoreUnusable,
)
from mpi.v1 import error_reason_pb2
from mpi.wire.status import (
    CODES,
    DETAILS_KEY,
    INTERNAL_MESSAGE,
    LOCAL_REASONS,
    PUSHBACK_KEY,
    WireError,
    from_item_error,
    from_wire,
    item_error,
    to_wire,
)

TRAVELLING = [
    InputRejected("the request is wrong"),
    RecordRejected(Reason.PROFILE_MISMATCH, "demographics.profile_digest", "is of another profile"),
    RecordRejected(Reason.KEY_EPOCH_UNKNOWN, "demographics.key_epoch", "is not accepted"),
    RecordRejected(Reason.RECORD_MALFORMED, "pointer", "is empty"),
    RecordRejected(Reason.REQUEST_INVALID, "key", "is empty"),
    RecordRejected(Reason.PURPOSE_MISSING, "purpose", "is unspecified"),
    RecordRejected(Reason.BATCH_TOO_LARGE, "records", "holds more than 1000 entries"),
    AccessDenied(Reason.CLIENT_UNKNOWN, "no such client"),
    AccessDenied(Reason.FACILITY_MISMATCH, "not yours"),
    AccessDenied(Reason.ROLE_MISSING, "not for you"),
    AccessDenied(Reason.PURPOSE_DENIED, "the client may not look up for this purpose"),
    NotFound("no such identity"),
    Conflict("a later change stands in the way"),
    RateLimited("too many lookups", 2.5),
    IndexBehind("not yet"),
    StoreUnusable("the disk is full"),
    IndexCorrupt("rebuild it"),
    ServiceUnavailable("stopping"),
]
LOCAL = [
    ExtractUnreadable(Path("secret.csv"), "cut short", 7),
    RuleFileInvalid(Path("secret.toml"), ["no channels"]),
    KeyRingUnusable(Path("secret.json"), "missing"),
    ConfigInvalid("listen", "secret"),
    AuditUnusable("secret-audit: it ends at entry 4"),
]


class Raised(grpc.RpcError):
    """What a client's call raises, from what a server sent."""

    def __init__(self, wire: WireError) -> None:
        self._wire = wire

    def code(self) -> grpc.StatusCode:
        return self._wire.code

    def details(self) -> str:
        return self._wire.message

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._wire.trailing_metadata


def test_every_reason_has_a_code_or_stays_local():
    """No reason is forgotten, and none is both."""
    assert set(CODES) | LOCAL_REASONS == set(Reason)
    assert not set(CODES) & LOCAL_REASONS


def test_reasons_are_named_as_in_the_proto():
    """The reasons that travel are exactly the values of ErrorReason."""
    names = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118
    assert names - {"UNSPECIFIED"} == {reason.value for reason in CODES}


def test_codes_are_those_that_the_proto_promises():
    """The status code in the comment of each ErrorReason is the one that is sent."""
    text = (Path(mpi.errors.__file__).parent.parent / "protos/mpi/v1/error_reason.proto").read_text(encoding="utf-8")
    for reason, code in CODES.items():
        comment = text.partition(f"// ERROR_REASON_{reason.value} means")[2].partition(
            f"ERROR_REASON_{reason.value} ="
        )[0]
        assert f"({code.name})" in " ".join(comment.split())


def test_every_error_class_and_reason_is_tried_below():
    """The examples of this file leave out no class of the error tree and no reason that travels."""
    classes = {value for value in vars(mpi.errors).values() if isinstance(value, type) and issubclass(value, MpiError)}
    assert {type(error) for error in TRAVELLING + LOCAL} == classes - {MpiError}
    assert {error.reason for error in TRAVELLING} == set(CODES)


@pytest.mark.parametrize("error", TRAVELLING, ids=lambda error: f"{type(error).__name__}-{error.reason}")
def test_errors_survive_the_wire(error):
    """An error arrives with the class, reason, message and field that it left with."""
    wire = to_wire(error)
    back = from_wire(Raised(wire))
    assert wire.code is CODES[error.reason]
    assert (type(back), back.reason, back.message) == (type(error), error.reason, error.message)
    assert getattr(back, "field", None) == getattr(error, "field", None)
    assert getattr(back, "retry_after", None) == getattr(error, "retry_after", None)


@pytest.mark.parametrize("error", [*LOCAL, MpiError("secret"), ValueError("secret"), KeyError("secret")])
def test_what_the_caller_cannot_act_on_is_internal(error, caplog):
    """Errors of the server's own files and unexpected ones leave with a fixed text; the log has type and place only."""
    try:
        raise error
    except Exception as raised:  # noqa: BLE001 (any error is the subject)
        wire = to_wire(raised)
    assert wire == WireError(grpc.StatusCode.INTERNAL, INTERNAL_MESSAGE, ())
    assert isinstance(from_wire(Raised(wire)), ServiceUnavailable)
    assert type(error).__name__ in caplog.text
    assert "test_status.py" in caplog.text
    assert "secret" not in caplog.text


def test_index_behind_forbids_retries():
    """gRPC is told not to repeat a call whose deadline was spent on waiting."""
    assert (PUSHBACK_KEY, "-1") in to_wire(IndexBehind("not yet")).trailing_metadata


@pytest.mark.parametrize("error", [error for error in TRAVELLING if isinstance(error, RecordRejected)])
def test_item_errors_go_both_ways(error):
    """The error of one entry of a batch arrives as it left."""
    back = from_item_error(item_error(error))
    assert (back.reason, back.field, back.message) == (error.reason, error.field, error.message)


def test_an_item_error_of_a_later_release_is_still_read():
    """A reason that this release does not know is taken as a request that was refused."""
    assert from_item_error(error_reason_pb2.ItemError(reason=99, field="f", message="f: m")).reason is (
        Reason.REQUEST_INVALID
    )


@pytest.mark.parametrize(
    ("code", "message", "expected", "reason"),
    [
        ("UNAVAILABLE", "connection refused", ServiceUnavailable, Reason.SERVICE_UNAVAILABLE),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", ServiceUnavailable, Reason.SERVICE_UNAVAILABLE),
        ("CANCELLED", "", ServiceUnavailable, Reason.SERVICE_UNAVAILABLE),
        ("RESOURCE_EXHAUSTED", "Received message larger than max (5 vs. 4)", InputRejected, Reason.BATCH_TOO_LARGE),
        ("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!", ServiceUnavailable, Reason.SERVICE_UNAVAILABLE),
        ("UNAUTHENTICATED", "who", AccessDenied, Reason.CLIENT_UNKNOWN),
        ("PERMISSION_DENIED", "no", AccessDenied, Reason.ROLE_MISSING),
        ("UNIMPLEMENTED", "Method not found!", InputRejected, Reason.REQUEST_INVALID),
    ],
)
@pytest.mark.parametrize("metadata", [(), ((DETAILS_KEY, b"\xff\xff"),), ((DETAILS_KEY, b""),)])
def test_a_status_without_details_is_read_by_its_code(code, message, expected, reason, metadata):
    """What gRPC itself or a proxy answers, without or with unreadable details, still becomes an error of ours."""
    error = from_wire(Raised(WireError(grpc.StatusCode[code], message, metadata)))
    assert (type(error), error.reason) == (expected, reason)
