"""`mpi evaluate`: how good is a grouping?"""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpi.batch.evaluation import Evaluation, PairQuality, evaluate, read_clusters, read_truth


def run(truth: Path, clusters: Path, *, as_json: bool) -> None:
    """Compare clusters with the truth and print the figures.

    Raises:
        ExtractUnreadable: a file is missing or not what it should be.
    """
    made = evaluate(read_truth(truth), read_clusters(clusters))
    if as_json:
        print(json.dumps(made.figures(), ensure_ascii=False))  # noqa: T201
        return
    console = Console(highlight=False)
    console.print(_table(made))
    console.print(f"precision {_interval(made.precision)}, recall {_interval(made.recall)} (95 %, people drawn anew)")
    console.print(f"{made.whole:.2%} of the people have all their records, and nobody else's, in one identity")
    console.print(f"adjusted Rand index {made.adjusted_rand:.5f}")
    for what, pairs in (("wrong", made.wrong), ("missed", made.missed)):
        for one, other in pairs[:5]:
            console.print(f"  {what}: {one} and {other}")


def _table(made: Evaluation) -> Table:
    table = Table("stratum")
    for word in ("precision", "recall", "F1", "links", "wrong", "missed"):
        table.add_column(word, justify="right")
    for name, quality in (("all", made.overall), *made.strata.items()):
        table.add_row(name, *_cells(quality))
    return table


def _cells(quality: PairQuality) -> list[str]:
    return [
        f"{quality.precision:.5f}",
        f"{quality.recall:.4f}",
        f"{quality.f1:.4f}",
        f"{quality.links:,}",
        f"{quality.links - quality.true_links:,}",
        f"{quality.matches - quality.true_links:,}",
    ]


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.5f} to {ends[1]:.5f}"
