"""Rules: what other thresholds, or another rule file, would do before they are put in force."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from mpi.domain.learning import Preview, Stratum, Thresholds
from mpi.errors import InputRejected
from mpi.web import drawing
from mpi.web.visits import Visit, action, page

SAMPLES = (100, 200, 500, 1000, 2000)
"""How many records one may look at."""


def routes() -> list[Route]:
    """Give the page, and the look ahead."""
    return [page("/rules", show), action("/rules", look)]


def show(visit: Visit) -> Response:
    """Show the thresholds that are in force."""
    present = visit.client.preview_rules()
    return _drawn(visit, present, present.thresholds, SAMPLES[1])


def look(visit: Visit) -> Response:
    """Show what other rules would do; nothing is changed."""
    sample = visit.form.number("sample")
    if sample not in SAMPLES:
        raise InputRejected(f"sample: is one of {', '.join(map(str, SAMPLES))}")
    text = visit.form.text("file")
    wanted = Thresholds(*(_bits(visit, name) for name in ("link", "review", "margin")))
    return _drawn(visit, visit.client.preview_rules(text or wanted, sample), wanted, sample, text)


def effect(stratum: Stratum) -> str:
    """What a difference does to links, by the key of its text."""
    if stratum.moved:
        return "moves"
    return "gains" if stratum.gains else "loses" if stratum.loses else "neither"


def _drawn(visit: Visit, preview: Preview, wanted: Thresholds, sample: int, text: str = "") -> Response:
    seen = preview.foresight
    differing = [
        (stratum, count)
        for stratum, count in sorted(seen.strata.items(), key=lambda each: (-each[1], each[0]))
        if stratum.before != stratum.after or stratum.moved
    ]
    return visit.page(
        "rules.html",
        preview=preview,
        seen=seen,
        wanted=wanted,
        sample=sample,
        samples=SAMPLES,
        text=text,
        differing=differing,
        effect=effect,
        drawn=drawing.bars([float(count) for _, count in differing]),
        scale=seen.records / seen.sampled if seen.sampled else 0.0,
    )


def _bits(visit: Visit, name: str) -> float:
    text = visit.form.text(name)
    try:
        value = float(text)
    except ValueError:
        raise InputRejected(f"{name}: is a weight in bits") from None
    if not -1000 <= value <= 1000:
        raise InputRejected(f"{name}: is a weight in bits, from -1000 to 1000")
    return value
