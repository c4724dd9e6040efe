"""The calls of data stewards, and of facilities that they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from datetime import datetime
from functools import partial
from typing import Protocol, TypeVar

from mpi.domain.changes import Change, Selection
from mpi.domain.dashboard import Dashboard, TaskCount
from mpi.domain.identity import IdentityView, Regrouped, Undone
from mpi.domain.learning import Preview, Thresholds
from mpi.domain.review import Answer, TaskFilter, TaskStatus, Verdict
from mpi.domain.task_detail import AskedQuestion, Decided, Graph, ListedTask, TaskDetail
from mpi.errors import Reason, RecordRejected
from mpi.server.accounts import ACCOUNT
from mpi.server.edge import CALLER, Context
from mpi.server.servicers import Writer, signed
from mpi.v1 import question_service_pb2 as question_pb2
from mpi.v1 import question_service_pb2_grpc, stewardship_service_pb2_grpc
from mpi.v1 import stewardship_service_pb2 as pb2
from mpi.wire import convert, review, stewardship

_MOST_DAYS, _DAYS = 365, 30
_PREVIEWED = 500
_MOST_SAMPLED, _SAMPLED = 2000, 200
_MOST_GRAPHED = 2

Result = TypeVar("Result")


class Stewardship(Protocol):
    """Changes identities by people's decisions, shows what was decided, and takes it back."""

    def identity(self, eid: str, as_of: int | datetime | None) -> tuple[IdentityView, int]:
        """Show an identity as it is or was, and the revision that this is."""

    def link(self, record: int, other: int, actor: str, request: str) -> Regrouped:
        """Say that two records are of one person."""

    def unlink(self, record: int, actor: str, request: str) -> Regrouped:
        """Say that a record is not of its identity's person."""

    def merge(self, eid: str, other: str, actor: str, request: str, *, seen: int) -> Regrouped:
        """Say that two identities are one person."""

    def split(self, eid: str, parts: Sequence[Collection[int]], actor: str, request: str, *, seen: int) -> Regrouped:
        """Say that an identity was several persons."""

    def undo(self, selection: Selection, actor: str, request: str, *, preview: bool, keep_later: bool) -> Undone:
        """Take changes back, or say what that would do."""

    def changes(self, selection: Selection, after: int, most: int) -> tuple[list[Change], int]:
        """Read the log, and the newest revision."""


class Review(Protocol):
    """Knows the queue of tasks, and takes what people say about them."""

    def tasks(
        self, meant: TaskFilter | None, after: tuple[int, int] | None, most: int
    ) -> tuple[list[ListedTask], tuple[int, int] | None]:
        """List tasks, and where the next page begins."""

    def counts(self) -> list[TaskCount]:
        """Count the tasks by kind and state."""

    def task(self, number: int) -> TaskDetail:
        """Show one task."""

    def claim(self, number: int, meant: TaskFilter | None, actor: str) -> ListedTask:
        """Hold a task for a while."""

    def release(self, number: int, actor: str) -> None:
        """Give a task back."""

    def assign(self, number: int, assignee: str, actor: str) -> None:
        """Say whose work a task is."""

    def comment(self, number: int, text: str, reason: str, actor: str) -> None:
        """Add a remark to a task."""

    def decide(
        self, number: int, verdict: Verdict, actor: str, request: str, *, seen: int, reason: str, text: str
    ) -> Decided:
        """Answer a task."""

    def decide_all(
        self, meant: TaskFilter, numbers: Collection[int], verdict: Verdict, actor: str, request: str, reason: str
    ) -> list[tuple[int, TaskStatus | None, str]]:
        """Answer many tasks; how far each is, or None and why it was left alone."""

    def graph(self, eids: Sequence[str]) -> Graph:
        """Show how the records of identities are linked."""

    def sealed_view(self, record: int) -> tuple[bytes, str, str]:
        """Give what a facility lets stewards see of a record, the facility, and the record's identity."""

    def dashboard(self, days: int) -> Dashboard:
        """Tell how the queue does."""


