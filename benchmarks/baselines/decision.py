"""What becomes of weighed pairs, whoever weighed them, and how well that does against truth.

Three ways of deciding, each with a threshold, from what a tool does out of the box to what the encoded path does:

* `stock`: pairs at the threshold link, and whatever hangs together is one person (connected components);
* `clustered`: pairs at the threshold link, but groups form by the project's own constrained clustering: nobody gets two
  national ids, and the evidence of all pairs across two groups counts;
* `ruled`: clustered, and a pair carries a link only by a number in common that demographics bear out, or by an anchor.

Weights are Splink's: bits with the prior in them, so that 0 means as likely as not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mpi.batch.evaluation import PairQuality
from mpi.linkage.clustering import Graph, cluster

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Weights = npt.NDArray[np.float64]

NUMBERS = ("national_id", "alien_id", "passport")
"""Numbers that identify; a phone does not."""
ONLY_ONE = ("national_id",)
"""Numbers of which a person has one."""
MOST_MEMBERS = 60
"""As in th-v1: an identity of this many records takes no more."""
STRANGERS = -10.0
"""As in th-v1: bits that two records count for that never met; pairs of less weight need not be kept."""
TARGET = 0.9995
"""Precision that automatic links have to reach."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Weighed pairs of records, which are numbered from 0.

    Attributes:
        left: first record of each pair.
        right: second record of each pair, a later one.
        weight: match weight, bits.
        by_number: a number in common and demographics that do not speak against it.
        by_anchor: agreement on birth date, sex and both names, or what stands for it.
        only_one: for each kind of number of which a person has one: the records that have it, and which number.
    """

    left: Places
    right: Places
    weight: Weights
    by_number: Mask
    by_anchor: Mask
    only_one: Mapping[str, tuple[Places, Places]]


def judged(
    people: pa.Table, left: Places, right: Places, weight: Weights, evidence: Weights, names: Mask, given: Mask
) -> Weighed:
    """Weighed pairs with what the rules of th-v1 ask of them.

    A number in common counts where all the rest together does not speak against a match. An anchor is the same birth
    date and sex and both names alike; on a 1 January, or where both have but one name, the same phone as well.

    Args:
        people: table of `benchmarks.baselines.plaintext`, whose rows pairs are of.
        left: first record of each pair.
        right: second record of each pair.
        weight: match weight, bits.
        evidence: the part of it that is not of numbers, without the prior.
        names: both names are alike.
        given: the given names are alike.
    """
    default = pc.ends_with(people["birth_date"], "-01-01").fill_null(fill_value=True).to_numpy()[left]
    without = people["family_latin"].is_null().to_numpy()
    single = without[left] & without[right]
    phone = _same(people, "phone", left, right)
    anchor = _same(people, "birth_date", left, right) & _same(people, "sex", left, right)
    anchor &= (names & ~default) | (phone & (names | (given & single)))
    number = np.logical_or.reduce([_same(people, kind, left, right) for kind in NUMBERS])
    codes = {kind: _codes(people[kind]) for kind in ONLY_ONE}
    only_one = {kind: (np.flatnonzero(each >= 0), each[each >= 0]) for kind, each in codes.items()}
    return Weighed(np.minimum(left, right), np.maximum(left, right), weight, number & (evidence >= 0), anchor, only_one)


def _same(people: pa.Table, column: str, left: Places, right: Places) -> Mask:
    codes = _codes(people[column])
    same: Mask = (codes[left] == codes[right]) & (codes[left] >= 0)
    return same


def _codes(column: pa.ChunkedArray) -> Places:
    """A number for each value, -1 where it is missing."""
    indices = column.combine_chunks().dictionary_encode().indices.fill_null(-1)
    codes: Places = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is who. Records that no tool saw come last: they stand alone and count as missed.

    Attributes:
        persons: number of each record's person.
        strata: place of each record's stratum in `names`.
        names: strata, the hardest first: a pair counts under the harder one of its two records.
    """

    persons: Places
    strata: Places
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.persons)

    @classmethod
    def of(cls, known: Mapping[str, tuple[str, str]], record_ids: Sequence[str], names: Iterable[str]) -> Truth:
        """Put truth in the order of a table's records; KeyError when it does not know one of them."""
        seen = set(record_ids)
        rows = [known[record_id] for record_id in record_ids]
        rows += [row for record_id, row in known.items() if record_id not in seen]
        named = tuple(dict.fromkeys((*names, *sorted({stratum for _, stratum in rows}))))
        persons = np.unique([person for person, _ in rows], return_inverse=True)[1].astype(np.int64)
        return cls(persons, np.array([named.index(stratum) for _, stratum in rows], np.int64), named)

    def pairs(self) -> tuple[Places, Places]:
        """All pairs of records of one person."""
        order = np.argsort(self.persons, kind="stable")
        sizes = np.bincount(self.persons)
        left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        begin = np.cumsum(sizes) - sizes
        for size in np.unique(sizes[sizes > 1]).tolist():
            members = order[begin[sizes == size][:, None] + np.arange(size)]
            one, other = np.triu_indices(size, 1)
            left.append(members[:, one].ravel())
            right.append(members[:, other].ravel())
        return np.concatenate(left), np.concatenate(right)

    def quality(self, groups: Places) -> PairQuality:
        """Count the pairs that a grouping put together, and those that it should have."""
        both = np.unique(np.stack([self.persons, groups]), axis=1, return_counts=True)[1]
        return PairQuality(_pairs(both), _pairs(np.bincount(groups)), _pairs(np.bincount(self.persons)))

    def recall_by_stratum(self, groups: Places) -> dict[str, tuple[float, int]]:
        """Share of the true pairs of each stratum that a grouping put together, and how many there are."""
        left, right = self.pairs()
        stratum = np.minimum(self.strata[left], self.strata[right])
        every = np.bincount(stratum, minlength=len(self.names))
        found = np.bincount(stratum[groups[left] == groups[right]], minlength=len(self.names))
        return {
            name: (int(good) / int(count), int(count))
            for name, good, count in zip(self.names, found, every, strict=True)
            if count
        }

    def completeness(self, left: Places, right: Places) -> float:
        """Share of the true pairs that are among these pairs."""
        true_left, true_right = self.pairs()
        wanted = np.minimum(true_left, true_right) * len(self) + np.maximum(true_left, true_right)
        found = np.minimum(left, right) * len(self) + np.maximum(left, right)
        return float(np.isin(wanted, found).mean()) if len(wanted) else 1.0


