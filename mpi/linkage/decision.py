"""What becomes of a record: LINK, NEW or REVIEW.

A weight alone never links. A link needs a number in common and demographics that do not speak against it, or
an anchor (agreement on birth date, sex and both names); no veto; an identity that has not grown suspiciously large,
and whose records taken together do not speak against it. Whatever is nearly a link but fails one of these goes to a
person.

A record that carries a link to several identities shows them to be one person, unless something speaks against that;
then it needs a margin over the runner-up. These are the rules of `mpi.linkage.clustering`, for one record at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

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
        bits: sum of the weights of all its records, bits; those that never met the record count as strangers.
    """

    eid: str
    score: Score
    members: int
    veto: str
    bits: float


Between = Callable[[str, str], float]
"""Sum of the weights between the records of two identities, bits; minus infinity where they must stay apart."""


def never(_one: str, _other: str) -> float:
    """Keep all identities apart."""
    return -math.inf


@dataclass(frozen=True, slots=True)
class Doubt:
    """A candidate that a person should look at, and the rule that says so."""

    candidate: Candidate
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decision.

    Attributes:
        decision: what becomes of the record.
        candidate: the candidate that it is about; None for NEW without candidates.
        why: the rule that decided.
        joined: further identities that a linked record shows to be of the same person.
        doubts: candidates for a person to look at, the heaviest first; a record that is linked may have some too.
    """

    decision: Decision
    candidate: Candidate | None
    why: str
    joined: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()


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

    def decide(self, candidates: Sequence[Candidate], between: Between = never) -> Outcome:
        """Decide for a record with these candidates; their order does not matter.

        Args:
            candidates: identities with a record that is near the new one.
            between: asked where the record carries a link to several of them.
        """
        open_to_us = [c for c in candidates if not c.veto]
        # The enterprise id breaks ties, so that the same candidates always give the same answer.
        ranked = sorted(open_to_us, key=lambda c: (-c.score.weight, c.eid))
        if not ranked:
            return Outcome(Decision.NEW, None, f"{candidates[0].veto}_veto" if candidates else "no_candidate")
        outcome = self._outcome(ranked, between)
        return replace(outcome, doubts=tuple(self._doubts(ranked, outcome)))

    def _outcome(self, ranked: Sequence[Candidate], between: Between) -> Outcome:
        best = ranked[0]
        ground = self.ground(best.score)
        if ground:
            if best.members >= self._rules.most_members:
                return Outcome(Decision.REVIEW, best, "too_many_members")
            if best.bits < 0:
                return Outcome(Decision.REVIEW, best, "evidence")
            return self._joined(best, ranked[1:], ground, between)
        for candidate in ranked:
            doubt = self.doubt(candidate.score)
            if doubt:
                return Outcome(Decision.REVIEW, candidate, doubt)
        return Outcome(Decision.NEW, best, "below_review")

    def _doubts(self, ranked: Sequence[Candidate], outcome: Outcome) -> Iterator[Doubt]:
        for candidate in ranked:
            if candidate.eid in outcome.joined:
                continue
            if candidate is not outcome.candidate:
                why = self.doubt(candidate.score)
            else:
                why = outcome.why if outcome.decision is Decision.REVIEW else ""
            if why:
                yield Doubt(candidate, why)

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

    def _joined(self, best: Candidate, others: Sequence[Candidate], ground: str, between: Between) -> Outcome:
        """Link with the best candidate, and with each other one that carries a link and that nothing keeps apart."""
        group, size = [best], best.members + 1
        for other in others:
            if not self.ground(other.score):
                continue
            fits = size + other.members <= self._rules.most_members
            if fits and other.bits + sum(between(each.eid, other.eid) for each in group) >= 0:
                group.append(other)
                size += other.members
            elif best.score.weight - other.score.weight < self._rules.margin:
                return Outcome(Decision.REVIEW, best, "margin")
        return Outcome(Decision.LINK, best, ground, tuple(each.eid for each in group[1:]))

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
