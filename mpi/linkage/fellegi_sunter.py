"""Match weights: the sum of log2(m/u) over all comparisons (Fellegi and Sunter 1969).

Missing values add nothing. The weights of channels are not independent, because channels share fields; the
thresholds of a rule file are set for the raw sum as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.identity import Evidence
from mpi.linkage.comparison import channel_level, identifier_level
from mpi.rules import AGREE, ELSEWHERE, Model


@dataclass(frozen=True, slots=True)
class Features:
    """What one record has: the numbers by kind, and the names of its channels."""

    numbers: Mapping[IdentifierKind, frozenset[bytes]]
    channels: frozenset[str]

    @classmethod
    def of(cls, tokens: tuple[IdentifierToken, ...], channels: frozenset[str]) -> Features:
        """Group tokens by kind."""
        numbers: dict[IdentifierKind, frozenset[bytes]] = {}
        for token in tokens:
            numbers[token.kind] = numbers.get(token.kind, _NONE) | {token.value}
        return cls(numbers, channels)


@dataclass(frozen=True, slots=True)
class Score:
    """A weighed pair.

    Attributes:
        weight: match weight in bits.
        demographics: the part of it that channels gave, in bits.
        evidence: its terms; a comparison with a value missing on a side has none.
    """

    weight: float
    demographics: float
    evidence: tuple[Evidence, ...]

    def level(self, comparison: str) -> str:
        """Name of the level that a comparison reached, "" when a value was missing."""
        for term in self.evidence:
            if term.comparison == comparison:
                return term.level
        return ""

    def agrees(self, kind: IdentifierKind) -> bool:
        """Say whether a number of that kind is in common."""
        return self.level(kind.value) == AGREE

    def shares_bucket(self, channels: frozenset[str]) -> bool:
        """Say whether the pair met in a bucket of one of the channels."""
        return any(t.comparison in channels and t.level != ELSEWHERE for t in self.evidence)


def weigh(
    model: Model,
    ours: Features,
    theirs: Features,
    similarity: Mapping[str, float],
    leave_out: frozenset[str] = frozenset(),
) -> Score:
    """Weigh a pair of records.

    Args:
        model: levels and their probabilities.
        ours: what the one record has.
        theirs: what the other has.
        similarity: greatest Hamming similarity by channel, for the channels with a shared bucket.
        leave_out: channels that were not looked at.
    """
    weight = demographics = 0.0
    evidence = []
    for name, comparison in model.comparisons.items():
        if name in leave_out:
            continue
        if name in ours.channels and name in theirs.channels:
            if comparison.instead_of in ours.channels and comparison.instead_of in theirs.channels:
                continue
            level = channel_level(comparison, similarity.get(name))
            demographics += level.weight
        elif name in _KINDS and name in ours.numbers and name in theirs.numbers:
            kind = _KINDS[name]
            level = identifier_level(comparison, ours.numbers[kind], theirs.numbers[kind])
        else:
            continue
        weight += level.weight
        evidence.append(Evidence(name, level.name, level.weight))
    return Score(weight, demographics, tuple(evidence))


_NONE: frozenset[bytes] = frozenset()
_KINDS = {kind.value: kind for kind in IdentifierKind}
