"""Linkage quality against truth: over pairs of records and over whole groups, by stratum, with intervals."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mpi.errors import ExtractUnreadable

REPLICATES = 400
"""Times that the people are drawn anew for an interval."""
_MOST_EXAMPLES = 50


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is who: person and stratum of each record, by record id."""

    persons: Mapping[str, str]
    strata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PairQuality:
    """Counts of record pairs.

    Attributes:
        true_links: pairs put together that belong together.
        links: pairs put together.
        matches: pairs that belong together.
    """

    true_links: int
    links: int
    matches: int

    @property
    def precision(self) -> float:
        """Share of the pairs put together that belong together; 1 when none were."""
        return self.true_links / self.links if self.links else 1.0

    @property
    def recall(self) -> float:
        """Share of the pairs that belong together that were put together; 1 when there are none."""
        return self.true_links / self.matches if self.matches else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def figures(self) -> dict[str, float]:
        """The figures for a script."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "true_links": self.true_links,
            "links": self.links,
            "matches": self.matches,
        }


Interval = tuple[float, float]
"""Ends of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a grouping is.

    Attributes:
        overall: over all pairs.
        precision: interval of the precision.
        recall: interval of the recall.
        strata: pairs by stratum; "a/b" where the two records are of different ones.
        whole: share of the people whose records are one group, and nobody else's are in it.
        adjusted_rand: adjusted Rand index of the grouping (Hubert and Arabie 1985).
        wrong: examples of wrong links, pairs of record ids.
        missed: examples of missed links.
    """

    overall: PairQuality
    precision: Interval
    recall: Interval
    strata: Mapping[str, PairQuality]
    whole: float
    adjusted_rand: float
    wrong: Sequence[tuple[str, str]]
    missed: Sequence[tuple[str, str]]

    def figures(self) -> dict[str, Any]:
        """The figures for a script."""
        return {
            **self.overall.figures(),
            "precision_interval": list(self.precision),
            "recall_interval": list(self.recall),
            "whole_people": self.whole,
            "adjusted_rand": self.adjusted_rand,
            "strata": {name: quality.figures() for name, quality in self.strata.items()},
            "wrong": [list(pair) for pair in self.wrong],
            "missed": [list(pair) for pair in self.missed],
        }


def pair_quality(truth: Mapping[str, str], found: Mapping[str, str]) -> PairQuality:
    """Compare two groupings of the same records.

    Args:
        truth: person of each record, by record id.
        found: identity of each record, by record id; a record that is missing stands alone.
    """
    groups: Counter[str] = Counter()
    both: Counter[tuple[str, str]] = Counter()
    people: Counter[str] = Counter(truth.values())
    for record, person in truth.items():
        eid = found.get(record, f"alone:{record}")
        groups[eid] += 1
        both[person, eid] += 1
    return PairQuality(_pairs(both), _pairs(groups), _pairs(people))


def evaluate(truth: Truth, found: Mapping[str, str], seed: int = 0) -> Evaluation:
    """Compare a grouping with the truth.

    Pairs of one person are right or wrong together, so intervals come from drawing people, not pairs, anew (bootstrap,
    Efron 1979).

    Args:
        truth: who is who.
        found: identity of each record, by record id; a record that is missing stands alone.
        seed: of the draws.
    """
    by_person: dict[str, list[str]] = {}
    by_group: dict[str, list[str]] = {}
    for record, person in truth.persons.items():
        by_person.setdefault(person, []).append(record)
        by_group.setdefault(found.get(record, f"alone:{record}"), []).append(record)
    strata: dict[str, list[int]] = {}
    counts = {person: [0, 0, 0] for person in by_person}
    missed: list[tuple[str, str]] = []
    wrong: list[tuple[str, str]] = []
    for person, records in by_person.items():
        for place, one in enumerate(records):
            for other in records[:place]:
                linked = one in found and found[one] == found.get(other)
                _count(strata, truth, one, other, (linked, linked, True))
                for at, counted in enumerate((linked, linked, True)):
                    counts[person][at] += counted
                if not linked and len(missed) < _MOST_EXAMPLES:
                    missed.append((other, one))
    for records in by_group.values():
        if len({truth.persons[record] for record in records}) == 1:
            continue
        for place, one in enumerate(records):
            for other in records[:place]:
                if truth.persons[one] != truth.persons[other]:
                    _count(strata, truth, one, other, (False, True, False))
                    counts[truth.persons[one]][1] += 1
                    if len(wrong) < _MOST_EXAMPLES:
                        wrong.append((other, one))
    overall = pair_quality(truth.persons, found)
    precision, recall = _intervals(np.array(list(counts.values()), np.int64).reshape(-1, 3), seed)
    pure = {tuple(sorted(records)) for records in by_group.values()}
    whole = sum(tuple(sorted(records)) in pure for records in by_person.values())
    return Evaluation(
        overall,
        precision,
        recall,
        {name: PairQuality(*strata[name]) for name in sorted(strata)},
        whole / len(by_person) if by_person else 1.0,
        _adjusted_rand(overall, len(truth.persons)),
        wrong,
        missed,
    )


def read_truth(path: Path) -> Truth:
    """Read a truth.csv: person and stratum of each record.

    Raises:
        ExtractUnreadable: it is missing or not such a file.
    """
    rows = _read(path, ("record_id", "person_id", "stratum"), "truth.csv (record_id,person_id,stratum)")
    return Truth({record: person for record, person, _ in rows}, {record: stratum for record, _, stratum in rows})


def read_clusters(path: Path) -> dict[str, str]:
    """Read a clusters.csv: identity of each record.

    Raises:
        ExtractUnreadable: it is missing or not such a file.
    """
    return dict(_read(path, ("record_id", "eid"), "clusters.csv (record_id,eid)"))  # type: ignore[arg-type]


def _read(path: Path, columns: Sequence[str], what: str) -> list[tuple[str, ...]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            return [tuple(row[column] for column in columns) for row in rows]
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise ExtractUnreadable(path, f"is no {what}") from None


def _count(strata: dict[str, list[int]], truth: Truth, one: str, other: str, counted: tuple[bool, bool, bool]) -> None:
    name = "/".join(sorted({truth.strata[one], truth.strata[other]}))
    tally = strata.setdefault(name, [0, 0, 0])
    for at, each in enumerate(counted):
        tally[at] += each


def _intervals(counts: npt.NDArray[np.int64], seed: int) -> tuple[Interval, Interval]:
    """Intervals of precision and recall from counts by person: true links, links, matches."""
    # People with the same counts are one kind, of whom a Poisson number is drawn: as good as drawing them one by one.
    kinds, number = np.unique(counts, axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).poisson(number, (REPLICATES, len(number))) @ kinds
    true_links, links, matches = drawn.T

    def ends(part: npt.NDArray[np.int64], of: npt.NDArray[np.int64]) -> Interval:
        shares = np.divide(part, of, out=np.ones(len(part)), where=of > 0)
        low, high = np.quantile(shares, (0.025, 0.975))
        return float(low), float(high)

    return ends(true_links, links), ends(true_links, matches)


def _adjusted_rand(quality: PairQuality, records: int) -> float:
    pairs = records * (records - 1) / 2
    by_chance = quality.links * quality.matches / pairs if pairs else 0.0
    most = (quality.links + quality.matches) / 2
    return (quality.true_links - by_chance) / (most - by_chance) if most != by_chance else 1.0


def _pairs(counts: Counter[Any]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.values())
