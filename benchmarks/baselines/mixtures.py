"""What Splink's EM makes of vectors that anybody can weigh: ``python -m benchmarks.baselines.mixtures [--json FILE]``.

Two sets of comparison vectors, u known and m sought: one drawn from known probabilities, independent given who is who,
and one of all pairs of a small synthetic population's records, their national ids hidden. Splink 5 estimates m and the
share of matches with u fixed, as `mpi train` does. The file of the tests, tests/vectors/mixtures.json, is what this
wrote; ``--check FILE`` estimates the sets of such a file anew.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.baselines import absent
from benchmarks.baselines.plaintext import read_table, read_truth
from mpi.batch.population import generate
from mpi.linkage.scoring import MISSING

try:
    import duckdb
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on
    from splink.comparison_library import CustomComparison
except ModuleNotFoundError as missing:
    absent(missing)

SEED = 20
TODAY = datetime.date(2026, 9, 1)
PAIRS, MATCHES, UNKNOWN = 20_000, 0.15, 0.1
"""Pairs that are drawn, the share of matches among them, and of values that are missing."""
DRAWN = {
    "given": ([0.70, 0.20, 0.10], [0.02, 0.08, 0.90]),
    "family": ([0.75, 0.10, 0.10, 0.05], [0.01, 0.04, 0.15, 0.80]),
    "date": ([0.90, 0.06, 0.04], [0.01, 0.09, 0.90]),
    "place": ([0.60, 0.40], [0.05, 0.95]),
    "phone": ([0.55, 0.45], [0.001, 0.999]),
}
"""m and u of the levels of each comparison."""
PERSONS = 600
ALIKE = {
    "given_latin": (None, 2),
    "family_latin": (None, 2),
    "birth_date": (None, 4),
    "phone": (None,),
}
"""How much of each field's beginning has to agree, by level; None is all of it."""
ROUNDS, CHANGE = 1000, 1e-7


@dataclass(frozen=True)
class Mixture:
    """Comparison vectors with how often each came, and what is known of them.

    Attributes:
        u: probability of each level of each comparison between two people, as drawn or of all pairs.
        m: the same between records of one person, as drawn or by the truth.
        p: share of matches, as drawn or by the truth.
        vectors: places of levels, -1 where a value is missing, and last the count.
    """

    u: dict[str, list[float]]
    m: dict[str, list[float]]
    p: float
    vectors: list[list[int]]


def drawn() -> Mixture:
    """Draw vectors from known probabilities."""
    dice = np.random.default_rng(SEED)
    same = dice.random(PAIRS) < MATCHES
    columns = []
    for m, u in DRAWN.values():
        levels = np.where(same, dice.choice(len(m), PAIRS, p=m), dice.choice(len(u), PAIRS, p=u))
        columns.append(np.where(dice.random(PAIRS) < UNKNOWN, MISSING, levels))
    m, u = ({name: each[side] for name, each in DRAWN.items()} for side in (0, 1))
    return Mixture(u, m, float(same.mean()), _counted(np.column_stack(columns)))


