"""The queue: what waits, the most valuable first, and taking the next task from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from mpi.domain.dashboard import TaskCount
from mpi.domain.review import TaskFilter, TaskKind, TaskStatus
from mpi.errors import NotFound
from mpi.web.drawing import bar
from mpi.web.filters import SHOWN_STATES, Wanted, wanted
from mpi.web.sessions import Notice
from mpi.web.visits import Visit, action, page

PAGE = 50
"""Tasks on one page."""
_CURSOR_BYTES = 64

WHYS = ("possible", "number_alone", "margin", "shared_phone", "evidence", "too_many_members", "bucket_full")
"""Rules that ask for a person."""
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("open", {}),
    ("mine", {"holder": "me"}),
    ("assigned", {"assignee": "me"}),
    ("confirming", {"state": "confirming"}),
    ("unsure", {"state": "unsure"}),
)
"""Views that every steward has, by the keys of their texts."""


def routes() -> list[Route]:
    """Give the pages about the queue."""
    return [page("/queue", show), page("/questions", asked), action("/queue/next", take_next)]


def show(visit: Visit) -> Response:
    """Show a page of the queue."""
    return _list(visit, wanted(visit.request.query_params, visit.urn), "queue")


def asked(visit: Visit) -> Response:
    """Show the tasks that wait for answers of facilities."""
    words = {**visit.request.query_params, "state": TaskStatus.ASKED.value}
    return _list(visit, wanted(words, visit.urn), "questions")


def take_next(visit: Visit) -> Response:
    """Claim the most valuable task of the filter that is free, and go to it."""
    words = {name: values[-1] for name, values in visit.form.fields.items()}
    return go_on(visit, wanted(words, visit.urn))


def go_on(visit: Visit, want: Wanted, notice: Notice | None = None) -> Response:
    """Go to the next task of a filter with a notice; to the queue when none is left."""
    try:
        listed = visit.client.claim(meant=want.meant)
    except NotFound:
        return visit.go(f"/queue{want.query}", notice or Notice("notice.none_left"))
    return visit.go(f"/tasks/{listed.held.number}{want.query}", notice)


def _list(visit: Visit, want: Wanted, place: str) -> Response:
    tasks, cursor = visit.client.tasks(want.meant, visit.cursor(_CURSOR_BYTES), PAGE)
    counts = visit.client.counts()
    return visit.page(
        "queue.html",
        place=place,
        want=want,
        tasks=tasks,
        bars={each.held.number: bar(each.held.task.weight or 0.0, _extent(tasks)) for each in tasks},
        cursor=cursor.hex(),
        first="cursor" not in visit.request.query_params,
        views=[(name, Wanted(TaskFilter(), words)) for name, words in VIEWS],
        states=SHOWN_STATES,
        kinds=tuple(TaskKind),
        whys=WHYS,
        now=datetime.now(UTC),
        me=visit.urn,
        **_counted(counts),
    )


def _extent(tasks: Sequence[Any]) -> float:
    return max((abs(each.held.task.weight or 0.0) for each in tasks), default=1.0) or 1.0


def _counted(counts: Sequence[TaskCount]) -> dict[str, Any]:
    by_state = Counter[TaskStatus]()
    by_kind = Counter[TaskKind]()
    for each in counts:
        by_state[each.status] += each.count
        if each.status is TaskStatus.OPEN:
            by_kind[each.kind] += each.count
    oldest = min((each.oldest for each in counts if each.status is TaskStatus.OPEN), default=None)
    return {"by_state": by_state, "by_kind": by_kind, "oldest": oldest}
