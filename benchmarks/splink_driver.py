"""Links a plaintext table by Splink and no more: ``PYTHON -m benchmarks.splink_driver TABLE.parquet --out OUT.csv``.

The model, its training and its threshold are those of `benchmarks.baselines.splink`; what that one keeps to be studied
afterwards is left out here, so that time and memory are those of linking. Prints JSON: seconds by step and versions.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.baselines import absent
from benchmarks.baselines.splink import FIXED, connect, settings, train

try:
    from splink import DuckDBAPI, Linker
except ModuleNotFoundError as missing:
    absent(missing)


def link(table: Path, out: Path, seed: int, u_pairs: float, threads: int) -> dict[str, float]:
    """Train, predict, cluster and write record_id,eid; gives the seconds of each step."""
    clock = [time.perf_counter()]
    connection = connect(threads)
    connection.execute(
        "create table people as select file_row_number as place, * exclude (file_row_number) "
        "from read_parquet(?, file_row_number = true)",
        [str(table)],
    )
    lean = settings()
    lean.retain_intermediate_calculation_columns = False
    lean.retain_matching_columns = False
    linker = Linker(DuckDBAPI(connection).register("people"), lean)
    logging.getLogger("splink").setLevel(logging.ERROR)
    clock.append(time.perf_counter())
    train(linker, seed, u_pairs)
    clock.append(time.perf_counter())
    predicted = linker.inference.predict(threshold_match_weight=FIXED["stock"])
    clock.append(time.perf_counter())
    grouped = linker.clustering.cluster_pairwise_predictions_at_threshold(
        predicted, threshold_match_weight=FIXED["stock"]
    )
    grouped.as_duckdbpyrelation().project("record_id, cluster_id as eid").write_csv(str(out))
    clock.append(time.perf_counter())
    steps = ("read", "train", "predict", "cluster and write")
    return {step: end - begin for step, begin, end in zip(steps, clock, clock[1:], strict=False)}


def main() -> None:
    """Link and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="table of benchmarks.baselines.plaintext")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--seed", type=int, default=1, help="of the random pairs for u")
    parser.add_argument("--u-pairs", type=float, default=1e7, help="random pairs for u")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    seconds = link(asked.table, asked.out, asked.seed, asked.u_pairs, asked.threads)
    versions = {name: version(name) for name in ("splink", "duckdb")}
    print(json.dumps({"steps": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