def _pairs(counts: npt.NDArray[np.int64]) -> int:
    return int((counts * (counts - 1) // 2).sum())


def stock(pairs: Weighed, total: int, threshold: float) -> Places:
    """Connected components of the pairs at the threshold; for each record the first of its group."""
    links = pairs.weight >= threshold
    left, right = pairs.left[links], pairs.right[links]
    groups = np.arange(total)
    while True:
        before = groups.copy()
        low = np.minimum(before[left], before[right])
        np.minimum.at(groups, before[left], low)
        np.minimum.at(groups, before[right], low)
        groups = groups[groups]
        if np.array_equal(groups, before):
            return groups


def clustered(pairs: Weighed, total: int, threshold: float) -> Places:
    """Constrained clusters of the pairs at the threshold."""
    return _cluster(pairs, total, pairs.weight >= threshold)


def ruled(pairs: Weighed, total: int, threshold: float) -> Places:
    """Constrained clusters of the pairs that carry a link; the threshold is that of anchors, as in a rule file."""
    return _cluster(pairs, total, pairs.by_number | (pairs.by_anchor & (pairs.weight >= threshold)))


def _cluster(pairs: Weighed, total: int, links: Mask) -> Places:
    graph = Graph(total, pairs.left, pairs.right, pairs.weight, links, pairs.only_one, np.arange(total))
    return cluster(graph, MOST_MEMBERS, STRANGERS).groups


Decide = Callable[[Weighed, int, float], Places]
WAYS: Mapping[str, Decide] = {"stock": stock, "clustered": clustered, "ruled": ruled}


@dataclass(frozen=True, slots=True)
class Point:
    """Quality at one threshold."""

    threshold: float
    precision: float
    recall: float
    f1: float
    false_links: int


def point(truth: Truth, groups: Places, threshold: float) -> Point:
    """Quality of a grouping that came of a threshold."""
    found = truth.quality(groups)
    return Point(threshold, found.precision, found.recall, found.f1, found.links - found.true_links)


def curve(pairs: Weighed, truth: Truth, decide: Decide, thresholds: Iterable[float]) -> list[Point]:
    """Quality at each threshold."""
    return [point(truth, decide(pairs, len(truth), threshold), threshold) for threshold in thresholds]


def best(points: Sequence[Point]) -> Point:
    """The point of the greatest F1; truth chose it, in favour of whoever is measured."""
    return max(points, key=lambda each: (each.f1, each.threshold))


def precise(points: Sequence[Point], target: float = TARGET) -> Point | None:
    """The point of the greatest recall among those of the target precision."""
    return max((each for each in points if each.precision >= target), key=lambda each: each.recall, default=None)


def compare_ways(
    pairs: Weighed, truth: Truth, thresholds: Sequence[float], fixed: Mapping[str, float]
) -> dict[str, Any]:
    """Figures of every way of deciding, ready for JSON.

    Args:
        pairs: the weighed pairs.
        truth: who is who.
        thresholds: those of the curve.
        fixed: thresholds set beforehand, by way; quality there owes nothing to this truth.
    """
    figures: dict[str, Any] = {}
    for way, decide in WAYS.items():
        points = curve(pairs, truth, decide, thresholds)
        top, exact = best(points), precise(points)
        figures[way] = {
            "curve": [asdict(each) for each in points],
            "best_f1": asdict(top) | {"recall_by_stratum": _strata(pairs, truth, decide, top)},
            "at_target_precision": exact
            and asdict(exact) | {"recall_by_stratum": _strata(pairs, truth, decide, exact)},
        }
        if way in fixed:
            figures[way]["fixed"] = asdict(point(truth, decide(pairs, len(truth), fixed[way]), fixed[way]))
    return figures


def _strata(pairs: Weighed, truth: Truth, decide: Decide, at: Point) -> dict[str, dict[str, float]]:
    groups = decide(pairs, len(truth), at.threshold)
    return {
        name: {"recall": recall, "pairs": count} for name, (recall, count) in truth.recall_by_stratum(groups).items()
    }


def show(figures: Mapping[str, Any]) -> None:
    """Print what `compare_ways` gave."""
    print(f"{'':<34}{'weight':>8}{'P':>9}{'R':>9}{'F1':>9}{'false':>7}")
    for way in WAYS:
        for what, label in (
            ("best_f1", "best F1"),
            ("at_target_precision", f"best R at P >= {TARGET}"),
            ("fixed", "threshold set beforehand"),
        ):
            if what not in figures[way]:
                continue
            at = figures[way][what]
            line = "never" if at is None else _line(at)
            print(f"{way + ', ' + label:<34}{line:>42}")
    strata = {way: figures[way]["best_f1"]["recall_by_stratum"] for way in WAYS}
    print(f"\n{'recall by stratum at best F1':<34}{'pairs':>8}" + "".join(f"{way:>11}" for way in WAYS))
    for name, first in strata["stock"].items():
        cells = "".join(f"{each[name]['recall']:>11.4f}" for each in strata.values())
        print(f"{name:<34}{first['pairs']:>8,}{cells}")


def _line(at: Mapping[str, float]) -> str:
    return f"{at['threshold']:>8g}{at['precision']:>9.5f}{at['recall']:>9.4f}{at['f1']:>9.4f}{at['false_links']:>7,}"
