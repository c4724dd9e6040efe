"""The map between the protos of stewards and the domain, in both directions."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from mpi.domain import changes as changes_of
from mpi.domain.changes import (
    Action,
    Binding,
    Bond,
    Cause,
    Change,
    Move,
    Placement,
    Redirect,
    Regrouping,
    Selection,
)
from mpi.domain.identity import IdentityView, Member, Regrouped, Undone
from mpi.errors import Reason, RecordRejected
from mpi.v1 import identity_pb2
from mpi.v1 import stewardship_service_pb2 as pb2
from mpi.wire import convert

DEFAULT_ENTRIES = 100
MAX_ENTRIES = 1000

_ACTION_TO_PROTO = {action: pb2.Action.Value(f"ACTION_{action.name}") for action in Action}
_ACTION_OF_PROTO = {number: action for action, number in _ACTION_TO_PROTO.items()}
BOND_TO_PROTO = {
    Bond.NONE: pb2.BOND_UNSPECIFIED,
    Bond.MUST: pb2.BOND_MUST_LINK,
    Bond.CANNOT: pb2.BOND_CANNOT_LINK,
}
_BOND_OF_PROTO = {number: bond for bond, number in BOND_TO_PROTO.items()}


def view_to_proto(view: IdentityView) -> pb2.IdentityView:
    """Write an identity as stewards see it."""
    return pb2.IdentityView(
        eid=view.eid,
        members=[
            pb2.Member(
                record=member.record,
                location=convert.location_to_proto(member.location),
                has_sealed_view=member.has_sealed_view,
                registered=member.registered,
            )
            for member in view.members
        ],
        retired=view.retired,
        split=view.split,
        bindings=[pb2.Binding(record=a, other=b, bond=BOND_TO_PROTO[Bond(kind)]) for a, b, kind in view.bonds],
    )


def view_from_proto(message: pb2.IdentityView) -> IdentityView:
    """Read an identity as stewards see it."""
    return IdentityView(
        message.eid,
        tuple(
            Member(each.record, convert.location_from_proto(each.location), each.has_sealed_view, each.registered)
            for each in message.members
        ),
        tuple(message.retired),
        tuple(message.split),
        tuple((each.record, each.other, _bond(each.bond).value) for each in message.bindings),
    )


def regrouped_to_proto(done: Regrouped) -> pb2.Regrouped:
    """Write what an operation did."""
    return pb2.Regrouped(eids=done.eids, change=done.change, revision=convert.revision_to_token(done.change))


def regrouped_from_proto(message: pb2.Regrouped) -> Regrouped:
    """Read what an operation did."""
    return Regrouped(tuple(message.eids), message.change)


def selection_to_proto(selection: Selection) -> pb2.ChangeSelection:
    """Write which changes are meant."""
    return pb2.ChangeSelection(
        revisions=selection.revisions,
        eid=selection.eid,
        actor=selection.actor,
        rules_digest=selection.rules_digest,
        request_id=selection.request,
        facility=selection.facility,
        since=timestamp(selection.since),
        until=timestamp(selection.until),
    )


def selection_from_proto(message: pb2.ChangeSelection) -> Selection:
    """Read which changes are meant.

    Raises:
        RecordRejected: REQUEST_INVALID, with the field at fault.
    """
    if len(message.revisions) > MAX_ENTRIES:
        raise RecordRejected(Reason.BATCH_TOO_LARGE, "selection.revisions", f"holds more than {MAX_ENTRIES} entries")
    if message.eid:
        convert.eid_from_proto(message.eid, "selection.eid")
    return Selection(
        tuple(check_number(number, "selection.revisions") for number in message.revisions),
        message.eid,
        message.actor,
        message.rules_digest,
        message.request_id,
        message.facility,
        time_from_proto(message.since, "selection.since") if message.HasField("since") else None,
        time_from_proto(message.until, "selection.until") if message.HasField("until") else None,
    )


def undone_to_proto(done: Undone) -> pb2.UndoResponse:
    """Write what an undo does."""
    return pb2.UndoResponse(
        undone=done.undone,
        left=done.left,
        identities=done.identities,
        look_ups=done.look_ups,
        tasks=done.tasks,
        request_id=done.request,
        revision=convert.revision_to_token(done.revision),
    )


def undone_from_proto(message: pb2.UndoResponse) -> Undone:
    """Read what an undo does."""
    return Undone(
        message.undone,
        tuple(message.left),
        message.identities,
        message.look_ups,
        message.tasks,
        message.request_id,
        convert.revision_from_token(message.revision),
    )


def change_to_proto(change: Change) -> pb2.Change:
    """Write an entry of the log."""
    event, cause = change.event, change.cause or Cause("", "")
    return pb2.Change(
        revision=change.revision,
        action=pb2.ACTION_REGISTER if isinstance(event, Placement) else _ACTION_TO_PROTO[event.action],
        time=timestamp(cause.at),
        actor=cause.actor,
        rules_digest=cause.rules_digest,
        request_id=cause.request,
        facility=cause.facility,
        moves=[
            pb2.Move(record=move.record, source=move.source, target=move.target)
            for move in changes_of.moves(change.revision, event)
        ],
        redirects=[pb2.Redirect(eid=each.eid, target=each.target) for each in event.redirects],
        bindings=[
            pb2.Binding(record=each.first, other=each.second, bond=BOND_TO_PROTO[each.after]) for each in event.bindings
        ],
        decision=(
            convert.decision_to_proto(event.decision)
            if isinstance(event, Placement)
            else identity_pb2.DECISION_UNSPECIFIED
        ),
        why=event.why if isinstance(event, Placement) else "",
        undone=0 if isinstance(event, Placement) else event.undone,
    )


def change_from_proto(message: pb2.Change) -> Change:
    """Read an entry of the log; what was true before it, and revisions of contents, do not travel and are empty.

    Raises:
        RecordRejected: REQUEST_INVALID: an action that this release does not know.
    """
    moved = tuple(Move(each.record, each.source, each.target, 0) for each in message.moves)
    redirects = tuple(Redirect(each.eid, "", each.target) for each in message.redirects)
    bindings = tuple(Binding(each.record, each.other, Bond.NONE, _bond(each.bond)) for each in message.bindings)
    at = message.time.ToDatetime(tzinfo=UTC)
    cause = Cause(message.actor, message.rules_digest, message.request_id, message.facility, at)
    if message.action == pb2.ACTION_REGISTER:
        (move,) = moved
        decision = convert.decision_from_proto(message.decision)
        placement = Placement(
            move.record,
            move.target,
            move.source,
            decision,
            None,
            message.why,
            "",
            redirects=redirects,
            bindings=bindings,
        )
        return Change(message.revision, placement, None, cause)
    action = _ACTION_OF_PROTO.get(message.action)
    if action is None:
        raise RecordRejected(Reason.REQUEST_INVALID, "action", "is unknown; the server may be of another release")
    event = Regrouping(action, moved, redirects, bindings, undone=message.undone)
    return Change(message.revision, event, None, cause)


def as_of_from_proto(message: pb2.GetIdentityRequest) -> int | datetime | None:
    """Read which state is meant: a revision, a time, or the present.

    Raises:
        RecordRejected: REQUEST_INVALID: no such time.
    """
    which = message.WhichOneof("as_of")
    if which == "revision":
        return check_number(message.revision, "revision")
    return time_from_proto(message.time, "time") if which == "time" else None


def time_from_proto(message: Timestamp, field: str) -> datetime:
    """Read a time.

    Raises:
        RecordRejected: REQUEST_INVALID: it is none.
    """
    try:
        return message.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise RecordRejected(Reason.REQUEST_INVALID, field, "is not a time") from None


def entries_from_proto(limit: int) -> int:
    """Read how many entries are wanted; 0 stands for 100.

    Raises:
        RecordRejected: REQUEST_INVALID: more than 1000.
    """
    if limit > MAX_ENTRIES:
        raise RecordRejected(Reason.REQUEST_INVALID, "limit", f"is more than {MAX_ENTRIES}")
    return limit or DEFAULT_ENTRIES


def check_number(number: int, field: str) -> int:
    """Give a number of a record, task or change back if the store can count so far.

    Raises:
        RecordRejected: REQUEST_INVALID.
    """
    if number >= 1 << 63:
        raise RecordRejected(Reason.REQUEST_INVALID, field, "is too large")
    return number


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Write a time; None stays unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _bond(number: pb2.Bond.ValueType) -> Bond:
    bond = _BOND_OF_PROTO.get(number)
    if bond is None:
        raise RecordRejected(Reason.REQUEST_INVALID, "bond", "is unknown; the server may be of another release")
    return bond
