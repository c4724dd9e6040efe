"""Scoring many pairs at once: the same match weights and grounds as one by one, to the last bit.

A pair's evidence is a row of places: for each comparison of the model, in its order, the place of the level reached,
or `MISSING` where a value is missing on a side. `mpi.linkage.fellegi_sunter` and `mpi.linkage.decision` say what they
mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mpi.domain.identifiers import IdentifierKind
from mpi.rules import AGREE, ELSEWHERE, Comparison, Model

MISSING = -1

Evidence = npt.NDArray[np.int8]
"""Places of levels, a row a pair and a column a comparison."""
Weights = npt.NDArray[np.float64]
"""Match weights in bits."""
Mask = npt.NDArray[np.bool_]


class PairScorer:
    """Weighs rows of evidence under one model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        kinds = {kind.value for kind in IdentifierKind}
        self._comparisons = list(model.comparisons.values())
        self._place = {comparison.on: place for place, comparison in enumerate(self._comparisons)}
        self._is_channel = [comparison.on not in kinds for comparison in self._comparisons]

    @property
    def names(self) -> tuple[str, ...]:
        """What each column of evidence compares."""
        return tuple(self._place)

    def weigh(self, evidence: Evidence) -> tuple[Weights, Weights]:
        """Match weights, and the part of them that channels gave."""
        weight, demographics = np.zeros(len(evidence)), np.zeros(len(evidence))
        # Column by column, in the order in which one pair is summed up: floating point is not associative.
        for column, comparison in enumerate(self._comparisons):
            levels = np.array([level.weight for level in comparison.levels] + [0.0])
            term = levels[evidence[:, column]]  # MISSING is the last place
            weight += term
            if self._is_channel[column]:
                demographics += term
        return weight, demographics

    def agrees(self, evidence: Evidence, kinds: tuple[IdentifierKind, ...]) -> Mask:
        """Say which pairs have a number of one of these kinds in common."""
        found = np.zeros(len(evidence), bool)
        for kind in kinds:
            if kind.value in self._place:
                found |= evidence[:, self._place[kind.value]] == self._level(kind.value, AGREE)
        return found

    def shares_bucket(self, evidence: Evidence, channels: frozenset[str]) -> Mask:
        """Say which pairs met in a bucket of one of the channels."""
        found = np.zeros(len(evidence), bool)
        for column, comparison in enumerate(self._comparisons):
            if self._is_channel[column] and comparison.on in channels:
                met = evidence[:, column]
                found |= (met != MISSING) & (met != self._level(comparison.on, ELSEWHERE))
        return found

    def found_without(self, evidence: Evidence, hidden: IdentifierKind) -> Mask:
        """Say which pairs would be weighed without a kind of number: near on a channel, or by another number."""
        rules = self._model.decision
        found = self.agrees(evidence, tuple(kind for kind in rules.finding if kind is not hidden))
        for name, least in rules.candidate_similarity.items():
            comparison = self._comparisons[self._place[name]]
            near = [level.name for level in comparison.levels[:-1] if level.similarity >= least]
            if near:
                found |= self._reaches(evidence, name, near[-1])
        return found

    def grounds(self, evidence: Evidence, weight: Weights, demographics: Weights) -> tuple[Mask, Mask]:
        """Say which pairs carry a link by a number in common, and which by an anchor."""
        rules = self._model.decision
        by_number = (
            self.agrees(evidence, rules.identifying)
            & (demographics >= rules.demographics)
            & np.logical_or.reduce([self._reaches(evidence, *support) for support in rules.supports.items()])
        )
        by_anchor = np.zeros(len(evidence), bool)
        for anchor in rules.anchors:
            holds = np.ones(len(evidence), bool)
            for name, level in anchor.items():
                holds &= self._reaches(evidence, name, level)
            by_anchor |= holds
        return by_number, by_anchor & (weight >= rules.link)

    def doubts(self, evidence: Evidence, weight: Weights) -> Mask:
        """Say at which pairs, if they do not link, a person should look."""
        rules = self._model.decision
        by_phone = self.agrees(evidence, (IdentifierKind.PHONE,)) & (weight >= rules.shared_phone)
        return self.agrees(evidence, rules.identifying) | (weight >= rules.review) | by_phone

    def _reaches(self, evidence: Evidence, name: str, level: str) -> Mask:
        """Say which pairs reach a level of a comparison or a better one."""
        reached = evidence[:, self._place[name]]
        reaches: Mask = (reached != MISSING) & (reached <= self._level(name, level))
        return reaches

    def _level(self, name: str, level: str) -> int:
        comparison: Comparison = self._comparisons[self._place[name]]
        return [each.name for each in comparison.levels].index(level)
