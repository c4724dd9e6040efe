"""Linkage quality against truth: over pairs of records and over whole groups, by stratum, with intervals.

Errors are told by the rows of the truth file, never by a record's id: whoever holds that file can look them up.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mpi.errors import ExtractUnreadable

REPLICATES = 400
"""Times that the people are drawn anew for an interval."""
STEP = 4
"""Bits from one threshold of a curve to the next."""
_MOST_EXAMPLES = 50
_FIRST_ROW = 2
_MOST_STEPS = 100
_NORMAL = 1.959964
"""95 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is who: person and stratum of each record, by record id, in the order of the file."""

    persons: Mapping[str, str]
    strata: Mapping[str, str]


Interval = tuple[float, float]
"""Ends of a 95 % interval."""


def wilson(right: int, of: int) -> Interval:
    """Interval of a share (Wilson 1927); everything when nothing was counted."""
    if not of:
        return 0.0, 1.0
    share, spread = right / of, _NORMAL * _NORMAL / of
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    # At both ends rounding alone would tell them from 0 and 1.
    return (middle - half if right else 0.0), (middle + half if right < of else 1.0)


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
        return _harmonic(self.precision, self.recall)

    @property
    def precision_interval(self) -> Interval:
        """Wilson's interval of the precision; it takes pairs for independent, so it is a little narrow."""
        return wilson(self.true_links, self.links)

    @property
    def recall_interval(self) -> Interval:
        """Wilson's interval of the recall, likewise."""
        return wilson(self.true_links, self.matches)

    def figures(self) -> dict[str, Any]:
        """The figures for a script."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "precision_interval": list(self.precision_interval),
            "recall_interval": list(self.recall_interval),
            "true_links": self.true_links,
            "links": self.links,
            "matches": self.matches,
        }


@dataclass(frozen=True, slots=True)
class GroupQuality:
    """Counts of whole groups, those of one record among them.

    Attributes:
        exact: groups that are all records of a person and nobody else's.
        groups: groups that were made.
        people: people there are.
    """

    exact: int
    groups: int
    people: int

    @property
    def precision(self) -> float:
        """Share of the groups that are exactly one person; 1 when there are none."""
        return self.exact / self.groups if self.groups else 1.0

    @property
    def recall(self) -> float:
        """Share of the people who are exactly one group; 1 when there are none."""
        return self.exact / self.people if self.people else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return _harmonic(self.precision, self.recall)

    def figures(self) -> dict[str, Any]:
        """The figures for a script."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "exact": self.exact,
            "groups": self.groups,
            "people": self.people,
        }


Rows = tuple[int, int]
"""Two rows of the truth file, whose header is row 1."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a grouping is.

    Attributes:
        overall: over all pairs.
        precision: interval of the precision.
        recall: interval of the recall.
        strata: pairs by stratum; "a/b" where the two records are of different ones.
        groups: over whole groups.
        adjusted_rand: adjusted Rand index of the grouping (Hubert and Arabie 1985).
        wrong: examples of wrong links.
        missed: examples of missed links.
    """

    overall: PairQuality
    precision: Interval
    recall: Interval
    strata: Mapping[str, PairQuality]
    groups: GroupQuality
    adjusted_rand: float
    wrong: Sequence[Rows]
    missed: Sequence[Rows]

    def figures(self) -> dict[str, Any]:
        """The figures for a script."""
        return {
            **self.overall.figures(),
            "precision_interval": list(self.precision),
            "recall_interval": list(self.recall),
            "groups": self.groups.figures(),
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
    Efron 1979). Where hardly anything is wrong that is too sure; then Wilson's interval is the wider one, and counts.

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
    row = {record: number for number, record in enumerate(truth.persons, _FIRST_ROW)}
    missed: list[Rows] = []
    wrong: list[Rows] = []
    for person, records in by_person.items():
        for place, one in enumerate(records):
            for other in records[:place]:
                linked = one in found and found[one] == found.get(other)
                _count(strata, truth, one, other, (linked, linked, True))
                for at, counted in enumerate((linked, linked, True)):
                    counts[person][at] += counted
                if not linked and len(missed) < _MOST_EXAMPLES:
                    missed.append((row[other], row[one]))
    for records in by_group.values():
        if len({truth.persons[record] for record in records}) == 1:
            continue
        for place, one in enumerate(records):
            for other in records[:place]:
                if truth.persons[one] != truth.persons[other]:
                    _count(strata, truth, one, other, (False, True, False))
                    counts[truth.persons[one]][1] += 1
                    if len(wrong) < _MOST_EXAMPLES:
                        wrong.append((row[other], row[one]))
    overall = pair_quality(truth.persons, found)
    precision, recall = _intervals(np.array(list(counts.values()), np.int64).reshape(-1, 3), seed)
    pure = {tuple(sorted(records)) for records in by_group.values()}
    exact = sum(tuple(sorted(records)) in pure for records in by_person.values())
    return Evaluation(
        overall,
        _wider(precision, overall.precision_interval),
        _wider(recall, overall.recall_interval),
        {name: PairQuality(*strata[name]) for name in sorted(strata)},
        GroupQuality(exact, len(by_group), len(by_person)),
        _adjusted_rand(overall, len(truth.persons)),
        wrong,
        missed,
    )


