"""The report of a training as a page: what each level of each comparison weighs, and what a weight means."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mpi.batch.drawing import Axis, Bar, Line, bars, curves
from mpi.batch.page import entries, page, table
from mpi.rules import Model

_STEP = 5


def render_html(name: str, records: int, before: Model, made: Model) -> str:
    """Render a trained model as one page, complete in itself.

    Args:
        name: of the rule file that was written.
        records: how many it was estimated from.
        before: the model that training began with.
        made: the trained one, of the same comparisons.
    """
    head = entries(
        (
            ("Rule file", name),
            ("Model", made.digest),
            ("Began with", before.digest),
            ("Records", f"{records:,}"),
            ("Where it comes from", made.provenance),
        )
    )
    return page(f"What {name} learnt", (head, *_weights(before, made), *_calibration(made), *_probabilities(made)))


def _weights(before: Model, made: Model) -> Iterator[str]:
    every = [level.weight for model in (before, made) for each in model.comparisons.values() for level in each.levels]
    axis = Axis(
        "match weight, bits", _STEP * math.floor(min(0.0, *every) / _STEP), _STEP * math.ceil(max(every) / _STEP)
    )
    yield "<section><h2>Match weights</h2><p>What reaching a level is worth; the mark is what it was before.</p>"
    for comparison in made.comparisons.values():
        earlier = before.comparisons[comparison.on]
        yield bars(
            comparison.on,
            axis,
            [
                Bar(level.name, level.weight, f"{level.weight:+.1f}", before=earlier.level(level.name).weight)
                for level in comparison.levels
            ],
        )
    yield "</section>"


def _calibration(made: Model) -> Iterator[str]:
    points = made.calibration.points
    yield "<section><h2>What a match weight means</h2>"
    if not points:
        yield "<p>Not calibrated: the files hold no national ids that would tell.</p></section>"
        return
    low, high = points[0][0], points[-1][0]
    yield curves(
        "Share of the pairs of a weight that are of one person, national ids hidden",
        Axis(
            "match weight without the national id, bits",
            _STEP * math.floor(low / _STEP),
            _STEP * math.ceil(high / _STEP),
        ),
        Axis("share", 0.0, 1.0),
        [Line("of one person", points)],
    )
    yield table(
        "The same in figures", ("Weight", "share"), [(f"{bits:g} bits", f"{share:.4g}") for bits, share in points]
    )
    yield "</section>"


def _probabilities(made: Model) -> Iterator[str]:
    yield "<section><h2>Probabilities</h2>"
    yield table(
        "m: among records of one person; u: among records of two people drawn at random",
        ("Comparison and level", "m", "u", "bits"),
        [
            (f"{comparison.on} {level.name}", f"{level.m:.4g}", f"{level.u:.4g}", f"{level.weight:+.2f}")
            for comparison in made.comparisons.values()
            for level in comparison.levels
        ],
    )
    yield "</section>"
