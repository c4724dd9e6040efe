"""`mpi encode`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import typer

from mpi.cli.progress import progress
from mpi.encoder.encoded_file import whole_file
from mpi.encoder.job import EncodeJob, refuse_to_overwrite, run_job
from mpi.encoder.report import Report
from mpi.encoder.report_page import render_html
from mpi.errors import ExtractUnreadable, InputRejected

REPORT_ENDINGS = (".html", ".json")


def run(job: EncodeJob, report: Path | None, *, as_json: bool) -> None:
    """Encode an extract and say how it went."""
    if report is not None and report.suffix not in REPORT_ENDINGS:
        raise InputRejected(f"--report: the file ends in {' or '.join(REPORT_ENDINGS)}")
    if report is not None:
        refuse_to_overwrite(job, "--report", report)
        if not report.parent.is_dir() or not os.access(report.parent, os.W_OK):  # before the work, not after it
            raise InputRejected(f"--report: {report.parent} is not a folder that can be written")
    with progress("encoding", None, quiet=as_json) as shown:
        done = run_job(job, shown)
    if report is not None and done.report is not None:
        _write_report(report, done.report)
    if as_json:
        typer.echo(json.dumps(done.figures()))
        return
    typer.echo(f"{job.out}: {done.records} records in {done.seconds:.1f} s")
    if done.resumed:
        typer.echo(f"  {done.resumed} rows were done by an interrupted run before")
    if done.quarantined:
        reasons = ", ".join(f"{count} {reason}" for reason, count in done.quarantined.most_common())
        typer.echo(f"{done.quarantine}: {sum(done.quarantined.values())} rows set aside ({reasons})")
    for remark, count in done.remarks.most_common():
        typer.echo(f"  {count:>8} {remark}")
    if done.report is not None:
        for alarm in done.report.alarms:
            typer.echo(f"  {alarm.key}: {alarm.share:.1%}, was {alarm.before:.1%} at {done.report.before}")


def _write_report(path: Path, report: Report) -> None:
    text = render_html(report) if path.suffix == ".html" else report.to_json() + "\n"
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExtractUnreadable(path, f"cannot be written ({error.strerror})") from None
