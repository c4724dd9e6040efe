"""How many right and wrong links: ``python benchmarks/quality.py [--persons N] [--seeds S ...] [--json F] [--plot F]``.

For each seed a synthetic population with truth is made, encoded by every facility with a key of its own, linked in one
batch and compared with the truth; once as a whole nation in small, and once at national density: all people born
within so few days that each birth date and sex has as many of them as in the nation of 66 million. The thresholds were
set on seed 101 and never looked at the seeds that are reported. With ``--baselines PYTHON``, an interpreter with
Splink 5 and recordlinkage, these link the same records in plain text. With ``--online`` the same records are also
registered one after the other, in random order, as a centre does it: how far are its identities from those of a batch?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mpi.at_rest import AtRest
from mpi.batch.evaluation import Truth, curve, evaluate, read_truth
from mpi.batch.linker import Population, link_pairs, population
from mpi.batch.population import generate
from mpi.batch.review import decided, queue
from mpi.cli.link import graph_of
from mpi.encoder.encoded_file import read_encoded
from mpi.encoder.job import EncodeJob, run_job, workers_for
from mpi.encoder.keys import load_key_ring, new_key_ring
from mpi.encoder.tokens import PointerBox
from mpi.index.lmdb_index import Index
from mpi.linkage.clustering import cluster
from mpi.rules import Rules, load_rules, rule_file
from mpi.service.gateway import Gateway
from mpi.service.keys import GatewayKey
from mpi.service.matching import Matching
from mpi.service.registration import Registry
from mpi.store.sql import open_sqlite

FACILITIES = 20
RECORDS_PER_BATCH = 500
ALONE = 8.0
"""Bits at which the weight alone links, under the same vetoes and clustering; of the best F1 on seed 101."""
PER_DATE_AND_SEX = 1100
"""People of one birth date and sex in a nation of 66 million."""


def encoded(folder: Path, keys: Path, out: Path, rules: str = "th-v1") -> list[Path]:
    """Encode every facility's extract of a population to a folder, but for files that lie there already."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    paths = []
    for facility in manifest["facilities"]:
        paths.append(out / f"{facility['code']}.parquet")
        if paths[-1].exists():
            continue
        extract = folder / facility["file"]
        mapping = folder / facility["mapping"] if facility.get("mapping") else None
        run_job(
            EncodeJob(
                extract, keys, facility["code"], facility["format"], paths[-1], rules, mapping,
                workers=workers_for(extract),
            )
        )  # fmt: skip
    return paths


def record_ids(held: Population, keys: Path) -> list[str]:
    """Record ids as the truth has them: facility and local id."""
    secret = load_key_ring(keys).pointer_secret
    boxes = [PointerBox(secret, facility) for facility in held.facilities]
    return [
        f"{held.facilities[facility]}/{boxes[facility].open(pointer)}"
        for facility, pointer in zip(held.facility.tolist(), held.pointers, strict=True)
    ]


def measure(paths: Sequence[Path], keys: Path, truth: Truth, rules: Rules) -> dict[str, Any]:
    """Link, and compare with the truth before and after a perfect reviewer has worked the queue off."""
    begun = time.monotonic()
    with population(paths, rules) as held:
        pairs = link_pairs(held, rules)
        decision = rules.model.decision
        made = cluster(graph_of(held, pairs, rules.model), decision.most_members, decision.strangers)
        seconds = time.monotonic() - begun
        graph = graph_of(held, pairs, rules.model)
        alone = cluster(replace(graph, links=pairs.weight >= ALONE), decision.most_members, decision.strangers)
        ids = record_ids(held, keys)
    automatic = evaluate(truth, named(ids, made.groups))
    tasks = queue(pairs, made.groups, graph)
    person = np.unique([truth.persons[each] for each in ids], return_inverse=True)[1]
    right = person[pairs.left[tasks.pair]] == person[pairs.right[tasks.pair]]
    reviewed = evaluate(truth, named(ids, decided(made.groups, tasks, right)))
    met = person[pairs.left] == person[pairs.right]
    return {
        "records": len(ids),
        "link_seconds": round(seconds, 1),
        "candidate_completeness": float(met.sum() / automatic.overall.matches),
        "automatic": automatic.figures(),
        "weight_alone": evaluate(truth, named(ids, alone.groups)).figures(),
        "tasks_per_thousand": 1000 * len(tasks) / len(ids),
        "tasks_that_join": float(right.mean()) if len(tasks) else 0.0,
        "reviewed": reviewed.figures(),
        "curve": curve(pairs.weight, met, automatic.overall.matches).figures(),
    }


def register(paths: Sequence[Path], keys: Path, truth: Truth, rules: Rules, folder: Path, seed: int) -> dict[str, Any]:
    """Register all records in random order, and compare with the truth and with one batch under the same secret."""
    ring, secret = load_key_ring(keys), bytes(32)
    with population(paths, rules, secret=secret) as held:
        decision = rules.model.decision
        made = cluster(graph_of(held, link_pairs(held, rules), rules.model), decision.most_members, decision.strangers)
        ids = dict(zip(held.pointers, record_ids(held, keys), strict=True))
        batch = {ids[pointer]: str(group) for pointer, group in zip(held.pointers, made.groups.tolist(), strict=True)}
    records = [record for path in paths for part in read_encoded(path) for record in part]
    random.Random(seed).shuffle(records)
    at_rest = AtRest.of(secret)
    store, index = open_sqlite(folder / "store.db", at_rest, rules.stored_digest), Index(folder / "index", at_rest)
    with closing(store), closing(index):
        gateway = Gateway((GatewayKey(1, secret),), rules, (ring.current.name,))
        registry = Registry(gateway, store, index, Matching(rules.profile, rules.model), rules.model.digest)
        begun = time.monotonic()
        for first in range(0, len(records), RECORDS_PER_BATCH):
            registry.register(records[first : first + RECORDS_PER_BATCH], "urn:mpi:benchmark")
        seconds = time.monotonic() - begun
        online = {ids[live.record.pointer]: live.eid for live in store.records()}
        _, _, tasks = store.count()
    return {
        "seconds": round(seconds, 1),
        "figures": evaluate(truth, online).figures(),
        "tasks_per_thousand": 1000 * tasks / len(records),
        "adjusted_rand_to_batch": evaluate(Truth(batch, dict.fromkeys(batch, "all")), online).adjusted_rand,
    }


