"""How fast encoded files link: ``python benchmarks/link.py [--records N] [--anonlink PYTHON] [--splink PYTHON] ...``.

Two comparisons. The kernel: all pairs of vectors of 1024 bits on one core, by our compiled loop and by numpy, beside
anonlink's where PYTHON is an interpreter that has it, interleaved; every tool has to find the same planted pairs. The
whole job: N records of a synthetic population, encoded by 20 facilities, linked by the command that people use, beside
Splink 5 on the plaintext of the same records and the same cores where PYTHON is an interpreter that has it (see
`benchmarks.baselines.splink` for its model). Wall time, processor time and memory are those of all processes of a tool
from its start to its clusters on the disk; neither encoding nor normalising is counted.

``--data DIR`` keeps populations and encoded files for the next run: a million records take minutes to encode.
``--small`` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from encode import Peak
from quality import FACILITIES, encoded

from mpi.batch.evaluation import pair_quality, read_clusters, read_truth
from mpi.batch.hamming import close_pairs
from mpi.batch.population import generate
from mpi.encoder.keys import new_key_ring
from mpi.linkage.loops import FAST
from mpi.rules import load_rules, rule_file

ROOT = Path(__file__).resolve().parent.parent
DRIVER = Path(__file__).with_name("anonlink_driver.py")
BITS = 1024
KERNEL_ROWS, SMALL_KERNEL_ROWS = 20_000, 1_000
PLANTED_EVERY = 20
"""One vector in so many has a near one."""
FLIPPED = 0.05
"""Share of the bits in which planted pairs differ."""
LEAST = 0.8
"""Similarity of a pair that is found: between planted and unrelated ones by both Hamming and Dice."""
ROUNDS = 5
RECORDS_PER_PERSON = 3.638
"""Records of one synthetic person at 20 facilities, roughly."""
RULES = "th-v1"


def kernel_vectors(rows: int, seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Packed random vectors, half full; some of the second half are near one of the first."""
    dice = np.random.default_rng(seed)
    bits = dice.integers(0, 2, (rows, BITS), dtype=np.uint8)
    half = rows // 2
    planted = np.arange(0, half, PLANTED_EVERY)
    bits[half + planted] = bits[planted] ^ (dice.random((len(planted), BITS)) < FLIPPED)
    return np.packbits(bits, axis=1)


