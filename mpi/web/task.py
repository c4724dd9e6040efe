"""The page of a task: both sides, why the model hesitated, what would come of a link, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.routing import Route

from mpi.domain.changes import Selection
from mpi.domain.identifiers import IdentifierKind
from mpi.domain.review import DECIDED, UNDECIDED, TaskStatus, Verdict
from mpi.domain.task_detail import Pair, TaskDetail
from mpi.errors import Conflict, InputRejected, MpiError, NotFound
from mpi.web import drawing
from mpi.web.filters import Wanted, steward, wanted
from mpi.web.identity import Entry, dates, history, newest
from mpi.web.queue import go_on
from mpi.web.sessions import Notice
from mpi.web.visits import Visit, action, page

MOST_HISTORY = 12
"""Changes of both identities that the page shows, the newest."""
MOST_REMARK = 2000
"""Characters of a remark, as the index takes them."""
REASONS = (
    "same_household",
    "twins",
    "typing_error",
    "changed_name",
    "shared_number",
    "default_birth_date",
    "newborn",
    "other",
)
_NUMBERS = frozenset(IdentifierKind)


def routes() -> list[Route]:
    """Give the pages about tasks."""
    return [
        page("/tasks/{number:int}", show),
        action("/tasks/{number:int}/claim", claim),
        action("/tasks/{number:int}/release", release),
        action("/tasks/{number:int}/assign", assign),
        action("/tasks/{number:int}/comment", comment),
        action("/tasks/{number:int}/decide", decide),
        action("/reveal", reveal),
    ]


def show(visit: Visit) -> Response:
    """Show a task with everything that a person needs to decide it."""
    number = _number(visit)
    detail = visit.client.task(number)
    want = wanted(visit.request.query_params, visit.urn)
    held = detail.listed.held
    pair = _chosen(detail, visit.request.query_params.get("pair", ""))
    now = datetime.now(UTC)
    return visit.page(
        "task.html",
        detail=detail,
        held=held,
        task=held.task,
        want=want,
        pair=pair,
        numbers=[term for term in pair.terms if term.comparison in _NUMBERS] if pair else [],
        missing_numbers=[name for name in pair.missing if name in _NUMBERS] if pair else [],
        waterfall=drawing.waterfall([(term.comparison, term.weight) for term in pair.terms]) if pair else None,
        bars=drawing.bars([term.weight for term in pair.terms]) if pair else [],
        graph=_graph(visit, detail),
        entries=_histories(visit, detail),
        dates=dates(visit.client, detail.left, detail.right),
        open=held.status in UNDECIDED and detail.if_linked is not None,
        decided=held.status in DECIDED,
        mine=held.holder == visit.urn and held.held_until is not None and held.held_until > now,
        taken=held.is_held(visit.urn, now),
        me=visit.urn,
        remark=_written(visit, number),
        reasons=REASONS,
        most_remark=MOST_REMARK,
    )


def claim(visit: Visit) -> Response:
    """Hold the task for a while."""
    number = _number(visit)
    try:
        visit.client.claim(number)
    except Conflict as refused:
        return _back(visit, number, _refused(refused))
    return _back(visit, number)


def release(visit: Visit) -> Response:
    """Give the task back, and go to the queue."""
    visit.client.release(_number(visit))
    return visit.go(f"/queue{_want(visit).query}")


def assign(visit: Visit) -> Response:
    """Say whose work the task is."""
    number, name = _number(visit), visit.form.text("assignee").strip()
    visit.client.assign(number, steward(name) if name else "")
    return _back(visit, number, Notice("notice.assigned" if name else "notice.unassigned", {"who": name}))


def comment(visit: Visit) -> Response:
    """Add a remark without deciding."""
    number = _number(visit)
    text, reason = _remark(visit, number)
    visit.client.comment(number, text, reason)
    visit.session.held.pop("remark", None)
    return _back(visit, number, Notice("notice.remarked"))


def decide(visit: Visit) -> Response:
    """Take the verdict, and go on to the next task; a verdict that is refused leaves what was written in its place."""
    number = _number(visit)
    text, reason = _remark(visit, number)
    try:
        verdict = Verdict(visit.form.text("verdict"))
    except ValueError:
        raise InputRejected("verdict: is none of same, different, unsure and ask") from None
    try:
        done = visit.client.decide(number, verdict, reason, text, seen=visit.form.number("revision"))
    except (Conflict, NotFound) as refused:
        return _back(visit, number, _refused(refused))
    visit.session.held.pop("remark", None)
    key = "notice.confirming" if done.status is TaskStatus.CONFIRMING else f"notice.{verdict}"
    change = done.regrouped.change if done.regrouped else 0
    return go_on(visit, _want(visit), Notice(key, {"task": str(number)}, change=change))


def reveal(visit: Visit) -> Response:
    """Hand a sealed view to the browser, which alone can open it; the index has noted who asked."""
    task = visit.form.text("task")
    sealed, facility = visit.client.reveal(visit.form.number("record"), int(task) if task.isdecimal() else 0)
    return visit.tell(sealed=sealed.hex(), facility=facility)


def _number(visit: Visit) -> int:
    return int(visit.request.path_params["number"])


def _want(visit: Visit) -> Wanted:
    """The filter that the steward works through, as the form brings it along."""
    return wanted(dict(parse_qsl(visit.form.text("query").removeprefix("?"), max_num_fields=20)), visit.urn)


def _back(visit: Visit, number: int, notice: Notice | None = None) -> Response:
    return visit.go(f"/tasks/{number}{_want(visit).query}", notice)


def _refused(error: MpiError) -> Notice:
    return Notice("notice.refused", {"why": error.message}, problem=True)


def _remark(visit: Visit, number: int) -> tuple[str, str]:
    """Read the remark, and keep it until the index has taken it."""
    text, reason = visit.form.text("text").strip(), visit.form.text("reason")
    visit.session.held["remark"] = {"task": number, "text": text[: 2 * MOST_REMARK], "reason": reason[:40]}
    return text, reason


def _written(visit: Visit, number: int) -> dict[str, str]:
    """Give back what was written on this task and not taken; one remark is kept, the last."""
    kept = visit.session.held.pop("remark", {})
    return kept if kept.get("task") == number else {"text": "", "reason": ""}


def _chosen(detail: TaskDetail, other: str) -> Pair | None:
    """The pair that is looked at closely: the one that was chosen, or the heaviest."""
    return next((pair for pair in detail.pairs if str(pair.other) == other), next(iter(detail.pairs), None))


def _graph(visit: Visit, detail: TaskDetail) -> drawing.Graph | None:
    sides = [side.eid for side in (detail.left, detail.right) if side]
    return drawing.graph(visit.client.graph(sides), sides[0]) if sides else None


def _histories(visit: Visit, detail: TaskDetail) -> Sequence[Entry]:
    eids = dict.fromkeys(side.eid for side in (detail.left, detail.right) if side)
    log = {change.revision: change for eid in eids for change in newest(visit.client, Selection(eid=eid), MOST_HISTORY)}
    return history([log[revision] for revision in sorted(log)][-MOST_HISTORY:])