class Learning(Protocol):
    """Looks ahead."""

    def preview(self, candidate: Thresholds | str | None, sample: int) -> Preview:
        """Say what other thresholds, or the rules of a file's text, would do."""


class Questions(Protocol):
    """Knows what facilities are asked."""

    def waiting(self, facility: str, after: int, most: int) -> list[AskedQuestion]:
        """List the questions that wait for a facility."""

    def answer(self, number: int, answer: Answer, reason: str, facility: str, actor: str) -> None:
        """Keep an answer."""


class QuestionServicer(question_service_pb2_grpc.QuestionServiceServicer):
    """Asks facilities about their own records."""

    def __init__(self, questions: Questions, writer: Writer, pool: Executor) -> None:
        self._questions = questions
        self._writer = writer
        self._pool = pool

    async def ListQuestions(
        self, request: question_pb2.ListQuestionsRequest, context: Context
    ) -> question_pb2.ListQuestionsResponse:
        """List the questions that wait for the calling facility."""
        after, most = stewardship.check_number(request.after, "after"), stewardship.entries_from_proto(request.limit)
        work = partial(self._questions.waiting, CALLER.get().name, after, most)
        found = await asyncio.get_running_loop().run_in_executor(self._pool, work)
        return question_pb2.ListQuestionsResponse(questions=[review.question_to_proto(each) for each in found])

    async def AnswerQuestion(
        self, request: question_pb2.AnswerQuestionRequest, context: Context
    ) -> question_pb2.AnswerQuestionResponse:
        """Take an answer."""
        number, caller = stewardship.check_number(request.number, "number"), CALLER.get()
        answer = review.answer_from_proto(request.answer)
        work = partial(self._questions.answer, number, answer, request.reason, caller.name, caller.urn)
        await self._writer.run(work)
        return question_pb2.AnswerQuestionResponse()


