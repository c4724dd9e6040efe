"""Deciding many tasks at once: a filter, a look at what it means, then one verdict for those that were shown."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from mpi.domain.review import TaskKind, Verdict
from mpi.errors import InputRejected
from mpi.web.filters import wanted
from mpi.web.queue import WHYS
from mpi.web.sessions import Notice
from mpi.web.task import REASONS
from mpi.web.visits import Visit, action, page

VERDICTS = (Verdict.DIFFERENT, Verdict.SAME, Verdict.UNSURE)
"""Verdicts that many tasks can be given: facilities are asked about one at a time."""


def routes() -> list[Route]:
    """Give the pages for deciding many tasks."""
    return [page("/bulk", consider), action("/bulk", decide)]


def consider(visit: Visit) -> Response:
    """Show which tasks a filter means; nothing is decided."""
    want = wanted(visit.request.query_params, visit.urn)
    verdict = _verdict(visit.request.query_params.get("verdict", Verdict.DIFFERENT))
    tasks, more = visit.client.decide_preview(want.meant, verdict) if want.words else ([], False)
    return visit.page(
        "bulk.html",
        want=want,
        verdict=verdict,
        verdicts=VERDICTS,
        tasks=tasks,
        more=more,
        kinds=tuple(TaskKind),
        whys=WHYS,
        reasons=REASONS,
    )


def decide(visit: Visit) -> Response:
    """Give the verdict to the tasks that were shown, and tell what became of each."""
    words = {name: values[-1] for name, values in visit.form.fields.items()}
    want, verdict = wanted(words, visit.urn), _verdict(visit.form.text("verdict"))
    numbers = visit.form.numbers("number")
    if not numbers:
        raise InputRejected("no task was chosen")
    done = visit.client.decide_all(want.meant, verdict, numbers, visit.form.text("reason"))
    taken = [each for each in done.decided if not each.refused]
    if taken:
        undo = done.request if verdict is not Verdict.UNSURE else ""
        visit.session.notice = Notice("notice.bulk", {"count": str(len(taken))}, request=undo)
    return visit.page("bulk_done.html", decided=done.decided, taken=len(taken), want=want, verdict=verdict)


def _verdict(text: str) -> Verdict:
    try:
        verdict = Verdict(text)
    except ValueError:
        verdict = Verdict.ASK
    if verdict not in VERDICTS:
        raise InputRejected("verdict: is none of same, different and unsure")
    return verdict
