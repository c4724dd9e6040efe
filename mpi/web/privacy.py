"""The privacy officer's pages: lookups that broke the glass, and objections that records keep by themselves."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from mpi.domain.purpose import PurposeOfUse
from mpi.errors import InputRejected
from mpi.web.sessions import Notice
from mpi.web.visits import Visit, action, page

_CURSOR_BYTES = 16
PURPOSES = tuple(PurposeOfUse)


def routes() -> list[Route]:
    """Give the two queues, and what is said about what is in them."""
    return [
        page("/openings", show_openings),
        action("/openings/{number:int}", judge),
        page("/objections", show_objections),
        action("/objections/{record:int}", lift),
    ]


def show_openings(visit: Visit) -> Response:
    """Show the lookups that opened what is hidden and wait to be judged, the oldest first."""
    return visit.page("openings.html", openings=visit.client.openings())


def judge(visit: Visit) -> Response:
    """Say whether such a lookup was right."""
    judgement = visit.form.text("judgement")
    if judgement not in ("justified", "unjustified"):
        raise InputRejected("judgement: is justified or unjustified")
    number = visit.request.path_params["number"]
    visit.client.judge_opening(number, justified=judgement == "justified")
    return visit.go("/openings", Notice(f"notice.{judgement}", {"number": str(number)}))


def show_objections(visit: Visit) -> Response:
    """Show the objections that records keep by themselves: what was said no longer follows from a number of theirs."""
    carried, cursor = visit.client.every_carried(visit.cursor(_CURSOR_BYTES))
    return visit.page("objections.html", carried=carried, cursor=cursor.hex())


def lift(visit: Visit) -> Response:
    """Take such an objection back; what was said under the record's numbers counts as before."""
    record, purpose = visit.request.path_params["record"], visit.form.text("purpose")
    if purpose not in PURPOSES:
        raise InputRejected("purpose: is a purpose of use")
    network, reference = visit.form.text("network"), visit.form.text("reference")
    if not reference:
        raise InputRejected("reference: says where the reason is documented")
    visit.client.lift_carried(record, network, [PurposeOfUse(purpose)], reference=reference)
    return visit.go("/objections", Notice("notice.lifted", {"record": str(record)}))
