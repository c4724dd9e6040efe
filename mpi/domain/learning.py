"""Learning: what people's decisions say of the model, and what another model would do otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mpi.domain.identity import Decision
from mpi.domain.review import TaskKind


@dataclass(frozen=True, slots=True)
class Label:
    """A pair of records that a person decided about: levels of agreement and the answer, nothing that names anybody.

    Attributes:
        same: a person said that it is one person.
        kind: what was doubted.
        levels: level reached by comparison; none where a value is missing on a side.
    """

    same: bool
    kind: TaskKind
    levels: Mapping[str, str]

    def to_line(self) -> str:
        """Write it as a line of JSON."""
        return json.dumps({"same": self.same, "kind": self.kind.value, "levels": dict(self.levels)})

    @classmethod
    def from_line(cls, line: str) -> Label:
        """Read it from a line of JSON.

        Raises:
            ValueError: the line is no label.
        """
        found = json.loads(line)
        if not isinstance(found, dict) or set(found) != {"same", "kind", "levels"}:
            raise ValueError("not a label")
        same, levels = found["same"], found["levels"]
        words = isinstance(levels, dict) and all(isinstance(each, str) for each in levels.values())
        if not isinstance(same, bool) or not words:
            raise ValueError("not a label")
        return cls(same, TaskKind(found["kind"]), levels)


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """Records with which two models do the same each.

    Attributes:
        before: what the present model does, and by which rule.
        after: what the new one does, and by which rule.
        moved: both link, but not with the same identity.
    """

    before: tuple[Decision, str]
    after: tuple[Decision, str]
    moved: bool

    @property
    def gains(self) -> bool:
        """Whether a link is made that was not made before."""
        return self.after[0] is Decision.LINK and (self.before[0] is not Decision.LINK or self.moved)

    @property
    def loses(self) -> bool:
        """Whether a link that was made before is not made."""
        return self.before[0] is Decision.LINK and (self.after[0] is not Decision.LINK or self.moved)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Weights, in bits, at which the index decides.

    Attributes:
        link: the least that links.
        review: the least that asks a person.
        margin: how far the best candidate must be ahead of the next one.
    """

    link: float
    review: float
    margin: float


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a new model would do with records that are held, each as if it arrived now.

    Attributes:
        records: records held.
        sampled: records looked at.
        strata: how many of those each stratum has; those with which both models do the same by the same rule too.
        decided: pairs that people decided about.
        linked_against: those that people said are two persons and that the new model would link by itself.
        missed: those that people said are one person and that the new model would neither link nor ask about.
    """

    records: int
    sampled: int
    strata: Mapping[Stratum, int]
    decided: int
    linked_against: int
    missed: int

    @property
    def gained(self) -> int:
        """Links gained among the records looked at."""
        return sum(count for stratum, count in self.strata.items() if stratum.gains)

    @property
    def lost(self) -> int:
        """Links lost among the records looked at."""
        return sum(count for stratum, count in self.strata.items() if stratum.loses)


@dataclass(frozen=True, slots=True)
class Preview:
    """The present rules, and what others would do.

    Attributes:
        thresholds: the present ones.
        rules_digest: of the present model, hex.
        foresight: what others would do; of no record where none were named.
    """

    thresholds: Thresholds
    rules_digest: str
    foresight: Foresight
