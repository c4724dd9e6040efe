"""How well plain Bloom filters link: ``python -m benchmarks.filters [--persons N] [--seeds S ...] [--json FILE]``.

The populations are those of ``benchmarks/quality.py`` of the same size and seeds. Two encodings that many use link
them: a CLK (Schnell, Bachteler and Reiher 2009) of both names, birth date and sex in one filter, and one filter for
each field; one key for all records, names romanised. They get what the shipped profile gets: tokens of numbers with the
same veto, weights in bits by the same expectation-maximisation, the same clustering; and what it does not get: all
pairs of records are compared, and the truth sets the threshold. With ``benchmarks/privacy.py``, which attacks such
filters of the names, this says what privacy costs (`benchmarks.frontier`).
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.baselines.decision import Truth, Weighed, best, clustered, curve
from benchmarks.baselines.plaintext import read_table, read_truth
from benchmarks.quality import FACILITIES, PER_DATE_AND_SEX
from mpi.batch.hamming import close_pairs, distances
from mpi.batch.population import STRATA, generate
from mpi.batch.training import maximise
from mpi.domain.identifiers import IdentifierKind
from mpi.linkage.scoring import MISSING
from mpi.rules import Comparison, Level

TODAY = datetime.date(2026, 9, 1)
BITS, HASHES = 1024, 10
FIELDS = {"given": "given_latin", "family": "family_latin", "date": "birth_date", "sex": "sex"}
"""Fields by the columns that hold them."""
CLK = "CLK"
NUMBERS = tuple(kind.value for kind in IdentifierKind)
ONLY_ONE = IdentifierKind.NATIONAL_ID.value
CUTS = (0.999, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65)
"""Dice coefficients at which levels begin; below the last is nothing in common."""
LEAST = CUTS[-1]
THRESHOLDS = [float(bits) for bits in range(-10, 31)]

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


def bits_of(field: str, value: str) -> set[int]:
    """Bits that a value sets: of its bigrams, of a date's digits by their place, of anything else as a whole."""
    if field in ("given", "family"):
        grams = {f"_{value}_"[at : at + 2] for at in range(len(value) + 1)}
    else:
        grams = {f"{at}{digit}" for at, digit in enumerate(value.replace("-", ""))}
    found: set[int] = set()
    for gram in grams:
        stream = hashlib.shake_256(f"one key\x1f{field}\x1f{gram}".encode()).digest(2 * HASHES)
        found.update(int.from_bytes(stream[at : at + 2]) % BITS for at in range(0, len(stream), 2))
    return found


def filters(values: Mapping[str, Sequence[str | None]]) -> Words:
    """One filter a record, of these fields; all zero where every one is missing."""
    total = len(next(iter(values.values())))
    table = np.zeros((total, BITS), np.uint8)
    for field, column in values.items():
        for row, value in enumerate(column):
            if value:
                table[row, list(bits_of(field, value))] = 1
    return np.packbits(table, axis=1).view(np.uint64)


def dice(words: Words, left: Places, right: Places) -> npt.NDArray[np.float64]:
    """Dice coefficients of pairs; nan where a side is empty."""
    weight = np.bitwise_count(words).sum(axis=1).astype(np.int64)
    both, apart = weight[left] + weight[right], distances(words, left, right)
    return np.where((weight[left] > 0) & (weight[right] > 0), 1 - apart / np.maximum(both, 1), np.nan)