def named(ids: Sequence[str], groups: Any) -> dict[str, str]:
    """Groups by record id."""
    return dict(zip(ids, map(str, groups.tolist()), strict=True))


def baselines(python: str, folder: Path, tools: Sequence[str]) -> dict[str, Any]:
    """Figures of the tools that link the same records in plain text, each in a process of its own."""
    figures = {}
    for tool in tools:
        out = folder / f"{tool}.json"
        command = [python, "-m", f"benchmarks.baselines.{tool}", str(folder), "--json", str(out)]
        root = Path(__file__).parent.parent
        subprocess.run(command, check=True, cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
        figures[tool] = json.loads(out.read_text(encoding="utf-8"))
    return figures


def show(name: str, figures: dict[str, Any]) -> None:
    """Print one population's rows."""
    automatic, reviewed = figures["automatic"], figures["reviewed"]
    low, high = automatic["precision_interval"]
    print(
        f"{name:<26} {figures['records']:>8,}  P {automatic['precision']:.5f} [{low:.5f}, {high:.5f}]"
        f"  R {automatic['recall']:.4f}  F1 {automatic['f1']:.4f}"
        f"  | {figures['tasks_per_thousand']:.1f} tasks/1000, then R {reviewed['recall']:.4f}",
        flush=True,
    )
    if "online" in figures:
        online = figures["online"]["figures"]
        print(
            f"    registered one by one: P {online['precision']:.5f}  R {online['recall']:.4f}  F1 {online['f1']:.4f}"
            f"  {figures['online']['tasks_per_thousand']:.1f} tasks/1000"
            f"  adjusted Rand index to the batch {figures['online']['adjusted_rand_to_batch']:.5f}"
        )
    alone = figures["weight_alone"]
    print(
        f"    the weight alone, {ALONE:g} bits, same vetoes and clustering:"
        f"  P {alone['precision']:.5f}  R {alone['recall']:.4f}  F1 {alone['f1']:.4f}",
        flush=True,
    )


def strata(figures: dict[str, Any]) -> None:
    """Print a population's strata."""
    for stratum, each in figures["automatic"]["strata"].items():
        print(
            f"    {stratum:<30} {each['matches']:>8,} pairs  P {each['precision']:.5f}  R {each['recall']:.4f}"
            f"  wrong {each['links'] - each['true_links']}"
        )


def plot(path: Path, runs: dict[str, Any]) -> None:
    """Draw recall by stratum and the threshold curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5))
    for name, run in runs.items():
        left.plot([p["recall"] for p in run["curve"]], [p["precision"] for p in run["curve"]], ".-", label=name)
        left.plot(run["automatic"]["recall"], run["automatic"]["precision"], "k*")
    left.set(xlabel="recall", ylabel="precision", title="pairs by match weight; stars: after rules and grouping")
    left.legend()
    first = next(iter(runs.values()))["automatic"]["strata"]
    names = [name for name, each in first.items() if each["matches"] >= 30]
    right.barh(names, [first[name]["recall"] for name in names])
    right.set(xlabel="recall", title="by stratum")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[501, 502, 503])
    parser.add_argument("--rules", default="th-v1", help="rule file, or the name of one that is shipped")
    parser.add_argument("--small", action="store_true", help="one small population: seconds instead of minutes")
    parser.add_argument("--baselines", metavar="PYTHON", help="interpreter with splink and recordlinkage")
    parser.add_argument("--online", action="store_true", help="register the records one by one as well")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    asked = parser.parse_args()
    if asked.small:
        asked.persons, asked.seeds = min(asked.persons, 1500), asked.seeds[:1]
    rules = load_rules(rule_file(asked.rules))
    runs: dict[str, Any] = {}
    for seed in asked.seeds:
        for dense in (False, True):
            name = f"{'dense' if dense else 'nation'}, seed {seed}"
            days = max(1, asked.persons // (2 * PER_DATE_AND_SEX)) if dense else None
            with tempfile.TemporaryDirectory() as scratch:
                folder, keys = Path(scratch) / "population", Path(scratch) / "keys"
                generate(asked.persons, seed, folder, FACILITIES, days=days)
                new_key_ring(keys)
                paths = encoded(folder, keys, folder, asked.rules)
                runs[name] = measure(paths, keys, read_truth(folder / "truth.csv"), rules)
                if asked.online:
                    (centre := Path(scratch) / "centre").mkdir()
                    runs[name]["online"] = register(paths, keys, read_truth(folder / "truth.csv"), rules, centre, seed)
                show(name, runs[name])
                if asked.baselines:
                    runs[name]["baselines"] = baselines(asked.baselines, folder, ("splink", "ecm"))
            if seed == asked.seeds[0]:
                strata(runs[name])
    if asked.json:
        told = {
            "persons": asked.persons,
            "rules": asked.rules,
            "model": rules.model.digest,
            "python": platform.python_version(),
            "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
            "runs": runs,
        }
        asked.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if asked.plot:
        plot(asked.plot, runs)


if __name__ == "__main__":
    sys.exit(main())
