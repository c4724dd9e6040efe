"""The review of possible links: the queue of tasks, what a task shows, its answer; and rules on trial."""

from __future__ import annotations

from collections.abc import Collection

from mpi.client.channel import Part
from mpi.domain.dashboard import Dashboard, TaskCount
from mpi.domain.learning import Preview, Thresholds
from mpi.domain.review import TaskFilter, Verdict
from mpi.domain.task_detail import BulkDecided, Decided, Graph, ListedTask, TaskDetail
from mpi.v1 import stewardship_service_pb2 as stewardship_pb2
from mpi.wire import review, reviewing

PREVIEW_SECONDS = 120.0
"""Deadline of a preview, which compares as much as many registrations."""


class Reviewing(Part):
    """Calls of stewards about tasks."""

    def tasks(
        self, meant: TaskFilter | None = None, cursor: bytes = b"", limit: int = 50
    ) -> tuple[list[ListedTask], bytes]:
        """List tasks, the most valuable first; gives them and the cursor of the next page, empty after the last."""
        wanted = None if meant is None else review.filter_to_proto(meant)
        request = stewardship_pb2.ListTasksRequest(filter=wanted, cursor=cursor, limit=limit)
        response = self._call(self._channel.stewardship.ListTasks, request)
        return [review.task_from_proto(task) for task in response.tasks], response.cursor

    def counts(self) -> tuple[TaskCount, ...]:
        """Count the tasks by kind and state; what is said may be a few seconds old."""
        request = stewardship_pb2.CountTasksRequest()
        return reviewing.counts_from_proto(self._call(self._channel.stewardship.CountTasks, request).counts)

    def task(self, number: int) -> TaskDetail:
        """Show a task with everything that a person needs to decide it.

        Raises:
            NotFound: there is no such task.
        """
        request = stewardship_pb2.GetTaskRequest(number=number)
        return reviewing.detail_from_proto(self._call(self._channel.stewardship.GetTask, request))

    def claim(self, task: int = 0, meant: TaskFilter | None = None) -> ListedTask:
        """Hold a task for a while, or without a number the most valuable one of a filter that is free.

        Raises:
            NotFound: there is no such task, or none is free.
            Conflict: another steward has it, or it is decided.
        """
        wanted = None if meant is None else review.filter_to_proto(meant)
        request = stewardship_pb2.ClaimTaskRequest(number=task, filter=wanted)
        return review.task_from_proto(self._call(self._channel.stewardship.ClaimTask, request).task)

    def release(self, task: int) -> None:
        """Give a task back that was claimed."""
        self._call(self._channel.stewardship.ReleaseTask, stewardship_pb2.ReleaseTaskRequest(number=task))

    def assign(self, task: int, steward: str) -> None:
        """Say whose work a task is, such as "urn:mpi:steward:somsri"; "" for anybody's.

        Raises:
            Conflict: it is decided.
        """
        request = stewardship_pb2.AssignTaskRequest(number=task, assignee=steward)
        self._call(self._channel.stewardship.AssignTask, request)

    def comment(self, task: int, text: str, reason: str = "") -> None:
        """Add a remark to a task; it never names a person.

        Raises:
            InputRejected: it is empty or too long, or the reason is no code.
        """
        request = stewardship_pb2.CommentTaskRequest(number=task, text=text, reason=reason)
        self._call(self._channel.stewardship.CommentTask, request)

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
        return review.decided_from_proto(self._call(self._channel.stewardship.DecideTask, request))

    def decide_preview(self, meant: TaskFilter, verdict: Verdict) -> tuple[list[ListedTask], bool]:
        """Say which tasks `decide_all` would answer, at most 500, and whether there are more; nothing is decided.

        Raises:
            InputRejected: the filter is empty.
        """
        request = stewardship_pb2.DecideTasksRequest(
            filter=review.filter_to_proto(meant), verdict=review.VERDICTS[verdict], preview=True
        )
        response = self._call(self._channel.stewardship.DecideTasks, request)
        return [review.task_from_proto(each) for each in response.tasks], response.more

    def decide_all(self, meant: TaskFilter, verdict: Verdict, tasks: Collection[int], reason: str = "") -> BulkDecided:
        """Answer many tasks, one by one: those that were shown and that the filter still means.

        Raises:
            InputRejected: the filter is empty, or these are more than 500 tasks.
        """
        request = stewardship_pb2.DecideTasksRequest(
            filter=review.filter_to_proto(meant), verdict=review.VERDICTS[verdict], numbers=tasks, reason=reason
        )
        return reviewing.bulk_decided_from_proto(self._call(self._channel.stewardship.DecideTasks, request))

    def graph(self, eids: Collection[str]) -> Graph:
        """Show how the records of one or two identities are linked.

        Raises:
            NotFound: one holds nothing.
        """
        request = stewardship_pb2.GetGraphRequest(eids=eids)
        return reviewing.graph_from_proto(self._call(self._channel.stewardship.GetGraph, request))

    def reveal(self, record: int, task: int = 0) -> tuple[bytes, str]:
        """Fetch the sealed view of a record, which only a steward's key opens, and its facility.

        The audit journal notes every call.

        Raises:
            NotFound: nothing is revealed of such a record.
        """
        response = self._channel.call(
            self._channel.stewardship.RevealView, stewardship_pb2.RevealViewRequest(record=record, task=task)
        )
        return response.sealed_view, response.facility

    def dashboard(self, days: int = 30) -> Dashboard:
        """Tell how the queue does, looking back at most 365 days."""
        request = stewardship_pb2.GetDashboardRequest(days=days)
        return reviewing.dashboard_from_proto(self._call(self._channel.stewardship.GetDashboard, request))

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
        return reviewing.preview_from_proto(
            self._call(self._channel.stewardship.PreviewRules, request, PREVIEW_SECONDS)
        )
