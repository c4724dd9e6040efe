"""How fast a facility encodes: ``python benchmarks/encode.py [--rows N] [--clkhash PYTHON] [--json FILE]``.

Makes the PERSON file of a synthetic facility and encodes it with the command that facilities use: cold (a fresh
process that has seen no name), with one worker and with two (interleaved, medians), and the whole file with its peak
memory and quality report. Where PYTHON is an interpreter that has clkhash 0.18, it encodes the same fields of the same
people to one CLK, with as many bits set as ours have, interleaved with one core of ours.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mpi.batch.population import generate
from mpi.encoder.channels import ChannelEncoder
from mpi.encoder.demographics import Demographics, normalize
from mpi.encoder.encoded_file import encoded_schema, to_batch
from mpi.encoder.encoder import Encoder, field_views
from mpi.encoder.keys import new_key_ring
from mpi.encoder.sources import SourceRow, person43
from mpi.rules import load_rules, rule_file

PROFILE = "th-v1"
FACILITY = "10661"
FIELDS = ("given", "family", "birth_date", "sex", "subdistrict", "house")
RECORDS_PER_PERSON = 0.82
"""Rows that the facility gets of one synthetic person, roughly."""
SLICE = 100
COLD_ROWS, WARM_ROWS, PAIRED_ROWS = 20_000, 10_000, 150_000
ROUNDS = 5
HALF_FULL = 38
"""Bits that th-v1 sets for a bigram of a name; a CLK of two names is then about half full, as ours are."""
DRIVER = Path(__file__).with_name("clkhash_driver.py")


def make_extract(rows: int, folder: Path) -> Path:
    """PERSON file of one facility with that many rows."""
    made = generate(int(rows / RECORDS_PER_PERSON) + 1000, 11, folder / "population").extracts[FACILITY]
    return head(made, rows, folder / "person.txt")


def head(extract: Path, rows: int, to: Path) -> Path:
    """First rows of an extract."""
    with extract.open("rb") as source, to.open("wb") as target:
        target.writelines(islice(source, rows + 1))
    return to


def run(extract: Path, keys: Path, out: Path, workers: int, report: Path | None = None) -> dict[str, Any]:
    """Encode with the command, in processes of its own; gives its figures, wall time and peak memory."""
    command = [sys.executable, "-m", "mpi", "encode", str(extract), "--keys", str(keys), "--facility", FACILITY]
    command += ["--source", "person43", "--out", str(out), "--workers", str(workers), "--json"]
    command += ["--report", str(report)] if report else []
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    said, _ = process.communicate()
    if process.returncode:
        sys.exit(process.returncode)
    figures: dict[str, Any] = json.loads(said)
    figures["wall_seconds"] = time.perf_counter() - begun
    figures["rows_per_second"] = (figures["records"] + figures["quarantined"]) / figures["wall_seconds"]
    figures["peak_megabytes"] = peak.megabytes()
    return figures


class Peak:
    """Watches the resident memory of a process and its children together (Linux)."""

    def __init__(self, pid: int) -> None:
        self._most = 0
        self._pid = pid
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def megabytes(self) -> float:
        """Most that was seen, in MB of proportional set size, so that shared pages count once."""
        self._thread.join()
        return self._most / 1000

    def _watch(self) -> None:
        while total := sum(map(_resident, family(self._pid))):
            self._most = max(self._most, total)
            time.sleep(1.0)  # looking costs the watched process time


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in children for each in family(int(child)))]


def _resident(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def warm(rows: Sequence[SourceRow], encoder: Encoder, today: datetime.date) -> float:
    """Rows a second of normalising, encoding and laying out, on one core."""
    schema = encoded_schema(encoder.header, 128)
    begun = time.perf_counter()
    for at in range(0, len(rows), SLICE):
        people = [(row.row, row.raw.local_id, normalize(row.raw, today)) for row in rows[at : at + SLICE]]
        to_batch(encoder.columns(people), schema)
    return len(rows) / (time.perf_counter() - begun)


def vectors(people: Sequence[Demographics], channels: ChannelEncoder, today: datetime.date) -> float:
    """Diffused vectors a second, from fields that are normalised already, on one core."""
    views = [list(field_views(person, today)) for person in people]
    begun = time.perf_counter()
    made = sum(len(channels.encode(views[at : at + SLICE]).owners) for at in range(0, len(views), SLICE))
    return made / (time.perf_counter() - begun)


def clkhash(python: str, people: Sequence[Demographics], today: datetime.date) -> dict[str, Any]:
    """CLKs a second of clkhash from the same normalised fields, on one core."""
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(FIELDS)
    for person in people:
        fields = next(iter(field_views(person, today))).fields
        rows.writerow([fields.get(name, "") for name in FIELDS])
    command = [python, "-W", "ignore", str(DRIVER), str(HALF_FULL)]
    done = subprocess.run(command, input=table.getvalue(), capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def compare(rows: list[SourceRow], keys: Path, clk: str | None) -> dict[str, Any]:
    """One core of ours, beside clkhash where there is one; medians of interleaved rounds, after one to warm up."""
    from mpi.encoder.keys import load_key_ring

    today = datetime.datetime.now(datetime.UTC).date()
    profile, ring = load_rules(rule_file(PROFILE)).profile, load_key_ring(keys)
    encoder, channels = Encoder(profile, ring, FACILITY, today), ChannelEncoder(profile, ring.current)
    people = [normalize(row.raw, today) for row in rows]
    ours, single, theirs, made = [], [], [], "none"
    warm(rows, encoder, today)
    for _ in range(ROUNDS):
        ours.append(warm(rows, encoder, today))
        single.append(vectors(people, channels, today))
        if clk:
            other = clkhash(clk, people, today)
            theirs.append(other["rows"] / other["seconds"])
            made = other["version"]
    figures: dict[str, Any] = {
        "records_per_second": statistics.median(ours),
        "vectors_per_second": statistics.median(single),
    }
    if theirs:
        figures |= {
            "clkhash_version": made,
            "clks_per_second": statistics.median(theirs),
            "vectors_to_clks": statistics.median(a / b for a, b in zip(single, theirs, strict=True)),
            "records_to_clks": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
        }
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the whole file")
    parser.add_argument("--clkhash", metavar="PYTHON", help="interpreter of an environment with clkhash 0.18")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="keep the quality report of the whole file")
    asked = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    figures: dict[str, Any] = {"rows": asked.rows, "cores": cores, "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new_key_ring(folder / "keys")
        extract = make_extract(asked.rows, folder)
        out = folder / "out.parquet"
        cold = head(extract, min(COLD_ROWS, asked.rows), folder / "cold.txt")
        figures["cold"] = run(cold, folder / "keys", out, cores)
        show("cold: a fresh command, all cores", f"{figures['cold']['rows_per_second']:,.0f} records/s")

        read = person43.read(extract)
        rows = [row for row in islice(read, min(WARM_ROWS, asked.rows)) if isinstance(row, SourceRow)]
        figures["one_core"] = compare(rows, folder / "keys", asked.clkhash)
        show("warm, one core, all channels", f"{figures['one_core']['records_per_second']:,.0f} records/s")
        show("  diffused vectors alone", f"{figures['one_core']['vectors_per_second']:,.0f} vectors/s")
        if asked.clkhash:
            one = figures["one_core"]
            show(f"  clkhash {one['clkhash_version']}, half full", f"{one['clks_per_second']:,.0f} CLKs/s")
            show("  our vectors : its CLKs", f"{one['vectors_to_clks']:.2f}")
            show("  our records (all channels and tokens) : its CLKs", f"{one['records_to_clks']:.2f}")

        paired = head(extract, min(PAIRED_ROWS, asked.rows), folder / "paired.txt")
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(3):
            for workers, taken in seconds.items():
                taken.append(run(paired, folder / "keys", out, workers)["seconds"])
        figures["two_to_one"] = statistics.median(a / b for a, b in zip(seconds[1], seconds[2], strict=True))
        show("two workers : one", f"{figures['two_to_one']:.2f} times as fast")

        whole = run(extract, folder / "keys", out, cores, asked.report or folder / "report.html")
        figures["whole"] = {**whole, "bytes_per_record": out.stat().st_size / whole["records"]}
        show("whole file", f"{asked.rows:,} rows in {whole['wall_seconds']:.0f} s")
        show("  rate", f"{whole['rows_per_second']:,.0f} rows/s")
        show("  peak memory of all processes", f"{whole['peak_megabytes']:,.0f} MB")
        show("  encoded", f"{figures['whole']['bytes_per_record']:,.0f} bytes a record")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def show(what: str, value: str) -> None:
    """Print one line of the table."""
    print(f"{what:<52} {value}", flush=True)


if __name__ == "__main__":
    main()
