"""Review: people work through the queue of what the model could not decide.

A steward claims a task for a while, sees what speaks for and against it, and says what is true. A verdict is one change
of the log, and undoing that change opens the task again. What concerns many records, or a facility whose records say
more than others', needs two stewards.
"""

from __future__ import annotations

import math
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

from mpi.domain.changes import Bond, Cause, Selection
from mpi.domain.consent import Policy
from mpi.domain.dashboard import BandCount, Dashboard, StewardCount, TaskCount
from mpi.domain.grouping import Grouping
from mpi.domain.identity import IdentityView, Regrouped
from mpi.domain.record import EncodedRecord
from mpi.domain.review import (
    DECIDED,
    UNDECIDED,
    HeldTask,
    Remark,
    RemarkKind,
    ReviewTask,
    TaskFilter,
    TaskStatus,
    Verdict,
)
from mpi.domain.task_detail import Decided, Edge, Graph, IfLinked, ListedTask, Pair, TaskDetail, Term
from mpi.errors import Conflict, InputRejected, NotFound
from mpi.index.lmdb_index import Index
from mpi.index.projector import bring_up, project
from mpi.index.reader import IndexReader
from mpi.linkage.explanation import Explanation, explain
from mpi.rules import Rules
from mpi.service.matching import Matching
from mpi.service.stewardship import regroup
from mpi.store.history import identity_now
from mpi.store.reading import Reading
from mpi.store.sql import Store, Transaction
from mpi.store.task_reading import Place

LEASE = timedelta(minutes=10)
"""How long a claim lasts; a steward who goes on working renews it."""
MOST_AT_ONCE = 500
"""Most tasks that one call decides."""
MOST_RECORDS = 60
"""Most records of an identity that are compared or drawn: the pairs of more take long and help nobody."""
CONFIRM_RECORDS = 10
"""Records of an identity from which on two stewards have to agree that it grows."""
MOST_TEXT = 2000
"""Characters of a remark."""

_SCANNED = 500
"""Tasks that one page looks through for those that a filter means."""
_COUNTED_SECONDS = 5.0
"""How long counts are kept: counting a million tasks takes longer than showing them."""
_BAND = 2.0
_BANDED, _VALUABLE, _FACILITIES = 5000, 2000, 20
_REASON = re.compile(r"[a-z0-9_]{0,40}", re.ASCII)


