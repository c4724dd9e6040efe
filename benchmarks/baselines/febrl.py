"""FEBRL4 without its social security number: ``python -m benchmarks.baselines.febrl FOLDER [--json FILE]``.

`benchmarks.febrl` writes the data set (5,000 records, and a damaged copy of each) as two facilities, and links it
encoded. Here Splink 5 links it on plaintext: with every field, and with only those that our encodings hold.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baselines import absent
from benchmarks.baselines.decision import STRANGERS, Truth, Weighed, best, curve, point, stock
from benchmarks.baselines.plaintext import read_truth
from benchmarks.baselines.splink import connect
from benchmarks.febrl import COLUMNS, write

try:
    import splink.comparison_level_library as levels
    import splink.comparison_library as comparisons
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on
except ModuleNotFoundError as missing:
    absent(missing)

SIDES = ("FEBRLA", "FEBRLB")
"""Facility codes of the originals and of the copies."""
ENCODED = ("given_name", "surname", "date_of_birth", "street_number", "address_1", "suburb", "postcode")
"""Fields that an encoding of such records can hold."""
STRATUM = "febrl4"


def settings(fields: Sequence[str]) -> SettingsCreator:
    """The model; both sides are known to hold nobody twice."""
    every = {
        "given_name": comparisons.CustomComparison(
            output_column_name="given_name",
            comparison_levels=[
                levels.NullLevel("given_name"),
                levels.ExactMatchLevel("given_name", term_frequency_adjustments=True),
                levels.ColumnsReversedLevel("given_name", "surname", symmetrical=True),
                levels.JaroWinklerLevel("given_name", 0.92),
                levels.JaroWinklerLevel("given_name", 0.8),
                levels.ElseLevel(),
            ],
        ),
        "surname": comparisons.CustomComparison(
            output_column_name="surname",
            comparison_levels=[
                levels.NullLevel("surname"),
                levels.ExactMatchLevel("surname", term_frequency_adjustments=True),
                levels.JaroWinklerLevel("surname", 0.92),
                levels.JaroWinklerLevel("surname", 0.8),
                levels.ElseLevel(),
            ],
        ),
        "date_of_birth": comparisons.DamerauLevenshteinAtThresholds("date_of_birth", [1, 2]),
        "street_number": comparisons.LevenshteinAtThresholds("street_number", 1),
        "address_1": comparisons.JaroWinklerAtThresholds("address_1", [0.95, 0.85]),
        "address_2": comparisons.JaroWinklerAtThresholds("address_2", [0.95, 0.85]),
        "suburb": comparisons.JaroWinklerAtThresholds("suburb", [0.95, 0.85]),
        "postcode": comparisons.DamerauLevenshteinAtThresholds("postcode", [1, 2]),
        "state": comparisons.ExactMatch("state"),
    }
    rules = [
        ("date_of_birth",),
        ("given_name", "surname"),
        ("surname", "suburb"),
        ("given_name", "suburb"),
        ("surname", "street_number"),
        ("given_name", "street_number"),
        ("suburb", "street_number"),
        ("substr(date_of_birth, 1, 6)", "substr(given_name, 1, 3)"),
        ("substr(date_of_birth, 5, 4)", "substr(surname, 1, 3)"),
        ("postcode", "substr(surname, 1, 3)"),
        ("postcode", "substr(given_name, 1, 3)"),
        ("postcode", "street_number"),
        ("address_1",),
        ("address_2", "postcode"),
    ]
    usable = [rule for rule in rules if all(any(field in part for field in fields) for part in rule)]
    return SettingsCreator(
        link_type="link_only",
        unique_id_column_name="place",
        comparisons=[every[field] for field in fields],
        blocking_rules_to_generate_predictions=[
            *(block_on(*rule) for rule in usable),
            # the names in each other's field
            "l.given_name = r.surname and l.surname = r.given_name",
        ],
        max_iterations=50,
    )


def link(folder: Path, fields: Sequence[str], threads: int, u_pairs: float) -> dict[str, Any]:
    """Figures of Splink with these fields."""
    begun = time.perf_counter()
    connection = connect(threads)
    texts = ", ".join(f"nullif({name}, '') as {name}" for name in COLUMNS)
    first = 0
    ids: list[str] = []
    for code in SIDES:
        path = str(folder / code / "patients.csv")
        connection.execute(
            f"create table {code} as select row_number() over () - 1 + {first} as place, rec_id, {texts} "
            f"from read_csv('{path}', all_varchar = true, header = true)"
        )
        ids += [
            f"{code}/{row[0]}" for row in connection.execute(f"select rec_id from {code} order by place").fetchall()
        ]
        first = len(ids)
    api = DuckDBAPI(connection)
    linker = Linker([api.register(code, dataset_display_name=code) for code in SIDES], settings(fields))
    logging.getLogger("splink").setLevel(logging.ERROR)
    training = linker.training
    training.estimate_probability_two_random_records_match(
        [block_on("given_name", "surname", "date_of_birth"), block_on("date_of_birth", "street_number")], recall=0.7
    )
    training.estimate_u_using_random_sampling(max_pairs=u_pairs, seed=1, min_count_per_level=None)
    for rule in (block_on("date_of_birth"), block_on("given_name", "surname"), block_on("suburb", "street_number")):
        training.estimate_parameters_using_expectation_maximisation(rule, estimate_without_term_frequencies=True)
    blocked = linker.inference.compute_blocked_pairs_for_predict().as_duckdbpyrelation().shape[0]
    predicted = linker.inference.predict(threshold_match_weight=STRANGERS)
    table = predicted.as_duckdbpyrelation().select("match_weight", "place_l", "place_r").to_arrow_table()
    seconds = time.perf_counter() - begun
    truth = Truth.of(read_truth(folder), ids, (STRATUM,))
    left, right = (table[side].to_numpy().astype(np.int64) for side in ("place_l", "place_r"))
    weight = table["match_weight"].to_numpy().astype(np.float64)
    none = np.zeros(len(left), bool)
    pairs = Weighed(np.minimum(left, right), np.maximum(left, right), weight, none, none, {})
    points = curve(pairs, truth, stock, [float(bits) for bits in range(-10, 31)])
    singles = []
    for threshold in (-5, 0, 5):
        grouped = linker.clustering.cluster_using_single_best_links(
            predicted, duplicate_free_datasets=list(SIDES), threshold_match_weight=threshold
        )
        rows = grouped.as_duckdbpyrelation().order("place").project("cluster_id").to_arrow_table()
        groups = rows["cluster_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
        singles.append(point(truth, groups, float(threshold)))
    return {
        "fields": list(fields),
        "seconds_to_predict": seconds,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "candidates": blocked,
        "completeness": truth.completeness(left, right),
        "stock": {"best_f1": asdict(best(points)), "curve": [asdict(each) for each in points]},
        "single_best_links": {"best_f1": asdict(best(singles)), "curve": [asdict(each) for each in singles]},
    }


def main() -> None:
    """Write FEBRL4, link it twice, and print how well that went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--u-pairs", type=float, default=2e6, help="random pairs for u")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    write(asked.folder)
    figures = {
        name: link(asked.folder, fields, asked.threads, asked.u_pairs)
        for name, fields in (("every field", COLUMNS), ("fields to encode", ENCODED))
    }
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{'':<24}{'':<20}{'weight':>8}{'P':>9}{'R':>9}{'F1':>9}")
    for name, each in figures.items():
        for way in ("stock", "single_best_links"):
            at = each[way]["best_f1"]
            print(
                f"{name:<24}{way:<20}{at['threshold']:>8g}{at['precision']:>9.5f}{at['recall']:>9.4f}{at['f1']:>9.4f}"
            )
        print(f"  {each['candidates']:,} candidate pairs, {each['completeness']:.4f} of the true ones kept; ", end="")
        print(f"{each['seconds_to_predict']:.1f} s to predict")


if __name__ == "__main__":
    main()
