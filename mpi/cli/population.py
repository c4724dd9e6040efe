"""`mpi population`: synthetic extracts of facilities of both platforms, with the truth about who is who."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mpi.cli.progress import progress


def run(persons: int, seed: int, out: Path, facilities: int, as_json: bool, *, days: int | None = None) -> None:
    """Generate a population and print what was written.

    Args:
        days: all people are born within so many days in a row; None for the ages of the whole country.

    Raises:
        InputRejected: numbers out of range, or the folder holds something else than an earlier population.
    """
    from mpi.batch.population import PopulationSummary, generate

    with progress("people", persons, quiet=as_json) as advance:
        summary: PopulationSummary = generate(persons, seed, out, facilities, advance, days=days)
    console = Console()
    if as_json:
        console.print_json(
            json.dumps(
                {
                    "persons": summary.persons,
                    "days": days,
                    "records": summary.records,
                    "by_facility": summary.by_facility,
                    "by_stratum": summary.by_stratum,
                    "extracts": {code: str(path) for code, path in summary.extracts.items()},
                    "mappings": {code: str(path) for code, path in summary.mappings.items()},
                    "truth": str(summary.truth),
                    "manifest": str(summary.manifest),
                }
            )
        )
        return
    extracts = Table("facility", "records", "extract")
    extracts.columns[1].justify = "right"
    for code, records in summary.by_facility.items():
        extracts.add_row(code, f"{records:,}", str(summary.extracts[code]))
    strata = Table("stratum", "records", "share")
    for column in strata.columns[1:]:
        column.justify = "right"
    for stratum, records in summary.by_stratum.items():
        strata.add_row(stratum, f"{records:,}", f"{records / summary.records:.2%}")
    console.print(extracts)
    console.print(strata)
    console.print(f"{summary.persons:,} people, {summary.records:,} records; truth in {summary.truth}")
