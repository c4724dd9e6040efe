"""The ECM classifier of recordlinkage: ``python -m benchmarks.baselines.ecm POPULATION_DIR [--json FILE]``.

It takes binary comparisons only, so Splink's comparisons become questions, on Splink's candidate pairs.
It knows no missing values: they count as disagreement, which is what recordlinkage does by default.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.baselines.classifier import Vectors, estimate
from benchmarks.baselines.decision import NUMBERS, Truth, compare_ways, judged, show
from benchmarks.baselines.plaintext import read_truth
from benchmarks.baselines.splink import NAME_ALIKE, SAME_DATE, arguments, prepared, tabulated
from mpi.batch.evaluation import PairQuality
from mpi.batch.population import STRATA

QUESTIONS = {
    "given": NAME_ALIKE,
    "family": NAME_ALIKE,
    "birth_date": SAME_DATE,
    **dict.fromkeys(("sex", "phone", *NUMBERS), 1),
}
"""The least of Splink's levels that counts as agreement.

Chosen on seed 101 among 45 ways to ask, for the greatest F1: subdistrict and house number are left out, since half of
the records lack them and missing values would count as disagreement.
"""
THRESHOLDS = [float(bits) for bits in range(-20, 21)]


def asked(levels: Mapping[str, npt.NDArray[np.int64]]) -> Vectors:
    """Binary comparisons of Splink's levels; a missing value disagrees, as by default in recordlinkage."""
    return {name: levels[name] >= least for name, least in QUESTIONS.items()}


def compared(path: Path, threads: int) -> tuple[dict[str, npt.NDArray[np.int64]], pa.Table]:
    """Levels of all candidate pairs by comparison, and the pairs."""
    predicted = prepared(path, threads).inference.predict(warning_mode="never").as_duckdbpyrelation()
    gammas = [f"gamma_{name}" for name in QUESTIONS]
    table = predicted.select("place_l", "place_r", *gammas).to_arrow_table()
    return {name: table[f"gamma_{name}"].to_numpy().astype(np.int64) for name in QUESTIONS}, table


def measure(path: Path, truth: Truth, threads: int) -> dict[str, Any]:
    """Figures of the classifier's own matches, and of its weights under each way of deciding."""
    people = pq.read_table(path)
    levels, table = compared(path, threads)
    left, right = (table[side].to_numpy().astype(np.int64) for side in ("place_l", "place_r"))
    vectors = asked(levels)
    begun = time.perf_counter()
    found, taken = estimate(vectors)
    seconds = time.perf_counter() - begun
    same = truth.persons[left] == truth.persons[right]
    pairs = PairQuality(int((taken & same).sum()), int(taken.sum()), len(truth.pairs()[0]))
    parts = found.weights(vectors)
    evidence = np.sum([bits for name, bits in parts.items() if name not in NUMBERS], axis=0)
    weight = found.prior + np.sum(list(parts.values()), axis=0)
    weighed = judged(people, left, right, weight, evidence, vectors["given"] & vectors["family"], vectors["given"])
    return {
        "records": people.num_rows,
        "candidates": len(left),
        "completeness": truth.completeness(left, right),
        "seconds": seconds,
        "estimates": asdict(found),
        "pairs": {"precision": pairs.precision, "recall": pairs.recall, "f1": pairs.f1},
        "ways": compare_ways(weighed, truth, THRESHOLDS, {}),
    }


def main() -> None:
    """Classify a population's candidate pairs and print how well that went."""
    given = arguments(__doc__ or "").parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = tabulated(given.population, Path(folder) / "people.parquet")
        ids = pq.read_table(path, columns=["record_id"])["record_id"].to_pylist()
        truth = Truth.of(read_truth(given.population), ids, STRATA)
        figures = measure(path, truth, given.threads)
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{figures['candidates']:,} candidate pairs, {figures['completeness']:.4f} of the true pairs among them")
    pairs = figures["pairs"]
    print(f"ECM in {figures['seconds']:.1f} s; pairs as it classifies them: ", end="")
    print(f"P {pairs['precision']:.5f}  R {pairs['recall']:.4f}  F1 {pairs['f1']:.4f}")
    show(figures["ways"])
    print(f"\n{'question':<28}{'m':>10}{'u':>10}   share of matches {figures['estimates']['p']:.4f}")
    for name, m in figures["estimates"]["m"].items():
        print(f"{name:<28}{m:>10.5f}{figures['estimates']['u'][name]:>10.5f}")


if __name__ == "__main__":
    main()