def compared() -> Mixture:
    """All pairs of a synthetic population's records, their national ids hidden; u of all pairs, m by the truth."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        generate(PERSONS, SEED, folder)
        people = read_table(folder, TODAY)
        truth = read_truth(folder)
    left, right = np.triu_indices(people.num_rows, 1)
    person = _codes([truth[each][0] for each in people["record_id"].to_pylist()])
    same = person[left] == person[right]
    columns = {}
    for name, degrees in ALIKE.items():
        values = people[name].to_pylist()
        # From the strictest way to be alike to none: as many levels as ways, and one more.
        level = np.full(len(left), len(degrees))
        for place, length in reversed(list(enumerate(degrees))):
            codes = _codes([value[:length] if value else "" for value in values])
            level[codes[left] == codes[right]] = place
        known = np.array([bool(value) for value in values])
        columns[name] = np.where(known[left] & known[right], level, MISSING)
    sizes = {name: len(degrees) + 1 for name, degrees in ALIKE.items()}
    m, u = (
        {name: _shares(each[who], sizes[name]) for name, each in columns.items()} for who in (same, np.ones_like(same))
    )
    return Mixture(u, m, float(same.mean()), _counted(np.column_stack(list(columns.values()))))


def _codes(values: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number for each different value."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _shares(reached: npt.NDArray[np.int64], size: int) -> list[float]:
    counts = np.bincount(reached[reached != MISSING], minlength=size) + 0.5
    return [round(float(share), 9) for share in counts / counts.sum()]


def _counted(evidence: npt.NDArray[Any]) -> list[list[int]]:
    vectors, counts = np.unique(evidence, axis=0, return_counts=True)
    rows: list[list[int]] = np.column_stack([vectors, counts]).tolist()
    return rows


def estimate(mixture: Mixture) -> dict[str, Any]:
    """Splink's m and share of matches, u fixed at what is known."""
    rows = np.array(mixture.vectors)
    evidence = np.repeat(rows[:, :-1], rows[:, -1], axis=0)
    names = list(mixture.u)
    # What a pair's vector is stands with either of its records; a pair is the two records of one number.
    table = pa.table({"pair": np.arange(len(evidence)), **{name: evidence[:, at] for at, name in enumerate(names)}})
    api = DuckDBAPI(duckdb.connect())
    tables = [api.register(each, dataset_display_name=name) for name, each in (("ours", table), ("theirs", table))]
    settings = SettingsCreator(
        link_type="link_only",
        unique_id_column_name="pair",
        probability_two_random_records_match=0.1,
        comparisons=[
            CustomComparison(
                output_column_name=name,
                comparison_levels=[
                    {"sql_condition": f'"{name}_l" = {MISSING}', "label_for_charts": "missing", "is_null_level": True},
                    *(
                        {
                            "sql_condition": "ELSE" if place == len(u) - 1 else f'"{name}_l" = {place}',
                            "label_for_charts": str(place),
                            "u_probability": share,
                        }
                        for place, share in enumerate(u)
                    ),
                ],
            )
            for name, u in mixture.u.items()
        ],
        blocking_rules_to_generate_predictions=[block_on("pair")],
        em_convergence=CHANGE,
        max_iterations=ROUNDS,
    )
    linker = Linker(tables, settings)
    logging.getLogger("splink").setLevel(logging.ERROR)
    session = linker.training.estimate_parameters_using_expectation_maximisation(
        block_on("pair"), estimate_without_term_frequencies=True
    )
    found = session.core_model_settings
    m = {
        each.output_column_name: [level.m_probability for level in each.comparison_levels if not level.is_null_level]
        for each in found.comparisons
    }
    return {"p": found.probability_two_random_records_match, "m": m}


def main() -> None:
    """Make the sets or read them, estimate, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=Path, metavar="FILE", help="take the sets of this file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write sets and estimates")
    asked = parser.parse_args()
    if asked.check:
        sets = json.loads(asked.check.read_text(encoding="utf-8"))["sets"]
        mixtures = {
            name: Mixture(**{key: each[key] for key in ("u", "m", "p", "vectors")}) for name, each in sets.items()
        }
    else:
        mixtures = {"drawn": drawn(), "compared": compared()}
    told = {
        "made_by": "python -m benchmarks.baselines.mixtures",
        "splink": version("splink"),
        "sets": {name: {**asdict(each), "splink": estimate(each)} for name, each in mixtures.items()},
    }
    if asked.json:
        asked.json.write_text(json.dumps(told, separators=(",", ":")) + "\n", encoding="utf-8")
    for name, each in told["sets"].items():
        pairs = sum(vector[-1] for vector in each["vectors"])
        print(f"{name}: {pairs:,} pairs, p {each['p']:.4f} ({each['splink']['p']:.4f}); m, in brackets Splink's")
        for column, m in each["m"].items():
            found = each["splink"]["m"][column]
            print(f"  {column:<8}", *(f"{one:.4f} ({other:.4f})" for one, other in zip(m, found, strict=True)))


if __name__ == "__main__":
    main()
