"""The map between the protos of the queue of tasks and the domain, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from mpi.domain.access import Role, client_named
from mpi.domain.dashboard import Dashboard, TaskCount
from mpi.domain.learning import Preview, Thresholds
from mpi.domain.review import (
    Answer,
    HeldTask,
    Remark,
    RemarkKind,
    ReviewTask,
    TaskFilter,
    TaskKind,
    TaskStatus,
    Verdict,
)
from mpi.domain.task_detail import AskedQuestion, Decided, Graph, IfLinked, ListedTask, Pair, TaskDetail, Term
from mpi.errors import Reason, RecordRejected
from mpi.v1 import question_service_pb2 as question_pb2
from mpi.v1 import stewardship_service_pb2 as pb2
from mpi.wire.convert import decision_to_proto
from mpi.wire.stewardship import (
    BOND_TO_PROTO,
    MAX_ENTRIES,
    check_number,
    regrouped_from_proto,
    regrouped_to_proto,
    timestamp,
    view_to_proto,
)

DEFAULT_TASKS = 50
MOST_RULE_FILE = 256 << 10
"""Characters of a rule file that is previewed."""
_CURSOR_BYTES = 16

KINDS = {kind: pb2.TaskKind.Value(f"TASK_KIND_{kind.name}") for kind in TaskKind}
STATES: dict[TaskStatus, pb2.TaskState.ValueType] = {
    # A task that waits for the machine is nothing that people see.
    status: pb2.TaskState.Value(f"TASK_STATE_{status.name}")
    for status in TaskStatus
    if status is not TaskStatus.WAITING
}
VERDICTS = {verdict: pb2.Verdict.Value(f"VERDICT_{verdict.name}") for verdict in Verdict}
ANSWERS = {answer: pb2.Answer.Value(f"ANSWER_{answer.name}") for answer in Answer}
REMARKS = {kind: pb2.RemarkKind.Value(f"REMARK_KIND_{kind.name}") for kind in RemarkKind}
_KIND_OF = {number: kind for kind, number in KINDS.items()}
_STATE_OF = {number: status for status, number in STATES.items()}
_VERDICT_OF = {number: verdict for verdict, number in VERDICTS.items()}
_ANSWER_OF = {number: answer for answer, number in ANSWERS.items()}


def task_to_proto(listed: ListedTask) -> pb2.Task:
    """Write a task."""
    held, task = listed.held, listed.held.task
    return pb2.Task(
        number=held.number,
        record=task.record,
        eid=task.eid,
        rival=task.rival,
        weight=task.weight or 0.0,
        why=task.why,
        kind=KINDS[task.kind],
        state=STATES[held.status],
        priority=task.priority,
        probability=listed.probability,
        opened=timestamp(held.opened),
        holder=held.holder,
        held_until=timestamp(held.held_until),
        assignee=held.assignee,
        facilities=listed.facilities,
    )


def task_from_proto(message: pb2.Task) -> ListedTask:
    """Read a task.

    Raises:
        RecordRejected: REQUEST_INVALID: a state that this release does not know.
    """
    task = ReviewTask(message.record, message.eid, message.rival, message.weight, message.why, message.priority)
    status = _STATE_OF.get(message.state)
    if status is None:
        raise RecordRejected(Reason.REQUEST_INVALID, "state", "is unknown; the server may be of another release")
    held = HeldTask(
        message.number,
        status,
        task,
        message.opened.ToDatetime(tzinfo=UTC),
        message.holder,
        message.held_until.ToDatetime(tzinfo=UTC) if message.HasField("held_until") else None,
        message.assignee,
    )
    probability = message.probability if message.HasField("probability") else None
    return ListedTask(held, probability, tuple(message.facilities))


def filter_from_proto(message: pb2.TaskFilter, caller: str) -> TaskFilter:
    """Read which tasks are meant; `caller` is who asks.

    Raises:
        RecordRejected: REQUEST_INVALID, with the field at fault.
    """
    if message.kind and message.kind not in _KIND_OF:
        raise RecordRejected(Reason.REQUEST_INVALID, "filter.kind", "is unknown")
    if message.state and message.state not in _STATE_OF:
        raise RecordRejected(Reason.REQUEST_INVALID, "filter.state", "is unknown")
    return TaskFilter(
        _KIND_OF.get(message.kind),
        _STATE_OF.get(message.state, TaskStatus.OPEN),
        message.why,
        message.assignee,
        message.holder,
        caller if message.unclaimed else "",
        message.facility,
        message.least_weight if message.HasField("least_weight") else None,
        message.most_weight if message.HasField("most_weight") else None,
    )


def filter_to_proto(meant: TaskFilter) -> pb2.TaskFilter:
    """Write which tasks are meant."""
    return pb2.TaskFilter(
        kind=KINDS[meant.kind] if meant.kind else pb2.TASK_KIND_UNSPECIFIED,
        state=STATES[meant.status],
        why=meant.why,
        assignee=meant.assignee,
        holder=meant.holder,
        unclaimed=bool(meant.unclaimed_by_others),
        facility=meant.facility,
        least_weight=meant.least,
        most_weight=meant.most,
    )


def limit_from_proto(limit: int) -> int:
    """Read how many tasks are wanted; 0 stands for 50.

    Raises:
        RecordRejected: REQUEST_INVALID: more than 1000.
    """
    if limit > MAX_ENTRIES:
        raise RecordRejected(Reason.REQUEST_INVALID, "limit", f"is more than {MAX_ENTRIES}")
    return limit or DEFAULT_TASKS


def cursor_to_proto(place: tuple[int, int] | None) -> bytes:
    """Write where a page ended."""
    return b"" if place is None else b"".join(each.to_bytes(8, "big", signed=True) for each in place)


def cursor_from_proto(cursor: bytes) -> tuple[int, int] | None:
    """Read where a page ended.

    Raises:
        RecordRejected: REQUEST_INVALID: it is none of ours.
    """
    if not cursor:
        return None
    if len(cursor) != _CURSOR_BYTES:
        raise RecordRejected(Reason.REQUEST_INVALID, "cursor", "is not a cursor of this call")
    return int.from_bytes(cursor[:8], "big", signed=True), int.from_bytes(cursor[8:], "big", signed=True)


def verdict_from_proto(number: pb2.Verdict.ValueType) -> Verdict:
    """Read what a person says.

    Raises:
        RecordRejected: REQUEST_INVALID: nothing was said.
    """
    verdict = _VERDICT_OF.get(number)
    if verdict is None:
        raise RecordRejected(Reason.REQUEST_INVALID, "verdict", "is unspecified or unknown")
    return verdict


def answer_from_proto(number: pb2.Answer.ValueType) -> Answer:
    """Read what a facility says.

    Raises:
        RecordRejected: REQUEST_INVALID: nothing was said.
    """
    answer = _ANSWER_OF.get(number)
    if answer is None:
        raise RecordRejected(Reason.REQUEST_INVALID, "answer", "is unspecified or unknown")
    return answer


def bulk_from_proto(request: pb2.DecideTasksRequest) -> tuple[list[int], Verdict]:
    """Read which tasks are decided at once, and how.

    Raises:
        RecordRejected: REQUEST_INVALID: the filter is empty, or the verdict cannot be given to many.
    """
    if request.filter == pb2.TaskFilter():
        raise RecordRejected(Reason.REQUEST_INVALID, "filter", "is empty; say which tasks are meant")
    verdict = verdict_from_proto(request.verdict)
    if verdict is Verdict.ASK:
        raise RecordRejected(Reason.REQUEST_INVALID, "verdict", "facilities are asked about one task at a time")
    return [check_number(number, "numbers") for number in request.numbers], verdict


def bulk_to_proto(number: int, status: TaskStatus | None, refused: str) -> pb2.DecidedTask:
    """Write what became of one of many tasks."""
    state = pb2.TASK_STATE_UNSPECIFIED if status is None else STATES[status]
    return pb2.DecidedTask(number=number, state=state, refused=refused)


def steward_from_proto(name: str, field: str) -> str:
    """Read the name of a steward; may be empty.

    Raises:
        RecordRejected: REQUEST_INVALID: it is none.
    """
    caller = client_named(name) if name else None
    if name and (caller is None or caller.role is not Role.STEWARD):
        raise RecordRejected(Reason.REQUEST_INVALID, field, "is not a steward, such as urn:mpi:steward:somsri")
    return name


def count_to_proto(count: TaskCount) -> pb2.TaskCount:
    """Write how many tasks there are of a kind and state."""
    return pb2.TaskCount(
        kind=KINDS[count.kind], state=STATES[count.status], count=count.count, oldest=timestamp(count.oldest)
    )


def terms_to_proto(terms: Sequence[Term]) -> list[pb2.Reason]:
    """Write the terms of a weight."""
    return [
        pb2.Reason(
            comparison=each.comparison,
            level=each.level,
            weight=each.weight,
            english=each.english,
            thai=each.thai,
            least_similar=None if each.similar is None else each.similar[0],
            most_similar=None if each.similar is None else each.similar[1],
        )
        for each in terms
    ]


def comparison_to_proto(pair: Pair) -> pb2.Comparison:
    """Write what two records say of each other."""
    return pb2.Comparison(
        record=pair.record,
        other=pair.other,
        weight=pair.weight,
        probability=pair.probability,
        reasons=terms_to_proto(pair.terms),
        missing=pair.missing,
        rule=pair.rule,
        english=pair.english,
        thai=pair.thai,
    )


def if_linked_to_proto(what: IfLinked) -> pb2.IfLinked:
    """Write what would come of a link."""
    return pb2.IfLinked(
        eid=what.eid,
        records=what.records,
        facilities=what.facilities,
        weight=what.weight,
        veto=what.veto,
        forbidden=what.forbidden,
        confirmation=what.confirmation,
    )


def remark_to_proto(remark: Remark) -> pb2.Remark:
    """Write what happened on a task."""
    message = pb2.Remark(
        time=timestamp(remark.at),
        actor=remark.actor,
        kind=REMARKS[remark.kind],
        reason=remark.reason,
        text=remark.text,
    )
    if remark.kind is RemarkKind.VERDICT:
        message.verdict = VERDICTS[Verdict(remark.word)]
    elif remark.kind is RemarkKind.ANSWER:
        message.answer = ANSWERS[Answer(remark.word)]
    return message


def detail_to_proto(detail: TaskDetail) -> pb2.GetTaskResponse:
    """Write a task with everything that a person needs to decide it."""
    return pb2.GetTaskResponse(
        task=task_to_proto(detail.listed),
        left=None if detail.left is None else view_to_proto(detail.left),
        right=None if detail.right is None else view_to_proto(detail.right),
        comparisons=[comparison_to_proto(pair) for pair in detail.pairs],
        if_linked=None if detail.if_linked is None else if_linked_to_proto(detail.if_linked),
        remarks=[remark_to_proto(remark) for remark in detail.remarks],
        revision=detail.revision,
        settled=detail.if_linked is None,
    )


def decided_to_proto(done: Decided) -> pb2.DecideTaskResponse:
    """Write what a verdict did."""
    return pb2.DecideTaskResponse(
        regrouped=None if done.regrouped is None else regrouped_to_proto(done.regrouped), state=STATES[done.status]
    )


def decided_from_proto(message: pb2.DecideTaskResponse) -> Decided:
    """Read what a verdict did."""
    changed = message.HasField("regrouped")
    return Decided(_STATE_OF[message.state], regrouped_from_proto(message.regrouped) if changed else None)


def question_to_proto(asked: AskedQuestion) -> question_pb2.Question:
    """Write a question for the facility."""
    return question_pb2.Question(
        number=asked.question.number,
        pointer=asked.pointer,
        kind=KINDS[asked.kind],
        asked=timestamp(asked.question.asked),
        reasons=terms_to_proto(asked.terms),
    )


def graph_to_proto(graph: Graph) -> pb2.GetGraphResponse:
    """Write how records are linked."""
    return pb2.GetGraphResponse(
        nodes=[pb2.Node(record=record, eid=eid, facility=facility) for record, eid, facility in graph.nodes],
        edges=[
            pb2.Edge(
                record=each.record,
                other=each.other,
                weight=each.weight,
                carries=each.carries,
                bond=BOND_TO_PROTO[each.bond],
            )
            for each in graph.edges
        ],
        truncated=graph.truncated,
    )


def dashboard_to_proto(dashboard: Dashboard) -> pb2.GetDashboardResponse:
    """Write how the queue does."""
    return pb2.GetDashboardResponse(
        counts=[count_to_proto(count) for count in dashboard.counts],
        days=[pb2.DayCount(day=day.isoformat(), opened=o, decided=d) for day, o, d in dashboard.days],
        stewards=[
            pb2.StewardCount(
                steward=each.steward,
                decided=each.decided,
                undone=each.undone,
                seconded=each.seconded,
                agreed=each.agreed,
            )
            for each in dashboard.stewards
        ],
        bands=[
            pb2.BandCount(least=each.least, same=each.same, different=each.different, expected=each.expected)
            for each in dashboard.bands
        ],
        facilities=[pb2.FacilityCount(facility=code, open=count) for code, count in dashboard.facilities],
        median_hours=dashboard.median_hours,
    )


def candidate_from_proto(message: pb2.PreviewRulesRequest) -> Thresholds | str | None:
    """Read which rules are weighed against the present ones; None for none.

    Raises:
        RecordRejected: REQUEST_INVALID: the rule file is too long.
    """
    if message.HasField("thresholds"):
        return Thresholds(message.thresholds.link, message.thresholds.review, message.thresholds.margin)
    if len(message.rule_file) > MOST_RULE_FILE:
        raise RecordRejected(Reason.REQUEST_INVALID, "rule_file", f"is longer than {MOST_RULE_FILE} characters")
    return message.rule_file or None


def preview_to_proto(preview: Preview) -> pb2.PreviewRulesResponse:
    """Write what other rules would do."""
    now, seen = preview.thresholds, preview.foresight
    return pb2.PreviewRulesResponse(
        thresholds=pb2.Thresholds(link=now.link, review=now.review, margin=now.margin),
        rules_digest=preview.rules_digest,
        records=seen.records,
        sampled=seen.sampled,
        strata=[
            pb2.RulesStratum(
                before=decision_to_proto(stratum.before[0]),
                before_why=stratum.before[1],
                after=decision_to_proto(stratum.after[0]),
                after_why=stratum.after[1],
                moved=stratum.moved,
                records=count,
            )
            for stratum, count in sorted(seen.strata.items())
        ],
        decided=seen.decided,
        linked_against=seen.linked_against,
        missed=seen.missed,
    )
