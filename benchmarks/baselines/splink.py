"""Splink 5 on plaintext, in good faith: ``python -m benchmarks.baselines.splink POPULATION_DIR [--json FILE]``.

Names are compared by Jaro-Winkler on their folded Latin forms, every form that a record has with every form of the
other, with term frequencies; birth dates by Damerau-Levenshtein, with 1 January apart; numbers, phones and places as
they are. u comes of random pairs, m of EM in three passes, each blind to what it blocks on. No label is used.
The table is made in another process, so that time and memory are Splink's own.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.baselines import absent
from benchmarks.baselines.decision import NUMBERS, STRANGERS, Truth, Weighed, compare_ways, judged, show, stock
from benchmarks.baselines.plaintext import read_truth
from mpi.batch.population import STRATA

try:
    import duckdb
    import splink.comparison_level_library as levels
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on
    from splink.comparison_library import CustomComparison
    from splink.internals.comparison_level_creator import ComparisonLevelCreator
    from splink.internals.splink_dataframe import SplinkDataFrame
except ModuleNotFoundError as missing:
    absent(missing)

ALIKE = 0.85
"""Jaro-Winkler similarity of names that an anchor takes for the same."""
FIXED = {"stock": 7.0, "clustered": -4.0, "ruled": 3.0}
"""Thresholds of the best F1 on 10,000 people of seed 101, for populations that had no say in them."""
MEMORY = "6GB"
NAME_ALIKE, SAME_DATE = 3, 5
"""Places of levels, counted from the last: names at least `ALIKE`, the same birth date."""


def name_comparison(part: str) -> CustomComparison:
    """Levels of a name: the same, another form the same, alike by degrees, the same consonants, apart."""
    latin = f"{part}_latin"
    return CustomComparison(
        output_column_name=part,
        comparison_levels=[
            levels.NullLevel(latin),
            levels.ExactMatchLevel(latin, term_frequency_adjustments=True),
            levels.ArrayIntersectLevel(f"{part}_forms"),
            alike(part, 0.92),
            alike(part, ALIKE),
            levels.ExactMatchLevel(f"{part}_skeleton"),
            alike(part, 0.70),
            levels.ElseLevel(),
        ],
    )


def alike(part: str, similarity: float) -> ComparisonLevelCreator:
    """Level of names of which any two forms are that much alike; lists are looked into only where there are two."""
    forms = f"{part}_forms"
    return levels.Or(
        levels.JaroWinklerLevel(f"{part}_latin", similarity),
        levels.And(
            levels.CustomLevel(f"len({forms}_l) + len({forms}_r) > 2"),
            levels.PairwiseStringDistanceFunctionLevel(forms, "jaro_winkler", similarity),
        ),
    )


def date_comparison() -> CustomComparison:
    """Levels of a birth date; agreement on 1 January, which stands for an unknown day, is less."""
    date = "birth_date"
    default = "substr(birth_date_{}, 6) = '01-01'"
    same_year = "substr(birth_date_l, 1, 4) = substr(birth_date_r, 1, 4)"
    return CustomComparison(
        output_column_name=date,
        comparison_levels=[
            levels.NullLevel(date),
            levels.CustomLevel(f"birth_date_l = birth_date_r and {default.format('l')}", "the same 1 January"),
            levels.ExactMatchLevel(date, term_frequency_adjustments=True),
            levels.Or(levels.DamerauLevenshteinLevel(date, 1), levels.ArrayIntersectLevel("birth_dates")),
            levels.CustomLevel(
                f"{same_year} and ({default.format('l')} or {default.format('r')})", "year alone on a side"
            ),
            levels.DamerauLevenshteinLevel(date, 2),
            levels.CustomLevel(same_year, "the same year"),
            levels.ElseLevel(),
        ],
    )


def place_comparison() -> CustomComparison:
    """Levels of a subdistrict: the same, the same district by its code, apart."""
    same_district = "substr(subdistrict_l, 1, 4) = substr(subdistrict_r, 1, 4)"
    return CustomComparison(
        output_column_name="subdistrict",
        comparison_levels=[
            levels.NullLevel("subdistrict"),
            levels.ExactMatchLevel("subdistrict", term_frequency_adjustments=True),
            levels.CustomLevel(same_district, "the same district"),
            levels.ElseLevel(),
        ],
    )


def exact(column: str, *, frequencies: bool = False) -> CustomComparison:
    """Levels of a value that is the same or not."""
    return CustomComparison(
        output_column_name=column,
        comparison_levels=[
            levels.NullLevel(column),
            levels.ExactMatchLevel(column, term_frequency_adjustments=frequencies),
            levels.ElseLevel(),
        ],
    )


def settings() -> SettingsCreator:
    """The model and its blocking rules; between them they have to bring all but a few true pairs together."""
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="place",
        comparisons=[
            name_comparison("given"),
            name_comparison("family"),
            date_comparison(),
            exact("sex"),
            place_comparison(),
            exact("house", frequencies=True),
            exact("phone", frequencies=True),
            *(exact(number) for number in NUMBERS),
        ],
        blocking_rules_to_generate_predictions=[
            *(block_on(number) for number in NUMBERS),
            block_on("phone"),
            block_on("birth_date", "sex"),
            block_on("given_skeleton", "family_skeleton"),
            block_on("substr(birth_date, 1, 7)", "family_skeleton"),
            block_on("substr(birth_date, 6, 5)", "given_skeleton"),
            block_on("birth_year", "given_skeleton"),
            block_on("birth_year", "substr(family_skeleton, 1, 3)", "substr(given_skeleton, 1, 2)"),
        ],
        retain_intermediate_calculation_columns=True,
        max_iterations=50,
    )


def train(linker: Linker, seed: int, most_pairs: float) -> None:
    """Estimate the prior, u and m without labels."""
    training = linker.training
    training.estimate_probability_two_random_records_match(
        [
            block_on("national_id", "birth_date"),
            block_on("given_latin", "family_latin", "birth_date"),
        ],
        recall=0.85,
    )
    training.estimate_u_using_random_sampling(max_pairs=most_pairs, seed=seed, min_count_per_level=None)
    for rule in (
        block_on("national_id"),
        block_on("birth_date", "sex"),
        block_on("given_latin", "family_latin"),
    ):
        training.estimate_parameters_using_expectation_maximisation(rule, estimate_without_term_frequencies=True)


@dataclass(frozen=True, slots=True)
class Linked:
    """What Splink made of a table.

    Attributes:
        predicted: its pairs of at least `STRANGERS` bits with the parts of their weight.
        candidates: all pairs that it compared, as places left and right.
        clusters: its own connected components: by threshold, for each record the cluster.
        prior: probability that two random records match.
        levels: estimated m and u of each level of each comparison.
        seconds: by step.
        peak_megabytes: resident memory of the process at its highest.
    """

    predicted: pa.Table
    candidates: pa.Table
    clusters: dict[float, np.ndarray[Any, np.dtype[np.int64]]]
    prior: float
    levels: list[dict[str, Any]]
    seconds: dict[str, float]
    peak_megabytes: float


def connect(threads: int) -> duckdb.DuckDBPyConnection:
    """A database in memory, held to `MEMORY` and some threads."""
    config = {"threads": threads, "memory_limit": MEMORY, "temp_directory": tempfile.gettempdir()}
    connection = duckdb.connect(config=config)
    # Splink 5.0 writes lambdas in the old way, which DuckDB 2 takes only when told to.
    connection.execute("set lambda_syntax = 'ENABLE_SINGLE_ARROW'")
    return connection


def prepared(path: Path, threads: int) -> Linker:
    """A linker over a table of `benchmarks.baselines.plaintext`, whose records it numbers as they come."""
    connection = connect(threads)
    connection.execute(
        "create table people as select file_row_number as place, * exclude (file_row_number) "
        "from read_parquet(?, file_row_number = true)",
        [str(path)],
    )
    api = DuckDBAPI(connection)
    linker = Linker(api.register("people"), settings())
    logging.getLogger("splink").setLevel(logging.ERROR)
    return linker


def link(path: Path, seed: int, most_pairs: float, threads: int, at: Sequence[float]) -> Linked:
    """Train, predict, and cluster as Splink does, at these thresholds."""
    clock = [time.perf_counter()]
    linker = prepared(path, threads)
    clock.append(time.perf_counter())
    train(linker, seed, most_pairs)
    clock.append(time.perf_counter())
    candidates = linker.inference.compute_blocked_pairs_for_predict()
    predicted = linker.inference.predict(threshold_match_weight=STRANGERS)
    clock.append(time.perf_counter())
    clusters = {}
    for threshold in at:
        grouped = linker.clustering.cluster_pairwise_predictions_at_threshold(
            predicted, threshold_match_weight=threshold
        )
        relation = grouped.as_duckdbpyrelation().order("place").project("cluster_id::bigint as cluster_id")
        clusters[threshold] = relation.to_arrow_table()["cluster_id"].to_numpy()
    clock.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    steps = ("read", "train", "predict", "cluster")
    model = linker.misc.save_model_to_json(None)
    return Linked(
        _parts(predicted),
        candidates.as_duckdbpyrelation().to_arrow_table(),
        clusters,
        model["probability_two_random_records_match"],
        estimates(model),
        {step: end - begin for step, begin, end in zip(steps, clock, clock[1:], strict=False)},
        peak,
    )


def _parts(predicted: SplinkDataFrame) -> pa.Table:
    """Pairs without the values that were compared."""
    relation = predicted.as_duckdbpyrelation()
    wanted = ("match_weight", "place_", "gamma_", "mw_")
    return relation.select(*[name for name in relation.columns if name.startswith(wanted)]).to_arrow_table()


def estimates(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Estimated m and u of each level, from Splink's model document."""
    return [
        {
            "comparison": comparison["output_column_name"],
            "level": level.get("label_for_charts", level["sql_condition"]),
            "m": level.get("m_probability"),
            "u": level.get("u_probability"),
        }
        for comparison in model["comparisons"]
        for level in comparison["comparison_levels"]
        if not level.get("is_null_level")
    ]


