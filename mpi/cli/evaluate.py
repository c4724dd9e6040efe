"""`mpi evaluate`: how good is a grouping?"""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpi.batch.evaluation import Evaluation, Interval, PairQuality, evaluate, read_clusters, read_curve, read_truth
from mpi.batch.evaluation_page import render_html
from mpi.cli.reporting import check_page, write_page

_WIDTH = 112
"""Columns that the table takes; a narrower terminal wraps it, and nothing is cut off in a file."""


def run(truth: Path, clusters: Path, pairs: Path | None = None, report: Path | None = None, *, as_json: bool) -> None:
    """Compare clusters with the truth and print the figures.

    Args:
        truth: who is who.
        clusters: who was put together.
        pairs: the weighed pairs, for what other thresholds would have given.
        report: page to write.
        as_json: print figures for a script.

    Raises:
        ExtractUnreadable: a file is missing or not what it should be.
        InputRejected: the page cannot be written.
    """
    if report is not None:
        check_page(report, (truth, clusters, pairs))  # before the work, not after it
    known = read_truth(truth)
    made = evaluate(known, read_clusters(clusters))
    tried = None if pairs is None else read_curve(pairs, known)
    if report is not None:
        write_page(report, render_html(made, tried))
    if as_json:
        figures = made.figures() | ({} if tried is None else {"curve": tried.figures()})
        print(json.dumps(figures, ensure_ascii=False))  # noqa: T201
        return
    console = Console(highlight=False, width=max(_WIDTH, Console().width))
    console.print(_table(made))
    console.print(f"precision {_interval(made.precision)}, recall {_interval(made.recall)} (95 %)")
    groups = made.groups
    console.print(
        f"whole groups: precision {groups.precision:.5f}, recall {groups.recall:.5f}, F1 {groups.f1:.5f} "
        f"({groups.exact:,} of {groups.people:,} people are exactly one of {groups.groups:,} groups)"
    )
    console.print(f"adjusted Rand index {made.adjusted_rand:.5f}")
    for what, rows in (("wrong", made.wrong), ("missed", made.missed)):
        for one, other in rows[:5]:
            console.print(f"  {what}: rows {one} and {other} of {truth.name}")


def _table(made: Evaluation) -> Table:
    table = Table("stratum")
    for word in ("precision", "(95 %)", "recall", "(95 %)", "F1", "links", "wrong", "missed"):
        table.add_column(word, justify="right")
    for name, quality in (("all", made.overall), *made.strata.items()):
        table.add_row(name, *_cells(quality))
    return table


def _cells(quality: PairQuality) -> list[str]:
    return [
        f"{quality.precision:.5f}",
        _short(quality.precision_interval),
        f"{quality.recall:.4f}",
        _short(quality.recall_interval),
        f"{quality.f1:.4f}",
        f"{quality.links:,}",
        f"{quality.links - quality.true_links:,}",
        f"{quality.matches - quality.true_links:,}",
    ]


def _short(ends: Interval) -> str:
    return f"{ends[0]:.4f}–{ends[1]:.4f}"


def _interval(ends: Interval) -> str:
    return f"{ends[0]:.5f} to {ends[1]:.5f}"
