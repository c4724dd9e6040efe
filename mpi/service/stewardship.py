"""Stewardship: what people decide about identities, what was decided before, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mpi.domain import changes as changes_of
from mpi.domain.changes import Cause, Change, Regrouping, Selection
from mpi.domain.grouping import Grouping
from mpi.domain.identity import IdentityView, Regrouped, Undone
from mpi.domain.review import Remark, RemarkKind
from mpi.errors import Conflict, InputRejected, NotFound
from mpi.index.lmdb_index import Index
from mpi.index.members import Member
from mpi.index.projector import bring_up, project
from mpi.service.consent import objections_kept
from mpi.store.history import identity_at, identity_now
from mpi.store.reading import Reading
from mpi.store.sql import Store, Transaction

MOST_UNDONE = 10_000
"""Most changes that one undo takes back: it is one transaction, and others wait for it."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What an undo would do: the changes that take back, and what they touch."""

    events: list[Regrouping]
    left: list[int]
    identities: int
    look_ups: int
    tasks: int


class Stewardship:
    """The use case behind the calls of stewards. Every operation is one transaction and one change."""

    def __init__(self, store: Store, index: Index, rules_digest: str) -> None:
        self._store = store
        self._index = index
        self._rules_digest = rules_digest

    def identity(self, eid: str, as_of: int | datetime | None = None) -> tuple[IdentityView, int]:
        """Show an identity, as it is or as it was.

        Args:
            eid: enterprise id, also a retired one.
            as_of: the last change that counts, or a time; None for now.

        Returns:
            The identity, and the revision that it is of.

        Raises:
            NotFound: it holds nothing, or held nothing then.
            InputRejected: there is no such revision yet.
        """
        with self._store.reading() as reading:
            head = reading.head()
            if as_of is None:
                revision, found = head, identity_now(reading, eid)
            else:
                revision = as_of if isinstance(as_of, int) else reading.revision_at(as_of)
                if revision > head:
                    raise InputRejected("there is no such revision yet")
                found = identity_at(reading, eid, revision)
        if found is None:
            raise NotFound("no such identity is held")
        return found, revision

    def link(self, record: int, other: int, actor: str, request: str) -> Regrouped:
        """Say that two records are of one person; raises as `Grouping.link` does."""
        return self._operate((), (record, other), actor, request, lambda held: held.link(record, other))

    def unlink(self, record: int, actor: str, request: str) -> Regrouped:
        """Say that a record is not of its identity's person; raises as `Grouping.unlink` does."""
        return self._operate((), (record,), actor, request, lambda held: held.unlink(record))

    def merge(self, eid: str, other: str, actor: str, request: str, *, seen: int = 0) -> Regrouped:
        """Say that two identities are one person; raises as `Grouping.merge` does.

        Args:
            eid: one.
            other: the other.
            actor: the steward.
            request: name of the call.
            seen: the newest change of them that the steward has seen; 0 where that does not matter.

        Raises:
            Conflict: one has changed since.
        """
        return self._operate((eid, other), (), actor, request, lambda held: held.merge(eid, other), seen)

    def split(
        self, eid: str, parts: Sequence[Collection[int]], actor: str, request: str, *, seen: int = 0
    ) -> Regrouped:
        """Say that an identity was several persons; raises as `Grouping.split` does, and as `merge` does of `seen`."""
        return self._operate((eid,), (), actor, request, lambda held: held.split(eid, parts), seen)

    def changes(self, selection: Selection, after: int, most: int) -> tuple[list[Change], int]:
        """Read the log: the changes that are meant after a revision, the oldest first, and the newest revision."""
        with self._store.reading() as reading:
            return reading.selected(selection, after, most), reading.head()

    def undo(
        self, selection: Selection, actor: str, request: str, *, preview: bool = False, keep_later: bool = False
    ) -> Undone:
        """Take changes back, the newest first, or say what that would do.

        A change is taken back when everything that it did is still as it left it, once the later ones that are meant
        as well have been taken back. Otherwise it is left.

        Args:
            selection: which changes.
            actor: the steward.
            request: name of the call.
            preview: change nothing.
            keep_later: leave the changes that others build on; without it they forbid the undo.

        Raises:
            InputRejected: nothing was selected by anything, or too much.
            NotFound: there is no such change.
            Conflict: later changes build on some; the error names them.
        """
        if selection.is_empty():
            raise InputRejected("say which changes are meant")
        if preview:
            with self._store.reading() as reading:
                return self._undone(self._plan(reading, selection), "", reading.head())
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            plan = self._plan(transaction, selection)
            if plan.left and not (keep_later and plan.events):
                raise Conflict(
                    f"{len(plan.left)} of {len(plan.left) + len(plan.events)} changes cannot be taken back, because "
                    f"later ones build on them; the newest of these is {plan.left[0]}",
                    tuple(plan.left),
                )
            touched = transaction.grouping({eid for event in plan.events for eid in changes_of.eids(event)})
            before = dict(touched.eids)
            for event in plan.events:
                transaction.regroup(event)
                touched.apply(0, event)
                for task in transaction.reopen(event.undone, transaction.revision):
                    transaction.remark(task, Remark(RemarkKind.UNDONE, actor))
            _keep_objections(transaction, before, touched)
            done = self._undone(plan, request, transaction.revision)
            made = transaction.changes_made
        project(self._index, made)
        return done

    def _operate(
        self,
        eids: Collection[str],
        records: Collection[int],
        actor: str,
        request: str,
        operation: Callable[[Grouping], Regrouping],
        seen: int = 0,
    ) -> Regrouped:
        with self._store.transaction(Cause(actor, self._rules_digest, request)) as transaction:
            bring_up(self._index, transaction)
            if seen and any(transaction.selected(Selection(eid=eid), seen, 1) for eid in eids):
                raise Conflict("the identity has changed since you looked at it; look at it again")
            grouping = transaction.grouping(eids, records)
            touched = {*records, *(number for eid in eids for number in grouping.members(grouping.resolve(eid)))}
            done = regroup(transaction, grouping, operation(grouping), touched)
            made = transaction.changes_made
        project(self._index, made)
        return done

    def _plan(self, reading: Reading, selection: Selection) -> _Plan:
        meant = reading.selected(selection, most=MOST_UNDONE + 1)
        if not meant:
            raise NotFound("there is no such change")
        if len(meant) > MOST_UNDONE:
            raise InputRejected(f"these are more than {MOST_UNDONE} changes; take them back in parts")
        moved = {move.record for change in meant for move in changes_of.moves(change.revision, change.event)}
        bound = {number for change in meant for each in change.event.bindings for number in (each.first, each.second)}
        eids = {eid for change in meant for eid in changes_of.eids(change.event)}
        grouping = reading.grouping(eids, moved | bound)
        events, left = [], []
        for change in reversed(meant):
            try:
                event = grouping.undo(change.revision, change.event)
            except Conflict:
                left.append(change.revision)
                continue
            grouping.apply(0, event)
            events.append(event)
        return _Plan(events, left, *self._touched(reading, events))

    def _touched(self, reading: Reading, events: Sequence[Regrouping]) -> tuple[int, int, int]:
        """Count the identities, the look-up keys and the open tasks that changes touch."""
        eids = {eid for event in events for eid in changes_of.eids(event)}
        records = {move.record for event in events for move in event.moves}
        records |= {event.rewrite.record for event in events if event.rewrite}
        revisions = {event.rewrite.after for event in events if event.rewrite}
        contents = [*reading.content(records).values(), *(each.record for each in reading.contents(revisions).values())]
        keys = {key for content in contents for key in Member.of(0, content).look_up_keys()}
        return len(eids), len(keys | eids), len(reading.open_tasks(records))

    def _undone(self, plan: _Plan, request: str, revision: int) -> Undone:
        return Undone(len(plan.events), tuple(plan.left), plan.identities, plan.look_ups, plan.tasks, request, revision)


def regroup(transaction: Transaction, grouping: Grouping, event: Regrouping, records: Collection[int]) -> Regrouped:
    """Carry a person's decision out in a transaction.

    Args:
        transaction: where it is written.
        grouping: what it changes, whole identities at a time.
        event: the change.
        records: numbers of the records concerned.
    """
    before = dict(grouping.eids)
    transaction.regroup(event)
    change = transaction.revision
    grouping.apply(change, event)
    _keep_objections(transaction, before, grouping)
    eids = {grouping.resolve(eid) for eid in changes_of.eids(event)} | {grouping.eids[number] for number in records}
    return Regrouped(tuple(sorted(eids)), change)


def _keep_objections(transaction: Transaction, before: Mapping[int, str], grouping: Grouping) -> None:
    kept = objections_kept(transaction, before, grouping.eids)
    if kept:
        transaction.say(kept)