def weighed(predicted: pa.Table, people: pa.Table) -> Weighed:
    """Predicted pairs with what the rules ask of them."""

    def column(name: str) -> np.ndarray[Any, Any]:
        values: np.ndarray[Any, Any] = predicted[name].to_numpy()
        return values

    parts = [name for name in predicted.column_names if name.startswith("mw_")]
    evidence = sum(column(name) for name in parts if name.removeprefix("mw_") not in NUMBERS)
    given, family = (column(f"gamma_{part}") >= NAME_ALIKE for part in ("given", "family"))
    weight = column("match_weight").astype(np.float64)
    return judged(people, column("place_l"), column("place_r"), weight, np.asarray(evidence), given & family, given)


def tabulated(population: Path, out: Path) -> Path:
    """Make the plaintext table of a population in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.baselines.plaintext", str(population), "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def arguments(description: str) -> argparse.ArgumentParser:
    """Arguments that the baselines share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("population", type=Path, help="folder with manifest.json and truth.csv")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--seed", type=int, default=1, help="of the random pairs for u")
    parser.add_argument("--u-pairs", type=float, default=1e7, help="random pairs for u")
    parser.add_argument("--threads", type=int, default=2)
    return parser


def main() -> None:
    """Link a population and print how well that went."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="write the weighed pairs (Parquet)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = tabulated(asked.population, Path(folder) / "people.parquet")
        linked = link(path, asked.seed, asked.u_pairs, asked.threads, [FIXED["stock"]])
        people = pq.read_table(path)
    truth = Truth.of(read_truth(asked.population), people["record_id"].to_pylist(), STRATA)
    pairs = weighed(linked.predicted, people)
    for threshold, theirs in linked.clusters.items():
        assert np.array_equal(theirs, stock(pairs, people.num_rows, threshold)), "not the components that Splink finds"
    if asked.pairs:
        pq.write_table(linked.predicted, asked.pairs)
    left, right = (linked.candidates[name].to_numpy() for name in linked.candidates.column_names[-2:])
    figures: dict[str, Any] = {
        "records": people.num_rows,
        "seed": asked.seed,
        "threads": asked.threads,
        "seconds": linked.seconds,
        "peak_megabytes": linked.peak_megabytes,
        "candidates": linked.candidates.num_rows,
        "completeness": truth.completeness(left, right),
        "kept": len(pairs.left),
        "prior": linked.prior,
        "levels": linked.levels,
        "ways": compare_ways(pairs, truth, thresholds(), FIXED),
    }
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    spent = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in linked.seconds.items())
    print(f"{figures['records']:,} records; {spent}; peak {linked.peak_megabytes:,.0f} MB")
    print(f"{figures['candidates']:,} candidate pairs, {figures['completeness']:.4f} of the true pairs among them")
    show(figures["ways"])


def thresholds() -> list[float]:
    """Thresholds of the curves, bits."""
    return [float(bits) for bits in range(-6, 31)]


if __name__ == "__main__":
    main()