class StewardshipServicer(stewardship_service_pb2_grpc.StewardshipServiceServicer):
    """Takes stewards' decisions. They write on the registry's thread, for the store takes one writer at a time."""

    def __init__(
        self, stewardship: Stewardship, queue: Review, learning: Learning, writer: Writer, pool: Executor
    ) -> None:
        self._stewardship = stewardship
        self._queue = queue
        self._learning = learning
        self._writer = writer
        self._pool = pool

    async def GetIdentity(self, request: pb2.GetIdentityRequest, context: Context) -> pb2.GetIdentityResponse:
        """Show an identity, as it is or as it was."""
        eid, as_of = convert.eid_from_proto(request.eid, "eid"), stewardship.as_of_from_proto(request)
        view, revision = await self._read(partial(self._stewardship.identity, eid, as_of))
        return pb2.GetIdentityResponse(identity=stewardship.view_to_proto(view), revision=revision)

    async def Link(self, request: pb2.LinkRequest, context: Context) -> pb2.LinkResponse:
        """Say that two records are of one person."""
        one, other = (stewardship.check_number(number, "record") for number in (request.record, request.other))
        done = await self._writer.run(partial(self._stewardship.link, one, other, *signed()))
        return pb2.LinkResponse(regrouped=stewardship.regrouped_to_proto(done))

    async def Unlink(self, request: pb2.UnlinkRequest, context: Context) -> pb2.UnlinkResponse:
        """Say that a record is not of the person whose identity it is in."""
        record = stewardship.check_number(request.record, "record")
        done = await self._writer.run(partial(self._stewardship.unlink, record, *signed()))
        return pb2.UnlinkResponse(regrouped=stewardship.regrouped_to_proto(done))

    async def Merge(self, request: pb2.MergeRequest, context: Context) -> pb2.MergeResponse:
        """Say that two identities are one person."""
        eid, other = convert.eid_from_proto(request.eid, "eid"), convert.eid_from_proto(request.other, "other")
        seen = stewardship.check_number(request.seen, "seen")
        done = await self._writer.run(partial(self._stewardship.merge, eid, other, *signed(), seen=seen))
        return pb2.MergeResponse(regrouped=stewardship.regrouped_to_proto(done))

    async def Split(self, request: pb2.SplitRequest, context: Context) -> pb2.SplitResponse:
        """Say that an identity was several persons."""
        eid = convert.eid_from_proto(request.eid, "eid")
        parts = [list(part.records) for part in convert.check_batch(request.parts, "parts")]
        seen = stewardship.check_number(request.seen, "seen")
        done = await self._writer.run(partial(self._stewardship.split, eid, parts, *signed(), seen=seen))
        return pb2.SplitResponse(regrouped=stewardship.regrouped_to_proto(done))

    async def Undo(self, request: pb2.UndoRequest, context: Context) -> pb2.UndoResponse:
        """Take changes back, or say what that would do."""
        selection = stewardship.selection_from_proto(request.selection)
        work = partial(
            self._stewardship.undo,
            selection,
            *signed(),
            preview=request.preview,
            keep_later=request.keep_later,
        )
        done = await (self._read(work) if request.preview else self._writer.run(work))
        return stewardship.undone_to_proto(done)

    async def ListChanges(self, request: pb2.ListChangesRequest, context: Context) -> pb2.ListChangesResponse:
        """Read the log of changes."""
        selection = stewardship.selection_from_proto(request.selection)
        after, most = stewardship.check_number(request.after, "after"), stewardship.entries_from_proto(request.limit)
        changes, revision = await self._read(partial(self._stewardship.changes, selection, after, most))
        entries = [stewardship.change_to_proto(change) for change in changes]
        return pb2.ListChangesResponse(changes=entries, revision=revision)

    async def ListTasks(self, request: pb2.ListTasksRequest, context: Context) -> pb2.ListTasksResponse:
        """List tasks, the most valuable first."""
        meant = review.filter_from_proto(request.filter, CALLER.get().urn)
        after, most = review.cursor_from_proto(request.cursor), review.limit_from_proto(request.limit)
        tasks, place = await self._read(partial(self._queue.tasks, meant, after, most))
        return pb2.ListTasksResponse(
            tasks=[review.task_to_proto(task) for task in tasks], cursor=review.cursor_to_proto(place)
        )

    async def CountTasks(self, request: pb2.CountTasksRequest, context: Context) -> pb2.CountTasksResponse:
        """Count the tasks by kind and state."""
        counts = await self._read(self._queue.counts)
        return pb2.CountTasksResponse(counts=[review.count_to_proto(count) for count in counts])

    async def GetTask(self, request: pb2.GetTaskRequest, context: Context) -> pb2.GetTaskResponse:
        """Show one task."""
        number = stewardship.check_number(request.number, "number")
        return review.detail_to_proto(await self._read(partial(self._queue.task, number)))

    async def ClaimTask(self, request: pb2.ClaimTaskRequest, context: Context) -> pb2.ClaimTaskResponse:
        """Hold a task for a while."""
        number, actor = stewardship.check_number(request.number, "number"), CALLER.get().urn
        meant = review.filter_from_proto(request.filter, actor)
        task = await self._writer.run(partial(self._queue.claim, number, meant, actor))
        return pb2.ClaimTaskResponse(task=review.task_to_proto(task))

    async def ReleaseTask(self, request: pb2.ReleaseTaskRequest, context: Context) -> pb2.ReleaseTaskResponse:
        """Give a task back."""
        number = stewardship.check_number(request.number, "number")
        await self._writer.run(partial(self._queue.release, number, CALLER.get().urn))
        return pb2.ReleaseTaskResponse()

    async def AssignTask(self, request: pb2.AssignTaskRequest, context: Context) -> pb2.AssignTaskResponse:
        """Say whose work a task is."""
        number = stewardship.check_number(request.number, "number")
        assignee = review.steward_from_proto(request.assignee, "assignee")
        await self._writer.run(partial(self._queue.assign, number, assignee, CALLER.get().urn))
        return pb2.AssignTaskResponse()

    async def CommentTask(self, request: pb2.CommentTaskRequest, context: Context) -> pb2.CommentTaskResponse:
        """Add a remark to a task."""
        number = stewardship.check_number(request.number, "number")
        work = partial(self._queue.comment, number, request.text, request.reason, CALLER.get().urn)
        await self._writer.run(work)
        return pb2.CommentTaskResponse()

    async def DecideTask(self, request: pb2.DecideTaskRequest, context: Context) -> pb2.DecideTaskResponse:
        """Answer a task."""
        number = stewardship.check_number(request.number, "number")
        work = partial(
            self._queue.decide,
            number,
            review.verdict_from_proto(request.verdict),
            *signed(),
            seen=stewardship.check_number(request.revision, "revision"),
            reason=request.reason,
            text=request.text,
        )
        return review.decided_to_proto(await self._writer.run(work))

    async def DecideTasks(self, request: pb2.DecideTasksRequest, context: Context) -> pb2.DecideTasksResponse:
        """Answer many tasks, or say which these are."""
        actor, name = signed()
        meant = review.filter_from_proto(request.filter, actor)
        numbers, verdict = review.bulk_from_proto(request)
        if request.preview:
            tasks, place = await self._read(partial(self._queue.tasks, meant, None, _PREVIEWED))
            return pb2.DecideTasksResponse(tasks=[review.task_to_proto(task) for task in tasks], more=place is not None)
        if not numbers:
            raise RecordRejected(Reason.REQUEST_INVALID, "numbers", "is empty; name the tasks that the preview showed")
        work = partial(self._queue.decide_all, meant, numbers, verdict, actor, name, request.reason)
        done = await self._writer.run(work)
        return pb2.DecideTasksResponse(decided=[review.bulk_to_proto(*each) for each in done], request_id=name)

    async def GetGraph(self, request: pb2.GetGraphRequest, context: Context) -> pb2.GetGraphResponse:
        """Show how the records of one or two identities are linked."""
        if not 0 < len(request.eids) <= _MOST_GRAPHED:
            raise RecordRejected(Reason.REQUEST_INVALID, "eids", "names one or two identities")
        eids = [convert.eid_from_proto(eid, "eids") for eid in request.eids]
        return review.graph_to_proto(await self._read(partial(self._queue.graph, eids)))

    async def RevealView(self, request: pb2.RevealViewRequest, context: Context) -> pb2.RevealViewResponse:
        """Hand out the sealed view of a record; the entry in the audit journal names whose it is."""
        record = stewardship.check_number(request.record, "record")
        sealed, facility, eid = await self._read(partial(self._queue.sealed_view, record))
        ACCOUNT.get().identities.add(eid)
        return pb2.RevealViewResponse(sealed_view=sealed, facility=facility)

    async def GetDashboard(self, request: pb2.GetDashboardRequest, context: Context) -> pb2.GetDashboardResponse:
        """Tell how the queue does."""
        if request.days > _MOST_DAYS:
            raise RecordRejected(Reason.REQUEST_INVALID, "days", f"is more than {_MOST_DAYS}")
        return review.dashboard_to_proto(await self._read(partial(self._queue.dashboard, request.days or _DAYS)))

    async def PreviewRules(self, request: pb2.PreviewRulesRequest, context: Context) -> pb2.PreviewRulesResponse:
        """Say what other rules would do."""
        if request.sample > _MOST_SAMPLED:
            raise RecordRejected(Reason.REQUEST_INVALID, "sample", f"is more than {_MOST_SAMPLED}")
        candidate, sample = review.candidate_from_proto(request), request.sample or _SAMPLED
        return review.preview_to_proto(await self._read(partial(self._learning.preview, candidate, sample)))

    async def _read(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
