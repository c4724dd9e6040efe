"""What becomes of a record: LINK, NEW or REVIEW.

A weight alone never links. A link needs a number in common and demographics that do not speak against it, or
an anchor (agreement on birth date, sex and both names); a margin over the runner-up; no veto; and an
identity that has not grown suspiciously large. Whatever is nearly a link but fails one of these goes to a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpi.domain.identifiers import IdentifierKind
from mpi.domain.identity import Decision
from mpi.linkage.fellegi_sunter import Score
from mpi.rules import Comparison, Model


@dataclass(frozen=True, slots=True)
class Candidate:
    """An identity with the score of its nearest record.

    Attributes:
        eid: enterprise id.
        score: how the nearest record compares.
        members: how many records the identity has.
        veto: name of the identifier kind that forbids a link, "" for none.
    """

    eid: str
    score: Score
    members: int
    veto: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision, the candidate that it is about (None for NEW without candidates), and the rule that decided."""

    decision: Decision
    candidate: Candidate | None
    why: str


class Decider:
    """Applies the decision rules of a model."""

    def __init__(self, model: Model) -> None:
        self._rules = model.decision
        self._anchors = [
            {channel: _at_least(model.comparisons[channel], level) for channel, level in anchor.items()}
            for anchor in self._rules.anchors
        ]
        self._supports = {
            channel: _at_least(model.comparisons[channel], level) for channel, level in self._rules.supports.items()
        }

    def decide(self, candidates: Sequence[Candidate]) -> Outcome:
        """Decide for a record with these candidates; their order does not matter."""
        open_to_us = [c for c in candidates if not c.veto]
        # The enterprise id breaks ties, so that the same candidates always give the same answer.
        ranked = sorted(open_to_us, key=lambda c: (-c.score.weight, c.eid))
        if not ranked:
            return Outcome(Decision.NEW, None, f"{candidates[0].veto}_veto" if candidates else "no_candidate")
        best = ranked[0]
        ground = self.ground(best.score)
        if ground:
            if best.members >= self._rules.most_members:
                return Outcome(Decision.REVIEW, best, "too_many_members")
            if len(ranked) > 1 and self._too_close(best, ranked[1]):
                return Outcome(Decision.REVIEW, best, "margin")
            return Outcome(Decision.LINK, best, ground)
        for candidate in ranked:
            doubt = self.doubt(candidate.score)
            if doubt:
                return Outcome(Decision.REVIEW, candidate, doubt)
        return Outcome(Decision.NEW, best, "below_review")

    def ground(self, score: Score) -> str:
        """Name what a link would rest on, "" when nothing carries it."""
        rules = self._rules
        if (
            any(score.agrees(kind) for kind in rules.identifying)
            and score.demographics >= rules.demographics
            and any(score.level(channel) in levels for channel, levels in self._supports.items())
        ):
            return "number_and_demographics"
        if score.weight >= rules.link and any(
            all(score.level(channel) in levels for channel, levels in anchor.items()) for anchor in self._anchors
        ):
            return "anchor"
        return ""

    def _too_close(self, best: Candidate, second: Candidate) -> bool:
        return bool(self.ground(second.score)) and best.score.weight - second.score.weight < self._rules.margin

    def doubt(self, score: Score) -> str:
        """Name why a person should look, "" when nobody need."""
        rules = self._rules
        if any(score.agrees(kind) for kind in rules.identifying):
            return "number_alone"
        if score.weight >= rules.review:
            return "possible"
        if score.agrees(IdentifierKind.PHONE) and score.weight >= rules.shared_phone:
            return "shared_phone"
        return ""


def _at_least(comparison: Comparison, level: str) -> frozenset[str]:
    """Names of a comparison's levels from the first down to `level`."""
    names = [each.name for each in comparison.levels]
    return frozenset(names[: names.index(level) + 1])
