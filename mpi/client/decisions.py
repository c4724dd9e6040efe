"""What stewards see and decide of identities, and the log of what was decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from mpi.client.channel import Part
from mpi.domain.changes import Change, Selection
from mpi.domain.identity import IdentityView, Regrouped, Undone
from mpi.v1 import stewardship_service_pb2 as stewardship_pb2
from mpi.wire import stewardship


class Deciding(Part):
    """Calls of stewards about identities."""

    def identity(self, eid: str, as_of: int | datetime | None = None) -> IdentityView:
        """Show an identity to a steward, as it is or as it was after a revision or at a time.

        Raises:
            NotFound: it holds nothing, or held nothing then.
            AccessDenied: the client is no steward; so for every other call of stewards.
        """
        request = stewardship_pb2.GetIdentityRequest(eid=eid)
        if isinstance(as_of, datetime):
            request.time.FromDatetime(as_of)
        elif as_of is not None:
            request.revision = as_of
        return stewardship.view_from_proto(self._call(self._channel.stewardship.GetIdentity, request).identity)

    def link(self, record: int, other: int) -> Regrouped:
        """Say that two records are of one person.

        Raises:
            NotFound: one of them is not held.
            Conflict: other decisions forbid it.
        """
        request = stewardship_pb2.LinkRequest(record=record, other=other)
        return stewardship.regrouped_from_proto(self._call(self._channel.stewardship.Link, request).regrouped)

    def unlink(self, record: int) -> Regrouped:
        """Say that a record is not of the person whose identity it is in.

        Raises:
            NotFound: it is not held.
            Conflict: it is alone there.
        """
        request = stewardship_pb2.UnlinkRequest(record=record)
        return stewardship.regrouped_from_proto(self._call(self._channel.stewardship.Unlink, request).regrouped)

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
        return stewardship.regrouped_from_proto(self._call(self._channel.stewardship.Merge, request).regrouped)

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
        return stewardship.regrouped_from_proto(self._call(self._channel.stewardship.Split, request).regrouped)

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
        return stewardship.undone_from_proto(self._call(self._channel.stewardship.Undo, request))

    def changes(self, selection: Selection | None = None, after: int = 0, limit: int = 100) -> list[Change]:
        """Read the log of changes after a revision, the oldest first."""
        request = stewardship_pb2.ListChangesRequest(
            selection=stewardship.selection_to_proto(selection or Selection()), after=after, limit=limit
        )
        response = self._call(self._channel.stewardship.ListChanges, request)
        return [stewardship.change_from_proto(change) for change in response.changes]
