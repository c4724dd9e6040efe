"""`mpi labels` and `mpi rules preview`: what people decided, for training, and what new rules would change."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import typer

from mpi.cli.progress import progress
from mpi.config import load_store_config
from mpi.domain.learning import Foresight, Stratum
from mpi.encoder.encoded_file import whole_file
from mpi.errors import InputRejected
from mpi.index.projector import catch_up
from mpi.rules import load_rules, rule_file
from mpi.server.bootstrap import opened
from mpi.service import learning


def run(data: Path, config: Path | None, out: Path, *, as_json: bool) -> None:
    """Write people's decisions as labels, a line of JSON each.

    Raises:
        InputRejected: the file is there already, or cannot be written.
    """
    if out.exists():
        raise InputRejected(f"--out: {out} is there already")
    settings = load_store_config(data, config)
    rules = load_rules(rule_file(settings.rules))
    counts: Counter[bool] = Counter()
    try:
        with opened(settings) as (store, index), whole_file(out) as partial:
            catch_up(index, store)
            with partial.open("w", encoding="utf-8") as file:
                for label in learning.labels(store, index, rules):
                    file.write(label.to_line() + "\n")
                    counts[label.same] += 1
    except OSError as error:
        raise InputRejected(f"{out}: cannot be written ({error.strerror})") from None
    if as_json:
        typer.echo(json.dumps({"same": counts[True], "different": counts[False]}))
    else:
        typer.echo(f"{out}: {counts[True]} pairs of one person, {counts[False]} of two")


def run_preview(data: Path, config: Path | None, new: str, sample: int, *, as_json: bool) -> None:
    """Say what new rules would change about the records that are held.

    Raises:
        InputRejected: the new rules are of another profile.
    """
    settings = load_store_config(data, config)
    rules, newer = load_rules(rule_file(settings.rules)), load_rules(rule_file(new))
    with opened(settings) as (store, index), progress("looking ahead", None, quiet=as_json) as shown:
        catch_up(index, store)
        seen = learning.foresee(
            store, index, rules, newer, sample, lambda done, of: shown.step("looking ahead", done, of)
        )
    if as_json:
        typer.echo(json.dumps(_figures(seen, rules.model.digest, newer.model.digest)))
        return
    scale = seen.records / seen.sampled if seen.sampled else 0.0
    typer.echo(f"{seen.sampled} of {seen.records} records, each as if it arrived now:")
    for stratum, count in sorted(seen.strata.items(), key=lambda each: (-each[1], each[0])):
        if stratum.before != stratum.after or stratum.moved:
            typer.echo(f"  {count:8}  (about {count * scale:,.0f} of all)  {_told(stratum)}")
    typer.echo(f"links gained: {seen.gained}, lost: {seen.lost} of the {seen.sampled}")
    typer.echo(
        f"of {seen.decided} pairs that people decided, the new rules would link {seen.linked_against} that people kept "
        f"apart, and neither link nor ask about {seen.missed} that people joined"
    )


def _told(stratum: Stratum) -> str:
    sides = (f"{decision} ({why})" for decision, why in (stratum.before, stratum.after))
    return " -> ".join(sides) + (", another identity" if stratum.moved else "")


def _figures(seen: Foresight, present: str, newer: str) -> dict[str, object]:
    return {
        "rules": present,
        "new_rules": newer,
        "records": seen.records,
        "sampled": seen.sampled,
        "gained": seen.gained,
        "lost": seen.lost,
        "strata": [
            {"before": stratum.before, "after": stratum.after, "moved": stratum.moved, "records": count}
            for stratum, count in sorted(seen.strata.items())
        ],
        "decided": seen.decided,
        "linked_against": seen.linked_against,
        "missed": seen.missed,
    }
