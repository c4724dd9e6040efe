"""What the queue answers is read as it was meant."""

from __future__ import annotations

from datetime import UTC, date, datetime

from mpi.domain.changes import Bond
from mpi.domain.dashboard import BandCount, Dashboard, StewardCount, TaskCount
from mpi.domain.identity import IdentityView, Location, Member
from mpi.domain.review import Answer, HeldTask, Remark, RemarkKind, ReviewTask, TaskKind, TaskStatus, Verdict
from mpi.domain.task_detail import Edge, Graph, IfLinked, ListedTask, Pair, TaskDetail, Term
from mpi.v1 import stewardship_service_pb2 as pb2
from mpi.wire import review, reviewing

AT = datetime(2026, 6, 30, 3, 0, tzinfo=UTC)
LISTED = ListedTask(
    HeldTask(7, TaskStatus.OPEN, ReviewTask(1, "e", "r", 24.5, "possible", 1500), AT, "h", AT, "a"), 0.5, ("10661",)
)
VIEW = IdentityView("e", (Member(1, Location("10661", b"\x01"), True, 3),), ("x",), ("y",), ((1, 2, "cannot_link"),))


def detail(**changed: object) -> TaskDetail:
    pair = Pair(
        1,
        2,
        12.0,
        0.5,
        (Term("A", "same", 3.0, "e", "t", (0.25, 0.5)), Term("phone", "agree", 9.0, "e", "t", None)),
        ("passport",),
        "possible",
        "e",
        "t",
    )
    fields = {
        "listed": LISTED,
        "left": VIEW,
        "right": VIEW,
        "pairs": (pair,),
        "if_linked": IfLinked("e", 2, ("10661",), 12.0, "national_id", True, True),
        "remarks": (
            Remark(RemarkKind.COMMENT, "s", "", "twins", "text", AT),
            Remark(RemarkKind.VERDICT, "s", Verdict.UNSURE, "", "", AT),
            Remark(RemarkKind.ANSWER, "f", Answer.NO, "", "", AT),
            Remark(RemarkKind.UNDONE, "s", "", "", "", AT),
        ),
        "revision": 9,
    }
    return TaskDetail(**{**fields, **changed})  # type: ignore[arg-type]


def test_a_task_is_read_as_it_was_written():
    """Every part of a task arrives; what is not there stays absent."""
    for whole in (detail(), detail(left=None, right=None, pairs=(), if_linked=None, remarks=())):
        assert reviewing.detail_from_proto(review.detail_to_proto(whole)) == whole


def test_a_graph_and_a_dashboard_are_read_as_they_were_written():
    """Records, what joins them, days and counts arrive as they were."""
    graph = Graph(((1, "e", "10661"), (2, "r", "11111")), (Edge(1, 2, 3.5, True, Bond.CANNOT),), True)
    assert reviewing.graph_from_proto(review.graph_to_proto(graph)) == graph
    board = Dashboard(
        (TaskCount(TaskKind.OVERLAY, TaskStatus.UNSURE, 3, AT),),
        ((date(2026, 6, 1), 3, 1),),
        (StewardCount("s", 3, 1, 2, 1),),
        (BandCount(24.0, 3, 1, 3.25),),
        (("10661", 3),),
        2.5,
    )
    assert reviewing.dashboard_from_proto(review.dashboard_to_proto(board)) == board


def test_what_a_later_release_counts_is_left_out():
    """A kind or a state that this release does not know is no fault."""
    known = pb2.TaskCount(kind=pb2.TASK_KIND_OVERLAY, state=pb2.TASK_STATE_OPEN, count=2)
    later = pb2.TaskCount(kind=99, state=pb2.TASK_STATE_OPEN, count=5)  # type: ignore[arg-type]
    assert [each.count for each in reviewing.counts_from_proto([known, later])] == [2]