class Review:
    """The use case behind the queue of stewards.

    Args:
        store: the system of record.
        index: tells identities' records fast.
        matching: weighs pairs as registration does.
        rules: explain the weights.
        policy: names the facilities whose records need two stewards.
        confirm_records: size from which on two stewards have to agree.
        now: the clock.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        matching: Matching,
        rules: Rules,
        policy: Policy,
        confirm_records: int = CONFIRM_RECORDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._index = index
        self._matching = matching
        self._rules = rules
        self._policy = policy
        self._confirm_records = confirm_records
        self._now = now
        self._counting = threading.Lock()
        self._counted: tuple[float, list[TaskCount]] = (-math.inf, [])

    def tasks(
        self, meant: TaskFilter | None = None, after: Place | None = None, most: int = 50
    ) -> tuple[list[ListedTask], Place | None]:
        """List tasks, the most valuable first.

        Args:
            meant: which; the open ones by default.
            after: where the last page ended.
            most: how many.

        Returns:
            The tasks, and where the next page begins; None when there is none. A page may be short, even empty, when
            few of those looked through are meant.
        """
        meant = meant or TaskFilter()
        with self._store.reading() as reading, self._index.reading() as reader:
            return self._page(reading, reader, meant, after, most)

    def counts(self) -> list[TaskCount]:
        """Count the tasks by kind and state; what is said may be a few seconds old."""
        with self._counting:
            at, counts = self._counted
            if time.monotonic() - at > _COUNTED_SECONDS:
                with self._store.reading() as reading:
                    counts = [TaskCount(*row) for row in reading.count_queue()]
                self._counted = time.monotonic(), counts
        return counts

    def task(self, number: int) -> TaskDetail:
        """Show one task.

        Raises:
            NotFound: there is no such task.
        """
        with self._store.reading() as reading, self._index.reading() as reader:
            held = _held(reading, number)
            eids = self._sides(reading, held.task)
            left, right = (identity_now(reading, eid) if eid else None for eid in eids)
            remarks = tuple(reading.remarks(number))
            revision = reading.head()
            listed = self._listed(reader, held)
            if left is None or right is None or left.eid == right.eid:
                return TaskDetail(listed, left, right, (), None, remarks, revision)
            numbers = [[member.record for member in side.members] for side in (left, right)]
            contents = reading.content({n for side in numbers for n in side[:MOST_RECORDS]} | {held.task.record})
            grouping = reading.grouping([left.eid, right.eid])
        pairs = self._pairs(held.task.record, numbers[1], contents)
        if_linked = self._if_linked(left, right, numbers, contents, grouping)
        return TaskDetail(listed, left, right, pairs, if_linked, remarks, revision)

    def claim(self, number: int, meant: TaskFilter | None, actor: str) -> ListedTask:
        """Hold a task for a while: a certain one, or without a number the most valuable one that is meant and free.

        Raises:
            NotFound: there is no such task.
            Conflict: somebody else has it, or it is decided.
        """
        now = self._now()
        with self._store.transaction(Cause(actor, "")) as transaction, self._index.reading() as reader:
            if not number:
                free = replace(meant or TaskFilter(), unclaimed_by_others=actor)
                found, _ = self._page(transaction, reader, free, None, 1)
                if not found:
                    raise NotFound("no task of these waits for you")
                number = found[0].held.number
            held = _held(transaction, number)
            if not transaction.claim(number, actor, now, now + LEASE):
                raise _taken(held, actor, now)
            return self._listed(reader, _held(transaction, number))

    def release(self, number: int, actor: str) -> None:
        """Give a task back; one that the steward does not hold stays as it is."""
        with self._store.transaction(Cause(actor, "")) as transaction:
            transaction.release(number, actor)

    def assign(self, number: int, assignee: str, actor: str) -> None:
        """Say whose work a task is, "" for anybody's.

        Raises:
            NotFound: there is no such task.
            Conflict: it is decided.
        """
        with self._store.transaction(Cause(actor, "")) as transaction:
            _held(transaction, number)
            if not transaction.assign(number, assignee):
                raise Conflict("the task is no longer open")

    def comment(self, number: int, text: str, reason: str, actor: str) -> None:
        """Add a remark to a task.

        Raises:
            NotFound: there is no such task.
            InputRejected: the remark is empty or too long, or the reason is no code.
        """
        _check_remark(text, reason)
        if not text and not reason:
            raise InputRejected("the remark is empty")
        with self._store.transaction(Cause(actor, "")) as transaction:
            _held(transaction, number)
            transaction.remark(number, Remark(RemarkKind.COMMENT, actor, "", reason, text))

    def decide(
        self,
        number: int,
        verdict: Verdict,
        actor: str,
        request: str,
        *,
        seen: int = 0,
        reason: str = "",
        text: str = "",
    ) -> Decided:
        """Answer a task.

        Args:
            number: the task.
            verdict: the answer.
            actor: the steward.
            request: name of the call.
            seen: revision that the steward saw; an identity of the task that changed later makes this fail. 0 does not
                look.
            reason: reason code.
            text: remark.

        Raises:
            NotFound: there is no such task, or what it is about is no longer held.
            Conflict: it was answered, somebody else has claimed it, an identity changed meanwhile, a second steward is
                needed, or other decisions forbid this one.
            InputRejected: the remark is too long, or the reason is no code.
        """
        _check_remark(text, reason)
        with self._store.transaction(Cause(actor, self._rules.model.digest, request)) as transaction:
            bring_up(self._index, transaction)
            held = _held(transaction, number)
            self._check(transaction, held, actor, seen)
            said = Remark(RemarkKind.VERDICT, actor, verdict, reason, text)
            done = self._carried_out(transaction, held, said, Verdict(verdict))
            transaction.remark(number, said)
            made = transaction.changes_made
        project(self._index, made)
        return done

    def decide_all(
        self, meant: TaskFilter, numbers: Collection[int], verdict: Verdict, actor: str, request: str, reason: str = ""
    ) -> list[tuple[int, TaskStatus | None, str]]:
        """Answer many tasks, one by one; all are undone by the name of the call.

        Args:
            meant: which; those that it means no longer are left alone.
            numbers: the tasks that were shown.
            verdict: the answer.
            actor: the steward.
            request: name of the call.
            reason: reason code.

        Returns:
            For each number how far it is, or None and why it was left alone.
        """
        if len(numbers) > MOST_AT_ONCE:
            raise InputRejected(f"these are more than {MOST_AT_ONCE} tasks")
        found: list[tuple[int, TaskStatus | None, str]] = []
        for number in numbers:
            try:
                with self._store.reading() as reading, self._index.reading() as reader:
                    held = _held(reading, number)
                    if not self._meant(reader, held, meant):
                        raise Conflict("the filter does not mean it any longer")
                found.append((number, self.decide(number, verdict, actor, request, reason=reason).status, ""))
            except (Conflict, NotFound) as refused:
                found.append((number, None, refused.message))
        return found

    def graph(self, eids: Sequence[str]) -> Graph:
        """Show how the records of identities are linked.

        Raises:
            NotFound: one holds nothing.
        """
        with self._store.reading() as reading:
            views = [identity_now(reading, eid) for eid in dict.fromkeys(eids)]
            found = {view.eid: view for view in views if view is not None}
            if None in views:
                raise NotFound("no such identity is held")
            members = sorted(
                (each.record, view.eid, each.location.facility) for view in found.values() for each in view.members
            )
            nodes = members[:MOST_RECORDS]
            contents = reading.content([number for number, _, _ in nodes])
            bonds = reading.bonds(contents)
        edges = []
        for one, other in combinations(sorted(contents), 2):
            compared = self._matching.compared(contents[one], contents[other])
            bond = bonds.get((one, other), Bond.NONE)
            if compared is not None and (compared.score.weight > 0 or bond is not Bond.NONE):
                carries = self._matching.carries(compared.score)
                edges.append(Edge(one, other, compared.score.weight, carries, bond))
        return Graph(tuple(nodes), tuple(edges), len(members) > len(nodes))

    def sealed_view(self, record: int) -> tuple[bytes, str, str]:
        """Give what a facility lets stewards see of a record: sealed, the facility's code, and the record's identity.

        Raises:
            NotFound: there is no such record, or nothing is revealed of it.
        """
        with self._store.reading() as reading:
            eid, content = reading.places([record]).get(record, ""), reading.content([record]).get(record)
        if content is None or not eid or not content.sealed_view:
            raise NotFound("nothing is revealed of such a record")
        return content.sealed_view, content.facility, eid

    def dashboard(self, days: int = 30) -> Dashboard:
        """Tell how the queue does.

        Args:
            days: how far to look back.
        """
        since = self._now() - timedelta(days=days)
        with self._store.reading() as reading, self._index.reading() as reader:
            by_day = reading.days(since)
            verdicts = reading.verdicts(since)
            last = reading.decided_tasks(_BANDED)
            valuable = reading.queue(TaskFilter(), None, _VALUABLE, self._now())
            facilities = Counter(code for held in valuable for code in self._facilities(reader, held.task))
        waited = [(held.decided - held.opened).total_seconds() / 3600 for held in last if held.decided and held.opened]
        return Dashboard(
            tuple(self.counts()),
            tuple((day, *by_day[day]) for day in sorted(by_day)),
            _by_steward(verdicts),
            self._bands(last),
            tuple(facilities.most_common(_FACILITIES)),
            statistics.median(waited) if waited else 0.0,
        )

    # --- inside ----------------------------------------------------------------------------------------------------

    def _page(
        self, reading: Reading, reader: IndexReader, meant: TaskFilter, after: Place | None, most: int
    ) -> tuple[list[ListedTask], Place | None]:
        found: list[ListedTask] = []
        looked, size = 0, most + 1
        while looked < _SCANNED:
            rows = reading.queue(meant, after, size, self._now())
            for held in rows:
                if len(found) == most:
                    return found, after
                after = -held.task.priority, held.number
                if self._meant(reader, held, meant):
                    found.append(self._listed(reader, held))
            looked += len(rows)
            if len(rows) < size:
                return found, None
            size = max(size, _SCANNED // 5)
        return found, after

    def _meant(self, reader: IndexReader, held: HeldTask, meant: TaskFilter) -> bool:
        if not meant.fits(held):
            return False
        return not meant.facility or meant.facility in self._facilities(reader, held.task)

    def _listed(self, reader: IndexReader, held: HeldTask) -> ListedTask:
        weight = held.task.weight
        share = None if weight is None else self._rules.model.calibration.probability(weight)
        return ListedTask(held, share, self._facilities(reader, held.task))

    def _facilities(self, reader: IndexReader, task: ReviewTask) -> tuple[str, ...]:
        eids = {reader.resolve(eid) for eid in (task.eid, task.rival) if eid}
        return tuple(sorted({member.location.facility for eid in eids for member in reader.members(eid)}))

    def _sides(self, reading: Reading, task: ReviewTask) -> tuple[str, str]:
        """The two identities that a task is about by now; "" for one that is gone."""
        grouping = reading.grouping([task.rival] if task.rival else [], [task.record])
        return grouping.eids.get(task.record, ""), grouping.resolve(task.rival) if task.rival else ""

    def _pairs(self, record: int, others: Sequence[int], contents: dict[int, EncodedRecord]) -> tuple[Pair, ...]:
        found = []
        for other in others[:MOST_RECORDS]:
            if record in contents and other in contents:
                compared = self._matching.compared(contents[record], contents[other])
                if compared is not None:
                    found.append(_pair(record, other, explain(self._rules, compared.score, compared.similarity)))
        return tuple(sorted(found, key=lambda pair: (-pair.weight, pair.other)))

    def _if_linked(
        self,
        left: IdentityView,
        right: IdentityView,
        numbers: Sequence[Sequence[int]],
        contents: dict[int, EncodedRecord],
        grouping: Grouping,
    ) -> IfLinked:
        ours, theirs = ([contents[number] for number in side if number in contents] for side in numbers)
        facilities = sorted({each.location.facility for side in (left, right) for each in side.members})
        records = len(left.members) + len(right.members)
        return IfLinked(
            left.eid if numbers[0][0] < numbers[1][0] else right.eid,
            records,
            tuple(facilities),
            sum(self._matching.weight(one, other) for one in ours for other in theirs),
            self._matching.parting(ours, theirs),
            any(not set(numbers[1]).isdisjoint(grouping.partners(number, Bond.CANNOT)) for number in numbers[0]),
            self._needs_two(records, facilities),
        )

    def _needs_two(self, records: int, facilities: Collection[str]) -> bool:
        return records >= self._confirm_records or any(map(self._policy.is_sensitive, facilities))

    def _check(self, transaction: Transaction, held: HeldTask, actor: str, seen: int) -> None:
        if held.status not in UNDECIDED:
            raise Conflict("the task is no longer open")
        now = self._now()
        if held.is_held(actor, now):
            raise _taken(held, actor, now)
        if seen:
            eids = {held.task.eid, held.task.rival, *self._sides(transaction, held.task)} - {""}
            if any(transaction.selected(Selection(eid=eid), seen, 1) for eid in sorted(eids)):
                raise Conflict("an identity of the task has changed since you looked; look again")

    def _carried_out(self, transaction: Transaction, held: HeldTask, said: Remark, verdict: Verdict) -> Decided:
        number, confirming = held.number, held.status is TaskStatus.CONFIRMING
        if confirming:
            first = [each for each in transaction.remarks(number) if each.kind is RemarkKind.VERDICT][-1]
            if first.actor == said.actor:
                raise Conflict("a second steward has to agree")
            if verdict is not Verdict.SAME:  # they disagree: a third one decides
                transaction.decide_task(number, TaskStatus.OPEN, None)
                return Decided(TaskStatus.OPEN, None)
        if verdict is Verdict.UNSURE:
            transaction.decide_task(number, TaskStatus.UNSURE, None)
            return Decided(TaskStatus.UNSURE, None)
        task = held.task
        grouping = transaction.grouping([task.rival], [task.record])
        rivals = [each for each in grouping.members(grouping.resolve(task.rival)) if each != task.record]
        if not rivals or task.record not in grouping.eids:
            raise NotFound("what the task is about is no longer held")
        with self._index.reading() as reader:
            facility_of = {
                member.number: member.location.facility
                for eid in {grouping.eids[task.record], grouping.eids[rivals[0]]}
                for member in reader.members(eid)
            }
        if verdict is Verdict.ASK:
            nearest = self._nearest(transaction, task.record, rivals)
            transaction.withdraw_questions(number)
            transaction.question_facilities(number, [(each, facility_of[each]) for each in (task.record, nearest)])
            transaction.decide_task(number, TaskStatus.ASKED, None)
            return Decided(TaskStatus.ASKED, None)
        transaction.withdraw_questions(number)
        if verdict is Verdict.SAME and not confirming and self._needs_two(len(facility_of), set(facility_of.values())):
            transaction.decide_task(number, TaskStatus.CONFIRMING, None)
            return Decided(TaskStatus.CONFIRMING, None)
        same = verdict is Verdict.SAME
        status = TaskStatus.SAME if same else TaskStatus.DIFFERENT
        bonds = [grouping.bond(task.record, each) for each in rivals]
        if bonds[0] is Bond.MUST if same else set(bonds) == {Bond.CANNOT}:  # said already, in another way
            transaction.decide_task(number, status, None)
            eids = {grouping.eids[each] for each in (task.record, *rivals)}
            return Decided(status, Regrouped(tuple(sorted(eids)), transaction.revision))
        event = grouping.link(task.record, rivals[0]) if same else grouping.keep_apart(task.record, task.rival)
        done = regroup(transaction, grouping, event, [task.record, *rivals])
        transaction.decide_task(number, status, done.change)
        return Decided(status, done)

    def _nearest(self, transaction: Transaction, record: int, others: Sequence[int]) -> int:
        """The record of another identity that weighs most against one."""
        contents = transaction.content([record, *others[:MOST_RECORDS]])
        pairs = self._pairs(record, others, contents)
        return pairs[0].other if pairs else others[0]

    def _bands(self, tasks: Sequence[HeldTask]) -> tuple[BandCount, ...]:
        found: dict[float, BandCount] = {}
        for held in tasks:
            if held.status not in DECIDED or held.task.weight is None:
                continue
            least = math.floor(held.task.weight / _BAND) * _BAND
            band = found.get(least, BandCount(least, 0, 0, 0.0))
            same = held.status is TaskStatus.SAME
            share = self._rules.model.calibration.probability(held.task.weight) or 0.0
            found[least] = BandCount(least, band.same + same, band.different + (not same), band.expected + share)
        return tuple(found[least] for least in sorted(found))


def _pair(record: int, other: int, found: Explanation) -> Pair:
    terms = tuple(
        Term(
            each.comparison,
            each.level,
            each.weight,
            each.english,
            each.thai,
            None if each.similar is None else (each.similar.least, each.similar.most),
        )
        for each in found.reasons
    )
    return Pair(
        record, other, found.weight, found.probability, terms, found.missing, found.rule, found.english, found.thai
    )


def _held(reading: Reading, number: int) -> HeldTask:
    held = reading.task(number)
    if held is None or held.status is TaskStatus.WAITING:
        raise NotFound("there is no such task")
    return held


def _taken(held: HeldTask, actor: str, now: datetime) -> Conflict:
    if held.is_held(actor, now) and held.held_until:
        return Conflict(f"another steward has claimed the task until {held.held_until:%H:%M} UTC")
    return Conflict("the task is no longer open")


def is_reason(reason: str) -> bool:
    """Say whether a text is a reason code; it may be empty."""
    return bool(_REASON.fullmatch(reason))


def _check_remark(text: str, reason: str) -> None:
    if len(text) > MOST_TEXT:
        raise InputRejected(f"the remark is longer than {MOST_TEXT} characters")
    if not is_reason(reason):
        raise InputRejected("the reason is no code: at most 40 lower-case letters, digits and underscores")


def _by_steward(remarks: Sequence[Remark]) -> tuple[StewardCount, ...]:
    """What each steward did: verdicts, those that were taken back, and agreement where two looked."""
    decided, undone, seconded, agreed = (Counter[str]() for _ in range(4))
    latest: dict[int, Remark] = {}
    for remark in remarks:
        before = latest.get(remark.task)
        if remark.kind is RemarkKind.UNDONE:
            if before is not None:
                undone[before.actor] += 1
            latest.pop(remark.task, None)
            continue
        decided[remark.actor] += 1
        if before is not None and before.actor != remark.actor:
            for actor in (before.actor, remark.actor):
                seconded[actor] += 1
                agreed[actor] += before.word == remark.word
        latest[remark.task] = remark
    return tuple(
        StewardCount(actor, decided[actor], undone[actor], seconded[actor], agreed[actor]) for actor in sorted(decided)
    )