def level(similarity: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Place of the level that a Dice coefficient reaches."""
    places = (similarity[:, None] < np.array(CUTS)).sum(axis=1)
    return np.where(np.isnan(similarity), MISSING, places).astype(np.int8)


def candidates(words: Words) -> tuple[Places, Places]:
    """All pairs of at least the last cut."""
    weight = np.bitwise_count(words).sum(axis=1).astype(np.int64)
    most = int((1 - LEAST) * 2 * weight.max())
    ends = np.full(len(words), len(words), np.int64)
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for one, other, apart in close_pairs(words, ends, most):
        near = apart <= (1 - LEAST) * (weight[one] + weight[other])
        left.append(one[near])
        right.append(other[near])
    return np.concatenate(left), np.concatenate(right)


def weighed(levels: Mapping[str, npt.NDArray[np.int8]], total: int) -> npt.NDArray[Any]:
    """Weights in bits with the prior in them; pairs that agree on the national id begin, u is counted in all pairs."""
    evidence = np.column_stack(list(levels.values()))
    chance, comparisons = {}, {}
    for name, reached in levels.items():
        size = 2 if name in NUMBERS else len(CUTS) + 1
        counts = np.bincount(reached[reached != MISSING], minlength=size).astype(float) + 0.5
        counts[-1] += total - len(reached)
        chance[name] = counts / counts.sum()
        comparisons[name] = Comparison(name, tuple(Level(str(each), 0, 0.5, 0.5) for each in range(size)), "", "")
    same, _, matches = maximise(evidence, comparisons, chance, levels[ONLY_ONE] == 0, total)
    weight = np.full(len(evidence), np.log2(matches / total))
    for column, name in enumerate(levels):
        weight += np.append(np.log2(same[name] / chance[name]), 0.0)[evidence[:, column]]
    return weight


def measure(folder: Path) -> dict[str, Any]:
    """Best F1 of both encodings on a population."""
    people = read_table(folder, TODAY)
    truth = Truth.of(read_truth(folder), people["record_id"].to_pylist(), STRATA)
    values = {field: people[column].to_pylist() for field, column in FIELDS.items()}
    numbers = {
        kind: people[kind].combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
        for kind in NUMBERS
    }
    whole = filters(values)
    met = [candidates(whole), *map(_sharing, numbers.values())]
    left, right = np.unique(np.concatenate([np.stack(pairs) for pairs in met], axis=1), axis=1)
    agree = {}
    for kind, number in numbers.items():
        has = (number[left] >= 0) & (number[right] >= 0)
        agree[kind] = np.where(has, np.where(number[left] == number[right], 0, 1), MISSING).astype(np.int8)
    total = people.num_rows * (people.num_rows - 1) // 2
    known = np.flatnonzero(numbers[ONLY_ONE] >= 0)
    only_one = {ONLY_ONE: (known, numbers[ONLY_ONE][known])}
    none = np.zeros(len(left), bool)
    compared = {
        CLK: {CLK: level(dice(whole, left, right))},
        "fields": {field: level(dice(filters({field: values[field]}), left, right)) for field in FIELDS},
    }
    figures: dict[str, Any] = {"records": people.num_rows, "candidate_completeness": truth.completeness(left, right)}
    for name, levels in compared.items():
        pairs = Weighed(left, right, weighed({**levels, **agree}, total), none, none, only_one)
        figures[name] = asdict(best(curve(pairs, truth, clustered, THRESHOLDS)))
    return figures


def _sharing(number: Places) -> tuple[Places, Places]:
    """Pairs of one number."""
    order = np.argsort(number, kind="stable")
    values = number[order]
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for step in range(1, int(np.bincount(number[number >= 0]).max(initial=1))):
        met = (values[step:] == values[:-step]) & (values[step:] >= 0)
        one, other = order[:-step][met], order[step:][met]
        left.append(np.minimum(one, other))
        right.append(np.maximum(one, other))
    return np.concatenate(left), np.concatenate(right)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--persons", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[501])
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    runs: dict[str, Any] = {}
    for seed in asked.seeds:
        for dense in (False, True):
            name = f"{'dense' if dense else 'nation'}, seed {seed}"
            days = max(1, asked.persons // (2 * PER_DATE_AND_SEX)) if dense else None
            with tempfile.TemporaryDirectory() as scratch:
                generate(asked.persons, seed, Path(scratch), FACILITIES, days=days)
                runs[name] = measure(Path(scratch))
            print(f"{name}: {runs[name]['records']:,} records", flush=True)
            for encoding in (CLK, "fields"):
                at = runs[name][encoding]
                print(f"  {encoding:<7} P {at['precision']:.5f}  R {at['recall']:.4f}  F1 {at['f1']:.4f}", flush=True)
    if asked.json:
        told = {"persons": asked.persons, "runs": runs}
        asked.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
