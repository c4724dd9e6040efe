"""The dashboard: what waits and how long, what was done, whether stewards agree, and what weights are worth."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from mpi.domain.review import TaskStatus
from mpi.errors import InputRejected
from mpi.web import drawing
from mpi.web.visits import Visit, page

PERIODS = (7, 30, 90, 365)
"""Days that one can look back."""


def routes() -> list[Route]:
    """Give the one page."""
    return [page("/dashboard", show)]


def show(visit: Visit) -> Response:
    """Show how the queue does."""
    text = visit.request.query_params.get("days", "30")
    if text not in map(str, PERIODS):
        raise InputRejected(f"days: is one of {', '.join(map(str, PERIODS))}")
    board = visit.client.dashboard(int(text))
    opened = [count for count in board.counts if count.status is TaskStatus.OPEN]
    looked = [band for band in board.bands if band.same + band.different]
    same, all_of_them = sum(band.same for band in looked), sum(band.same + band.different for band in looked)
    seconded = sum(each.seconded for each in board.stewards)
    return visit.page(
        "dashboard.html",
        board=board,
        days=int(text),
        periods=PERIODS,
        waiting=sum(count.count for count in opened),
        oldest=min((count.oldest for count in opened), default=None),
        decided=sum(done for _, _, done in board.days),
        agreement=sum(each.agreed for each in board.stewards) / seconded if seconded else None,
        precision=same / all_of_them if all_of_them else None,
        chart=drawing.days(board.days),
        bands=drawing.bands(looked),
        facility_bars=drawing.bars([float(count) for _, count in board.facilities]),
        now=datetime.now(UTC),
    )
