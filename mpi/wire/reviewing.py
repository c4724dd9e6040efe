"""What the queue of tasks answers, read by those who review: the other half of `mpi.wire.review`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date

from mpi.domain.changes import Bond
from mpi.domain.dashboard import BandCount, Dashboard, StewardCount, TaskCount
from mpi.domain.learning import Foresight, Preview, Stratum, Thresholds
from mpi.domain.review import Question, Remark, RemarkKind
from mpi.domain.task_detail import (
    AskedQuestion,
    BulkDecided,
    DecidedTask,
    Edge,
    Graph,
    IfLinked,
    Pair,
    TaskDetail,
    Term,
)
from mpi.errors import Reason, RecordRejected
from mpi.v1 import question_service_pb2 as question_pb2
from mpi.v1 import stewardship_service_pb2 as pb2
from mpi.wire.convert import decision_from_proto
from mpi.wire.review import ANSWERS, KINDS, REMARKS, STATES, VERDICTS, task_from_proto
from mpi.wire.stewardship import BOND_TO_PROTO, view_from_proto

_KIND_OF = {number: kind for kind, number in KINDS.items()}
_STATE_OF = {number: status for status, number in STATES.items()}
_VERDICT_OF = {number: verdict for verdict, number in VERDICTS.items()}
_ANSWER_OF = {number: answer for answer, number in ANSWERS.items()}
_REMARK_OF = {number: kind for kind, number in REMARKS.items()}
_BOND_OF = {number: bond for bond, number in BOND_TO_PROTO.items()}


def counts_from_proto(messages: Iterable[pb2.TaskCount]) -> tuple[TaskCount, ...]:
    """Read how many tasks there are by kind and state; those that a later release counts are left out."""
    return tuple(
        TaskCount(_KIND_OF[each.kind], _STATE_OF[each.state], each.count, each.oldest.ToDatetime(tzinfo=UTC))
        for each in messages
        if each.kind in _KIND_OF and each.state in _STATE_OF
    )


def detail_from_proto(message: pb2.GetTaskResponse) -> TaskDetail:
    """Read a task with everything that a person needs to decide it."""
    return TaskDetail(
        task_from_proto(message.task),
        view_from_proto(message.left) if message.HasField("left") else None,
        view_from_proto(message.right) if message.HasField("right") else None,
        tuple(_pair(each) for each in message.comparisons),
        _if_linked(message.if_linked) if message.HasField("if_linked") and not message.settled else None,
        tuple(_remark(each) for each in message.remarks),
        message.revision,
    )


def graph_from_proto(message: pb2.GetGraphResponse) -> Graph:
    """Read how records are linked."""
    return Graph(
        tuple((each.record, each.eid, each.facility) for each in message.nodes),
        tuple(
            Edge(each.record, each.other, each.weight, each.carries, _BOND_OF.get(each.bond, Bond.NONE))
            for each in message.edges
        ),
        message.truncated,
    )


def bulk_decided_from_proto(message: pb2.DecideTasksResponse) -> BulkDecided:
    """Read what became of many tasks."""
    return BulkDecided(
        tuple(DecidedTask(each.number, _STATE_OF.get(each.state), each.refused) for each in message.decided),
        message.request_id,
    )


def dashboard_from_proto(message: pb2.GetDashboardResponse) -> Dashboard:
    """Read how the queue does."""
    return Dashboard(
        counts_from_proto(message.counts),
        tuple((date.fromisoformat(each.day), each.opened, each.decided) for each in message.days),
        tuple(
            StewardCount(each.steward, each.decided, each.undone, each.seconded, each.agreed)
            for each in message.stewards
        ),
        tuple(BandCount(each.least, each.same, each.different, each.expected) for each in message.bands),
        tuple((each.facility, each.open) for each in message.facilities),
        message.median_hours,
    )


def question_from_proto(message: question_pb2.Question) -> AskedQuestion:
    """Read a question, as a facility is told it: task and record stay with the centre.

    Raises:
        RecordRejected: REQUEST_INVALID: a kind that this release does not know.
    """
    kind = _KIND_OF.get(message.kind)
    if kind is None:
        raise RecordRejected(Reason.REQUEST_INVALID, "kind", "is unknown; the server may be of another release")
    question = Question(message.number, 0, 0, message.asked.ToDatetime(tzinfo=UTC))
    return AskedQuestion(question, message.pointer, kind, tuple(_term(each) for each in message.reasons))


def _pair(message: pb2.Comparison) -> Pair:
    return Pair(
        message.record,
        message.other,
        message.weight,
        message.probability if message.HasField("probability") else None,
        tuple(_term(each) for each in message.reasons),
        tuple(message.missing),
        message.rule,
        message.english,
        message.thai,
    )


def _term(message: pb2.Reason) -> Term:
    similar = (message.least_similar, message.most_similar) if message.HasField("least_similar") else None
    return Term(message.comparison, message.level, message.weight, message.english, message.thai, similar)


def _if_linked(message: pb2.IfLinked) -> IfLinked:
    return IfLinked(
        message.eid,
        message.records,
        tuple(message.facilities),
        message.weight,
        message.veto,
        message.forbidden,
        message.confirmation,
    )


def _remark(message: pb2.Remark) -> Remark:
    word = _VERDICT_OF.get(message.verdict) or _ANSWER_OF.get(message.answer) or ""
    kind = _REMARK_OF.get(message.kind, RemarkKind.COMMENT)
    return Remark(kind, message.actor, word, message.reason, message.text, message.time.ToDatetime(tzinfo=UTC))


def preview_from_proto(message: pb2.PreviewRulesResponse) -> Preview:
    """Read what other rules would do."""
    strata = {
        Stratum(
            (decision_from_proto(each.before), each.before_why),
            (decision_from_proto(each.after), each.after_why),
            each.moved,
        ): each.records
        for each in message.strata
    }
    now = message.thresholds
    return Preview(
        Thresholds(now.link, now.review, now.margin),
        message.rules_digest,
        Foresight(message.records, message.sampled, strata, message.decided, message.linked_against, message.missed),
    )