def ours(vectors: np.ndarray[Any, np.dtype[np.uint8]], *, fast: bool) -> dict[str, float]:
    """All pairs of one bucket by our own loop."""
    words = vectors.view(np.uint64)
    ends = np.full(len(words), len(words), np.int64)
    begun = time.perf_counter()
    found = sum(len(left) for left, _, _ in close_pairs(words, ends, round((1 - LEAST) * BITS), fast))
    seconds = time.perf_counter() - begun
    return {"comparisons": len(words) * (len(words) - 1) // 2, "found": found, "seconds": seconds}


def anonlink(python: str, vectors: np.ndarray[Any, np.dtype[np.uint8]], folder: Path) -> dict[str, Any]:
    """The first half of the vectors against the second by anonlink, in its own environment."""
    path = folder / "vectors"
    path.write_bytes(vectors.tobytes())
    command = [python, "-W", "ignore", str(DRIVER), str(path), str(BITS), str(LEAST)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def kernel(rows: int, seed: int, python: str | None, folder: Path) -> dict[str, Any]:
    """Comparisons a second of each loop: medians of interleaved rounds, after one to warm up."""
    vectors = kernel_vectors(rows, seed)
    # anonlink compares halves of a set, we all pairs of a bucket: as many comparisons take fewer of our rows.
    mine = np.ascontiguousarray(np.concatenate((vectors[: rows // 4], vectors[rows // 2 : rows - rows // 4])))
    ways: dict[str, Any] = {"numpy": lambda: ours(mine, fast=False)}
    if FAST:
        ways = {"numba": lambda: ours(mine, fast=True)} | ways
        ours(mine[:100], fast=True)  # compile
    if python:
        ways["anonlink"] = lambda: anonlink(python, vectors, folder)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    made = "none"
    everywhere = os.sched_getaffinity(0)
    for _ in range(ROUNDS):
        for name, run in ways.items():
            os.sched_setaffinity(0, {min(everywhere)})
            try:
                one = run()
            finally:
                os.sched_setaffinity(0, everywhere)
            planted = -(-(rows // 2 if name == "anonlink" else rows // 4) // PLANTED_EVERY)
            if one["found"] != planted:
                sys.exit(f"{name} found {one['found']} of {planted} pairs: not the same work")
            rates[name].append(one["comparisons"] / one["seconds"])
            made = one.get("version", made)
    figures: dict[str, Any] = {"rows": rows, "bits": BITS, "rounds": ROUNDS, "anonlink_version": made}
    figures["comparisons_per_second"] = {name: statistics.median(each) for name, each in rates.items()}
    if python:
        figures["to_anonlink"] = {
            name: statistics.median(a / b for a, b in zip(rates[name], rates["anonlink"], strict=True))
            for name in rates
            if name != "anonlink"
        }
    return figures


@dataclass(frozen=True, slots=True)
class Prepared:
    """A population that can be linked.

    Attributes:
        folder: the extracts and truth.csv.
        keys: the facilities' key ring.
        files: encoded files.
        table: the same records as a plaintext table.
    """

    folder: Path
    keys: Path
    files: Sequence[Path]
    table: Path


def prepared(records: int, seed: int, data: Path, *, plaintext: bool) -> Prepared:
    """Make and encode a population of about so many records; what lies in `data` already is taken as it is."""
    persons = max(50, round(records / RECORDS_PER_PERSON))
    folder = data / f"{persons}-{seed}"
    population, keys, table = folder / "population", folder / "keys", folder / "people.parquet"
    if not (population / "manifest.json").exists():
        generate(persons, seed, population, FACILITIES)
    if not keys.exists():
        new_key_ring(keys)
    out = folder / f"encoded-{load_rules(rule_file(RULES)).profile.digest.hex()[:8]}"
    out.mkdir(exist_ok=True)
    files = encoded(population, keys, out)
    if plaintext and not table.exists():
        partial = table.with_suffix(".partial")
        command = [sys.executable, "-m", "benchmarks.baselines.plaintext", str(population), "--out", str(partial)]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        partial.rename(table)
    return Prepared(population, keys, files, table)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command took.

    Attributes:
        wall_seconds: from its start to its end.
        processor_seconds: of all its processes on all cores.
        peak_megabytes: most memory of all its processes together: the greater of what was seen once a second, shared
            pages counted once, and of what the system says of the largest process.
    """

    wall_seconds: float
    processor_seconds: float
    peak_megabytes: float


def watched(command: Sequence[str], **environment: str) -> tuple[str, Spent]:
    """Run a command to its end; gives what it printed and what it took."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, env={**os.environ, **environment})
        peak = Peak(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(command[:4])} ended with {process.returncode}")
        printed.seek(0)
        said = printed.read()
    return said, Spent(wall, used.ru_utime + used.ru_stime, max(peak.megabytes(), used.ru_maxrss / 1000))


def quality(truth: Path, clusters: Path) -> dict[str, float]:
    """Precision and recall of what was linked, so that speed is not bought with either."""
    found = pair_quality(read_truth(truth).persons, read_clusters(clusters))
    return {"precision": found.precision, "recall": found.recall, "f1": found.f1}


def link(made: Prepared, out: Path) -> dict[str, Any]:
    """Link encoded files by the command."""
    command = [sys.executable, "-m", "mpi", "link", *map(str, made.files), "--rules", RULES]
    said, spent = watched([*command, "--keys", str(made.keys), "--out", str(out), "--json"])
    return {**asdict(spent), **json.loads(said), **quality(made.folder / "truth.csv", out)}


def splink(python: str, made: Prepared, out: Path, seed: int) -> dict[str, Any]:
    """Link the plaintext table by Splink."""
    command = [python, "-m", "benchmarks.splink_driver", str(made.table), "--out", str(out), "--seed", str(seed)]
    said, spent = watched([*command, "--threads", str(len(os.sched_getaffinity(0)))], PYTHONPATH=str(ROOT))
    figures = json.loads(said.splitlines()[-1])
    return {**asdict(spent), **figures, **quality(made.folder / "truth.csv", out)}


def show(what: str, value: str) -> None:
    """Print one line of the table."""
    print(f"{what:<52} {value}", flush=True)


def show_kernel(figures: dict[str, Any]) -> None:
    """Print the kernels."""
    for name, rate in figures["comparisons_per_second"].items():
        label = f"anonlink {figures['anonlink_version']}, Dice" if name == "anonlink" else f"ours, {name}, Hamming"
        ratio = figures.get("to_anonlink", {}).get(name)
        show(label, f"{rate / 1e6:,.0f} million comparisons/s" + (f" ({ratio:.2f} to one)" if ratio else ""))


def show_job(name: str, figures: dict[str, Any]) -> None:
    """Print a whole job."""
    show(
        name,
        f"{figures['wall_seconds']:,.1f} s, processor {figures['processor_seconds']:,.1f} s, "
        f"{figures['peak_megabytes']:,.0f} MB  P {figures['precision']:.5f} R {figures['recall']:.4f}",
    )


def plot(path: Path, figures: dict[str, Any]) -> None:
    """Draw the kernels, and time and memory of whole jobs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    jobs = {name: figures[name] for name in ("mpi link", "splink") if name in figures}
    drawn, axes = plt.subplots(1, 4, figsize=(14, 3.5))
    rates = figures["kernel"]["comparisons_per_second"]
    axes[0].bar(list(rates), [rate / 1e6 for rate in rates.values()])
    axes[0].set(title="comparisons, one core", ylabel="million/s")
    for axis, (key, unit) in zip(
        axes[1:], (("wall_seconds", "s"), ("processor_seconds", "s"), ("peak_megabytes", "MB")), strict=True
    ):
        axis.bar(list(jobs), [job[key] for job in jobs.values()])
        axis.set(title=f"{key.replace('_', ' ')}, {figures['records']:,} records", ylabel=unit)
    drawn.tight_layout()
    drawn.savefig(path, dpi=110)


def versions() -> dict[str, str]:
    """Versions of what this side runs on."""
    found = {"python": platform.python_version()}
    for name in ("thai-mpi", "numpy", "numba", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000, help="records to link, roughly")
    parser.add_argument("--seed", type=int, default=501)
    parser.add_argument("--anonlink", metavar="PYTHON", help="interpreter of an environment with anonlink")
    parser.add_argument("--splink", metavar="PYTHON", help="interpreter of an environment with splink 5 and duckdb")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where populations and encoded files are kept")
    parser.add_argument("--small", action="store_true", help="few records and vectors: seconds instead of minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them; wants matplotlib")
    asked = parser.parse_args()
    if asked.small:
        asked.records = min(asked.records, 1_500)
    cores = len(os.sched_getaffinity(0))
    figures: dict[str, Any] = {"seed": asked.seed, "cores": cores, "versions": versions()}
    show("seed, cores", f"{asked.seed}, {cores}")
    show("versions", ", ".join(f"{name} {each}" for name, each in figures["versions"].items()))
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as name:
        scratch = Path(name)
        rows = SMALL_KERNEL_ROWS if asked.small else KERNEL_ROWS
        figures["kernel"] = kernel(rows, asked.seed, asked.anonlink, scratch)
        show_kernel(figures["kernel"])
        made = prepared(asked.records, asked.seed, asked.data or scratch, plaintext=bool(asked.splink))
        figures["mpi link"] = link(made, scratch / "ours.csv")
        figures["records"] = figures["mpi link"]["records"]
        show("records, encoded by 20 facilities", f"{figures['records']:,}")
        show_job("mpi link, on encodings", figures["mpi link"])
        if asked.splink:
            figures["splink"] = splink(asked.splink, made, scratch / "splink.csv", asked.seed)
            told = ", ".join(f"{tool} {each}" for tool, each in figures["splink"]["versions"].items())
            show_job(f"{told}, on plaintext", figures["splink"])
            for key in ("wall_seconds", "processor_seconds", "peak_megabytes"):
                ratio = figures["mpi link"][key] / figures["splink"][key]
                figures.setdefault("to_splink", {})[key] = ratio
                show(f"  ours : Splink's {key.replace('_', ' ')}", f"{ratio:.2f}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if asked.plot:
        plot(asked.plot, figures)


if __name__ == "__main__":
    main()
