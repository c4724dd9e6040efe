"""Linkage quality against truth: pairs of records that were, and should have been, put together."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi.errors import ExtractUnreadable


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


def read_truth(path: Path) -> dict[str, str]:
    """Read a truth.csv: person of each record.

    Raises:
        ExtractUnreadable: it is missing or not such a file.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {row["record_id"]: row["person_id"] for row in csv.DictReader(file)}
    except OSError as error:
        raise ExtractUnreadable(path, error.strerror or "cannot be read") from None
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise ExtractUnreadable(path, "is no truth.csv (record_id,person_id,stratum)") from None


def _pairs(counts: Counter[Any]) -> int:
    return sum(count * (count - 1) // 2 for count in counts.values())
