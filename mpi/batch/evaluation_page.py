"""The report of an evaluation as a page: figures, strata with intervals, thresholds, and rows to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mpi.batch.drawing import Axis, Bar, Line, bars, curves
from mpi.batch.evaluation import STEP, Curve, Evaluation, Interval, PairQuality, Rows
from mpi.batch.page import entries, page, table

_FEWEST = 30
"""True pairs beneath which a stratum is in the table alone: its bar would say nothing."""
_LEAST_SHARE = 1e-6
"""Smaller shares are drawn here, where powers of ten are equally far apart; 0 has no place there."""


def render_html(made: Evaluation, tried: Curve | None) -> str:
    """Render an evaluation as one page, complete in itself."""
    return page("How good the linkage is", (*_figures(made), *_strata(made), *_thresholds(tried), *_examples(made)))


def _figures(made: Evaluation) -> Iterator[str]:
    pairs, groups = made.overall, made.groups
    yield entries(
        (
            ("Pairs: precision", f"{pairs.precision:.5f} [{_ends(made.precision)}]"),
            ("Pairs: recall", f"{pairs.recall:.5f} [{_ends(made.recall)}]"),
            ("Pairs: F1", f"{pairs.f1:.5f}"),
            ("Wrong links", f"{pairs.links - pairs.true_links:,} of {pairs.links:,}"),
            ("Missed links", f"{pairs.matches - pairs.true_links:,} of {pairs.matches:,}"),
            ("Groups: precision", f"{groups.precision:.5f} ({groups.exact:,} of {groups.groups:,} groups)"),
            ("Groups: recall", f"{groups.recall:.5f} ({groups.exact:,} of {groups.people:,} people)"),
            ("Groups: F1", f"{groups.f1:.5f}"),
            ("Adjusted Rand index", f"{made.adjusted_rand:.5f}"),
        )
    )
    yield (
        "<p>A pair is right when both records are of one person; a group is right when it is all records of a person "
        "and nobody else's, people of one record among them. Intervals are of 95 %: the wider of Wilson's and of one "
        "with people drawn anew.</p>"
    )


def _strata(made: Evaluation) -> Iterator[str]:
    yield "<section><h2>By stratum</h2>"
    drawn = [
        Bar(name, each.recall, f"{each.recall:.3f}", each.recall_interval)
        for name, each in made.strata.items()
        if each.matches >= _FEWEST
    ]
    if drawn:
        yield bars("Recall of pairs by stratum, with intervals", Axis("recall", 0.0, 1.0), drawn)
    yield table(
        "Pairs by stratum; two names where the records are of different ones. Wilson's 95 % intervals take pairs for "
        "independent, so they are a little narrow.",
        ("Stratum", "precision", "interval", "recall", "interval", "F1", "links", "wrong", "missed"),
        [_row(name, each) for name, each in (("all", made.overall), *made.strata.items())],
    )
    yield "</section>"


def _row(name: str, each: PairQuality) -> tuple[str, ...]:
    return (
        name,
        f"{each.precision:.5f}",
        _ends(each.precision_interval),
        f"{each.recall:.4f}",
        _ends(each.recall_interval),
        f"{each.f1:.4f}",
        f"{each.links:,}",
        f"{each.links - each.true_links:,}",
        f"{each.matches - each.true_links:,}",
    )


def _thresholds(tried: Curve | None) -> Iterator[str]:
    if tried is None or not tried.points:
        return
    weights = Axis("match weight, bits", tried.points[0][0], tried.points[-1][0] + STEP)
    share = Axis("share", _LEAST_SHARE, 1.0, decades=True)
    most = max(10, *(max(same, other) for _, same, other in tried.spread))
    yield "<section><h2>If the match weight alone decided</h2>"
    yield (
        "<p>Before any rule or grouping: what would be wrong, and what would be missed, if all pairs of at least so "
        "many bits were linked. Where nothing is wrong nothing is drawn.</p>"
    )
    yield curves(
        "Errors by threshold",
        weights,
        share,
        [
            Line("links that are wrong", _drawn((bits, 1 - each.precision) for bits, each in tried.points)),
            Line("matches that are missed", _drawn((bits, 1 - each.recall) for bits, each in tried.points)),
        ],
    )
    yield curves(
        f"Pairs by match weight, in steps of {STEP} bits",
        weights,
        Axis("pairs", 1.0, float(most), decades=True),
        [
            Line("of one person", _drawn((bits + STEP / 2, same) for bits, same, _ in tried.spread)),
            Line("of two people", _drawn((bits + STEP / 2, other) for bits, _, other in tried.spread)),
        ],
    )
    yield table(
        "The same in figures",
        ("At least", "precision", "recall", "F1", "links", "wrong", "missed"),
        [
            (f"{bits:g} bits", *(cell for place, cell in enumerate(_row("", each)) if place not in (0, 2, 4)))
            for bits, each in tried.points
        ],
    )
    yield "</section>"


def _drawn(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(along, up) for along, up in points if up > 0]


def _examples(made: Evaluation) -> Iterator[str]:
    yield "<section><h2>Examples of errors</h2><p>Rows of the truth file, whose header is row 1.</p>"
    for what, rows in (("Linked, but of two people", made.wrong), ("Of one person, but not linked", made.missed)):
        yield f"<h3>{what}</h3><p>{_listed(rows)}</p>"
    yield "</section>"


def _listed(rows: Sequence[Rows]) -> str:
    return "; ".join(f"{one} and {other}" for one, other in rows) or "None."


def _ends(interval: Interval) -> str:
    return f"{interval[0]:.5f} to {interval[1]:.5f}"