@dataclass(frozen=True, slots=True)
class Curve:
    """What a threshold of the match weight alone would give, before any rule or grouping.

    Attributes:
        points: pairs of at least so many bits, against the truth.
        spread: pairs within so many bits and the next step: of one person, and of two.
    """

    points: Sequence[tuple[float, PairQuality]]
    spread: Sequence[tuple[float, int, int]]

    def figures(self) -> list[dict[str, Any]]:
        """The points for a script."""
        return [{"threshold": bits, **quality.figures()} for bits, quality in self.points]


def curve(weight: npt.NDArray[np.float64], same: npt.NDArray[np.bool_], matches: int) -> Curve:
    """Try thresholds every `STEP` bits.

    Args:
        weight: match weights of pairs, bits.
        same: which of them are of one person.
        matches: pairs of one person there are, those that were never weighed among them.
    """
    lowest = max(0.0, STEP * math.floor(weight.min() / STEP)) if len(weight) else 0.0
    steps = min(_MOST_STEPS, math.floor((weight.max() - lowest) / STEP) + 1) if len(weight) else 0
    edges = lowest + STEP * np.arange(max(0, steps) + 1)
    inside = [np.histogram(weight[of], np.append(edges[:-1], np.inf))[0] for of in (same, ~same)] if steps > 0 else []
    points, spread = [], []
    for place, bits in enumerate(edges[:-1].tolist()):
        true, false = (int(counts[place:].sum()) for counts in inside)
        points.append((bits, PairQuality(true, true + false, matches)))
        spread.append((bits, int(inside[0][place]), int(inside[1][place])))
    return Curve(points, spread)


def read_curve(path: Path, truth: Truth) -> Curve:
    """Try thresholds on the pairs that `mpi link --pairs` wrote; pairs of records that the truth lacks are left out.

    Raises:
        ExtractUnreadable: the file is missing or not such a file.
    """
    try:
        pairs = pq.read_table(path, columns=["left", "right", "weight"])
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except (pa.ArrowException, KeyError):
        raise ExtractUnreadable(path, "is no file of pairs that `mpi link --pairs` wrote") from None
    if pairs.column_names != ["left", "right", "weight"]:
        raise ExtractUnreadable(path, "is no file of pairs that `mpi link --pairs` wrote")
    people = pa.array(list(truth.persons.values())).dictionary_encode().indices.to_numpy()
    ids = pa.array(list(truth.persons))
    left, right = (pc.fill_null(pc.index_in(pairs[side], value_set=ids), -1).to_numpy() for side in ("left", "right"))
    known = (left >= 0) & (right >= 0)
    matches = _pairs(Counter(truth.persons.values()))
    same = people[left[known]] == people[right[known]]
    return curve(pairs["weight"].to_numpy()[known], same, matches)


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


def _wider(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def _harmonic(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _adjusted_rand(quality: PairQuality, records: int) -> float:
    pairs = records * (records - 1) / 2
    by_chance = quality.links * quality.matches / pairs if pairs else 0.0
    most = (quality.links + quality.matches) / 2
    return (quality.true_links - by_chance) / (most - by_chance) if most != by_chance else 1.0


def _pairs(counts: Counter[Any]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.values())
