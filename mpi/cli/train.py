"""`mpi train`: estimate a model's probabilities from encoded files."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import typer

from mpi.batch.linker import link_pairs, population
from mpi.batch.rule_writing import with_model
from mpi.batch.training import calibrate, labelled, train, weights_table
from mpi.batch.training_page import render_html
from mpi.cli.progress import progress
from mpi.cli.reporting import check_page, write_page
from mpi.domain.identifiers import IdentifierKind
from mpi.domain.learning import Label
from mpi.encoder.encoded_file import whole_file
from mpi.errors import InputRejected
from mpi.rules import load_rules, rule_file

MOST_LABELS = 1_000_000
"""Labels that one run takes: more than stewards decide in years."""


def run(
    files: Sequence[Path],
    rules: str,
    out: Path,
    note: str,
    report: Path | None = None,
    calibrate_on: Sequence[Path] = (),
    *,
    labels: Path | None = None,
    as_json: bool,
) -> None:
    """Train and write a new rule file; a released file is never edited.

    Args:
        files: encoded files.
        rules: rule file to begin with, or the name of one that is shipped.
        out: rule file to write.
        note: what the files were, for the provenance.
        report: page to write, of the weights and of what they mean.
        calibrate_on: encoded files of people as dense as those who will be linked; none for `files` themselves.
        labels: what stewards decided, as `mpi labels` writes it; where most of it lies it is the calibration.
        as_json: print figures for a script.

    Raises:
        InputRejected: a file or the rule file is unusable, `out` is there already, or the page cannot be written.
    """
    path = rule_file(rules)
    loaded = load_rules(path)
    if out.exists():
        raise InputRejected(f"--out: {out} is there already; a rule file is never edited")
    if report is not None:
        check_page(report, (*files, path, out))  # before the work, not after it
    said = _labels(labels) if labels else []
    if said:
        labelled(said, loaded.model)  # refused before the work, not after it
    begun = time.monotonic()
    with progress("training", None, quiet=as_json) as shown, population(files, loaded, shown.step) as held:
        pairs = link_pairs(held, loaded, shown.step)
        trained = train(held, pairs, loaded, labels=() if calibrate_on else said)
        records = len(held)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    numbered = IdentifierKind.NATIONAL_ID in loaded.profile.tokens
    strangers, seeds = ("with different national ids", "agree on it") if numbered else ("at all", "meet an anchor")
    provenance = (
        f"u counted among {trained.strangers:,} pairs of one facility {strangers}, m by "
        f"expectation-maximisation with u fixed from {trained.seeds:,} pairs that {seeds}, "
        f"{trained.rounds} rounds, {records:,} records, {today}; thresholds as in {path.stem}"
        + (f"; {note}" if note else "")
    )
    model = trained.model
    if calibrate_on:
        with (
            progress("calibrating", None, quiet=as_json) as shown,
            population(calibrate_on, loaded, shown.step) as held,
        ):
            pairs = link_pairs(held, replace(loaded, model=model), shown.step)
            model = replace(model, calibration=calibrate(pairs, model, said))
            provenance += f"; calibrated on {len(held):,} records of their own"
    if said:
        provenance += f"; what a weight means, by {len(said):,} decisions of stewards"
    model = replace(model, provenance=provenance)
    try:
        text = with_model(path.read_text(encoding="utf-8"), model)
        with whole_file(out) as partial:
            partial.write_text(text, encoding="utf-8")
    except ValueError as error:
        raise InputRejected(f"{path}: {error}") from None
    except OSError as error:
        raise InputRejected(f"{out}: cannot be written ({error.strerror})") from None
    written = load_rules(out).model
    if report is not None:
        write_page(report, render_html(out.stem, records, loaded.model, written))
    table = weights_table(written)
    if as_json:
        figures = {"records": records, "seconds": round(time.monotonic() - begun, 2), "provenance": provenance}
        typer.echo(json.dumps({**figures, "digest": written.digest, "comparisons": table}, ensure_ascii=False))
        return
    typer.echo(f"{out}: {provenance}")
    for name, levels in table.items():
        before = loaded.model.comparisons[name]
        typer.echo(f"  {name}")
        for level, m, u, weight in levels:
            was = before.level(level).weight
            typer.echo(f"    {level:<10} m {m:<10.4g} u {u:<10.4g} {weight:+6.1f} bits (was {was:+.1f})")


def _labels(path: Path) -> list[Label]:
    found = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(islice(file, MOST_LABELS + 1), 1):
                try:
                    found.append(Label.from_line(line))
                except (ValueError, RecursionError):
                    raise InputRejected(f"--labels: {path}, line {number} is no label") from None
    except UnicodeDecodeError:
        raise InputRejected(f"--labels: {path} is no text") from None
    except OSError as error:
        raise InputRejected(f"--labels: {path}: {error.strerror}") from None
    if len(found) > MOST_LABELS:
        raise InputRejected(f"--labels: {path} holds more than {MOST_LABELS} labels")
    if not found:
        raise InputRejected(f"--labels: {path} holds no label")
    return found
